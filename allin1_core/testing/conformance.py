"""Conformance tests that a plugin's own tests subclass, one class a stage.

::

    from allin1_core.testing.conformance import SpectrogramConformance


    class TestMine(SpectrogramConformance):
        hooks = "my_package.hooks"
        backend = "mine"
        heavy = ("torch",)

Every test of the class then runs against the backend: that declaring it imports nothing heavy, that the
record is well formed, that the output fulfils the contract, that the promised parity with the reference holds, that
the same input gives the same output and stays as it was, for odd lengths, silence, and arrays that are
read-only or not contiguous. Where its probe says that it cannot run here, the tests that run it are skipped with the
probe's reason; a probe that says it is broken fails.

Add tests as you like. Removing a standard test by overriding it makes ``test_no_standard_test_is_missing`` fail.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import (
    DEFAULT_THRESHOLD,
    MetreParameters,
    TempoAlternative,
    TempoPrior,
)
from allin1_core.contracts.model import Takes
from allin1_core.contracts.parity import promise_text
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.spectrogram import HOP_SAMPLES, MEDIAN_REACH
from allin1_core.contracts.stages import GIVES, Setup, Stage, Task
from allin1_core.contracts.verdict import Ready, Unavailable
from allin1_core.plugins.collecting import Offers, collect_offers
from allin1_core.plugins.loading import BUILT_IN, load_plugins
from allin1_core.runtime.backends import create
from allin1_core.runtime.blocks import MIX_CONTEXT_FRAMES, spectrogram_in_blocks
from allin1_core.runtime.borders import check_length
from allin1_core.runtime.difference import keeps_promise, largest
from allin1_core.runtime.difference import measure as measure
from allin1_core.runtime.moving import cross
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.probing import Probes, check_needs, load_target
from allin1_core.testing import signals
from allin1_core.testing.skipping import device_or_skip
from allin1_core.testing.weights import random_model

#: What no module of hooks may import.
HEAVY = (
    "numpy",
    "scipy",
    "torch",
    "mlx",
    "madmom",
    "demucs",
    "natten",
    "librosa",
    "tensorflow",
    "jax",
)


class BackendConformance:
    """What holds for a backend of any stage. Subclass the class of your stage instead.

    Attributes
    ----------
    hooks
        Name of the module with the hooks.
    backend
        Name of the backend.
    stage
        Its stage; set by the subclasses.
    heavy
        Modules besides :data:`HEAVY` that importing the hooks must not import.
    device
        Name of the device to run on; None for what the probe says.
    """

    hooks: ClassVar[str]
    backend: ClassVar[str]
    stage: ClassVar[Stage]
    heavy: ClassVar[tuple[str, ...]] = ()
    device: ClassVar[str | None] = None

    # What the subclass of a stage gives.

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Give named inputs, odd lengths and silence among them."""
        raise AssertionError("subclass the class of a stage")

    def setup(self, device: str) -> Setup:
        """Give what the factory is called with."""
        return Setup(device=device, model=random_model(seed=3), threads=2)

    # Helpers.

    def offers(self) -> tuple[Offers, str]:
        """Give what the hooks offer beside the core's own plugins, and the name they are loaded under."""
        built_in = {module: name for name, module in BUILT_IN.items()}
        name = built_in.get(self.hooks, "under-test")
        extra = {} if self.hooks in built_in else {name: importlib.import_module(self.hooks)}
        return collect_offers(load_plugins(extra=extra, autoload=False, strict=True)), name

    def record(self) -> Backend[Any]:
        """Find the backend's record among what the hooks offer."""
        offers, plugin = self.offers()
        for offered in offers.covering(self.stage):
            if (offered.plugin.name, offered.item.name) == (plugin, self.backend):
                return offered.item
        pytest.fail(f"{self.hooks} offers no backend {self.backend} for stage {self.stage}")

    def ready(self) -> tuple[Backend[Any], str]:
        """Give the record and its device, or skip where it cannot run."""
        record = self.record()
        missing = check_needs(record.needs)
        verdict = missing or Probes().verdict(record)
        device = device_or_skip(self.backend, verdict)
        return record, self.device or device

    def run(self, call: Any, record: Backend[Any], device: str, data: Any, task: Task) -> Any:
        """Call a backend on NumPy arrays and bring its output back to NumPy."""
        bridges = BridgeNetwork(self.offers()[0].bridges)
        data = cross(data, _between(bridges, HOST, record.consumes), device)
        return cross(call(data, task), _between(bridges, record.produces, HOST), "cpu")

    def outputs(self) -> Iterator[tuple[str, Any, Any]]:
        """Give each input with its output."""
        record, device = self.ready()
        call = create(record, self.setup(device))
        for name, data in self.inputs():
            yield name, data, self.run(call, record, device, data, Task())

    # The tests.

    def test_declaring_it_imports_nothing_heavy(self) -> None:
        code = f"import sys, {self.hooks}; print(*(m for m in {HEAVY + self.heavy!r} if m in sys.modules))"
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.split() == []

    def test_its_record_is_well_formed(self) -> None:
        record = self.record()
        assert record.summary, "a summary is what people see of it"
        assert record.name == record.name.lower()
        assert all(speed.measured for speed in record.speed), "a speed says where it was measured"

    def test_its_probe_answers(self) -> None:
        record = self.record()
        verdict = check_needs(record.needs) or Probes().verdict(record)
        assert isinstance(verdict, (Ready, Unavailable)), str(verdict)
        if isinstance(verdict, Ready):
            assert verdict.device.partition(":")[0] == record.device

    def test_its_quick_probe_says_the_same_and_imports_nothing_heavy(self) -> None:
        record = self.record()
        if record.quick_probe is None or check_needs(record.needs) is not None:
            return
        module, _, name = record.quick_probe.partition(":")
        heavy = HEAVY + self.heavy
        code = (
            f"import sys, {module}; {module}.{name}();"
            f" print(*(m for m in {heavy!r} if m in sys.modules))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.split() == []
        probes = Probes()
        quick, verdict = probes.verdict(record), probes.confirm(record)
        if isinstance(quick, Ready) and isinstance(verdict, Ready):
            assert (quick.device, quick.detail) == (verdict.device, verdict.detail)
        elif isinstance(quick, Unavailable):
            assert not isinstance(verdict, Ready), "a quick probe must not refuse what could run"

    def test_its_output_fulfils_the_contract(self) -> None:
        for name, data, output in self.outputs():
            assert isinstance(output, GIVES[self.stage]), name
            output.validate()
            check_length(data, output)

    def test_it_keeps_its_promise_of_parity(self) -> None:
        record, _ = self.ready()
        tolerance_of(record)
        reference = load_target(_reference(self.stage, record.takes).target)(self.setup("cpu"))
        for name, data, output in self.outputs():
            difference = measure(reference(data, Task()), output)
            told = f"{name}: differs by {difference:g}; promised: {promise_text(record.parity)}"
            assert keeps_promise(record.parity, difference), told

    def test_the_same_input_gives_the_same_output(self) -> None:
        record, device = self.ready()
        call = create(record, self.setup(device))
        for name, data in self.inputs():
            first = self.run(call, record, device, data, Task())
            again = self.run(call, record, device, data, Task())
            assert measure(first, again) == 0.0, name

    def test_inputs_stay_as_they_were(self) -> None:
        record, device = self.ready()
        call = create(record, self.setup(device))
        for name, data in self.inputs():
            before = {field: _copy(getattr(data, field)) for field in data.ARRAYS}
            self.run(call, record, device, data, Task())
            for field, values in before.items():
                np.testing.assert_array_equal(
                    getattr(data, field), values, err_msg=f"{name}.{field}"
                )

    def test_arrays_may_be_read_only_or_not_contiguous(self) -> None:
        record, device = self.ready()
        call = create(record, self.setup(device))
        for name, data in self.inputs():
            wanted = self.run(call, record, device, data, Task())
            for convert in (_read_only, _not_contiguous):
                changed = type(data)(
                    **{
                        f: None if (v := getattr(data, f)) is None else convert(v)
                        for f in data.ARRAYS
                    }
                )
                output = self.run(call, record, device, changed, Task())
                assert measure(wanted, output) == 0.0, f"{name}, {convert.__name__}"

    def test_no_standard_test_is_missing(self) -> None:
        for base in type(self).__mro__[1:]:
            if base.__module__ != __name__:
                continue
            for name, standard in vars(base).items():
                if name.startswith("test_"):
                    own = getattr(type(self), name)
                    assert own is standard or own.__module__ == __name__, f"{name} is overridden"


class DemixConformance(BackendConformance):
    """Conformance of a backend for ``demix``.

    There is no reference of separation: compare with the original's code besides. Override :meth:`setup` where the
    model that the parameters name by default is large, or has to be fetched.
    """

    stage = "demix"

    #: How it separates; a seed must matter.
    parameters: ClassVar[DemixParameters] = DemixParameters()

    #: Largest difference of stems that were separated block by block.
    stream_tolerance: ClassVar[float] = 1e-5

    def setup(self, device: str) -> Setup:
        """Give what the factory is called with."""
        return Setup(device=device, demix=self.parameters, threads=1)

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Give short songs of odd lengths, silence, and something loud."""
        for samples in (1, 441, 30_001):
            yield f"noise, {samples} samples", signals.noise_mix(samples, seed=samples)
        yield "silence", Mix(np.zeros((2, 20_000), np.float32))
        loud = signals.hard_stems(15_000).samples[0]
        yield "a loud chirp on one side", Mix(np.concatenate([loud, 0 * loud]))

    def test_it_keeps_its_promise_of_parity(self) -> None:
        pytest.skip("there is no reference of separation: compare with the original's code")

    def test_stems_are_as_long_as_the_song_to_the_sample(self) -> None:
        for name, data, output in self.outputs():
            assert output.samples.shape[-1] == data.samples.shape[-1], name
            assert output.samples.dtype == np.float32, name

    def test_silence_gives_numbers(self) -> None:
        record, device = self.ready()
        call = create(record, self.setup(device))
        silence = Mix(np.zeros((2, 40_000), np.float32))
        stems = self.run(call, record, device, silence, Task())
        assert np.isfinite(stems.samples).all()
        assert np.abs(stems.samples).max() < 1e-3

    def test_the_seed_decides(self) -> None:
        record, device = self.ready()
        mix = signals.noise_mix(60_000)
        stems = []
        for seed in (1, 1, 2):
            setup = self.setup(device)
            setup = replace(setup, demix=replace(setup.demix, seed=seed, shifts=1))
            call = create(record, setup)
            stems.append(self.run(call, record, device, mix, Task()))
        assert measure(stems[0], stems[1]) == 0.0
        assert measure(stems[0], stems[2]) > 0.0

    def test_progress_ends_at_one(self) -> None:
        record, device = self.ready()
        told: list[float] = []
        call = create(record, self.setup(device))
        self.run(call, record, device, signals.noise_mix(50_000), Task(progress=told.append))
        assert told
        assert told == sorted(told)
        assert told[-1] == 1.0

    def test_what_progress_raises_comes_out(self) -> None:
        record, device = self.ready()
        call = create(record, self.setup(device))

        def stop(fraction: float) -> None:
            raise KeyboardInterrupt

        for run in (self.run, self.run_streamed):
            if run == self.run or record.streams:
                with pytest.raises(KeyboardInterrupt):
                    run(call, record, device, signals.noise_mix(50_000), Task(progress=stop))

    def run_streamed(
        self,
        call: Any,
        record: Backend[Any],
        device: str,
        data: Any,
        task: Task,
        length: int = 7000,
    ) -> Any:
        """Call a separator on blocks of a mix in NumPy arrays, and put its stems together there."""
        bridges = BridgeNetwork(self.offers()[0].bridges)
        there = _between(bridges, HOST, record.consumes)
        back = _between(bridges, record.produces, HOST)

        def blocks() -> Iterator[Mix]:
            for start in range(0, data.samples.shape[-1], length):
                yield cross(Mix(data.samples[:, start : start + length]), there, device)

        pieces = [cross(stems, back, "cpu").validate() for stems in call.stream(blocks, task)]
        return Stems(np.concatenate([stems.samples for stems in pieces], axis=-1))

    def test_block_by_block_it_gives_the_same(self) -> None:
        record, device = self.ready()
        call = create(record, self.setup(device))
        assert record.streams == hasattr(call, "stream"), "`streams` says whether it has `stream`"
        if not record.streams:
            pytest.skip(f"{self.backend} does not separate block by block")
        told: list[float] = []
        for name, data in self.inputs():
            wanted = self.run(call, record, device, data, Task())
            told.clear()
            for length in (7000, data.samples.shape[-1]):
                task = Task(progress=told.append)
                output = self.run_streamed(call, record, device, data, task, length)
                assert measure(wanted, output) <= self.stream_tolerance, f"{name}, {length}"
                assert told[-1] == 1.0


class SpectrogramConformance(BackendConformance):
    """Conformance of a backend for ``spectrogram``."""

    stage = "spectrogram"

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Give lengths around the hop and the window, noise, silence, and what brings out rounding."""
        for samples in (1, 2, 440, 441, 442, 2047, 2048, 2049, 44_101):
            yield f"noise, {samples} samples", signals.noise_stems(samples, seed=samples)
        yield "mono", signals.noise_stems(5000, channels=1)
        yield "silence", signals.silent_stems(30_000)
        yield "hard signals", signals.hard_stems(150_000)
        yield "music", signals.music_stems(4.0)

    def test_it_takes_stems(self) -> None:
        assert self.record().takes == "stems", "what takes the mix has MixSpectrogramConformance"


class MixSpectrogramConformance(BackendConformance):
    """Conformance of a backend for ``spectrogram`` that takes the mix."""

    stage = "spectrogram"

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Give lengths around hop, window and median, noise, silence, mono, and what brings out rounding."""
        frames = (MEDIAN_REACH - 1, MEDIAN_REACH, MEDIAN_REACH + 1, 2 * MEDIAN_REACH + 1)
        for samples in (1, 440, 441, 442, 2048, 2049, *(HOP_SAMPLES * n for n in frames), 44_101):
            yield f"noise, {samples} samples", signals.noise_mix(samples, seed=samples)
        yield "silence", Mix(np.zeros((2, 30_000), np.float32))
        chirp, square, constant, clipped = signals.hard_stems(150_000).samples[:, 0]
        yield "a chirp and a square wave", Mix(np.stack([chirp, square]))
        yield "a constant and clipped noise", Mix(np.stack([constant, clipped]))
        yield "music in mono", signals.music_mix(4.0)
        yield "music, one side late", Mix(signals.music_mix(4.0, late_samples=300).samples)

    def test_it_takes_the_mix(self) -> None:
        assert self.record().takes == "mix", "what takes stems has SpectrogramConformance"

    def test_a_mono_mix_has_a_silent_side(self) -> None:
        record, device = self.ready()
        call = create(record, self.setup(device))
        frames = self.run(call, record, device, signals.music_mix(2.0), Task()).frames
        assert not frames[1].any()
        assert all(frames[view].any() for view in (0, 2, 3))

    def test_block_by_block_it_gives_the_same(self) -> None:
        record, device = self.ready()
        call = create(record, self.setup(device))
        samples = signals.music_mix(3.21, late_samples=300).samples
        wanted = self.run(call, record, device, Mix(samples), Task())
        for frames in (MIX_CONTEXT_FRAMES, 50, 107):
            size = frames * HOP_SAMPLES
            blocks = (
                Mix(samples[:, first : first + size]) for first in range(0, samples.shape[1], size)
            )
            joined = spectrogram_in_blocks(
                blocks, lambda mix: self.run(call, record, device, mix, Task())
            )
            # A product of another number of rows may be rounded in another way.
            tolerance = max(1e-6, tolerance_of(record))
            assert measure(wanted, joined) <= tolerance, f"blocks of {frames} frames"

    def test_progress_ends_at_one(self) -> None:
        record, device = self.ready()
        told: list[float] = []
        call = create(record, self.setup(device))
        self.run(call, record, device, signals.noise_mix(100_000), Task(progress=told.append))
        assert told
        assert told == sorted(told)
        assert told[-1] == 1.0


class NnConformance(BackendConformance):
    """Conformance of a backend for ``nn``, with seeded random parameters."""

    stage = "nn"

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Give every short length, where the windows are shifted most, and some longer ones."""
        for frames in (*range(1, 41), 101, 333, 1030):
            yield f"{frames} frames", signals.random_spectrogram(frames, seed=frames)

    def test_an_ensemble_is_the_mean_of_its_members(self) -> None:
        record, device = self.ready()
        model = random_model(seed=5, members=2)
        factory = partial(create, record)
        data = signals.random_spectrogram(57)
        both = self.run(factory(Setup(device, model)), record, device, data, Task())
        each = []
        for member in model.members:
            single = type(model)(model.card, (member,))
            each.append(self.run(factory(Setup(device, single)), record, device, data, Task()))
        for field in ("beat", "downbeat", "section", "function"):
            mean = (getattr(each[0], field) + getattr(each[1], field)) / 2
            np.testing.assert_allclose(getattr(both, field), mean, atol=1e-6)

    def test_embeddings_come_when_asked_for(self) -> None:
        record, device = self.ready()
        data = signals.random_spectrogram(57)
        for members, tail in ((1, ()), (2, (2,))):
            setup = Setup(device, random_model(seed=5, members=members))
            call = create(record, setup)
            assert self.run(call, record, device, data, Task()).embeddings is None
            wanted = load_target(_reference("nn").target)(setup)(data, Task(embeddings=True))
            output = self.run(call, record, device, data, Task(embeddings=True))
            assert output.embeddings.shape == (4, 57, 24, *tail)
            tolerance = max(1e-4, tolerance_of(record))
            assert np.abs(output.embeddings - wanted.embeddings).max() < tolerance

    def test_progress_ends_at_one(self) -> None:
        record, device = self.ready()
        told: list[float] = []
        call = create(record, self.setup(device))
        self.run(call, record, device, signals.random_spectrogram(100), Task(progress=told.append))
        assert told
        assert told == sorted(told)
        assert told[-1] == 1.0


class MetricalPrepConformance(BackendConformance):
    """Conformance of a backend for ``metrical_prep``."""

    stage = "metrical_prep"

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Give one frame, songs, and logits at which the sigmoid saturates."""
        for frames in (1, 7, 1000):
            yield f"{frames} frames", signals.song_logits(frames, seed=frames)
        song = signals.song_logits(500)
        yield "saturated", Logits(40 * song.beat, 40 * song.downbeat, song.section, song.function)


class MetricalDbnConformance(BackendConformance):
    """Conformance of a backend for ``metrical_dbn``."""

    stage = "metrical_dbn"

    #: Parameters that the decoder must know, besides the defaults.
    parameters: ClassVar[tuple[MetreParameters, ...]] = (
        MetreParameters(threshold=DEFAULT_THRESHOLD),
        MetreParameters(threshold=0.0, correct=False),
        MetreParameters(beats_per_bar=(2, 5, 7), min_bpm=60, max_bpm=180, threshold=0.1),
        MetreParameters(beats_per_bar=(4,), num_tempi=None, transition_lambda=50, threshold=0.0),
    )

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Give songs in several metres, one frame, silence, noise, and values that are no numbers."""
        for frames, bpm, metre in ((1, 120, 4), (50, 100, 4), (3000, 128, 4), (3000, 93, 3)):
            song = signals.song_activations(frames, bpm=bpm, beats_per_bar=metre, seed=frames)
            yield f"{frames} frames of {metre}/4 at {bpm} bpm", song
        yield "silence", Activations(np.zeros((700, 2), np.float32))
        noise = np.random.default_rng(2).random((1500, 2)) * 0.5
        yield "noise", Activations(noise.astype(np.float32))
        yield "float64", Activations(noise[:800])
        broken = signals.song_activations(900).values.copy()
        broken[400] = np.nan
        yield "NaN", Activations(broken)

    def test_parameters_are_obeyed(self) -> None:
        record, device = self.ready()
        reference = load_target(_reference("metrical_dbn").target)
        for parameters in self.parameters:
            setup = Setup(device=device, metre=parameters)
            call = create(record, setup)
            for name, data in self.inputs():
                wanted = reference(setup)(data, Task())
                output = self.run(call, record, device, data, Task())
                assert measure(wanted, output) <= tolerance_of(record), f"{name}, {parameters}"

    def test_the_frame_rate_is_obeyed(self) -> None:
        record, device = self.ready()
        setup = self.setup(device)
        values = signals.song_activations(1500, bpm=100).values
        for rate in (40.0, 50.0, 200.0):
            data = Activations(values, rate)
            wanted = load_target(_reference("metrical_dbn").target)(setup)(data, Task())
            output = self.run(create(record, setup), record, device, data, Task())
            assert measure(wanted, output) <= tolerance_of(record), f"{rate} frames per second"

    def test_what_it_says_of_its_confidence_is_the_references(self) -> None:
        record, device = self.ready()
        reference = load_target(_reference("metrical_dbn").target)(self.setup("cpu"))
        call = create(record, self.setup(device))
        for name, data in self.inputs():
            wanted = reference(data, Task())
            output = self.run(call, record, device, data, Task())
            if output.beat_confidences is not None:
                assert largest(wanted.beat_confidences, output.beat_confidences) < 1e-6, name
            if output.metre_log_probabilities:
                assert [beats for beats, _ in output.metre_log_probabilities] == [
                    beats for beats, _ in wanted.metre_log_probabilities
                ]
                pairs = zip(
                    wanted.metre_log_probabilities, output.metre_log_probabilities, strict=True
                )
                for (_, one), (_, other) in pairs:
                    assert one == other or abs(one - other) < 1e-3, name
            if output.alternatives:
                assert_same_alternatives(wanted.alternatives, output.alternatives, name)

    def test_a_prior_over_tempo_is_obeyed_where_it_is_offered(self) -> None:
        record, device = self.ready()
        if "tempo_prior" not in record.features:
            pytest.skip(f"{record.name} offers no prior over tempo")
        for prior in (TempoPrior(120, 0.7), TempoPrior(70, 0.3, 0.5)):
            setup = Setup(
                device=device, metre=MetreParameters(threshold=0.1, tempo_prior=prior), threads=2
            )
            reference = load_target(_reference("metrical_dbn").target)(setup)
            call = create(record, setup)
            for name, data in self.inputs():
                wanted = reference(data, Task())
                output = self.run(call, record, device, data, Task())
                assert measure(wanted, output) <= tolerance_of(record), f"{name}, {prior}"
                if output.alternatives:
                    assert_same_alternatives(wanted.alternatives, output.alternatives, name)


class FunctionalConformance(BackendConformance):
    """Conformance of a backend for ``functional``."""

    stage = "functional"

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Give one frame, songs, a constant, and noise."""
        for frames in (1, 7, 500, 9001):
            yield f"{frames} frames", signals.song_logits(frames, seed=frames)
        song = signals.song_logits(3000)
        yield "no boundary", Logits(song.beat, song.downbeat, 0 * song.section, song.function)
        rng = np.random.default_rng(4)
        noise = rng.standard_normal(6000).astype(np.float32)
        function = rng.standard_normal((10, 6000)).astype(np.float32)
        yield "noise", Logits(noise, noise, noise, function)


def tolerance_of(record: Backend[Any]) -> float:
    """Largest difference from the reference that `record` promises; skips a test where it has no reference."""
    if record.parity is None:
        pytest.skip(f"{record.name} declares that it has no reference")
    return record.parity.tolerance


def assert_same_alternatives(
    wanted: tuple[TempoAlternative, ...], found: tuple[TempoAlternative, ...], name: str
) -> None:
    """Assert that `found` are the tempi of the reference, as sure to 1e-6."""
    by_relation = {one.relation: one for one in found}
    assert by_relation.keys() == {one.relation for one in wanted}, name
    for one in wanted:
        other = by_relation[one.relation]
        assert abs(one.confidence - other.confidence) < 1e-6, name
        assert (one.bpm, one.step) == pytest.approx((other.bpm, other.step)), name


def _between(network: BridgeNetwork, source: Space, destination: Space) -> tuple[Bridge, ...]:
    bridges = network.between(source, destination)
    assert bridges is not None, f"no bridge leads from {source} to {destination}"
    return bridges


def _reference(stage: Stage, takes: Takes = "stems") -> Backend[Any]:
    plugins = load_plugins(autoload=False)
    covering = collect_offers(plugins).covering(stage)
    return next(o.item for o in covering if o.plugin.name == "reference" and o.item.takes == takes)


def _copy(array: Any) -> Any:
    return None if array is None else array.copy()


def _read_only(array: Any) -> Any:
    array = array.copy()
    array.setflags(write=False)
    return array


def _not_contiguous(array: Any) -> Any:
    spread = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    spread[..., ::2] = array
    return spread[..., ::2]
