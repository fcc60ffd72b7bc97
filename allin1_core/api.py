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
from allin1_core.plugins.loading import Plugins
from allin1_core.runtime.assembly import SessionOptions
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

#: Kinds of the arguments of :func:`analyze_iter` that its options do not name.
_NAMED: dict[str, Any] = {
    **dict.fromkeys(("out_dir", "demix_dir", "spec_dir"), AnyPath | None),
    **dict.fromkeys(("visualize", "sonify"), bool | AnyPath),
    **dict.fromkeys(("model", "device"), str | None),
    **dict.fromkeys(("include_activations", "include_embeddings", "keep_byproducts"), bool),
    "multiprocess": bool,
    "overwrite": bool | str,
    "progress": Callable[..., object] | None,
}

#: What `overwrite` may name.
OVERWRITABLE = ("all", "demix", "spec", "json", "viz", "sonify", "export")


class AnalyzeOptions(TypedDict, total=False):
    """The options of :func:`analyze` beyond upstream's; it says what they mean."""

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
    keep_stems: bool
    overwrite_stems: bool
    cache: bool
    plugins: Plugins | None


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
    **options: Unpack[AnalyzeOptions],
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
    **options: Unpack[AnalyzeOptions],
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
    **options: Unpack[AnalyzeOptions],
) -> AnalysisResult | list[AnalysisResult]:
    """Analyse one song or several.

    Parameters
    ----------
    paths
        A song, or a sequence of songs: paths, URLs, or files that are open for reading bytes. None with `stems_dir` or
        `stems`.
    out_dir
        Where ``<name>.json`` and arrays are written; None writes nothing. Results of earlier runs that are up to date
        are read from there.
    visualize, sonify
        True also writes a picture to ``viz``, or the song with clicks to ``sonif``; a path names another folder.
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
        ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …; ``auto`` leaves it to the policy. ``cuda:0,1`` gives a process to each,
        and ``cuda:all`` to each that there is.
    include_activations, include_embeddings
        What the results shall hold besides.
    demix_dir
        Folder of kept stems, ``demix`` where None. Where it is given, or `keep_byproducts` is set, stems that were kept
        there are used again if song and parameters are still the same.
    spec_dir
        Upstream's folder of spectrograms. They are not kept in files: making one takes no longer than reading it.
    keep_byproducts
        Keep the stems of songs that are separated, in ``<demix_dir>/<Demucs model>/<name>``.
    overwrite
        True makes everything again, and replaces what belongs to other inputs, models or options; or any of ``demix``,
        ``json``, ``viz`` and ``sonify``, separated by commas.
    multiprocess
        False allows this process alone, whatever `jobs` says.
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
    only
        ``beats`` or ``sections``; None for all that the model can give.
    weights_dir
        Folder to look for weights in first.
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
    keep_stems, overwrite_stems
        The same as `keep_byproducts`, and ``demix`` in `overwrite`.
    cache
        False does not use what the cache has of earlier analyses.
    jobs
        Processes that share the songs; they need no ``if __name__ == "__main__"``. None is one a device.
    executor
        Name of the executor that runs the songs; None for ``local``, which is this process, or `jobs` of this machine.
        Others come with plugins.
    plugins
        Loaded plugins; None loads those that are installed.

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
    TypeError
        An argument does not exist, or is of another type.
    """
    is_one = paths is None or is_path(paths) or hasattr(paths, "read")
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
    """Analyse songs, and give the outcome of each as soon as it and those before it are there.

    Parameters
    ----------
    progress
        Told the number of a song, from 0, the running stage, and the fraction of the song that is done; by one thread at
        a time, not always the same. Songs that are given several times are analysed, and told of, once.
    **options
        All others are those of :func:`analyze`.

    Yields
    ------
    Outcome
        For each song, in their order: its result, or its error. Where only a picture or sound could not be made, both.

    Raises
    ------
    Allin1Error
        What concerns all songs: settings, weights, plugins.
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
    of_session["keep_stems"] = keep_byproducts or options.get("keep_stems", False)
    of_session["overwrite_stems"] = "demix" in parts or options.get("overwrite_stems", False)
    devices = parse_devices(device) if device else ()
    of_session["device"] = devices[0] if devices else None
    jobs = options.get("jobs") if multiprocess else 1
    if jobs is not None and jobs < 1:
        raise SettingsError(f"jobs is {jobs}; wanted 1 or more.")
    executor = options.get("executor") or DEFAULT_EXECUTOR
    if options.get("plugins") is not None and not (
        executor == DEFAULT_EXECUTOR and (jobs or len(devices) or 1) == 1
    ):
        raise InputError("Plugins that are loaded cannot be given to other processes.")
    extras = Extras(
        viz_dir=_folder(visualize, "viz"),
        sonif_dir=_folder(sonify, "sonif"),
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
            out_dir=None if out_dir is None else Path(out_dir),
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
                found[track] = _with_extras(next(outcomes), extras)
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
        Upstream's; pictures are drawn by this process, in either case.
    overwrite
        Whether files that exist are replaced.

    Returns
    -------
    matplotlib.figure.Figure or list of Figure
        A list for several results, in their order. They belong to no window, and need no closing.

    Raises
    ------
    OutputError
        Matplotlib is not installed, a file exists and `overwrite` is not set, or one cannot be written. Nothing is
        written where any file exists, or two results have the same one.
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
    """Put clicks on the beats of songs, and a riser into each change of section.

    Parameters
    ----------
    result
        A result, or several. The audio has to be where it was.
    out_dir
        Folder for ``<name>.sonif.wav``; None writes nothing.
    multiprocess
        Upstream's; this process does the work, in either case.
    overwrite
        Whether files that exist are replaced.

    Returns
    -------
    samples, rate : tuple or list of tuple
        float32 ``[2, n]``, and 44100. A list for several results, in their order.

    Raises
    ------
    AudioError
        The audio cannot be read.
    OutputError
        A file exists and `overwrite` is not set, or one cannot be written. Nothing is written where any file exists, or
        two results have the same one.
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
            raise TypeError(f"{function}() takes an AnalysisResult, or several, not {show(one)}.")
    return results


def _names(results: Sequence[AnalysisResult]) -> list[str]:
    """What the files of each are called, as those of its analysis."""
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
    """Which file is to be made of each result, once it is certain that all may be; a result given twice has one."""
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
            f"overwrite names {', '.join(unknown)}.", remedy=f"Any of {', '.join(OVERWRITABLE)}."
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
    is_one = paths is None or is_path(paths) or hasattr(paths, "read")
    if not is_one and (isinstance(paths, (bytes, bytearray)) or not isinstance(paths, Iterable)):
        raise InputError(
            f"Neither a song nor several: {type(paths).__name__}.",
            remedy="Give a path, a URL, a file that is open for reading bytes, or a list of these.",
        )
    songs = [] if paths is None else [paths] if is_one else list(paths)
    if not songs and stems_dir is None and stems is None:
        if not is_one:
            return []
        raise InputError("Nothing to analyse was given.", remedy="Give a song or its stems.")
    # What is at a URL is fetched when it is its turn.
    files = [
        (Url(song), Url(song)) if is_url(song) else stack.enter_context(as_file(song))
        for song in songs
    ]
    tracks = make_tracks(
        [called for _, called in files],
        [] if stems_dir is None else [Path(stems_dir)],
        None if stems is None else _stem_files(stems),
    )
    return (
        [
            track
            if isinstance(file, Url) or file == called
            else replace(track, source=file, called=called)
            for track, (file, called) in zip(tracks, files, strict=True)
        ]
        if files
        else tracks
    )


def _with_extras(outcome: Outcome, extras: Extras) -> Outcome:
    errors: list[Allin1Error] = list(extras.make(outcome))
    return replace(outcome, status="failed", error=errors[0]) if errors else outcome


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
