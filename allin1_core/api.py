"""The functions that most programs need."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, overload

from allin1_core.contracts.arguments import check_arguments
from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.parity import Parity
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.rules import show
from allin1_core.contracts.stages import Stage
from allin1_core.errors import Allin1Error, BatchError, InputError, SettingsError
from allin1_core.io.given_songs import GivenSong, as_file, is_path
from allin1_core.io.stems import StemFiles
from allin1_core.paths import Anchors
from allin1_core.plugins.loading import Plugins
from allin1_core.runtime.assembly import SessionOptions, path_of
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.device_list import parse_devices
from allin1_core.runtime.executor_choice import DEFAULT_EXECUTOR, make_executor
from allin1_core.runtime.executors import BatchProgress
from allin1_core.runtime.extras import Extras
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import Track, make_tracks
from allin1_core.runtime.worker_process import SessionRecipe
from allin1_core.urls import Url, is_url

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)

AnyPath = str | PathLike[str]

#: Expected types of the named arguments of :func:`analyze_iter`.
_NAMED: dict[str, Any] = {
    **dict.fromkeys(("out_dir", "demix_dir", "spec_dir"), AnyPath | None),
    **dict.fromkeys(("visualize", "sonify"), bool | AnyPath),
    **dict.fromkeys(("model", "device"), str | None),
    **dict.fromkeys(("include_activations", "include_embeddings", "keep_byproducts"), bool),
    "multiprocess": bool,
    "overwrite": bool | str,
    "progress": Callable[..., object] | None,
}

#: Parts that `overwrite` may contain.
OVERWRITABLE = ("all", "demix", "spec", "json", "viz", "sonify", "export")


class AnalyzeOptions(TypedDict, total=False):
    """The options of :func:`analyze` that upstream does not have; it documents them."""

    stems_dir: AnyPath | None
    stems: Mapping[str, AnyPath] | None
    spec_backend: str | None
    spec_torch_device: str | None
    only: str | None
    jobs: int | None
    executor: str | None
    backends: Mapping[Stage, str] | None
    metre: MetreParameters | None
    demix: DemixParameters | None
    plugin_options: Mapping[str, Mapping[str, Any]] | None
    parity: Parity | str | None
    weights_dir: AnyPath | None
    threads: int | None
    guard: bool
    calibrate: bool | None
    timings_path: AnyPath | None
    timings_viz_path: AnyPath | None
    overwrite_timings_viz: bool
    keep_stems: bool
    overwrite_stems: bool
    cache: bool
    plugins: Plugins | None


class _AnalyzeOptions(AnalyzeOptions, total=False):
    """Those of :func:`analyze`; :func:`analyze_iter` has its own parameter for `progress`."""

    progress: BatchProgress | None


@overload
def analyze(  # type: ignore[overload-overlap]  # a str is a sequence of str too
    paths: GivenSong | None = None,
    out_dir: AnyPath | None = None,
    visualize: bool | AnyPath = False,
    sonify: bool | AnyPath = False,
    model: str | None = None,
    device: str | None = None,
    include_activations: bool = False,
    include_embeddings: bool = False,
    demix_dir: AnyPath | None = None,
    spec_dir: AnyPath | None = None,
    keep_byproducts: bool = False,
    overwrite: bool | str = False,
    multiprocess: bool = True,
    **options: Unpack[_AnalyzeOptions],
) -> AnalysisResult: ...


@overload
def analyze(
    paths: Sequence[GivenSong],
    out_dir: AnyPath | None = None,
    visualize: bool | AnyPath = False,
    sonify: bool | AnyPath = False,
    model: str | None = None,
    device: str | None = None,
    include_activations: bool = False,
    include_embeddings: bool = False,
    demix_dir: AnyPath | None = None,
    spec_dir: AnyPath | None = None,
    keep_byproducts: bool = False,
    overwrite: bool | str = False,
    multiprocess: bool = True,
    **options: Unpack[_AnalyzeOptions],
) -> list[AnalysisResult]: ...


def analyze(
    paths: Any = None,
    out_dir: AnyPath | None = None,
    visualize: bool | AnyPath = False,
    sonify: bool | AnyPath = False,
    model: str | None = None,
    device: str | None = None,
    include_activations: bool = False,
    include_embeddings: bool = False,
    demix_dir: AnyPath | None = None,
    spec_dir: AnyPath | None = None,
    keep_byproducts: bool = False,
    overwrite: bool | str = False,
    multiprocess: bool = True,
    **options: Unpack[_AnalyzeOptions],
) -> AnalysisResult | list[AnalysisResult]:
    """Analyse one song or several.

    Parameters
    ----------
    paths
        A song, or a sequence of songs: paths, URLs, or binary file objects. None if `stems_dir` or `stems` is given.
    out_dir
        Folder to which ``<name>.json`` and arrays are written, and in which results of earlier runs are looked up. None
        writes nothing.
    visualize, sonify
        True also writes a picture to ``viz``, or the song with clicks to ``sonif``; a path names a different folder.
    stems_dir
        Folder with ``bass``, ``drums``, ``other`` and ``vocals`` in any readable format. For several songs, a folder
        that contains one such folder per song, with the name of the song.
    stems
        The four files by the name of the stem, instead of `stems_dir`.
    model
        Name of the model, such as ``builtin`` or ``harmonix-all``; see ``allin1 weights list``. If this or any option
        below is None, the environment and the configuration file are consulted (:mod:`allin1_core.runtime.settings`).
        The default is ``auto``, which :class:`~allin1_core.runtime.session.Session` explains.
    device
        ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …; ``auto`` lets the policy choose. ``cuda:0,1`` starts a process for
        each of these devices, ``cuda:all`` for each that exists.
    include_activations, include_embeddings
        Whether the results include these arrays.
    demix_dir
        Folder of kept stems; None is ``demix``. If it is given, or `keep_byproducts` is set, stems kept there are
        reused if the song and the parameters have not changed.
    spec_dir
        Upstream's folder of spectrograms. It is not used: computing a spectrogram takes no longer than reading a file.
    keep_byproducts
        Keep the stems of songs that are separated in ``<demix_dir>/<Demucs model>/<name>``.
    overwrite
        True recomputes everything, and replaces files that belong to other inputs, models or options. A string selects
        parts, separated by commas: ``demix``, ``json``, ``viz``, ``sonify``, ``all``; ``viz`` includes the picture of
        timings.
    multiprocess
        False uses this process only, regardless of `jobs`.
    backends
        The backend or plugin to use for a stage, by name. The policy chooses for all other stages.
    plugin_options
        For each plugin, values of the options that it declares: ``{"mine": {"batch": 4}}``.
    parity
        Weakest guarantee of parity to accept: ``identical``, ``close`` or ``lossy``.
    spec_backend
        Shorthand for ``backends={"spectrogram": …}``, as in other packages of the all-in-one family.
    spec_torch_device
        Kind of device of the PyTorch spectrogram: ``cpu`` is shorthand for ``backends={"spectrogram": "torch-cpu"}``.
    metre
        Parameters of the metre decoder.
    demix
        Parameters of the separation, for songs given without stems.
    only
        ``beats`` or ``sections``; None for everything that the model provides.
    weights_dir
        Folder in which weights are looked up first.
    threads
        Number of CPU threads; None lets the backends decide.
    guard
        Compare each backend with the reference on ten seconds of the first track, and replace a backend whose
        difference exceeds its guarantee of parity.
    calibrate
        Measure the candidate backends that have no valid measurement, store the measurements, and choose by them.
    timings_path
        File to which one line of JSON is appended for each stage that ran.
    timings_viz_path
        File for a picture of the stages of each track over time, drawn at the end; requires Matplotlib. An
        existing file is an error, unless `overwrite` contains ``viz`` and it is such a picture.
    keep_stems, overwrite_stems, overwrite_timings_viz
        Equivalent to `keep_byproducts`, to ``demix`` in `overwrite`, and to ``viz`` for the picture of timings only.
    cache
        False disables the cache of network outputs of earlier runs.
    jobs
        Number of processes that share the songs; an ``if __name__ == "__main__"`` guard is not needed. None is one per
        device.
    executor
        Name of the executor that runs the songs. None is ``local``: this process, or `jobs` processes on this machine.
        Plugins provide others.
    plugins
        Plugins that are already loaded; None loads the installed ones.
    progress
        Called with the number of a song, counting from 0, the running stage, and the fraction of the song that is done;
        never by two threads at once, but not always by the same one. A song that is given more than once is analysed,
        and reported, once. An exception that it raises ends the analysis of all songs, with every executor: it is
        raised unchanged once what still runs has been stopped, and results that are finished remain in `out_dir`.

    Returns
    -------
    AnalysisResult or list of AnalysisResult
        A list, in the same order, if `paths` is a sequence.

    Raises
    ------
    Allin1Error
        The only song failed, or a setting, weights or a plugin failed for all songs.
    BatchError
        Some of several songs failed. Raised after all songs have been processed, with the results of the others.
    TypeError
        An argument does not exist, or has another type.
    """
    is_one = _is_one(paths)
    outcomes = list(
        analyze_iter(
            paths,
            out_dir,
            visualize,
            sonify,
            model,
            device,
            include_activations,
            include_embeddings,
            demix_dir,
            spec_dir,
            keep_byproducts,
            overwrite,
            multiprocess,
            **options,
        )
    )
    errors = {str(o.track.path): o.error for o in outcomes if o.error is not None}
    if is_one and errors:
        raise next(iter(errors.values()))
    if errors:
        raise BatchError([outcome.result for outcome in outcomes], errors)
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    return results[0] if is_one else results


def analyze_iter(
    paths: Any = None,
    out_dir: AnyPath | None = None,
    visualize: bool | AnyPath = False,
    sonify: bool | AnyPath = False,
    model: str | None = None,
    device: str | None = None,
    include_activations: bool = False,
    include_embeddings: bool = False,
    demix_dir: AnyPath | None = None,
    spec_dir: AnyPath | None = None,
    keep_byproducts: bool = False,
    overwrite: bool | str = False,
    multiprocess: bool = True,
    *,
    progress: BatchProgress | None = None,
    **options: Unpack[AnalyzeOptions],
) -> Iterator[Outcome]:
    """Analyse songs, and yield the outcome of each as soon as it and all before it are available.

    Parameters
    ----------
    progress
        As for :func:`analyze`, which also documents the other arguments.
    **options
        The options of :func:`analyze`.

    Yields
    ------
    Outcome
        For each song, in order: its result, or its error. Both if only its picture or sound could not be created.

    Raises
    ------
    Allin1Error
        An error that affects all songs: in settings, weights or plugins.
    """
    check_arguments("analyze", options, AnalyzeOptions)
    named = {
        "out_dir": out_dir,
        "visualize": visualize,
        "sonify": sonify,
        "model": model,
        "device": device,
        "include_activations": include_activations,
        "include_embeddings": include_embeddings,
        "demix_dir": demix_dir,
        "spec_dir": spec_dir,
        "keep_byproducts": keep_byproducts,
        "overwrite": overwrite,
        "multiprocess": multiprocess,
        "progress": progress,
    }
    check_arguments("analyze", named, _NAMED)
    parts = _parts(overwrite)
    # Code of plugins may change the current folder.
    anchors = Anchors()
    folder = None if out_dir is None else anchors.absolute(out_dir)
    viz_dir, sonif_dir = (
        None if one is None else anchors.absolute(one)
        for one in (_folder(visualize, "viz"), _folder(sonify, "sonif"))
    )
    if spec_dir is not None and keep_byproducts:
        log.warning("Spectrograms are not kept in files: spec_dir is not used.")
    given: dict[str, Any] = dict(options)
    of_session = {k: given[k] for k in SessionOptions.__annotations__ if k in given}
    of_session["backends"] = spectrogram_choice(
        options.get("backends") or {},
        options.get("spec_backend"),
        options.get("spec_torch_device"),
    )
    of_session["demix_dir"] = demix_dir
    for name in ("demix_dir", "weights_dir", "timings_path", "timings_viz_path"):
        of_session[name] = path_of(of_session.get(name))
    of_session["keep_stems"] = keep_byproducts or options.get("keep_stems", False)
    of_session["overwrite_stems"] = "demix" in parts or options.get("overwrite_stems", False)
    of_session["overwrite_timings_viz"] = "viz" in parts or options.get(
        "overwrite_timings_viz", False
    )
    devices = parse_devices(device) if device else ()
    of_session["device"] = devices[0] if devices else None
    jobs = options.get("jobs") if multiprocess else 1
    if jobs is not None and jobs < 1:
        raise SettingsError(f"jobs is {jobs}; wanted 1 or more.")
    executor = options.get("executor") or DEFAULT_EXECUTOR
    if options.get("plugins") is not None and not (
        executor == DEFAULT_EXECUTOR and (jobs or len(devices) or 1) == 1
    ):
        raise InputError(
            "Plugins that are already loaded cannot be passed to other processes.",
            remedy="Use one process, or leave out `plugins`: each process then loads the installed ones.",
        )
    extras = Extras(
        viz_dir=viz_dir,
        sonif_dir=sonif_dir,
        overwrite=parts,
    )
    extras.check()
    with ExitStack() as stack:
        tracks = _tracks(paths, options.get("stems_dir"), options.get("stems"), stack)
        if not tracks:
            return
        session = stack.enter_context(Session(model, plugins=options.get("plugins"), **of_session))
        runner = make_executor(
            executor, session, SessionRecipe(model, of_session), jobs=jobs, devices=devices
        )
        numbers = {track: number for number, track in reversed(list(enumerate(tracks)))}
        once = list(dict.fromkeys(tracks))

        def tell(index: int, stage: str, fraction: float) -> None:
            if progress is not None:
                progress(numbers[once[index]], stage, fraction)

        outcomes = runner.run(
            once,
            out_dir=folder,
            overwrite="json" in parts,
            progress=tell,
            include_activations=include_activations,
            include_embeddings=include_embeddings,
            only=options.get("only"),
        )
        stack.callback(getattr(outcomes, "close", lambda: None))
        found: dict[Track, Outcome] = {}
        left = Counter(tracks)
        for track in tracks:
            if track not in found:
                found[track] = _as_given(_with_extras(next(outcomes), extras), anchors)
            yield found[track]
            left[track] -= 1
            if not left[track]:  # a result may be large
                del found[track]


def visualize(
    result: AnalysisResult | Sequence[AnalysisResult],
    out_dir: AnyPath | None = None,
    multiprocess: bool = True,
    *,
    overwrite: bool = False,
) -> Any:
    """Draw results.

    Parameters
    ----------
    result
        A result, or several.
    out_dir
        Folder for ``<name>.pdf``; None writes nothing.
    multiprocess
        Upstream's option; it has no effect, pictures are drawn in this process.
    overwrite
        Whether existing files are replaced.

    Returns
    -------
    matplotlib.figure.Figure or list of Figure
        A list, in the same order, if several results are given. The figures belong to no window and need not be closed.

    Raises
    ------
    OutputError
        Matplotlib is not installed, or a file cannot be written. If a file exists and `overwrite` is not set, or two
        results have the same file name, nothing is written.
    """
    from allin1_core.presentation.figures import check_picture
    from allin1_core.presentation.picture import draw_result, write_picture

    results = _results("visualize", result)
    check_picture(Path(out_dir or "") / "x.pdf")
    names = _names(results)
    if out_dir is not None:
        pictures = _files_of(results, [f"{name}.pdf" for name in names], out_dir, overwrite)
        for picture, one in pictures.items():
            write_picture(one, picture, name=picture.stem)
    figures = [draw_result(one, name) for one, name in zip(results, names, strict=True)]
    return figures[0] if isinstance(result, AnalysisResult) else figures


def sonify(
    result: AnalysisResult | Sequence[AnalysisResult],
    out_dir: AnyPath | None = None,
    multiprocess: bool = True,
    *,
    overwrite: bool = False,
) -> Any:
    """Add clicks on the beats of songs, and a riser before each change of section.

    Parameters
    ----------
    result
        A result, or several. The audio must still exist at the path of the result.
    out_dir
        Folder for ``<name>.sonif.wav``; None writes nothing.
    multiprocess
        Upstream's option; it has no effect, this process does the work.
    overwrite
        Whether existing files are replaced.

    Returns
    -------
    samples, rate : tuple or list of tuple
        Samples, float32 ``[2, n]``, and their rate, 44100 Hz. A list, in the same order, if several results are given.

    Raises
    ------
    AudioError
        The audio cannot be read.
    OutputError
        A file cannot be written. If a file exists and `overwrite` is not set, or two results have the same file name,
        nothing is written.
    """
    from allin1_core.io.own_files import sonification_name
    from allin1_core.presentation.sound import sonify as sonified
    from allin1_core.presentation.sound import write_sonification

    results = _results("sonify", result)
    if out_dir is not None:
        names = [sonification_name(name, "wav") for name in _names(results)]
        for sound, one in _files_of(results, names, out_dir, overwrite).items():
            write_sonification(one, sound)
    sounds = [sonified(one) for one in results]
    return sounds[0] if isinstance(result, AnalysisResult) else sounds


def _results(function: str, given: Any) -> list[AnalysisResult]:
    is_several = isinstance(given, Iterable) and not isinstance(given, str)
    results: list[AnalysisResult] = list(given) if is_several else [given]
    for one in results:
        if not isinstance(one, AnalysisResult):
            raise TypeError(f"{function}() expects one or more AnalysisResult, not {show(one)}.")
    return results


def _names(results: Sequence[AnalysisResult]) -> list[str]:
    """File names for each result, the same as those of its analysis."""
    paths = [one.path if isinstance(one.path, Url) else Path(one.path) for one in results]
    folders = [path for path in paths if isinstance(path, Path) and path.is_dir()]
    by_folder = iter(make_tracks((), folders))
    return [
        next(by_folder).name if path in folders else name
        for path, name in zip(paths, (t.name for t in make_tracks(paths)), strict=True)
    ]


def _files_of(
    results: Sequence[AnalysisResult], names: Sequence[str], out_dir: AnyPath, overwrite: bool
) -> dict[Path, AnalysisResult]:
    """The file of each result, after checking that all may be written; a repeated result has one file."""
    from allin1_core.runtime.exporting import check_files

    once = {(Path(out_dir) / name, id(one)): one for one, name in zip(results, names, strict=True)}
    inputs = [Path(one.path) for one in results if not isinstance(one.path, Url)]
    check_files([file for file, _ in once], inputs, overwrite=overwrite)
    return {file: one for (file, _), one in once.items()}


def _parts(overwrite: bool | str) -> frozenset[str]:
    if isinstance(overwrite, str):
        parts = {part.strip() for part in overwrite.split(",")} - {""}
    else:
        parts = {"all"} if overwrite else set()
    if unknown := sorted(parts - set(OVERWRITABLE)):
        raise InputError(
            f"`overwrite` contains {', '.join(unknown)}.",
            remedy=f"Use any of {', '.join(OVERWRITABLE)}, separated by commas.",
        )
    return frozenset(OVERWRITABLE) if "all" in parts else frozenset(parts)


def _folder(wanted: bool | AnyPath, usual: str) -> Path | None:
    if isinstance(wanted, bool):
        return Path(usual) if wanted else None
    return Path(wanted)


def _tracks(
    paths: Any,
    stems_dir: AnyPath | None,
    stems: Mapping[str, AnyPath] | None,
    stack: ExitStack,
) -> list[Track]:
    is_one = _is_one(paths)
    if not is_one and (isinstance(paths, (bytes, bytearray)) or not isinstance(paths, Iterable)):
        raise InputError(
            f"Songs of type {type(paths).__name__} are not supported.",
            remedy="Pass a path, a URL, a binary file, or a list of these.",
        )
    songs = [] if paths is None else [paths] if is_one else list(paths)
    if not songs and stems_dir is None and stems is None:
        if not is_one:
            return []
        raise InputError("Nothing to analyse was given.", remedy="Give a song or its stems.")
    # A URL is downloaded only when its turn comes.
    files = [
        (Url(song), Url(song)) if is_url(song) else stack.enter_context(as_file(song))
        for song in songs
    ]
    tracks = make_tracks(
        [called for _, called in files],
        [] if stems_dir is None else [Path(stems_dir)],
        None if stems is None else _stem_files(stems),
    )
    if not files:
        return tracks
    return [
        track
        if isinstance(file, Url) or file == called
        else replace(track, source=file, called=called)
        for track, (file, called) in zip(tracks, files, strict=True)
    ]


def _is_one(paths: Any) -> bool:
    """Whether `paths` is a single song, or None for stems, rather than a sequence of songs."""
    return paths is None or is_path(paths) or hasattr(paths, "read")


def _with_extras(outcome: Outcome, extras: Extras) -> Outcome:
    errors: list[Allin1Error] = list(extras.make(outcome))
    return replace(outcome, status="failed", error=errors[0]) if errors else outcome


def _as_given(outcome: Outcome, anchors: Anchors) -> Outcome:
    """The outcome with the paths of its files as the user wrote their folder."""
    error = outcome.error
    if error is not None and error.path is not None and error.path != str(outcome.track.source):
        error.path = anchors.text_as_given(error.path)
    if outcome.written is None:
        return outcome
    return replace(outcome, written=anchors.as_given(outcome.written))


def spectrogram_choice(
    backends: Mapping[Stage, str], spec_backend: str | None, spec_torch_device: str | None = None
) -> dict[Stage, str]:
    """Merge the shorthands into `backends`.

    >>> spectrogram_choice({"nn": "reference"}, "torch", "cpu")
    {'nn': 'reference', 'spectrogram': 'torch-cpu'}

    Raises
    ------
    InputError
        The shorthands contradict each other or `backends`.
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
            f"Two backends are named for the spectrogram: {backends['spectrogram']} and {name}.",
            remedy="Leave one of them out.",
        )
    return {**backends, "spectrogram": name}


def _stem_files(stems: Mapping[str, AnyPath]) -> StemFiles:
    missing = [name for name in STEMS if name not in stems]
    unknown = [name for name in stems if name not in STEMS]
    if missing or unknown:
        raise InputError(
            f"The stems given are {', '.join(stems) or 'none'}.",
            remedy=f"Give exactly {', '.join(STEMS)}.",
        )
    return StemFiles(**{name: Path(stems[name]) for name in STEMS})
