"""A session keeps plugins, verdicts, weights and backends, and analyses one track after another."""

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
    """Analyses tracks with one set of choices, and with one model or that which is best for each.

    What is costly is made once, when it is first needed: probing, loading of weights, set-up of backends.
    Use it as a context manager, or call :meth:`close`, to release what backends hold.

    Parameters
    ----------
    model
        Name of the model; see ``allin1 weights list``. None takes that of the configuration file (see
        :mod:`~allin1_core.runtime.settings`), or else ``auto``: for each track ``harmonix-all`` where its weights are on
        this machine, and stems are given or the song can be separated; else ``builtin``. ``auto`` downloads nothing.
        What is None below is looked for in the file too.
    device
        ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …; ``auto`` leaves it to the policy.
    backends
        A backend's or plugin's name for each stage that the policy shall not choose; ``auto`` leaves a stage to
        it, whatever ``ALLIN1_BACKEND`` and the file say.
    metre
        Parameters of the metre decoder; a threshold of None takes the model's.
    demix
        Parameters of separation, where songs are given without stems.
    plugin_options
        For each plugin, values of options that it declares, above those of the configuration file:
        ``{"mine": {"batch": 4}}``.
    parity
        Weakest promise of parity that the policy accepts, as a record or as ``identical``, ``close`` or ``lossy``;
        in the end ``close``.
    weights_dir
        Folder to look for weights in first.
    threads
        Threads on a CPU; None leaves it to the backends.
    guard
        Check each backend, when it first runs, against the reference on ten seconds of the track; one that differs by
        more than it promises is replaced, or an error where it was named.
    calibrate
        Before a route is chosen, measure what it depends on and no valid measurement tells of
        (:class:`~allin1_core.measuring.on_demand.MeasureOnDemand`), and keep it; else nothing is ever measured. The log says
        what is being measured, at the level INFO.
    timings_path
        File to which a line of JSON is appended for each stage that has run.
    timings_viz_path
        File for a picture of the stages of each track over time, PDF, PNG or SVG by its suffix. It is drawn by
        :meth:`close`, whatever happened before, and needs Matplotlib.
    keep_stems
        Write the stems of songs that are separated to ``<demix_dir>/<Demucs model>/<track>``; see
        :mod:`allin1_core.io.kept_stems`.
    demix_dir
        Folder of kept stems, ``demix`` where None. Where it is given, or `keep_stems` is set, stems that were kept there
        are used again if song and parameters are still the same.
    overwrite_stems
        Whether kept stems of another song may be replaced.
    cache
        Keep the logits of each song in the user's cache folder, so that it needs no network where only parameters of the
        decoder, or what the result holds, change. ``ALLIN1_CACHE_LIMIT`` bounds it.
    plugins
        Loaded plugins; None loads those that are installed.

    Raises
    ------
    SelectionError
        If a stage, backend or model of that name does not exist.
    SettingsError
        If the environment or the configuration file cannot be understood, or an option of a plugin does not exist or
        has another type, or `threads` is below 1.
    TypeError
        If an argument does not exist, or is of another type.
    ContractError
        If `metre` or `demix` is out of range.
    OutputError
        If the picture of timings cannot be drawn here.
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
            assembly.engine, assembly.cards, assembly.model, _separation_asked_for(options, demix)
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
        """Release what the backends hold, and draw the picture of timings that was asked for.

        The session can go on, and sets up anew what it needs. What fails here is logged.
        """
        for engine in self._models.engines:
            engine.backends.close()
        self._observers.close()

    @property
    def engine(self) -> Engine:
        """What the session runs on: with the model ``auto``, what it would run a song without stems on."""
        return self._models.preferred(Mix).engine

    @property
    def card(self) -> ModelCard:
        """The model; where that is ``auto``, the one for a song without stems."""
        return self.engine.card

    @property
    def offers(self) -> Offers:
        """What the plugins offer."""
        return self._assembly.offers

    @property
    def plugin_options(self) -> OptionValues:
        """What the user set of the options of plugins, by plugin and name."""
        return self._assembly.plugin_options

    def choose_model(
        self,
        what: Track | Start | type[Any] | float | None = None,
        *,
        outputs: Iterable[str] | None = None,
    ) -> ModelChoice:
        """Choose the model as :meth:`run` and :meth:`analyze` do; parameters and errors as for :meth:`explain`."""
        return self._start_of(what, outputs)[0]

    def model(self) -> Model:
        """The model with its parameters, loaded at the first call.

        Raises
        ------
        WeightsError
            If they are missing, damaged, or cannot be fetched.
        """
        return self.engine.backends.model()

    def request(
        self, stages: tuple[Stage, ...], audio_s: float, start: Space = HOST
    ) -> RouteRequest:
        """State what a route for `stages` of `audio_s` seconds of audio must do in this session."""
        return self.engine.chooser.request(stages, audio_s, start)

    def candidates(self, request: RouteRequest) -> dict[Stage, tuple[Candidate, ...]]:
        """Judge every backend of each stage of `request`, without choosing."""
        return self.engine.chooser.candidates(request)

    def decide(self, request: RouteRequest) -> Decision:
        """Choose the route for `request`, without running anything but measurements that were asked for.

        Raises
        ------
        SelectionError
            If there is none.
        """
        return self.engine.decide(request)

    def explain(
        self,
        what: Track | Start | type[Any] | float | None = None,
        *,
        outputs: Iterable[str] | None = None,
    ) -> Decision:
        """Choose the route as :meth:`run` would, and run nothing but probes. ``str()`` of the decision tells the reasons.

        Parameters
        ----------
        what
            A track, what a run can start from or its type, or seconds of audio, which are taken as a mix where something
            can separate it, else as stems. None for three minutes.
        outputs
            As for :meth:`run`; None for all that the model can give.

        Raises
        ------
        SelectionError
            If there is no route.
        InputError
            If the file cannot be read.
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
            return choice.engine.decide(chooser.request(stages, start, in_blocks=in_blocks))
        seconds = seconds_of(start)
        stages, space = stages_from(type(start), wanted, card), space_of_start(start)
        in_blocks = stages_in_blocks(start, seconds, card)
        return choice.engine.decide(chooser.request(stages, seconds, space, in_blocks=in_blocks))

    def _start_of(
        self, what: Track | Start | type[Any] | float | None, outputs: Iterable[str] | None
    ) -> tuple[ModelChoice, Start | StemsInPlugin | float]:
        """The model for `what`, and what a run starts from: seconds where only a type or a length was given."""
        asked = None if outputs is None else tuple(_names_of(outputs))
        if what is None or isinstance(what, (int, float)):
            seconds = USUAL_AUDIO_S if what is None else float(what)
            if not 0 < seconds < math.inf:
                raise InputError(f"{what} seconds of audio were given.", remedy="Give more than 0.")
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
        """Run the stages from `start` to what `outputs` asks for.

        Parameters
        ----------
        start
            A record of the contracts (:class:`~allin1_core.contracts.audio.Mix`, ``Stems``, ``LogSpectrogram``,
            ``Logits`` or ``Activations``) with arrays of any library that a bridge knows, or files of a mix or of stems.
        outputs
            Any of ``activations``, ``beats``, ``sections``, ``logits``.
        embeddings
            Whether the network shall give its embeddings.
        progress
            Told about the progress; what it raises ends the run.
        track
            Name of the track, for messages.
        keep
            Where stems are kept, if the run separates.

        Raises
        ------
        Allin1Error
            If something is wrong with the input, the weights, or every backend of a stage.
        """
        _check_start(type(start))
        wanted = Wanted(frozenset(_names_of(outputs)), embeddings)
        choice = self._models.choose(type(start), tuple(wanted.outputs))
        pipeline = Pipeline(choice.engine)
        pipeline.read(start)
        pipeline.begin(wanted, progress=progress, track=track, keep=keep)
        return pipeline.finish()

    @property
    def status(self) -> SessionStatus:
        """What the session holds at the moment; :meth:`close` releases it."""
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
            A path, of a song or of a folder with its stems; a file that is open for reading bytes; samples ``[n]`` or
            ``[channels, n]``; or a track.
        rate
            Samples a second, where samples are given.
        progress
            Told about the progress; what it raises ends the run.
        options
            What the result shall hold, as in :class:`~allin1_core.runtime.analysis.ResultOptions`.

        Raises
        ------
        Allin1Error
            As :meth:`run`.
        TypeError
            An argument does not exist, or is of another type.
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
        """Prepare the analysis of one track, to be run step by step; parameters as for that class."""
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
        raise TypeError(f"A run does not start from {kind.__name__}; wanted one of {names}.")


def _names_of(outputs: Iterable[str]) -> Iterable[str]:
    if isinstance(outputs, str):
        raise TypeError(f"outputs is {outputs!r}; wanted several, such as [{outputs!r}].")
    return outputs


def _separation_asked_for(options: SessionOptions, demix: DemixParameters) -> str:
    """What of the arguments only a separation can give; empty where nothing is."""
    if options.get("keep_stems"):
        return "keep_stems"
    named = (options.get("backends") or {}).get("demix", AUTO)
    if named != AUTO:
        return f"demix={named}"
    return "" if demix == DemixParameters() else "its parameters"
