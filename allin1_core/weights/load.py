"""Trained parameters in memory, as plain NumPy arrays."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from typing import TYPE_CHECKING

from allin1_core.contracts.model import Model, ModelCard, Parameters
from allin1_core.errors import WeightsError
from allin1_core.weights.store import Found, Progress, find_folders, read_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
        The model. One without files gives a model without members: its parameters come with a plugin.
    weights_dir
        Folder to look in first; then come ``ALLIN1_WEIGHTS_DIR`` and the cache.
    download
        Fetch files that are not there into the cache.
    progress
        Called with the bytes downloaded and the bytes to download; never if nothing is downloaded.

    Returns
    -------
    Model
        Its arrays are float32, also where the file stores float16, and cannot be written to.

    Raises
    ------
    WeightsError
        A file is missing, damaged, or no archive of float32 or float16 arrays.
    """
    files = read_weights(
        card, find_folders(weights_dir), allow_download=download, progress=progress
    )
    return Model(card, tuple(_parse(file) for file in files))


def _parse(file: Found) -> Parameters:
    import numpy as np

    parameters: dict[str, NDArray[np.float32]] = {}
    try:
        # A pickle could run code of its author's; a file of weights has no need of one.
        loaded = np.load(io.BytesIO(file.content), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it is a single array")
        with loaded as archive:
            for name in archive.files:
                parameters[name] = archive[name]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise WeightsError(
            f"Not an archive of NumPy arrays: {error}.",
            remedy="The file is as its model describes it; ask whoever published the model.",
            path=file.path,
        ) from error
    for name, array in parameters.items():
        if array.dtype not in (np.float32, np.float16):
            raise WeightsError(
                f"The array {name} is {array.dtype}; parameters are float32 or float16.",
                remedy="The file is as its model describes it; ask whoever published the model.",
                path=file.path,
            )
        parameters[name] = array.astype(np.float32, copy=False)
        parameters[name].setflags(write=False)
    return parameters
