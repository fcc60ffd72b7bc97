"""The decoder's warnings, progress and confidence."""

from __future__ import annotations

import numpy as np
import pytest
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import ContractError
from allin1_core.reference import metrical_dbn
from allin1_core.reference.bar_pointer import NO_PATH
from allin1_core.testing import signals

from allin1_backend_madmom import decoder


def settings(**parameters) -> Setup:
    return Setup(metre=MetreParameters(**{"threshold": 0.0, **parameters}))


@pytest.mark.parametrize("correct", [True, False])
def test_without_a_possible_path_there_are_no_beats_and_a_warning(
    madmom: str, correct: bool
) -> None:
    values = signals.song_activations(120).values.copy()
    values[60] = np.nan
    metre = decoder.create(settings(correct=correct))(Activations(values), Task()).validate()
    assert len(metre.beat_times_s) == 0
    assert metre.warnings == (NO_PATH,)
    assert metre.metre_log_probabilities == ((3, -np.inf), (4, -np.inf))
    assert metre.metre_confidence is None


def test_silence_has_no_beats_and_no_warning(madmom: str) -> None:
    values = np.zeros((100, 2), np.float32)
    metre = decoder.create(settings())(Activations(values), Task()).validate()
    assert len(metre.beat_times_s) == 0
    assert metre.warnings == ()
    assert metre.metre_log_probabilities == ()


def test_the_confidence_in_the_metre_is_the_references(madmom: str) -> None:
    song = signals.song_activations(250, bpm=200)
    metre = decoder.create(settings())(song, Task())
    wanted = metrical_dbn.create(settings())(song, Task())
    assert metre.metre_confidence == pytest.approx(wanted.metre_confidence, abs=1e-9)
    assert len(metre.beat_times_s) > 3
    one = decoder.create(settings(beats_per_bar=(4,)))(song, Task())
    assert one.metre_confidence is None
    assert [beats for beats, _ in one.metre_log_probabilities] == [4]


def test_progress_is_reported_for_each_metre_and_can_cancel(madmom: str) -> None:
    song = signals.song_activations(60)
    told: list[float] = []
    call = decoder.create(settings(beats_per_bar=(2, 3, 4, 5)))
    call(song, Task(progress=told.append))
    assert told == [0.25, 0.5, 0.75, 1.0]

    def cancel(fraction: float) -> None:
        raise KeyboardInterrupt

    wanted = call(song, Task())
    with pytest.raises(KeyboardInterrupt):
        call(song, Task(progress=cancel))
    # A cancelled call does not affect later ones.
    np.testing.assert_array_equal(call(song, Task()).beat_times_s, wanted.beat_times_s)


def test_parameters_out_of_range_are_refused(madmom: str) -> None:
    with pytest.raises(ContractError, match="tempo range"):
        decoder.create(settings(min_bpm=200, max_bpm=100))
