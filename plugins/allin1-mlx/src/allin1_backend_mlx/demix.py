"""The stage ``demix``: a mix to stems with Demucs, as demucs-mlx runs it on Metal.

No files are written. The mix is normalised by the mean and standard deviation of its mono sum, as in
``demucs.api.Separator``; demucs-mlx leaves this to the caller. On the first use of a model, demucs-mlx downloads its
weights (160 MB for htdemucs) and verifies them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import mlx.core as mx
from allin1_core.contracts.audio import STEMS, Mix, Stems
from allin1_core.contracts.stages import Demix, Setup, Task
from allin1_core.errors import InputError

from allin1_backend_mlx.computing import OnDevice, device_named

#: Added to the standard deviation, as in ``demucs.api.Separator``.
EPSILON = 1e-8


def create(setup: Setup) -> Demix:
    """Load the separator.

    Raises
    ------
    InputError
        demucs-mlx does not support the parameters.
    ContractError
        The parameters are out of range.
    """
    asked = setup.demix.validate()
    if asked.weights is not None:
        raise InputError(
            f"demucs-mlx loads weights only from its own folder, not from {asked.weights}.",
            remedy="Leave out the weights (DEMUCS_MLX_CACHE_DIR sets the folder), or use -b demix=torch.",
        )
    try:
        with mx.stream(device_named(setup.device)):
            separator = import_module("demucs_mlx").Separator(
                model=asked.model,
                shifts=asked.shifts,
                overlap=asked.overlap,
                segment=asked.segment_s,
                seed=asked.seed,
                batch_size="auto" if asked.batch_size is None else asked.batch_size,
                # Half precision only affects the attention; TensorFloat-32 cannot be chosen.
                attention_precision="fp16" if asked.precision in ("auto", "float16") else "fp32",
            )
    except ValueError as error:
        raise InputError(f"demucs-mlx refuses the model {asked.model}: {error}") from error
    sources = sorted(separator.model.sources)
    if sources != sorted(STEMS):
        raise InputError(
            f"The model {asked.model} separates {', '.join(sources)} instead of {', '.join(STEMS)}.",
            remedy="Choose another model, such as htdemucs.",
        )
    return OnDevice(Separation(separator), setup.device)


@dataclass(frozen=True, eq=False)
class Separation:
    """Separates with a ``demucs_mlx.Separator``.

    Attributes
    ----------
    separator
        Object with a method ``separate_tensor(samples, return_mx=True)``, which returns the mix and its stems by name.
    """

    separator: Any

    def __call__(self, mix: Mix, task: Task, /) -> Stems:
        """Separate `mix`."""
        mono = mix.samples.mean(0)
        mean = mono.mean()
        # A single sample has no standard deviation.
        spread = mono.std(ddof=1) if mono.shape[0] > 1 else mx.array(0.0)
        spread = spread + EPSILON
        normalised = (mix.samples - mean) / spread
        _, by_name = self.separator.separate_tensor(normalised, return_mx=True)
        stems = mx.stack([by_name[name] for name in STEMS]) * spread + mean
        task.progress(1.0)
        return Stems(stems)

    def close(self) -> None:
        """Release the separator."""
        self.separator.close()
