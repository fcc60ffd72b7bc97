"""The complete pipeline on seeded random weights and synthetic stems."""

from __future__ import annotations

import hashlib
import logging
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import NO_TEMPO_PRIOR, Metre, MetreParameters, TempoPrior
from allin1_core.contracts.model import SeparatorCard, WeightsContent, WeightsFile
from allin1_core.contracts.sections import Sections
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import Setup, Task
from allin1_core.errors import BackendError, ContractError, InputError, SelectionError, WeightsError
from allin1_core.io.stems import read_stems
from allin1_core.reference import functional, metrical_dbn, metrical_prep, network, spectrogram
from allin1_core.runtime import plan, steps
from allin1_core.runtime.plan import Products
from allin1_core.runtime.session import Session
from allin1_core.runtime.tempo import estimate_bpm, fit_tempo
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.conformance import measure
from allin1_core.testing.foreign import BRIDGES, FOREIGN, on_foreign
from allin1_core.testing.models import model_plugin

FAST = (Speed("cpu", 0.0, 1e-9, "a test"),)
MODULES = {
    "spectrogram": spectrogram,
    "nn": network,
    "metrical_prep": metrical_prep,
    "metrical_dbn": metrical_dbn,
    "functional": functional,
}
#: The decoder comes last, so that the next song can begin beside it.
IN_ORDER = sorted(MODULES, key=lambda stage: stage == "metrical_dbn")


@pytest.fixture
def by_hand(make_session, stems):
    """Each stage's record, by calling the reference directly."""
    session = make_session()
    setup = Setup(model=session.model(), metre=session.engine.backends.metre)
    call = {stage: module.create(setup) for stage, module in MODULES.items()}
    read, _, _ = read_stems(stems)
    frames = call["spectrogram"](read, Task())
    logits = call["nn"](frames, Task())
    activations = call["metrical_prep"](logits, Task())
    metre = call["metrical_dbn"](activations, Task())
    sections = call["functional"](logits, Task())
    return {type(r): r for r in (read, frames, logits, activations, metre, sections)}


@pytest.fixture
def backend_plugin(make_plugin, monkeypatch):
    """Make a plugin with one backend, cheaper than the reference, from its factory."""

    def make(stage, factory, *, foreign=False, **changes):
        module = ModuleType(f"backend_for_{stage}")
        module.create = factory
        monkeypatch.setitem(sys.modules, module.__name__, module)
        space = {"consumes": FOREIGN, "produces": FOREIGN} if foreign else {}
        record = Backend(
            **{"name": "mine", "stage": stage, "target": f"{module.__name__}:create"},
            **{"speed": FAST, **space, **changes},
        )
        return make_plugin(**{f"allin1_{stage}": lambda: [record]}, allin1_bridges=lambda: BRIDGES)

    return make


def backends(run):
    return {"+".join(r.stages): r.backend for r in run.records}


def test_stems_in_files_go_the_whole_way(make_session, stems, by_hand):
    with make_session() as session:
        (track,) = make_tracks(stems_dirs=[stems.source])
        result = session.analyze(track, include_activations=True, include_embeddings=True)
    metre, sections = by_hand[Metre], by_hand[Sections]
    assert result.path == stems.source
    assert result.beats == metre.beat_times_s.tolist()
    assert result.beat_positions == metre.beat_positions.tolist()
    assert result.downbeats == [
        b for b, p in zip(result.beats, result.beat_positions, strict=True) if p == 1
    ]
    assert result.bpm == estimate_bpm(metre.beat_times_s)
    assert tuple(result.segments) == sections.segments
    assert len(result.confidence.beats) == len(result.beats)
    assert list(result.confidence.metre_log_probabilities) == [3, 4]
    assert len(result.confidence.segments) == len(result.segments)
    assert result.confidence.segments[0].boundary is None
    for segment, sure in zip(result.segments, result.confidence.segments, strict=True):
        assert max(sure.labels, key=sure.labels.get) == segment.label
    assert result.tempo == fit_tempo(np.array(result.beats))
    assert result.activations["label"].sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert result.activations["beat"] == pytest.approx(
        1 / (1 + np.exp(-by_hand[Logits].beat.astype(float))), abs=1e-6
    )
    assert result.embeddings.shape == (4, 600, 24)
    told = result.provenance
    assert [r.stages for r in told.stages] == [(stage,) for stage in IN_ORDER]
    assert all(r.plugin == "reference" and r.version and r.seconds >= 0 for r in told.stages)
    assert told.model == "random"
    assert [f["sample_rate"] for f in told.input["files"]] == [44_100] * 4
    assert told.fallbacks == ()


@pytest.mark.parametrize("kind", [Stems, LogSpectrogram, Logits])
def test_a_run_may_start_at_any_stage(make_session, by_hand, kind):
    with make_session() as session:
        run = session.run(by_hand[kind])
    assert measure(by_hand[Metre], run.products.metre) == 0
    assert measure(by_hand[Sections], run.products.sections) == 0


def test_a_run_may_start_from_activations_and_stop_at_any_output(make_session, by_hand):
    with make_session() as session:
        run = session.run(by_hand[Activations], outputs=["beats"])
        assert backends(run) == {"metrical_dbn": "reference"}
        assert measure(by_hand[Metre], run.products.metre) == 0
        run = session.run(by_hand[Logits], outputs=["activations"])
        assert run.products == Products(activations=run.products.activations)
        run = session.run(by_hand[LogSpectrogram], outputs=["logits"])
        assert measure(by_hand[Logits], run.products.logits) == 0
        assert backends(session.run(by_hand[Logits], outputs=["sections"])) == {
            "functional": "reference"
        }


def test_only_beats_or_only_sections_run_only_their_stages(make_session, stems):
    (track,) = make_tracks(stems_dirs=[stems.source])
    with make_session() as session:
        whole = session.analyze(track)
        beats = session.analyze(track, only="beats")
        sections = session.analyze(track, only="sections")
        with pytest.raises(InputError, match="does not find chords"):
            session.analyze(track, only="chords")
    assert (beats.beats, beats.segments) == (whole.beats, [])
    assert (sections.beats, sections.bpm) == ([], None)
    assert sections.segments == whole.segments
    stages = [stage for record in beats.provenance.stages for stage in record.stages]
    assert "functional" not in stages
    stages = [stage for record in sections.provenance.stages for stage in record.stages]
    assert "metrical_prep" not in stages
    assert beats.provenance.outputs == ("beats",)
    assert beats.warnings == []


def test_a_model_without_sections_says_so(make_session, stems, model_folder):
    (track,) = make_tracks(stems_dirs=[stems.source])
    with make_session(card={"outputs": ("beats",)}) as session:
        result = session.analyze(track)
    assert result.segments == []
    assert result.warnings == ["The model random finds no sections."]


def test_what_cannot_be_reached_from_the_start_is_refused(make_session, by_hand):
    with make_session() as session:
        with pytest.raises(InputError, match="Only beats"):
            session.run(by_hand[Activations], outputs=["sections"])
        with pytest.raises(InputError, match="There is no output called tempo"):
            session.run(by_hand[Logits], outputs=["tempo"])
        with pytest.raises(ContractError, match=r"stems.samples has shape"):
            session.run(Stems(np.zeros((3, 2, 5), np.float32)))
        with pytest.raises(SelectionError, match="--stems-dir"):
            session.run(Mix(np.zeros((2, 5000), np.float32)))


def test_arrays_cross_to_a_device_and_back_over_bridges_alone(
    make_session, backend_plugin, by_hand
):
    def create(setup):
        assert setup.device == "npu"
        return on_foreign(network.create(setup))

    # A cheap probe-less backend: its device is the space's.
    plugin = backend_plugin("nn", create, foreign=True)
    with make_session(plugins={"npu": plugin}) as session:
        run = session.run(by_hand[Stems], embeddings=True)
    assert backends(run)["nn"] == "mine"
    assert next(r.device for r in run.records if r.stages == ("nn",)) == "npu"
    assert measure(by_hand[Metre], run.products.metre) == 0
    assert isinstance(run.products.logits.embeddings, np.ndarray)


def test_neighbours_on_a_device_hand_arrays_to_each_other_there(
    make_session, backend_plugin, by_hand, monkeypatch
):
    from allin1_core.testing import foreign

    moved = []
    upload, download = foreign.upload, foreign.download
    monkeypatch.setattr(foreign, "upload", lambda a, d: moved.append("up") or upload(a, d))
    monkeypatch.setattr(foreign, "download", lambda a, d: moved.append("down") or download(a, d))

    def kernel(module):
        def create(setup):
            call = module.create(setup)

            def run(data, task):
                values = foreign.move_arrays(data, lambda array: download(array, "cpu"))
                return foreign.move_arrays(call(values, task), lambda a: upload(a, "npu"))

            return run

        return create

    plugins = {
        "one": backend_plugin("spectrogram", kernel(spectrogram), foreign=True),
        "two": backend_plugin("nn", kernel(network), foreign=True),
    }
    with make_session(plugins=plugins) as session:
        run = session.run(by_hand[Stems], outputs=["logits"])
    assert backends(run) == {"spectrogram": "mine", "nn": "mine"}
    assert moved[0] == "up"
    # Up: the stems. Down: four arrays of logits to look for NaN, and the four of the product.
    assert (moved.count("up"), moved.count("down")) == (1, 8)


def failing(error):
    def create(setup):
        def call(data, task):
            raise error

        return call

    return create


def failing_setup(setup):
    raise OSError("libkernel.so: no such file")


def giving(record):
    return lambda setup: lambda data, task: record


BAD_LOGITS = Logits(*(np.full(shape, np.nan, np.float32) for shape in (600, 600, 600, (10, 600))))


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (failing(RuntimeError("kernel\nlong story")), "RuntimeError: kernel"),
        (failing(SystemExit(0)), "SystemExit: 0"),
        (failing_setup, "OSError: libkernel.so: no such file"),
        (giving(None), "It returned NoneType; wanted Logits."),
        (giving(BAD_LOGITS), "holds nan"),
    ],
)
def test_a_backend_that_fails_hands_over_and_stays_out(
    make_session, backend_plugin, stems, by_hand, caplog, factory, reason
):
    with make_session(plugins={"bad": backend_plugin("nn", factory)}) as session:
        with caplog.at_level(logging.WARNING):
            first = session.run(stems)
            second = session.run(stems)
    for run in (first, second):
        assert backends(run)["nn"] == "reference"
        assert measure(by_hand[Metre], run.products.metre) == 0
    (told,) = first.fallbacks
    assert told.startswith("Backend nn=mine of plugin bad failed and was replaced: ")
    assert reason in told
    assert second.fallbacks == []
    assert (
        sum("nn=mine of plugin bad failed" in record.getMessage() for record in caplog.records) == 1
    )


def test_a_failure_that_two_runs_meet_is_reported_once(
    make_session, backend_plugin, by_hand, caplog
):
    inner = []

    def create(setup):
        def call(data, task):
            # While this run is on its way, another one chooses the same backend.
            if not inner:
                inner.append(None)
                inner[0] = session.run(by_hand[LogSpectrogram])
            raise RuntimeError("lost")

        return call

    with make_session(plugins={"bad": backend_plugin("nn", create)}) as session:
        with caplog.at_level(logging.WARNING):
            outer = session.run(by_hand[LogSpectrogram])
    for run in (outer, inner[0]):
        assert run.fallbacks == [
            "Backend nn=mine of plugin bad failed and was replaced: RuntimeError: lost"
        ]
    assert caplog.text.count("nn=mine of plugin bad failed") == 1


def test_not_a_number_on_a_device_is_not_taken_for_silence(make_session, backend_plugin, by_hand):
    def create(setup):
        return on_foreign(lambda data, task: BAD_LOGITS)

    plugin = backend_plugin("nn", create, foreign=True)
    with make_session(plugins={"npu": plugin}) as session:
        run = session.run(by_hand[LogSpectrogram])
    assert "holds nan" in run.fallbacks[0]
    assert measure(by_hand[Metre], run.products.metre) == 0


def test_a_failure_keeps_the_work_already_done(make_session, backend_plugin, by_hand):
    calls = []

    def create_network(setup):
        call = on_foreign(network.create(setup))
        return lambda data, task: calls.append("nn") or call(data, task)

    plugins = {
        "net": backend_plugin("nn", create_network, foreign=True),
        "prep": backend_plugin("metrical_prep", failing(RuntimeError("lost")), foreign=True),
    }
    with make_session(plugins=plugins) as session:
        run = session.run(by_hand[Stems])
    assert calls == ["nn"]
    assert backends(run)["metrical_prep"] == "reference"
    assert measure(by_hand[Metre], run.products.metre) == 0
    assert measure(by_hand[Sections], run.products.sections) == 0


def test_a_backend_that_was_named_is_never_replaced(make_session, backend_plugin, by_hand):
    plugin = backend_plugin("nn", failing(RuntimeError("lost")))
    for name in ("mine", "bad"):
        with make_session(plugins={"bad": plugin}, backends={"nn": name}) as session:
            with pytest.raises(BackendError, match=r"nn=mine, failed: RuntimeError: lost"):
                session.run(by_hand[LogSpectrogram])


def test_when_everything_fails_each_reason_is_reported(make_session, monkeypatch, by_hand):
    monkeypatch.setattr(network, "create", failing(RuntimeError("even this")))
    with make_session() as session:
        with pytest.raises(SelectionError, match=r"No backend can run stage nn.*even this"):
            session.run(by_hand[LogSpectrogram])


def test_missing_weights_are_no_failure_of_a_backend(
    make_session, model_folder, isolated_plugins, by_hand, monkeypatch, tmp_path
):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    session = make_session(weights_dir=None)
    with pytest.raises(WeightsError, match="random-11.npz"):
        session.run(by_hand[LogSpectrogram])


def test_progress_rises_to_the_end(make_session, stems):
    told = []
    with make_session() as session:
        session.run(stems, progress=lambda stage, fraction: told.append((stage, fraction)))
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[0] >= 0
    assert fractions[-1] <= 1
    assert {stage for stage, _ in told} == set(MODULES)


class Cancelled(Exception):
    pass


def test_a_caller_who_cancels_is_not_taken_for_a_failing_backend(make_session, stems):
    def cancel(stage, fraction):
        if stage == "nn" and fraction > 0:
            raise Cancelled

    with make_session() as session:
        with pytest.raises(Cancelled):
            session.run(stems, progress=cancel)
        assert session.engine.chooser.failures == {}


def test_observers_are_notified_and_cannot_disturb(make_session, make_plugin, stems, caplog):
    told = []
    plugins = {
        "bad": make_plugin(allin1_stage_finished=lambda track, record: 1 / 0),
        "good": make_plugin(
            allin1_stage_finished=lambda track, record: told.append((track, *record.stages)),
            allin1_track_finished=lambda track, result, error: told.append((result, error)),
        ),
    }
    (track,) = make_tracks(stems_dirs=[stems.source])
    with make_session(plugins=plugins) as session:
        result = session.analyze(track)
    assert told[:-1] == [("song", stage) for stage in IN_ORDER]
    (copied, error) = told[-1]
    assert error is None
    assert (copied.beats, copied.segments) == (result.beats, result.segments)
    assert "ZeroDivisionError" in caplog.text or "division by zero" in caplog.text


def test_long_stems_are_read_in_blocks_and_give_the_same(make_session, stems, by_hand, monkeypatch):
    monkeypatch.setattr(plan, "LONG_STEMS_S", 5.0)
    monkeypatch.setattr(steps, "BLOCK_FRAMES", 130)
    seen = []
    create = spectrogram.create

    def watched(setup):
        call = create(setup)
        return lambda data, task: seen.append(data.samples.shape[-1]) or call(data, task)

    monkeypatch.setattr(spectrogram, "create", watched)
    with make_session() as session:
        run = session.run(stems, outputs=["logits", "beats"])
    assert len(seen) == 5
    assert max(seen) <= (130 + 6) * 441
    assert measure(by_hand[Logits], run.products.logits) < 1e-4
    assert measure(by_hand[Metre], run.products.metre) == 0
    assert len(run.input["files"]) == 4


@pytest.mark.parametrize("foreign", [False, True])
def test_the_network_is_given_long_songs_in_blocks(
    make_session, backend_plugin, by_hand, monkeypatch, foreign
):
    spans, told = [], []

    def watched(setup):
        call = network.create(setup)

        def run(data, task):
            spans.append(data.frames.shape[1])
            return call(data, task)

        return on_foreign(run) if foreign else run

    monkeypatch.setattr(plan, "LONG_SONG_FRAMES", 500)
    monkeypatch.setattr(steps, "NETWORK_BLOCK_FRAMES", 250)
    plugin = backend_plugin("nn", watched, foreign=foreign)
    with make_session(plugins={"fast": plugin}) as session:
        whole = session.run(by_hand[LogSpectrogram], outputs=["logits"], embeddings=True)
    assert spans.pop() == 600
    with make_session(plugins={"fast": plugin}, card={"context_frames": 600}) as session:
        run = session.run(
            by_hand[LogSpectrogram],
            outputs=["logits"],
            embeddings=True,
            progress=lambda stage, fraction: told.append(fraction),
        )
    assert spans == [600, 600, 600]
    assert backends(run) == {"nn": "mine"}
    for name in Logits.ARRAYS:
        expected = getattr(whole.products.logits, name)
        np.testing.assert_array_equal(getattr(run.products.logits, name), expected)
    assert told == sorted(told)


def test_a_separator_gets_its_checked_files_from_the_core(
    model_folder, isolated_plugins, make_plugin, monkeypatch, tmp_path
):
    got = []
    module = ModuleType("separator_for_a_test")

    def create(setup):
        got.extend(setup.separator_files())
        return lambda mix, task: Stems(np.stack([mix.samples / 4] * 4))

    module.create = create
    monkeypatch.setitem(sys.modules, module.__name__, module)
    (tmp_path / "unet.bin").write_bytes(b"parameters")
    file = WeightsFile("unet.bin", hashlib.sha256(b"parameters").hexdigest(), 10)
    backend = Backend("mine", "demix", f"{module.__name__}:create", separators=("unet",))
    mine = make_plugin(
        allin1_demix=lambda: [backend],
        allin1_separators=lambda: [SeparatorCard("unet", "A", (file,), "MIT", "tests")],
    )
    folder, card = model_folder
    (tmp_path / card.files[0].name).write_bytes((folder / card.files[0].name).read_bytes())
    plugins = isolated_plugins(model=model_plugin(card), mine=mine)
    mix = Mix(np.random.default_rng(0).standard_normal((2, 44_100)).astype(np.float32))
    options = {"weights_dir": str(tmp_path), "plugins": plugins}
    with Session("random", demix=DemixParameters("unet"), **options) as session:
        session.run(mix, outputs=["activations"])
    assert got == [WeightsContent("unet.bin", b"parameters")]
    (tmp_path / "unet.bin").write_bytes(b"others")
    with Session("random", demix=DemixParameters("unet"), **options) as session:
        with pytest.raises(WeightsError, match="Truncated, or another file"):
            session.run(mix, outputs=["activations"])
    with Session("random", demix=DemixParameters("vnet"), **options) as session:
        with pytest.raises(InputError, match="Available: unet"):
            session.run(mix, outputs=["activations"])


def test_the_decoder_obeys_its_parameters(make_session, by_hand):
    metre = MetreParameters(beats_per_bar=(7,), min_bpm=100, max_bpm=140, threshold=0.0)
    with make_session(metre=metre) as session:
        found = session.run(by_hand[Logits], outputs=["beats"]).products.metre
    assert found.beat_positions.max() == 7
    assert (60 / np.diff(found.beat_times_s)).mean() == pytest.approx(120, abs=25)


def test_the_threshold_is_the_models_unless_it_is_given(make_session):
    assert make_session().engine.backends.metre.threshold == 0.05
    assert make_session(metre=MetreParameters(threshold=0.4)).engine.backends.metre.threshold == 0.4


def test_the_transition_parameter_is_the_models_unless_it_is_given(model_folder, isolated_plugins):
    folder, card = model_folder
    for of_card, given, wanted in (
        (100.0, None, 100.0),
        (250.0, None, 250.0),
        (250.0, 100.0, 100.0),
    ):
        plugins = isolated_plugins(model=model_plugin(replace(card, transition_lambda=of_card)))
        metre = MetreParameters(transition_lambda=given)
        with Session("random", metre=metre, weights_dir=str(folder), plugins=plugins) as session:
            assert session.engine.backends.metre.transition_lambda == wanted


def test_the_prior_over_tempo_is_the_models_unless_it_is_given(model_folder, isolated_plugins):
    folder, card = model_folder
    own, other = TempoPrior(120, 0.7), TempoPrior(90, 0.5, 0.1)
    for of_card, given, wanted in (
        (None, None, None),
        (own, None, own),
        (own, other, other),
        (own, NO_TEMPO_PRIOR, NO_TEMPO_PRIOR),
    ):
        plugins = isolated_plugins(model=model_plugin(replace(card, tempo_prior=of_card)))
        metre = MetreParameters(tempo_prior=given)
        with Session("random", metre=metre, weights_dir=str(folder), plugins=plugins) as session:
            assert session.engine.backends.metre.tempo_prior == wanted
            request = session.request(("metrical_dbn",), 10.0)
            has_prior = wanted in (own, other)
            assert request.features == ((("metrical_dbn", "tempo_prior"),) if has_prior else ())


def test_a_passage_on_the_off_beat_is_moved_where_the_model_or_the_user_says_so(
    make_session, backend_plugin
):
    times = np.arange(0.5, 60.0, 0.5)
    late = (times > 20) & (times < 30)
    values = np.full((6000, 2), 0.002, np.float32)
    peaks = np.rint((times + 0.25 * late) * 100).astype(int)
    for offset, height in ((-1, 0.4), (0, 0.7), (1, 0.4)):
        values[peaks + offset, 0] = height
    calls = []

    def create(setup):
        decode = metrical_dbn.create(setup)

        def counting(activations, task):
            calls.append(activations)
            return decode(activations, task)

        return counting

    mine = {"mine": backend_plugin("metrical_dbn", create)}
    for of_card, given, is_moved in ((True, None, True), (True, False, False), (False, True, True)):
        calls.clear()
        metre = MetreParameters(steady_phase=given)
        with make_session(plugins=mine, card={"steady_phase": of_card}, metre=metre) as session:
            run = session.run(Activations(values), outputs=["beats"])
            found = run.products.metre
        assert [record.backend for record in run.records] == ["mine"]
        assert len(calls) == 1 + is_moved
        beside = np.abs(found.beat_times_s[:, np.newaxis] - times).min(axis=1) > 0.05
        assert beside.any() != is_moved
        assert any("--no-steady-phase" in line for line in found.warnings) == is_moved


def test_a_prior_over_tempo_changes_what_is_found(make_session, by_hand):
    tempo = {}
    for bpm in (60, 200):
        metre = MetreParameters(threshold=0.0, tempo_prior=TempoPrior(bpm, 0.2, 1.0))
        with make_session(metre=metre) as session:
            found = session.run(by_hand[Logits], outputs=["beats"]).products.metre
        tempo[bpm] = 60 / np.diff(found.beat_times_s).mean()
    assert tempo[60] < 85
    assert tempo[200] > 140


def test_a_closed_session_can_go_on(make_session, by_hand):
    closed = []

    session = make_session()
    session.run(by_hand[Logits], outputs=["beats"])
    call = next(iter(session.engine.backends._callables.values()))
    session.engine.backends._callables[("metrical_dbn", "reference")] = type(
        "Closing", (), {"close": lambda self: closed.append(1), "__call__": lambda s, *a: call(*a)}
    )()
    session.close()
    assert closed == [1]
    assert session.engine.backends._callables == {}
    run = session.run(by_hand[Logits], outputs=["beats"])
    assert measure(by_hand[Metre], run.products.metre) == 0
