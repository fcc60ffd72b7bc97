"""Conformance of spectrograms: of stems, and of the mix."""

from __future__ import annotations

from allin1_core.contracts.audio import Mix
from allin1_core.contracts.spectrogram import HOP_SAMPLES
from allin1_core.contracts.stages import Task
from allin1_core.runtime.blocks import MIX_CONTEXT_FRAMES, spectrogram_in_blocks
from allin1_core.runtime.difference import measure
from allin1_core.testing import signals
from allin1_core.testing.conformance.backend import BackendConformance, tolerance_of


class SpectrogramConformance(BackendConformance):
    """Conformance of a backend that ends with ``spectrogram``."""

    stage = "spectrogram"

    def test_it_takes_stems(self) -> None:
        takes = self.record().takes
        assert takes == "stems", "it takes the mix: subclass MixSpectrogramConformance"


class MixSpectrogramConformance(BackendConformance):
    """Conformance of a backend for ``spectrogram`` that takes the mix."""

    stage = "spectrogram"

    def test_it_takes_the_mix(self) -> None:
        takes = self.record().takes
        assert takes == "mix", (
            "it takes stems: declare takes='mix', or subclass SpectrogramConformance"
        )

    def test_a_mono_mix_has_a_silent_side(self) -> None:
        record, device = self.ready()
        with self.created(record, device) as call:
            frames = self.run(call, record, device, signals.music_mix(2.0), Task()).frames
        assert not frames[1].any(), "the side of a mono mix is not silent: it is left minus right"
        loud = all(frames[view].any() for view in (0, 2, 3))
        assert loud, "mid, percussive or harmonic view of music is empty"

    def test_block_by_block_it_gives_the_same(self) -> None:
        record, device = self.ready()
        samples = signals.music_mix(3.21, late_samples=300).samples
        with self.created(record, device) as call:
            wanted = self.run(call, record, device, Mix(samples), Task())
            for frames in (MIX_CONTEXT_FRAMES, 50, 107):
                size = frames * HOP_SAMPLES
                starts = range(0, samples.shape[1], size)
                blocks = (Mix(samples[:, first : first + size]) for first in starts)
                joined = spectrogram_in_blocks(
                    blocks, lambda mix: self.run(call, record, device, mix, Task())
                )
                # A matrix product with another number of rows may be rounded differently.
                tolerance = max(1e-6, tolerance_of(record))
                assert measure(wanted, joined) <= tolerance, (
                    f"blocks of {frames} frames give another spectrogram than the whole:"
                    " let a frame depend on its neighbours within the medians' reach alone"
                )

    def test_progress_ends_at_one(self) -> None:
        self.check_progress()
