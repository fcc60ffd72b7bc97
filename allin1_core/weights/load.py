"""Trained parameters in memory, as plain NumPy arrays."""

from __future__ import annotations

import importlib
import io
import os
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from allin1_core.contracts.model import Model, ModelCard, Parameters
from allin1_core.errors import WeightsError, brief
from allin1_core.npy import MAGIC, read_elements, read_header
from allin1_core.weights.store import Found, Progress, find_folders, read_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: First bytes of a ZIP archive.
_ZIP = b"PK"


def load_model(
    card: ModelCard,
    *,
    weights_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> Model:
    """Load a model's parameters, checking every file against its digest.

    Parameters
    ----------
    card
        The model. One without files results in a model without members, whose plugin has the parameters.
    weights_dir
        Folder to search before ``ALLIN1_WEIGHTS_DIR`` and the cache.
    download
        Whether to download missing files to the cache.
    progress
        Called with the number of bytes downloaded and the total, only if something is downloaded.

    Returns
    -------
    Model
        Its arrays are float32, also if the file stores float16, and read-only.

    Raises
    ------
    WeightsError
        A file is missing, damaged, or not an archive of float32 or float16 arrays.
    """
    files = read_weights(
        card, find_folders(weights_dir), allow_download=download, progress=progress
    )
    if card.reader is not None:
        return Model(card, tuple(_read(card.reader, file) for file in files))
    return Model(card, tuple(_parse(file) for file in files))


_REMEDY = "The file is the one that its model describes. Report this to the publisher of the model."


def _read(reader: str, file: Found) -> Parameters:
    """Read the plugin's own format with its reader."""
    try:
        module, _, function = reader.partition(":")
        parameters: Parameters = getattr(importlib.import_module(module), function)(file.content)
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(
            f"Its model's reader, {reader}, cannot read it: {brief(error)}.",
            remedy=_REMEDY,
            path=file.path,
        ) from error
    return parameters


def _parse(file: Found) -> Parameters:
    import numpy as np

    if not file.content.startswith(_ZIP):
        raise WeightsError(
            "Not an archive of NumPy arrays (.npz), and its model declares no reader for another format"
            " (ModelCard.reader).",
            remedy=_REMEDY,
            path=file.path,
        )
    parameters: dict[str, NDArray[np.float32]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
            for member in archive.namelist():
                parameters[member.removesuffix(".npy")] = _array(archive.read(member), member)
    except (
        ValueError,
        OSError,
        EOFError,
        RecursionError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise WeightsError(
            f"Not an archive of NumPy arrays: {reason}.", remedy=_REMEDY, path=file.path
        ) from error
    for name, array in parameters.items():
        if array.dtype not in (np.float32, np.float16):
            raise WeightsError(
                f"The array {name} is {array.dtype}; parameters are float32 or float16.",
                remedy=_REMEDY,
                path=file.path,
            )
        parameters[name] = array.astype(np.float32, copy=False)
        parameters[name].setflags(write=False)
    return parameters


def _array(content: bytes, member: str) -> NDArray[Any]:
    if not content.startswith(MAGIC):
        raise ValueError(f"{member} in it is not an array")
    try:
        return read_elements(content, read_header(content))
    except ValueError as error:
        raise ValueError(f"{member} in it: {error}") from None
