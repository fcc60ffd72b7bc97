"""Models unlike those of the core: another architecture, format of weights, labels, or stages in one call."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from allin1_core.contracts.audio import Mix
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.findings import Findings
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.model import ModelCard, WeightsFile
from allin1_core.contracts.sections import Sections, Segment
from allin1_core.contracts.spectrogram import frame_count
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import BOTH_BRANCHES
from allin1_core.errors import ContractError, SelectionError
from allin1_core.io.results import load_result, save_result
from allin1_core.plugins.collecting import collect_offers
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import track_of

LABELS = ("calm", "loud", "ending")
CONTENT = json.dumps({"weights": [0.5, 2.0]}).encode()
CARD = ModelCard(
    name="toy",
    summary="three labels, weights in JSON",
    files=(WeightsFile("toy.json", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT)),),
    downbeat_threshold=0.05,
    licence="MIT",
    source="a test",
    architecture="toy-net",
    reader="toy_plugin:read",
    takes="mix",
    labels=LABELS,
)


@pytest.fixture
def toy(monkeypatch):
    """The module that targets point to."""
    module = ModuleType("toy_plugin")
    module.read = json.loads
    monkeypatch.setitem(sys.modules, "toy_plugin", module)
    return module


@pytest.fixture
def make_session(tmp_path, isolated_plugins, make_plugin):
    def make(card: ModelCard, *backends: Backend, hooks=(), **options) -> Session:
        (tmp_path / "toy.json").write_bytes(CONTENT)
        hooks = {f"allin1_{one.stage}": lambda one=one: [one] for one in backends} | dict(hooks)
        plugin = make_plugin(allin1_models=lambda: [card], **hooks)
        loaded = isolated_plugins(toy=plugin)
        assert not collect_offers(loaded).problems
        return Session("toy", plugins=loaded, weights_dir=str(tmp_path), **options)

    return make


def song_logits(frames: int, labels: int = 3) -> Logits:
    """Beats twice a second, and three parts, each with a label of its own."""
    beat, section = np.full((2, frames), -9, np.float32)
    beat[10::50] = 9
    downbeat = np.full(frames, -9, np.float32)
    downbeat[10::200] = 9
    section[[frames // 3, 2 * frames // 3]] = 9
    function = np.zeros((labels, frames), np.float32)
    for part in range(3):
        function[part % labels, part * frames // 3 : (part + 1) * frames // 3] = 5
    return Logits(beat, downbeat, section, function)


NETWORK = Backend("toy", "nn", "toy_plugin:network", models=("toy-net",), parity=None)


def test_labels_and_weights_of_a_model_go_through_the_whole_chain(
    toy, make_session, write_song, tmp_path
) -> None:
    def network(setup):
        assert setup.model.members == ({"weights": [0.5, 2.0]},)
        return lambda spectrogram, task: song_logits(spectrogram.frames.shape[1])

    toy.network = network
    with make_session(CARD, NETWORK) as session:
        result = session.analyze(track_of(write_song(seconds=9.0)), include_activations=True)
    assert [one.label for one in result.segments] == list(LABELS)
    assert [max(s.labels, key=s.labels.get) for s in result.confidence.segments] == list(LABELS)
    assert result.activations["label"].shape[0] == 3
    assert result.bpm == 120
    path = save_result(result, tmp_path / "out", "song")
    again = load_result(path)
    assert again.provenance.labels == LABELS
    assert again.activations["label"].shape[0] == 3


def test_a_functional_backend_that_knows_ten_labels_only_is_refused_with_the_reason(
    toy, make_session
) -> None:
    toy.create = lambda setup: None
    ten = Backend("ten", "functional", "toy_plugin:create", speed=(Speed("", 0, 0, "a test"),))
    with make_session(CARD, NETWORK, ten) as session:
        request = session.request(("functional",), 60.0)
        refusals = {c.backend.name: c.refusal for c in session.candidates(request)["functional"]}
    assert refusals["reference"] is None
    assert "ten labels of the Harmonix set" in str(refusals["ten"])
    with make_session(replace(CARD, labels=ModelCard.labels), NETWORK, ten) as session:
        assert (
            session.decide(session.request(("functional",), 60.0)).chosen.steps[0].backend.name
            == "ten"
        )


def test_logits_of_another_number_of_labels_are_refused(toy, make_session, write_song) -> None:
    toy.network = lambda setup: lambda s, task: song_logits(s.frames.shape[1], labels=4)
    with make_session(CARD, NETWORK) as session:
        with pytest.raises(
            SelectionError, match="Logits with 4 labels; the model has 3: calm, loud"
        ):
            session.analyze(track_of(write_song()))
        with pytest.raises(ContractError, match="Logits with 10 labels"):
            session.run(song_logits(600, labels=10))


def test_labels_of_a_card_are_checked(isolated_plugins, make_plugin) -> None:
    cards = [replace(CARD, name=f"toy{i}", labels=bad) for i, bad in enumerate([(), ("a", "a")])]
    offers = collect_offers(isolated_plugins(toy=make_plugin(allin1_models=lambda: cards)))
    assert not {"toy0", "toy1"} & set(offers.models)
    assert all(
        "wanted a tuple of one or more different labels" in str(problem)
        for problem in offers.problems
    )


AT_ONCE = Backend(
    "at-once",
    "spectrogram",
    "toy_plugin:at_once",
    spans=("spectrogram", "nn", "metrical_prep", "metrical_dbn", "functional"),
    models=("toy-net",),
    parity=None,
    takes="mix",
)


@pytest.fixture
def at_once(toy):
    """A backend from the song to beats and sections; gives the tasks that it was called with."""
    tasks = []

    def run(mix: Mix, task):
        tasks.append(task)
        length = mix.duration_s
        beats = np.arange(0.25, length, 0.5)
        edge = frame_count(mix.samples.shape[-1]) / 100
        return Findings(
            Metre(beats, np.arange(len(beats)) % 4 + 1),
            Sections((Segment(0.0, 4.0, "calm"), Segment(4.0, edge, "loud"))),
        )

    toy.at_once = lambda setup: run
    return tasks


def test_one_backend_gives_beats_and_sections(at_once, make_session, write_song) -> None:
    with make_session(CARD, AT_ONCE) as session:
        result = session.analyze(track_of(write_song()))
    assert result.bpm == 120
    assert [one.label for one in result.segments] == ["calm", "loud"]
    (record,) = result.provenance.stages
    assert record.stages == AT_ONCE.spans
    (task,) = at_once
    assert (task.track, task.audio_s) == ("song", pytest.approx(8.0))


@pytest.mark.parametrize("only", ["beats", "sections"])
def test_only_beats_or_sections_may_be_requested_of_a_backend_of_both(
    at_once, make_session, write_song, only
) -> None:
    with make_session(CARD, AT_ONCE) as session:
        result = session.analyze(track_of(write_song()), only=only)
    assert (bool(result.beats), bool(result.segments)) == (only == "beats", only == "sections")
    assert len(at_once) == 1


def test_from_logits_sections_alone_come_from_a_backend_that_begins_with_the_metre(
    toy, make_session
) -> None:
    def run(logits, task):
        edge = len(logits.beat) / 100
        return Findings(
            Metre(np.array([1.0]), np.array([1])), Sections((Segment(0.0, edge, "loud"),))
        )

    toy.tail = lambda setup: run
    speed = (Speed("cpu", 0.0, 0.0, "a test"),)
    tail = Backend(
        "tail",
        "metrical_prep",
        "toy_plugin:tail",
        spans=BOTH_BRANCHES,
        parity=None,
        speed=speed,
        features=("labels",),
    )
    with make_session(CARD, tail) as session:
        products = session.run(song_logits(600), outputs=["sections"]).products
    assert products.metre is None
    assert [one.label for one in products.sections.segments] == ["loud"]


def test_a_result_says_which_arrays_its_route_cannot_give(
    at_once, make_session, write_song
) -> None:
    with make_session(CARD, AT_ONCE) as session:
        result = session.analyze(
            track_of(write_song()), include_activations=True, include_embeddings=True
        )
    assert result.activations is None
    assert [w for w in result.warnings if "does not provide" in w] == [
        "There are no activations: at-once does not provide them.",
        "There are no embeddings: at-once does not provide them.",
    ]


def test_a_result_is_complete_without_arrays_that_its_route_cannot_give(
    at_once, make_session, write_song, tmp_path
) -> None:
    track = track_of(write_song())
    options = {"out_dir": tmp_path / "out", "include_activations": True, "include_embeddings": True}
    with make_session(CARD, AT_ONCE) as session:
        states = [next(run_batch(session, [track], **options)).status for _ in range(2)]
    assert states == ["done", "skipped"]
    assert len(at_once) == 1


def test_a_separate_network_is_taken_where_it_is_cheaper_than_all_at_once(
    at_once, toy, make_session
) -> None:
    toy.network = lambda setup: None
    dear = replace(AT_ONCE, speed=(Speed("cpu", 500.0, 0.0, "a test"),))
    cheap = replace(NETWORK, speed=(Speed("cpu", 0.0, 0.0, "a test"),))
    with make_session(CARD, dear, cheap) as session:
        assert "nn=toy" in str(session.explain(60.0).chosen)
    with make_session(CARD, replace(dear, speed=cheap.speed), cheap) as session:
        assert str(session.explain(60.0).chosen) == "spectrogram=at-once"
        # What lies between the two is none of what it gives.
        activations = session.explain(60.0, outputs=["activations"])
        assert "nn=toy" in str(activations.chosen)


def test_what_a_backend_of_both_branches_gives_is_checked(toy, make_session, write_song) -> None:
    toy.at_once = lambda setup: lambda mix, task: Findings("no metre", Sections(()))
    with (
        make_session(CARD, AT_ONCE) as session,
        pytest.raises(SelectionError, match="It returned str"),
    ):
        session.analyze(track_of(write_song()))


@pytest.mark.parametrize(
    "spans", [("metrical_dbn", "functional"), ("spectrogram", *AT_ONCE.spans[2:])]
)
def test_spans_that_lack_a_stage_are_left_out(isolated_plugins, make_plugin, spans) -> None:
    bad = replace(AT_ONCE, stage=spans[0], spans=spans, takes="stems")
    plugin = make_plugin(**{f"allin1_{bad.stage}": lambda: [bad]})
    (problem,) = collect_offers(isolated_plugins(toy=plugin)).problems
    assert "at-once spans" in str(problem)


def test_a_cost_of_each_new_length_is_charged_for_every_song(toy, make_session) -> None:
    speeds = {
        "compiled": Speed("cpu", 1.0, 0.01, "a test", members=1, shape_s=2.0),
        "plain": Speed("cpu", 0.0, 0.1, "a test", members=1),
    }
    backends = [replace(NETWORK, name=name, speed=(one,)) for name, one in speeds.items()]
    plugin = {"allin1_nn": lambda: backends}
    assert speeds["compiled"].cost_s(600.0, songs=10) == 27.0
    with make_session(CARD, hooks=plugin) as session:

        def chosen(audio_s: float, songs: int) -> str:
            request = replace(session.request(("nn",), audio_s), songs=songs)
            return str(session.decide(request).chosen)

        assert chosen(60.0, 1) == "nn=compiled"
        assert chosen(60.0, 10) == "nn=plain"


def test_a_batch_is_priced_by_the_number_of_its_songs(toy, make_session, write_song) -> None:
    used = []

    def network(setup):
        return lambda s, task: used.append(setup) or song_logits(s.frames.shape[1])

    toy.network = network
    compiled = replace(NETWORK, speed=(Speed("cpu", 0.0, 0.0, "a test", shape_s=1.0),))
    toy.other = lambda setup: lambda s, task: song_logits(s.frames.shape[1])
    other = replace(NETWORK, name="other", target="toy_plugin:other")
    other = replace(other, speed=(Speed("cpu", 1.5, 0.0, "a test"),))
    tracks = [track_of(write_song(f"{name}.wav")) for name in "ab"]
    with make_session(CARD, hooks={"allin1_nn": lambda: [compiled, other]}) as session:
        (one,) = run_batch(session, tracks[:1])
        two = list(run_batch(session, tracks))
    names = [o.result.provenance.stages[1].backend for o in (one, *two)]
    assert names == ["toy", "other", "other"]
    assert len(used) == 1
