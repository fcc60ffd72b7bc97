"""The unmodified peers that pip installs, with our inputs: madmom, madmom-infer and all-in-one-infer.

A peer takes the same record as our backends, and its output is converted to one of our records for comparison; both
conversions are not timed. `requirements-peers.txt` installs them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allin1_core.contracts.audio import SAMPLE_RATE, Stems
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import Metre, MetreParameters
from allin1_core.contracts.model import Model
from allin1_core.contracts.sections import Sections, Segment
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, WINDOW_SAMPLES, LogSpectrogram
from allin1_core.contracts.stages import Setup, Stage, Task

_INSTALL = "pip install -c constraints.txt -r benchmarks/requirements-peers.txt"


@dataclass(frozen=True)
class Peer:
    """A stage, or several, of a peer.

    Attributes
    ----------
    name, version, device
        Name and version of the distribution, and its device.
    stages
        Stages that it covers.
    prepare
        Converts our record, in NumPy arrays, to its input.
    run
        Runs the stages.
    record
        Converts its output to one of our records.
    """

    name: str
    version: str
    device: str
    stages: tuple[Stage, ...]
    prepare: Callable[[Any], Any]
    run: Callable[[Any], Any]
    record: Callable[[Any], Any]


def find_peers(
    model: Model, metre: MetreParameters, device: str
) -> tuple[list[Peer], dict[str, str]]:
    """Set up the peers.

    Parameters
    ----------
    model
        Model whose parameters all-in-one-infer uses.
    metre
        Parameters of the decoders.
    device
        ``cpu`` or ``cuda``, for all-in-one-infer. madmom only supports the CPU.

    Returns
    -------
    peers
        Those that are installed.
    missing
        For each of the others by its name, how to install it.
    """
    peers: list[Peer] = []
    missing = {}
    for name, find in (
        ("madmom", lambda: _madmom(metre)),
        ("madmom-infer", lambda: _madmom_infer(metre)),
        ("all-in-one-infer", lambda: _all_in_one_infer(model, device)),
    ):
        found = find()
        if isinstance(found, str):
            missing[name] = found
        else:
            peers += found
    return peers, missing


def _madmom(metre: MetreParameters) -> list[Peer] | str:
    """The original. The plugin allin1-madmom provides names that were removed from Python and NumPy."""
    try:
        from allin1_backend_madmom import decoder, spectrogram
        from allin1_backend_madmom.provider import INSTALL_ORIGINAL, Provider, find
    except ImportError:
        return "pip install ./plugins/allin1-madmom, which can run it, and see there"
    found = find()
    if not isinstance(found, Provider) or not found.is_original:
        why = getattr(found, "passed_over", "") or getattr(found, "error", "")
        return f"{why}; {INSTALL_ORIGINAL}" if why else INSTALL_ORIGINAL
    transform, decode = spectrogram.create(Setup()), decoder.create(Setup(metre=metre))

    def peer(stage: Stage, call: Callable[[Any, Task], Any]) -> Peer:
        return Peer(
            found.name,
            found.version,
            "cpu",
            (stage,),
            prepare=_same,
            run=lambda data: call(data, Task()),
            record=_same,
        )

    return [peer("spectrogram", transform), peer("metrical_dbn", decode)]


def _madmom_infer(metre: MetreParameters) -> list[Peer] | str:
    if find_spec("madmom_infer") is None:
        return _INSTALL
    from madmom_infer.audio.signal import FramedSignalProcessor, Signal
    from madmom_infer.audio.spectrogram import (
        FilteredSpectrogramProcessor,
        LogarithmicSpectrogramProcessor,
    )
    from madmom_infer.audio.stft import ShortTimeFourierTransformProcessor
    from madmom_infer.features.downbeats import DBNDownBeatTrackingProcessor
    from madmom_infer.processors import SequentialProcessor

    transform = SequentialProcessor(
        [
            FramedSignalProcessor(frame_size=WINDOW_SAMPLES, fps=FRAMES_PER_SECOND),
            ShortTimeFourierTransformProcessor(),
            FilteredSpectrogramProcessor(num_bands=12, fmin=30, fmax=17000, norm_filters=True),
            LogarithmicSpectrogramProcessor(mul=1, add=1),
        ]
    )
    decode = DBNDownBeatTrackingProcessor(**metre.madmom_arguments(FRAMES_PER_SECOND))

    def spectrogram(stems: Stems) -> NDArray[np.float32]:
        return np.stack(
            [
                transform(Signal(channels.T, sample_rate=SAMPLE_RATE, num_channels=1))
                for channels in stems.samples
            ]
        )

    def metrical_dbn(activations: Activations) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            beats: NDArray[np.float64] = decode(activations.values)
        return beats

    released = version("madmom-infer")
    return [
        Peer(
            "madmom-infer", released, "cpu", ("spectrogram",),
            prepare=_same, run=spectrogram, record=LogSpectrogram,
        ),
        Peer(
            "madmom-infer", released, "cpu", ("metrical_dbn",),
            prepare=_same, run=metrical_dbn,
            record=lambda beats: Metre(beats[:, 0].copy(), beats[:, 1].astype(np.int64)),
        ),
    ]  # fmt: skip


def _all_in_one_infer(model: Model, device: str) -> list[Peer] | str:
    if find_spec("allin1_infer") is None:
        return _INSTALL
    import torch

    networks = all_in_one_infer_networks(model, device)
    from allin1_infer.models.dinat import NA_BACKEND
    from allin1_infer.postprocessing import (
        postprocess_functional_structure,
        postprocess_metrical_structure,
    )
    from allin1_infer.typings import AllInOneOutput

    def tensor(array: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array))[None].to(device)

    @torch.no_grad()
    def network(spectrogram: Any) -> Any:
        logits = networks(spectrogram)
        if device != "cpu":
            torch.cuda.synchronize()
        return logits

    def logits_of(output: Any) -> Logits:
        rows = (output.logits_beat, output.logits_downbeat, output.logits_section)
        beat, downbeat, section = (row[0].cpu().numpy() for row in rows)
        return Logits(beat, downbeat, section, output.logits_function[0].cpu().numpy())

    def output_of(logits: Logits) -> Any:
        return AllInOneOutput(
            logits_beat=tensor(logits.beat),
            logits_downbeat=tensor(logits.downbeat),
            logits_section=tensor(logits.section),
            logits_function=tensor(logits.function),
        )

    def metre_of(beats: dict[str, Any]) -> Metre:
        return Metre(np.array(beats["beats"]), np.array(beats["beat_positions"], np.int64))

    def sections_of(segments: list[Any]) -> Sections:
        return Sections(tuple(Segment(float(s.start), float(s.end), s.label) for s in segments))

    released = version("all-in-one-infer")
    name = "all-in-one-infer"
    how = f"{released}, attention by {NA_BACKEND}"
    return [
        Peer(
            name, how, device, ("nn",),
            prepare=lambda spectrogram: tensor(spectrogram.frames), run=network, record=logits_of,
        ),
        Peer(
            name, released, device, ("metrical_prep", "metrical_dbn"),
            prepare=output_of,
            run=lambda output: postprocess_metrical_structure(output, networks.cfg),
            record=metre_of,
        ),
        Peer(
            name, released, device, ("functional",),
            prepare=output_of,
            run=lambda output: postprocess_functional_structure(output, networks.cfg),
            record=sections_of,
        ),
    ]  # fmt: skip


def all_in_one_infer_networks(model: Model, device: str) -> Any:
    """Create all-in-one-infer's own networks with our parameters, instead of downloading them."""
    _import_all_in_one_infer()
    import torch
    from allin1_infer.config import Config, HarmonixConfig
    from allin1_infer.models.allinone import AllInOne
    from allin1_infer.models.ensemble import Ensemble
    from omegaconf import OmegaConf

    threshold = model.card.downbeat_threshold
    networks = []
    for member in model.members:
        config = Config(data=HarmonixConfig())
        config.best_threshold_beat, config.best_threshold_downbeat = (
            config.threshold_beat,
            threshold,
        )
        network = AllInOne(OmegaConf.structured(config))
        state = {}
        for name, values in member.items():
            # Convolutions: ours are laid out output, height, width, input.
            values = (
                values.transpose(0, 3, 1, 2) if ".conv" in name and values.ndim == 4 else values
            )
            state[name] = torch.tensor(values)
        network.load_state_dict(state)
        networks.append(network.to(device).eval())
    return Ensemble(networks).eval() if len(networks) > 1 else networks[0]


def _import_all_in_one_infer() -> None:
    """Import it even without torchaudio, which is not in its metadata and only needed to read MP3."""
    stand_in = None
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):  # OSError: it was built for another PyTorch
        stand_in = sys.modules["torchaudio"] = ModuleType("torchaudio")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import allin1_infer  # noqa: F401
    finally:
        if stand_in is not None:
            with suppress(KeyError):
                del sys.modules["torchaudio"]


def _same(data: Any) -> Any:
    return data
