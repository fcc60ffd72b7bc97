"""A session explains what it would do, and then does it."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.audio import SAMPLE_RATE, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.speed import Speed
from allin1_core.errors import SelectionError
from allin1_core.reference import spectrogram
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.foreign import BRIDGES, FOREIGN, on_foreign, upload
from allin1_core.testing.signals import music_stems

#: Leaves the choice to auto among the backends of the plugin below.
MINE = {"spectrogram": "mine"}


def create_on_npu(setup):
    return on_foreign(spectrogram.create(setup))


@pytest.fixture
def npu_plugin(make_plugin, monkeypatch):
    """A spectrogram on a device, behind a bus, and a slower one in NumPy."""
    module = ModuleType("spectrogram_on_npu")
    module.create = create_on_npu
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def make(setup_s, rate, bytes_per_second):
        backend = Backend(
            "npu",
            "spectrogram",
            "spectrogram_on_npu:create",
            consumes=FOREIGN,
            produces=FOREIGN,
            speed=(Speed("npu", setup_s, rate, "a test"),),
        )
        host = Backend(
            "host", "spectrogram", "nowhere:create", speed=(Speed("cpu", 0, 0.2, "a test"),)
        )
        bridges = [replace(bridge, bytes_per_second=bytes_per_second) for bridge in BRIDGES]
        return make_plugin(
            allin1_spectrogram=lambda: [backend, host], allin1_bridges=lambda: bridges
        )

    return make


def test_moving_only_the_first_array_changes_the_route(make_session, npu_plugin):
    # A second of stems takes 0.28 s over the bus: more than the device saves.
    session = make_session(plugins={"mine": npu_plugin(0.0, 0.1, 5e6)}, backends=MINE)
    stems = music_stems(5.0)
    on_device = Stems(upload(stems.samples, "npu"))
    routes = {
        place: session.explain(start, outputs=["logits"]).chosen.steps[0].backend.name
        for place, start in (("host", stems), ("npu", on_device))
    }
    assert routes == {"host": "host", "npu": "npu"}
    assert session.explain(on_device).request.start == FOREIGN
    # What was explained is what runs.
    run = session.run(on_device, outputs=["logits"])
    assert run.records[0].backend == "npu"


def test_a_short_request_and_a_long_one_are_explained_differently(make_session, npu_plugin):
    session = make_session(plugins={"mine": npu_plugin(5.0, 0.001, 8e9)}, backends=MINE)
    first = {s: session.explain(s).chosen.steps[0].backend.name for s in (10.0, 3600.0)}
    assert first == {10.0: "host", 3600.0: "npu"}


def test_a_track_is_explained_by_its_length_without_being_read_through(
    make_session, stems, tmp_path
):
    session = make_session()
    (track,) = make_tracks(stems_dirs=[stems.source])
    decision = session.explain(track)
    assert decision.request.audio_s == pytest.approx(6.0)
    assert decision.chosen.steps[0].backend.stage == "spectrogram"
    assert session.explain(stems).chosen == decision.chosen
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((SAMPLE_RATE, 2)), SAMPLE_RATE)
    (mix,) = make_tracks([song])
    with pytest.raises(SelectionError, match="--stems-dir"):
        session.explain(mix)
    assert session.explain().request.audio_s == 180.0


def test_a_later_start_leaves_out_the_earlier_stages(make_session):
    session = make_session()
    values = np.full((500, 2), 0.1, np.float32)
    decision = session.explain(Activations(values), outputs=["beats"])
    assert [step.backend.stage for step in decision.chosen.steps] == ["metrical_dbn"]
    assert "asked for  5 s of audio" in str(decision)
