"""The decoder in edge cases: all kinds of input, all instruction sets, threads, and bounded memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from allin1_backend_dbn_cython._kernel import instruction_sets
from allin1_backend_dbn_cython.decoder import ISA_VARIABLE, Decoder, create
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import Metre, MetreParameters, TempoPrior
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import BackendError, ContractError
from allin1_core.reference.metrical_dbn import create as create_reference


def clicks(frames: int, interval: float, bar: int, seed: int = 0) -> NDArray[np.float32]:
    """Return activations of a steady pulse in noise."""
    values = np.random.default_rng(seed).uniform(1e-6, 0.05, (frames, 2)).astype(np.float32)
    for number, frame in enumerate(np.arange(7, frames, interval).astype(int)):
        values[frame] = (1e-6, 0.8) if number % bar == 0 else (0.8, 1e-6)
    return values


def same(one: Metre, other: Metre) -> bool:
    return (
        np.array_equal(one.beat_times_s, other.beat_times_s)
        and np.array_equal(one.beat_positions, other.beat_positions)
        and np.array_equal(one.beat_confidences, other.beat_confidences)
        and one.metre_log_probabilities == other.metre_log_probabilities
        and one.metre_confidence == other.metre_confidence
        and one.alternatives == other.alternatives
        and one.warnings == other.warnings
    )


def test_a_pulse_is_found_with_its_metre() -> None:
    metre = Decoder(MetreParameters(threshold=0.24))(
        Activations(clicks(3000, 50, 3)), Task()
    ).validate()
    assert np.abs(np.diff(metre.beat_times_s) - 0.5).max() < 1e-9
    assert metre.beat_times_s[0] == 0.07
    assert set(metre.beat_positions) == {1, 2, 3}
    assert metre.metre_confidence is not None
    assert metre.metre_confidence > 0.99
    (three, four) = metre.metre_log_probabilities
    assert (three[0], four[0]) == (3, 4)
    assert three[1] > four[1]


def test_confidence_falls_where_beats_are_missing() -> None:
    values = clicks(6000, 50, 4)
    values[2507:3600] = 0.02
    metre = Decoder(MetreParameters(threshold=0.24))(Activations(values), Task()).validate()
    confidences = metre.beat_confidences
    assert confidences is not None
    gap = (metre.beat_times_s > 26) & (metre.beat_times_s < 35)
    assert gap.sum() > 10
    assert np.median(confidences[gap]) < 0.98
    assert np.median(confidences[~gap]) > 0.9999


def test_a_single_metre_has_no_confidence() -> None:
    metre = Decoder(MetreParameters(beats_per_bar=(4,), threshold=0.24))(
        Activations(clicks(1000, 50, 4)), Task()
    )
    assert metre.metre_confidence is None
    assert len(metre.metre_log_probabilities) == 1


@pytest.mark.parametrize("values", [np.zeros((500, 2), np.float32), np.full((500, 2), 0.1)])
def test_silence_has_no_beats_and_needs_no_warning(values: NDArray[Any]) -> None:
    metre = Decoder(MetreParameters(threshold=0.24))(Activations(values), Task()).validate()
    assert metre.beat_times_s.shape == metre.beat_positions.shape == (0,)
    assert metre.metre_log_probabilities == ()
    assert metre.warnings == ()


def test_impossible_activations_are_said_to_be() -> None:
    values = clicks(1000, 50, 4)
    values[400:410] = np.nan
    metre = Decoder(MetreParameters(threshold=0.0))(Activations(values), Task()).validate()
    assert len(metre.beat_times_s) == 0
    assert len(metre.warnings) == 1
    assert metre.metre_log_probabilities == ((3, -np.inf), (4, -np.inf))
    assert metre.metre_confidence is None


PARAMETERS = st.builds(
    MetreParameters,
    beats_per_bar=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    min_bpm=st.floats(40, 90),
    max_bpm=st.floats(90, 240),
    num_tempi=st.none() | st.integers(1, 40),
    transition_lambda=st.floats(0.5, 400),
    observation_lambda=st.integers(2, 20),
    threshold=st.none() | st.floats(0, 0.6),
    correct=st.booleans(),
    tempo_prior=st.none()
    | st.builds(TempoPrior, st.floats(30, 300), st.floats(0.05, 3), st.floats(0, 2)),
)

VALUES = arrays.arrays(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(st.integers(1, 400), st.just(2)),
    elements=st.floats(0, 0.5, width=32)
    | st.sampled_from([0.0, 1.0, 0.7, float("nan"), float("inf"), float("-inf")]),
    fill=st.floats(2**-10, 0.125, width=32) | st.just(float("nan")),
)


def laid_out(values: NDArray[Any], layout: str) -> NDArray[Any]:
    if layout == "columns first":
        return np.asfortranarray(values)
    if layout == "every other":
        return np.repeat(np.repeat(values, 2, axis=0), 3, axis=1)[::2, ::3]
    if layout == "backwards":
        return values[::-1].copy()[::-1]
    return values


@settings(max_examples=150, deadline=None)
@given(
    values=VALUES,
    parameters=PARAMETERS,
    rate=st.sampled_from([5.0, 12.5, 50.0, 100.0]),
    layout=st.sampled_from(["as it is", "columns first", "every other", "backwards"]),
)
def test_any_input_decodes_as_in_the_reference(
    values: NDArray[Any], parameters: MetreParameters, rate: float, layout: str
) -> None:
    values = laid_out(values, layout)
    before = values.copy()
    values.flags.writeable = False
    wanted = create_reference(Setup(metre=parameters))(Activations(values, rate), Task())
    metre = Decoder(parameters, threads=1)(Activations(values, rate), Task()).validate()
    assert same(metre, wanted)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("name", instruction_sets())
@pytest.mark.parametrize(
    ("parameters", "rate"),
    [
        (MetreParameters(threshold=0.0), 100.0),
        (MetreParameters(beats_per_bar=(1, 2, 5, 6, 7), threshold=0.0), 100.0),
        (MetreParameters(threshold=0.0), 50.0),
        (MetreParameters(threshold=0.0, tempo_prior=TempoPrior(120, 0.7)), 50.0),
        (MetreParameters(threshold=0.0, num_tempi=None, transition_lambda=5), 17.0),
        (MetreParameters(threshold=0.0, max_bpm=120, correct=False), 2.0),
    ],
)
def test_every_instruction_set_gives_the_same_bits(
    name: str, parameters: MetreParameters, rate: float
) -> None:
    noise = np.random.default_rng(3).uniform(1e-6, 0.5, (1500, 2))
    steady = np.full((1500, 2), 0.3)
    for values in (clicks(1500, rate / 2, 3), noise, steady):
        plain = Decoder(parameters, instruction_set="scalar")(Activations(values, rate), Task())
        metre = Decoder(parameters, instruction_set=name)(Activations(values, rate), Task())
        assert len(plain.beat_times_s) > 10
        assert same(metre, plain)


def test_the_instruction_set_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ISA_VARIABLE, "scalar")
    assert create(Setup()).instruction_set == "scalar"
    monkeypatch.setenv(ISA_VARIABLE, "")
    assert create(Setup()).instruction_set == instruction_sets()[0]
    monkeypatch.setenv(ISA_VARIABLE, "mmx")
    with pytest.raises(BackendError, match=r"mmx.*scalar"):
        create(Setup())


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ContractError, match="beats_per_bar"):
        Decoder(MetreParameters(beats_per_bar=()))
    with pytest.raises(ContractError, match="frame"):
        Decoder(MetreParameters(threshold=0.0))(Activations(clicks(50, 5, 2), 1.0), Task())


def test_threads_change_nothing_and_one_decoder_serves_many() -> None:
    parameters = MetreParameters(beats_per_bar=(2, 3, 4, 5), threshold=0.0)
    songs = [Activations(clicks(1000 + 300 * n, 40 + 5 * n, 4, seed=n)) for n in range(6)]
    alone = [Decoder(parameters, threads=1)(song, Task()) for song in songs]
    decoder = Decoder(parameters, threads=3)
    found: dict[int, Metre] = {}

    def work(number: int) -> None:
        for _ in range(3):
            found[number] = decoder(songs[number], Task())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(songs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    decoder.close()
    assert all(same(found[n], alone[n]) for n in range(len(songs)))


def test_progress_rises_to_one_and_may_cancel() -> None:
    told: list[float] = []
    song = Activations(clicks(500, 50, 4))
    decoder = Decoder(MetreParameters(threshold=0.0), threads=2)
    decoder(song, Task(progress=told.append))
    assert told == sorted(told)
    assert told[-1] == 1.0

    def cancel(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoder(song, Task(progress=cancel))
    assert len(decoder(song, Task()).beat_times_s) > 5


MEMORY = """
import pathlib, sys
import numpy as np
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.stages import Task
from allin1_backend_dbn_cython.decoder import Decoder

def peak():
    # Not getrusage(): it counts the parent's memory at the start of a child.
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

frames, kind = int(sys.argv[1]), sys.argv[2]
values = np.full((frames, 2), 0.3, np.float32)
if kind == "song":
    values[:] = np.random.default_rng(0).uniform(0.001, 0.02, values.shape)
    values[::50] = 0.5, 0.01
    values[::200] = 0.01, 0.5
decode = Decoder(MetreParameters(threshold=0.24))
decode(Activations(values[:200]), Task())
before = peak()
assert len(decode(Activations(values), Task()).beat_times_s) > frames / 200
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from Linux's /proc")
@pytest.mark.parametrize("kind", ["song", "ties throughout"])
@pytest.mark.parametrize(("frames", "limit_mb"), [(24_000, 60), (360_000, 300)])
def test_memory_is_bounded(frames: int, limit_mb: int, kind: str) -> None:
    run = [sys.executable, "-c", MEMORY, str(frames), kind]
    grown = int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert 1e6 < grown < limit_mb * 1e6
