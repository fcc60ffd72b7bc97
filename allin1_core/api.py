"""The function that most programs need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.stages import Stage
from allin1_core.errors import BatchError, InputError
from allin1_core.io.stems import StemFiles
from allin1_core.runtime.analysis import ResultOptions
from allin1_core.runtime.assembly import SessionOptions
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import make_tracks

if TYPE_CHECKING:
    from typing_extensions import Unpack

AnyPath = str | PathLike[str]


class AnalyzeOptions(SessionOptions, ResultOptions, total=False):
    """The options of :func:`analyze`, which says what they mean."""

    stems_dir: AnyPath | None
    stems: Mapping[str, AnyPath] | None
    model: str | None
    spec_backend: str | None
    spec_torch_device: str | None
    overwrite: bool


@overload
def analyze(  # type: ignore[overload-overlap]  # a str is a sequence of str too
    paths: AnyPath | None = None, out_dir: AnyPath | None = None, **options: Unpack[AnalyzeOptions]
) -> AnalysisResult: ...


@overload
def analyze(
    paths: Sequence[AnyPath], out_dir: AnyPath | None = None, **options: Unpack[AnalyzeOptions]
) -> list[AnalysisResult]: ...


def analyze(
    paths: AnyPath | Sequence[AnyPath] | None = None,
    out_dir: AnyPath | None = None,
    **options: Unpack[AnalyzeOptions],
) -> AnalysisResult | list[AnalysisResult]:
    """Analyse one song or several.

    Parameters
    ----------
    paths
        A song, or a sequence of songs. None with `stems_dir` or `stems`.
    out_dir
        Where ``<name>.json`` and arrays are written; None writes nothing.
    stems_dir
        Folder with ``bass``, ``drums``, ``other`` and ``vocals``, in any readable format; with several songs, a folder
        that holds such a folder for each, named like it.
    stems
        The four files by stem instead.
    model
        Its name, such as ``builtin`` or ``harmonix-all``; see ``allin1 weights list``. What is None, here and below, is
        looked for in the environment and the configuration file (:mod:`allin1_core.runtime.settings`). In the end it is
        ``auto``, as :class:`~allin1_core.runtime.session.Session` explains.
    device
        ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …; ``auto`` leaves it to the policy.
    backends
        A backend's or plugin's name for each stage that the policy shall not choose.
    plugin_options
        For each plugin, values of options that it declares: ``{"mine": {"batch": 4}}``.
    parity
        Weakest promise to accept: ``identical``, ``close`` or ``lossy``.
    spec_backend
        Short for ``backends={"spectrogram": …}``, as other packages of the family have it.
    spec_torch_device
        Kind of device of the spectrogram in PyTorch: ``cpu`` with it is short for
        ``backends={"spectrogram": "torch-cpu"}``.
    metre
        Parameters of the metre decoder.
    demix
        Parameters of separation, where songs are given without stems.
    include_activations, include_embeddings
        What the results shall hold besides.
    only
        ``beats`` or ``sections``; None for all that the model can give.
    weights_dir
        Folder to look for weights in first.
    overwrite
        Whether a result, or kept stems, of another input may be replaced.
    threads
        Threads on a CPU; None leaves it to the backends.
    guard
        Check each backend against the reference on ten seconds of the first track, and replace one that differs
        by more than it promises.
    calibrate
        Measure the backends that could do it, where nothing that holds was measured before, keep that, and choose by
        it.
    timings_path
        File to which a line of JSON is appended for each stage that has run.
    timings_viz_path
        File for a picture of the stages of each track over time, drawn at the end; needs Matplotlib.
    keep_stems
        Write the stems of songs that are separated to ``<demix_dir>/<Demucs model>/<name>``.
    demix_dir
        Folder of kept stems, ``demix`` where None. Where it is given, or `keep_stems` is set, stems that were kept there
        are used again if song and parameters are still the same.

    Returns
    -------
    AnalysisResult or list of AnalysisResult
        A list for a sequence, in its order.

    Raises
    ------
    Allin1Error
        For one song: what went wrong.
    BatchError
        For several: after all are done, if some failed; it holds the results of the others.
    """
    unknown = sorted(options.keys() - _names(AnalyzeOptions))
    if unknown:
        raise TypeError(f"analyze() has no option {', '.join(unknown)}")
    is_one = paths is None or isinstance(paths, (str, PathLike))
    songs = [] if paths is None else [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    stems_dir, stems = options.get("stems_dir"), options.get("stems")
    if not songs and stems_dir is None and stems is None:
        if not is_one:
            return []
        raise InputError("Nothing to analyse was given.", remedy="Give a song or its stems.")
    tracks = make_tracks(
        [Path(path) for path in songs],
        [] if stems_dir is None else [Path(stems_dir)],
        None if stems is None else _stem_files(stems),
    )
    given: dict[str, Any] = dict(options)
    of_session = {name: given[name] for name in _names(SessionOptions) & given.keys()}
    of_results = {name: given[name] for name in _names(ResultOptions) & given.keys()}
    of_session["backends"] = spectrogram_choice(
        options.get("backends") or {},
        options.get("spec_backend"),
        options.get("spec_torch_device"),
    )
    overwrite = options.get("overwrite", False)
    of_session.setdefault("overwrite_stems", overwrite)
    with Session(options.get("model"), **of_session) as session:
        outcomes = list(
            run_batch(
                session,
                tracks,
                out_dir=None if out_dir is None else Path(out_dir),
                overwrite=overwrite,
                **of_results,
            )
        )
    errors = {str(o.track.source): o.error for o in outcomes if o.error is not None}
    if is_one and errors:
        raise next(iter(errors.values()))
    if errors:
        raise BatchError([outcome.result for outcome in outcomes], errors)
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    return results[0] if is_one else results


def _names(options: type[Any]) -> set[str]:
    """The names of the options that a typed dictionary has, its own and those of its bases."""
    return set(options.__annotations__)


def spectrogram_choice(
    backends: Mapping[Stage, str], spec_backend: str | None, spec_torch_device: str | None = None
) -> dict[Stage, str]:
    """Write the shorthands out into `backends`.

    >>> spectrogram_choice({"nn": "reference"}, "torch", "cpu")
    {'nn': 'reference', 'spectrogram': 'torch-cpu'}

    Raises
    ------
    InputError
        They contradict each other, or `backends`.
    """
    name = spec_backend
    if spec_torch_device is not None:
        if spec_backend not in (None, "auto", "torch"):
            raise InputError(
                f"spec_torch_device is {spec_torch_device}, but spec_backend is {spec_backend}.",
                remedy="Leave one of them out.",
            )
        name = f"torch-{spec_torch_device}"
    if name is None:
        return dict(backends)
    if backends.get("spectrogram", name) != name:
        raise InputError(
            f"The spectrogram is asked of both {backends['spectrogram']} and {name}.",
            remedy="Leave one of them out.",
        )
    return {**backends, "spectrogram": name}


def _stem_files(stems: Mapping[str, AnyPath]) -> StemFiles:
    missing = [name for name in STEMS if name not in stems]
    unknown = [name for name in stems if name not in STEMS]
    if missing or unknown:
        raise InputError(
            f"The stems given are {', '.join(stems)}.", remedy=f"Give {', '.join(STEMS)}."
        )
    return StemFiles(**{name: Path(stems[name]) for name in STEMS})
