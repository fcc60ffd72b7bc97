"""Songs in NumPy archives: ``samples``, float32 ``[n, channels]``, and ``rate``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from allin1_core.contracts.audio_loader import LoadedAudio
from allin1_core.errors import AudioError


def load(file: BinaryIO, path: Path) -> LoadedAudio | None:
    """Open an archive; returns None for other files, and for archives without samples."""
    if file.read(2) != b"PK":
        return None
    file.seek(0)
    try:
        with np.load(file, allow_pickle=False) as archive:
            if not {"samples", "rate"} <= set(archive.files):
                return None
            samples, rate = archive["samples"], int(archive["rate"])
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise AudioError(f"is damaged: {error}.", path=path) from error
    if samples.dtype != np.float32 or samples.ndim != 2:
        raise AudioError("has samples that are not float32 [n, channels].", path=path)
    return LoadedAudio([samples], rate, samples.shape[1], frames=len(samples), format="NPZ")
