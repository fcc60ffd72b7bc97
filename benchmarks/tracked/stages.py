"""Times that asv follows from commit to commit: ``nox -s speed``, or see docs/maintaining/releasing.md.

Classes that end in ``Quick`` take a minute together; the others take the rest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from allin1_core import Session
from allin1_core.contracts.audio import SAMPLE_RATE


def _song(seconds: int) -> Any:
    """Clicks at 120 bpm over noise, float32 ``[2, n]``."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.02, (2, seconds * SAMPLE_RATE)).astype(np.float32)
    samples[:, :: SAMPLE_RATE // 2] += 0.8
    return samples


class _Analysis:
    """One analysis from samples to a result, with named backends."""

    seconds = 30
    backends: ClassVar[dict[str, str]] = {}

    def setup(self) -> None:
        """Create the session, and set up its backends with a first song."""
        self.song = _song(self.seconds)
        self.session = Session("builtin", backends=self.backends, cache=False, device="cpu")
        self.session.analyze(_song(5), SAMPLE_RATE)

    def teardown(self) -> None:
        """Close the session."""
        self.session.close()

    def time_analysis(self) -> None:
        """Samples to result."""
        self.session.analyze(self.song, SAMPLE_RATE)


class CompiledQuick(_Analysis):
    """The compiled backends."""

    backends: ClassVar = {"spectrogram": "cython-mix", "nn": "cython", "metrical_dbn": "dbn-cython"}


class NumpyQuick(_Analysis):
    """NumPy only."""

    seconds = 10
    backends: ClassVar = {
        "spectrogram": "reference-mix",
        "nn": "reference",
        "metrical_dbn": "reference",
        "functional": "reference",
    }


class StartQuick:
    """The start-up cost of every command."""

    def time_version(self) -> None:
        """Start, print the version, and exit."""
        subprocess.run(
            [sys.executable, "-m", "allin1_core", "--version"], capture_output=True, check=True
        )

    def time_backends(self) -> None:
        """Load all plugins, and probe every backend."""
        subprocess.run(
            [sys.executable, "-m", "allin1_core", "backends"], capture_output=True, check=True
        )


class Long(_Analysis):
    """Twenty minutes, which the network processes in blocks."""

    seconds = 1200
    backends: ClassVar = CompiledQuick.backends
    timeout = 600

    def peakmem_analysis(self) -> None:
        """Peak memory."""
        self.session.analyze(self.song, SAMPLE_RATE)


class CommandLine:
    """The command from a file to its result."""

    timeout = 300

    def setup(self) -> None:
        """Make the song."""
        self.folder = tempfile.TemporaryDirectory()
        self.run("demo", "demo")

    def teardown(self) -> None:
        """Remove it."""
        self.folder.cleanup()

    def run(self, *arguments: str) -> None:
        """Run the command in the folder."""
        subprocess.run(
            [sys.executable, "-m", "allin1_core", *arguments],
            cwd=Path(self.folder.name),
            capture_output=True,
            check=True,
        )

    def time_song(self) -> None:
        """A minute and a half, start-up included."""
        self.run("analyze", "demo/song.wav", "-m", "builtin", "--no-cache", "--overwrite", "-q")
