"""Comparison of a network with outputs of the original, if these and the trained weights are available."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from allin1_core.contracts.audio import STEMS, Stems
from allin1_core.contracts.model import Model
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import spectrogram
from allin1_core.testing.conformance.backend import tolerance_of
from allin1_core.testing.conformance.network import FIELDS
from allin1_core.testing.conformance.running import BackendRunner

#: Loads the trained networks of some folds.
Trained = Callable[..., Model]

#: Loads a file of golden outputs.
Golden = Callable[[str], Any]

#: Folds of one network, and of the ensemble.
FOLDS = {"fold0": (0,), "ensemble": tuple(range(8))}


class NnOriginalConformance(BackendRunner):
    """Agreement of a backend for ``nn`` with logits of the original, within its promised parity.

    For plugins that are tested with the golden outputs of this project and the fixtures of
    :mod:`allin1_core.testing.golden`; without these, the tests are skipped.
    """

    stage = "nn"

    #: Longer inputs are left out, for backends that are slow.
    most_frames: ClassVar[int] = 100_000

    #: Larger ensembles are left out.
    most_members: ClassVar[int] = 8

    @pytest.mark.parametrize("frames", [1, 7, 100, 12_000])
    def test_it_equals_the_original_on_random_spectrograms(
        self, golden: Golden, trained: Trained, frames: int
    ) -> None:
        self._leave_out(frames)
        wanted = golden("random_spectrogram_fold3.npz")
        logits = self._logits(trained(3), golden_spectrogram(frames), embeddings=True)
        for field in FIELDS:
            self._assert_near(getattr(logits, field), wanted[f"T{frames}_logits_{field}"], field)
        assert logits.embeddings.shape == (4, frames, 24)
        found = logits.embeddings[:, ::100]
        self._assert_near(found, wanted[f"T{frames}_embeddings_every_100th"], "embeddings")

    @pytest.mark.parametrize("name", FOLDS)
    def test_it_equals_the_original_on_a_real_song(
        self, golden: Golden, trained: Trained, name: str
    ) -> None:
        self._leave_out(3000, len(FOLDS[name]))
        wanted = golden("francium_excerpt.npz")
        data = LogSpectrogram(wanted["spec_first_3000_frames"])
        logits = self._logits(trained(*FOLDS[name]), data, embeddings=True)
        for field in FIELDS:
            self._assert_near(
                getattr(logits, field), wanted[f"crop3000_{name}_logits_{field}"], field
            )
        if name == "fold0":
            self._assert_near(logits.embeddings, wanted["crop3000_fold0_embeddings"], "embeddings")

    def test_it_equals_the_original_on_a_whole_song(
        self, golden: Golden, trained: Trained, shared_dir: Path
    ) -> None:
        self._leave_out(12_000)
        wanted = golden("francium_excerpt.npz")
        stems = read_stems(shared_dir / "music" / "francium")
        # The spectrogram of the reference differs slightly from that of the original.
        logits = self._logits(trained(0), spectrogram.create(Setup())(stems, Task()))
        for field in FIELDS:
            self._assert_near(getattr(logits, field), wanted[f"fold0_logits_{field}"], field)

    def _logits(self, model: Model, data: LogSpectrogram, *, embeddings: bool = False) -> Any:
        record, device = self.ready()
        setup = replace(self.setup(device), model=model)
        with self.created(record, device, setup) as call:
            return self.run(call, record, device, data, Task(embeddings=embeddings))

    def _assert_near(self, found: Any, wanted: Any, name: str) -> None:
        tolerance = tolerance_of(self.record())
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance, err_msg=name)

    def _leave_out(self, frames: int, members: int = 1) -> None:
        if frames > self.most_frames or members > self.most_members:
            pytest.skip(f"{self.backend} is slow, and tested with less")


def golden_spectrogram(frames: int, seed: int | None = None) -> LogSpectrogram:
    """The input of the golden outputs for random spectrograms; by default, the seed is the length."""
    rng = np.random.default_rng(frames if seed is None else seed)
    values = np.abs(rng.standard_normal((4, frames, 81))).astype(np.float32) * np.float32(0.5)
    return LogSpectrogram(values)


def read_stems(folder: Path) -> Stems:
    """The stems of the golden song; skips the test if they are not available."""
    import soundfile

    stems = []
    for name in STEMS:
        path = folder / f"{name}.flac"
        if not path.exists():
            pytest.skip(f"needs {path.name} of the song in the folder of golden outputs")
        samples = soundfile.read(path, dtype="int16")[0]
        stems.append(samples.astype(np.float32) / np.float32(32767))
    return Stems(np.stack(stems)[:, None])
