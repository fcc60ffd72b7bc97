"""A session holds plugins, verdicts, weights and backends, and analyses one track after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, get_args

from allin1_core.contracts.arguments import check_arguments
from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.model import Model, ModelCard
from allin1_core.contracts.result import AnalysisResult
from allin1_core.contracts.route import USUAL_AUDIO_S, RouteRequest
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.stages import Stage
from allin1_core.errors import InputError, SettingsError
from allin1_core.io.given_songs import GivenSong, as_file
from allin1_core.io.kept_stems import StemsToKeep
from allin1_core.plugins.collecting import Offers
from allin1_core.plugins.loading import Plugins, load_plugins
from allin1_core.plugins.options import OptionValues
from allin1_core.runtime.analysis import Analysis, ResultOptions
from allin1_core.runtime.assembly import Assembly, SessionOptions, path_of
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.found_stems import StemPlugins, StemsInPlugin
from allin1_core.runtime.keeping import Keeping
from allin1_core.runtime.model_choice import ModelChoice, Models
from allin1_core.runtime.pipeline import Pipeline, Progress, Run
from allin1_core.runtime.plan import (
    Start,
    Wanted,
    seconds_of,
    space_of_start,
    stages_from,
    stages_in_blocks,
)
from allin1_core.runtime.settings import AUTO
from allin1_core.runtime.status import SessionStatus, status_of
from allin1_core.runtime.track import Track, naming, track_of
from allin1_core.runtime.track_start import begin_track
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.decision import Decision

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Session:
    """Analyses tracks with fixed options, with one model or the best one for each track.

    Expensive operations are performed once, on first use: probing, loading weights, setting up backends. Use the
    session as a context manager, or call :meth:`close`, to release the backends.

    Parameters
    ----------
    model
        Name of the model; see ``allin1 weights list``. None uses the one in the configuration file (see
        :mod:`~allin1_core.runtime.settings`), or else ``auto``: for each track, ``harmonix-all`` if its weights are on
        this machine, and stems are given or the song can be separated; otherwise ``builtin``. ``auto`` never downloads.
        Options below that are None are also looked up in the file.
    device
        ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …; ``auto`` lets the policy choose.
    backends
        The backend or plugin to use for a stage, by name; ``auto`` lets the policy choose, regardless of
        ``ALLIN1_BACKEND`` and the file.
    metre
        Parameters of the metre decoder; a threshold of None uses the model's.
    demix
        Parameters of the separation, for songs given without stems.
    plugin_options
        For each plugin, values of options that it declares, which take precedence over the configuration file:
        ``{"mine": {"batch": 4}}``.
    parity
        Weakest promise of parity to accept, as a record or as ``identical``, ``close`` or ``lossy``; ``close`` by
        default.
    weights_dir
        Folder in which weights are looked up first.
    threads
        Number of CPU threads; None lets the backends decide.
    guard
        When a backend first runs, compare it with the reference on ten seconds of the track; one that differs by more
        than it promises is replaced, or causes an error if it was named.
    calibrate
        Before a route is chosen, measure what it depends on and has no valid measurement
        (:class:`~allin1_core.measuring.on_demand.MeasureOnDemand`), and store the measurements; otherwise nothing is
        measured. Measurements are logged at the level INFO.
    timings_path
        File to which one line of JSON is appended for each stage that ran.
    timings_viz_path
        File for a picture of the stages of each track over time; the suffix selects PDF, PNG or SVG. It is drawn by
        :meth:`close`, even after errors, and requires Matplotlib.
    overwrite_timings_viz
        Whether it may replace an earlier picture of timings; any other file is an error.
    keep_stems
        Write the stems of songs that are separated to ``<demix_dir>/<Demucs model>/<track>``; see
        :mod:`allin1_core.io.kept_stems`.
    demix_dir
        Folder of kept stems; None is ``demix``. If it is given, or `keep_stems` is set, stems kept there are reused if
        the song and the parameters have not changed.
    overwrite_stems
        Whether kept stems of another song may be replaced.
    cache
        Store the logits of each song in the user's cache folder, so that the network does not have to run again if only
        parameters of the decoder, or the contents of the result, change. ``ALLIN1_CACHE_LIMIT`` limits its size.
    plugins
        Plugins that are already loaded; None loads the installed ones.

    Raises
    ------
    SelectionError
        A stage, backend or model of that name does not exist.
    SettingsError
        The environment or the configuration file is invalid, an option of a plugin does not exist or has another type, or
        `threads` is below 1.
    TypeError
        An argument does not exist, or has another type.
    ContractError
        `metre` or `demix` is out of range.
    OutputError
        The picture of timings cannot be drawn here.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        plugins: Plugins | None = None,
        **options: Unpack[SessionOptions],
    ) -> None:
        check_arguments("Session", options, SessionOptions)
        kinds = {"model": str | None, "plugins": Plugins | None}
        check_arguments("Session", {"model": model, "plugins": plugins}, kinds)
        if (threads := options.get("threads")) is not None and threads < 1:
            raise SettingsError(f"threads is {threads}; wanted 1 or more.")
        self.plugins = load_plugins() if plugins is None else plugins
        demix = (options.get("demix") or DemixParameters()).validate()
        assembly = Assembly(self.plugins, model, demix, options)
        self._observers = assembly.observers
        self._assembly = assembly
        self._models = Models(
            assembly.engine, assembly.cards, assembly.model, _requested_separation(options, demix)
        )
        self._keeping = Keeping(
            demix,
            options.get("keep_stems", False),
            path_of(options.get("demix_dir")),
            options.get("overwrite_stems", False),
            assembly.plugin_options,
            StemPlugins(self.plugins),
            assembly.known_digests,
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the backends, and draw the picture of timings if one was requested.

        The session remains usable, and sets up again what it needs. Failures are logged.
        """
        for engine in self._models.engines:
            engine.backends.close()
        self._observers.close()

    @property
    def engine(self) -> Engine:
        """The engine of the session; with the model ``auto``, the one for a song without stems."""
        return self._models.preferred(Mix).engine

    @property
    def card(self) -> ModelCard:
        """The model; with ``auto``, the one for a song without stems."""
        return self.engine.card

    @property
    def offers(self) -> Offers:
        """What the plugins provide."""
        return self._assembly.offers

    @property
    def threads(self) -> int | None:
        """Number of CPU threads that the user allows; None if that is up to the backends."""
        return self._assembly.threads

    @property
    def plugin_options(self) -> OptionValues:
        """Options of plugins set by the user, by plugin and name."""
        return self._assembly.plugin_options

    def choose_model(
        self,
        what: Track | Start | type[Any] | float | None = None,
        *,
        outputs: Iterable[str] | None = None,
    ) -> ModelChoice:
        """Choose the model like :meth:`run` and :meth:`analyze`; parameters and errors are those of :meth:`explain`."""
        return self._start_of(what, outputs)[0]

    def model(self) -> Model:
        """The model with its parameters, loaded on first use.

        Raises
        ------
        WeightsError
            They are missing, damaged, or cannot be downloaded.
        """
        return self.engine.backends.model()

    def request(
        self, stages: tuple[Stage, ...], audio_s: float, start: Space = HOST
    ) -> RouteRequest:
        """Create the request for a route through `stages` for `audio_s` seconds of audio in this session."""
        return self.engine.chooser.request(stages, audio_s, start)

    def candidates(self, request: RouteRequest) -> dict[Stage, tuple[Candidate, ...]]:
        """Check every backend of each stage of `request`, without choosing."""
        return self.engine.chooser.candidates(request)

    def decide(self, request: RouteRequest) -> Decision:
        """Choose the route for `request`, without running anything except requested measurements.

        Raises
        ------
        SelectionError
            There is no route.
        """
        return self.engine.decide(request)

    def explain(
        self,
        what: Track | Start | type[Any] | float | None = None,
        *,
        outputs: Iterable[str] | None = None,
        songs: int = 1,
    ) -> Decision:
        """Choose the route as :meth:`run` would, running only probes. ``str()`` of the decision explains it.

        Parameters
        ----------
        what
            A track; the input of a run, or its type; or seconds of audio, which count as a mix if a backend can
            separate it, otherwise as stems. None is three minutes of audio.
        outputs
            As for :meth:`run`; None for everything that the model provides.
        songs
            Number of songs of this length that are to be analysed in one batch. The set-up of a backend counts once for
            all of them.

        Raises
        ------
        SelectionError
            There is no route.
        InputError
            A file cannot be read.
        """
        self.engine.chooser.be_thorough()
        choice, start = self._start_of(what, outputs)
        if isinstance(start, StemsInPlugin):
            what, start = Stems, seconds_of(start)
        card, chooser = choice.card, choice.engine.chooser
        wanted = Wanted(frozenset(card.outputs if outputs is None else _names_of(outputs)))
        if isinstance(start, float):
            kind = what if isinstance(what, type) else None
            if kind is None:
                candidates = chooser.candidates(chooser.request(("demix",), start))["demix"]
                kind = Mix if any(candidate.is_eligible for candidate in candidates) else Stems
            stages, in_blocks = stages_from(kind, wanted, card), stages_in_blocks(None, start, card)
            request = chooser.request(stages, start, songs=songs, in_blocks=in_blocks)
            return choice.engine.decide(request)
        seconds = seconds_of(start)
        stages, space = stages_from(type(start), wanted, card), space_of_start(start)
        in_blocks = stages_in_blocks(start, seconds, card)
        request = chooser.request(stages, seconds, space, songs=songs, in_blocks=in_blocks)
        return choice.engine.decide(request)

    def _start_of(
        self, what: Track | Start | type[Any] | float | None, outputs: Iterable[str] | None
    ) -> tuple[ModelChoice, Start | StemsInPlugin | float]:
        """The model for `what`, and the input of a run; seconds if only a type or a length was given."""
        asked = None if outputs is None else tuple(_names_of(outputs))
        if what is None or isinstance(what, (int, float)):
            seconds = USUAL_AUDIO_S if what is None else float(what)
            if not 0 < seconds < math.inf:
                raise InputError(
                    f"The audio is {what} seconds long.", remedy="Pass a number above 0."
                )
            return self._models.choose(Mix, asked), seconds
        if isinstance(what, Track):
            begun = begin_track(what, self._models, self._keeping, asked)
            return begun.choice, begun.start
        _check_start(what if isinstance(what, type) else type(what))
        if isinstance(what, type):
            return self._models.choose(what, asked), USUAL_AUDIO_S
        return self._models.choose(type(what), asked), what

    def run(
        self,
        start: Start,
        *,
        outputs: Iterable[str] = ("beats", "sections"),
        embeddings: bool = False,
        progress: Progress | None = None,
        track: str = "",
        keep: StemsToKeep | None = None,
    ) -> Run:
        """Run the stages from `start` to `outputs`.

        Parameters
        ----------
        start
            A record of the contracts (:class:`~allin1_core.contracts.audio.Mix`, ``Stems``, ``LogSpectrogram``,
            ``Logits`` or ``Activations``) with arrays of any library that has a bridge, or files of a mix or of stems.
        outputs
            Any of ``activations``, ``beats``, ``sections``, ``logits``.
        embeddings
            Whether the network returns its embeddings.
        progress
            Called with the progress; an exception that it raises ends the run.
        track
            Name of the track, for messages.
        keep
            Where stems are kept, if the run separates.

        Returns
        -------
        Run
            The requested records, in NumPy arrays, and how they were computed.

        Raises
        ------
        Allin1Error
            The input or the weights are invalid, or all backends of a stage failed.
        """
        _check_start(type(start))
        wanted = Wanted(frozenset(_names_of(outputs)), embeddings)
        choice = self._models.choose(type(start), tuple(wanted.outputs))
        pipeline = Pipeline(choice.engine)
        pipeline.read(start)
        pipeline.request(wanted, progress=progress, track=track, keep=keep)
        pipeline.begin()
        return pipeline.finish()

    @property
    def status(self) -> SessionStatus:
        """What the session currently holds; :meth:`close` releases it."""
        return status_of(self._models.engines)

    def analyze(
        self,
        song: Track | GivenSong,
        rate: int | None = None,
        *,
        progress: Progress | None = None,
        **options: Unpack[ResultOptions],
    ) -> AnalysisResult:
        """Analyse one song.

        Parameters
        ----------
        song
            The path of a song or of a folder with its stems; a binary file object; samples ``[n]`` or
            ``[channels, n]``; or a track.
        rate
            Sample rate in Hz, if samples are given.
        progress
            Called with the progress; an exception that it raises ends the run.
        options
            What the result contains, as in :class:`~allin1_core.runtime.analysis.ResultOptions`.

        Raises
        ------
        Allin1Error
            As for :meth:`run`.
        TypeError
            An argument does not exist, or has another type.
        """
        check_arguments("Session.analyze", options, ResultOptions)
        check_arguments(
            "Session.analyze", {"progress": progress}, {"progress": Callable[..., object] | None}
        )
        with ExitStack() as stack:
            if not isinstance(song, Track):
                song = track_of(*stack.enter_context(as_file(song, rate)))
            analysis = self.analysis(song, progress=progress, **options)
            with naming(song):
                analysis.read()
                analysis.begin()
                return analysis.finish()

    def analysis(
        self,
        track: Track,
        *,
        progress: Progress | None = None,
        songs: int = 1,
        **options: Unpack[ResultOptions],
    ) -> Analysis:
        """Create the analysis of one track, to be run step by step; parameters are those of the class."""
        return Analysis(
            self._models,
            self._observers,
            self._keeping,
            track,
            progress=progress,
            songs=songs,
            **options,
        )


def _check_start(kind: type[Any]) -> None:
    if kind not in get_args(Start):
        names = ", ".join(one.__name__ for one in get_args(Start))
        raise TypeError(f"A run cannot start from {kind.__name__}; expected one of {names}.")


def _names_of(outputs: Iterable[str]) -> Iterable[str]:
    if isinstance(outputs, str):
        raise TypeError(f"outputs is {outputs!r}; expected a list, such as [{outputs!r}].")
    return outputs


def _requested_separation(options: SessionOptions, demix: DemixParameters) -> str:
    """The argument that only a separation can fulfil; empty if there is none."""
    if options.get("keep_stems"):
        return "keep_stems"
    named = (options.get("backends") or {}).get("demix", AUTO)
    if named != AUTO:
        return f"demix={named}"
    return "" if demix == DemixParameters() else "its parameters"
