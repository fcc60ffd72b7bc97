"""A session keeps plugins, verdicts, weights and backends, and analyses one track after another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from allin1_core.calibration.bridges import bridge_conditions, find_bridge
from allin1_core.calibration.conditions import conditions_of
from allin1_core.calibration.demix_error import (
    PrecisionError,
    load_errors,
    without_what_loses_too_much,
)
from allin1_core.calibration.store import Calibration, find_speed, load_calibration
from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.model import Model, ModelCard
from allin1_core.contracts.parity import Parity
from allin1_core.contracts.result import AnalysisResult, StageRecord
from allin1_core.contracts.route import ANY_CLOSE, RouteRequest
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import Setup, Stage
from allin1_core.contracts.verdict import Ready
from allin1_core.errors import OutputError, SelectionError
from allin1_core.io.kept_stems import StemsToKeep, stems_to_keep
from allin1_core.io.mix import MixFile
from allin1_core.io.stems import StemFiles
from allin1_core.plugins.collecting import Offered, collect_offers
from allin1_core.plugins.loading import Plugins, load_plugins
from allin1_core.plugins.record import PluginRecord
from allin1_core.runtime.analysis import Analysis, Progress
from allin1_core.runtime.calibrating import calibrate
from allin1_core.runtime.checking import has_reference
from allin1_core.runtime.pipeline import (
    USUAL_LENGTH_S,
    Pipeline,
    Run,
    Start,
    needed_stages,
    seconds_of,
    space_of_start,
)
from allin1_core.runtime.settings import AUTO, parity_named, read_settings
from allin1_core.runtime.timings import Timing, append_timing, timing_of
from allin1_core.runtime.timings_picture import check_picture, draw_timings
from allin1_core.runtime.track import Track
from allin1_core.selection.cost import PRIOR
from allin1_core.selection.decision import Candidate, Decision
from allin1_core.selection.eligibility import gate
from allin1_core.selection.policy import check_choices, decide, said_by
from allin1_core.selection.probing import Probes, load_target
from allin1_core.weights.find import find_card
from allin1_core.weights.load import load_model

log = logging.getLogger(__name__)

#: The model where nothing names one.
DEFAULT_MODEL = "harmonix-all"


class Session:
    """Analyses tracks with one model and one set of choices.

    What is costly is made once, when it is first needed: probing, loading of weights, set-up of backends.
    Use it as a context manager, or call :meth:`close`, to release what backends hold.

    Parameters
    ----------
    model
        Name of the model; see ``allin1 weights list``. None takes that of the configuration file (see
        :mod:`~allin1_core.runtime.settings`), or else ``harmonix-all``. What is None below is looked for there too.
    device
        ``cpu``, ``cuda``, ``cuda:1``, ``mps`` …; ``auto`` leaves it to the policy.
    backends
        A backend's or plugin's name for each stage that the policy shall not choose; ``auto`` leaves a stage to
        it, whatever ``ALLIN1_BACKEND`` and the file say.
    metre
        Parameters of the metre decoder; a threshold of None takes the model's.
    demix
        Parameters of separation, where songs are given without stems.
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
        (:func:`~allin1_core.runtime.calibrating.calibrate`), and keep it; else nothing is ever measured. The log says
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
    plugins
        Loaded plugins; None loads those that are installed.

    Raises
    ------
    SelectionError
        If a stage, backend or model of that name does not exist.
    SettingsError
        If the environment or the configuration file cannot be understood.
    ContractError
        If `metre` or `demix` is out of range.
    OutputError
        If the picture of timings cannot be drawn here.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        device: str | None = None,
        backends: Mapping[Stage, str] | None = None,
        metre: MetreParameters | None = None,
        demix: DemixParameters | None = None,
        parity: Parity | str | None = None,
        weights_dir: str | None = None,
        threads: int | None = None,
        guard: bool = False,
        calibrate: bool | None = None,
        timings_path: str | PathLike[str] | None = None,
        timings_viz_path: str | PathLike[str] | None = None,
        keep_stems: bool = False,
        demix_dir: str | PathLike[str] | None = None,
        overwrite_stems: bool = False,
        plugins: Plugins | None = None,
    ) -> None:
        settings = read_settings()
        model = model or settings.model or DEFAULT_MODEL
        device = device or settings.device
        parity = parity or settings.parity or ANY_CLOSE
        self.plugins = load_plugins() if plugins is None else plugins
        self.offers = collect_offers(self.plugins)
        self.card: ModelCard = find_card(model, [o.item for o in self.offers.models.values()])
        self.metre = self.card.complete(metre or MetreParameters()).validate()
        self.demix = (demix or DemixParameters()).validate()
        self._device = None if device in (None, "auto") else device
        named = {**settings.backends, **{s: (name, "") for s, name in (backends or {}).items()}}
        named = {stage: said for stage, said in named.items() if said[0] != AUTO}
        self._choices = tuple((stage, name) for stage, (name, _) in named.items())
        self._sources = {stage: source for stage, (_, source) in named.items() if source}
        self._parity = parity_named(parity) if isinstance(parity, str) else parity
        self.weights_dir = weights_dir or settings.weights_dir
        self._threads = threads or settings.threads
        self._timings_path = None if timings_path is None else Path(timings_path).expanduser()
        self._picture = None if timings_viz_path is None else Path(timings_viz_path).expanduser()
        if self._picture is not None:
            check_picture(self._picture)
        self._timings: list[Timing] = []
        self.keep_stems, self.overwrite_stems = keep_stems, overwrite_stems
        self._demix_dir = None if demix_dir is None else Path(demix_dir)
        self._guard = guard
        self._calibrate = bool(settings.calibrate if calibrate is None else calibrate)
        self._tried: set[tuple[Stage, str]] = set()
        self._checked: set[tuple[Stage, str]] = set()
        self._probes = Probes()
        self._failures: dict[tuple[Stage, str], str] = {}
        self._callables: dict[tuple[Stage, str], Any] = {}
        self._model: Model | None = None
        self._observing = threading.RLock()
        self._calibration: Calibration | None = None
        self._precision_errors: tuple[PrecisionError, ...] | None = None
        self._told: set[str] = set()
        check_choices(self.offers, self.plugins, dict(self._choices), self._sources)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except OutputError as error:
            if kind is None:
                raise
            # What ends the block matters more than its picture.
            log.warning("%s", error)

    def close(self) -> None:
        """Release what the backends hold. The session can go on, and sets up anew what it needs.

        Raises
        ------
        OutputError
            If the picture of timings that was asked for cannot be written.
        """
        for call in self._callables.values():
            close = getattr(call, "close", None)
            if close is not None:
                close()
        self._callables.clear()
        self._model = None
        if self._picture is not None and self._timings:
            draw_timings(self._picture, self._timings)

    def request(
        self, stages: tuple[Stage, ...], audio_s: float, start: Space = HOST
    ) -> RouteRequest:
        """State what a route for `stages` of `audio_s` seconds of audio must do in this session."""
        return RouteRequest(
            stages=stages,
            audio_s=audio_s,
            start=start,
            architecture=self.card.architecture,
            parity=self._parity,
            device=self._device,
            choices=tuple((s, name) for s, name in self._choices if s in stages),
            # A model whose parameters come with its plugin is counted as its author measured it.
            members=len(self.card.files) or None,
            features=(("metrical_dbn", "tempo_prior"),) if self.metre.has_tempo_prior else (),
        )

    def candidates(self, request: RouteRequest) -> dict[Stage, tuple[Candidate, ...]]:
        """Judge every backend of each stage of `request`, without choosing."""
        return gate(self.offers, request, self._probes, self._failures, self._measured)

    def decide(self, request: RouteRequest) -> Decision:
        """Choose the route for `request`, without running anything but measurements that were asked for.

        Raises
        ------
        SelectionError
            If there is none.
        """
        decision = self._decide(request)
        if self._calibrate and calibrate(self, decision):
            decision = self._decide(request)
        return decision

    def _decide(self, request: RouteRequest) -> Decision:
        return decide(
            self.plugins,
            self.offers,
            request,
            self._probes,
            self._failures,
            self._sources,
            self._measured,
            self._priced,
        )

    def explain(
        self, what: Track | Start | float | None = None, *, outputs: Iterable[str] | None = None
    ) -> Decision:
        """Choose the route as :meth:`run` would, and run nothing. ``str()`` of the decision tells the reasons.

        Parameters
        ----------
        what
            A track, what a run can start from, or seconds of audio, which are taken as a mix where something can
            separate it, else as stems. None for three minutes.
        outputs
            As for :meth:`run`; None for all that the model can give.

        Raises
        ------
        SelectionError
            If there is no route.
        InputError
            If the file cannot be read.
        """
        wanted = frozenset(self.card.outputs if outputs is None else outputs)
        if what is None or isinstance(what, (int, float)):
            seconds = USUAL_LENGTH_S if what is None else float(what)
            candidates = self.candidates(self.request(("demix",), seconds))["demix"]
            has_demix = any(candidate.is_eligible for candidate in candidates)
            stages = needed_stages(Mix if has_demix else Stems, wanted)
            return self.decide(self.request(tuple(stages), seconds))
        if isinstance(what, Track):
            files = what.find_stems()
            if files is None and (kept := self.kept_stems(what)) is not None:
                files = self.kept_before(kept, tuple(wanted))
            what = files or MixFile(what.source)
        stages = needed_stages(type(what), wanted)
        return self.decide(self.request(tuple(stages), seconds_of(what), space_of_start(what)))

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
        pipeline = Pipeline(self)
        pipeline.read(start)
        pipeline.begin(
            frozenset(outputs), embeddings=embeddings, progress=progress, track=track, keep=keep
        )
        return pipeline.finish()

    def analyze(
        self,
        track: Track,
        *,
        include_activations: bool = False,
        include_embeddings: bool = False,
        only: str | None = None,
        progress: Progress | None = None,
    ) -> AnalysisResult:
        """Analyse one track.

        Parameters
        ----------
        track
            What to analyse.
        include_activations, include_embeddings
            What the result shall hold besides.
        only
            ``beats`` or ``sections``, to leave out the stages that the other needs; None for all that the
            model can give.
        progress
            Told about the progress; what it raises ends the run.

        Raises
        ------
        Allin1Error
            As :meth:`run`.
        """
        analysis = Analysis(
            self,
            track,
            include_activations=include_activations,
            include_embeddings=include_embeddings,
            only=only,
            progress=progress,
        )
        analysis.read()
        analysis.begin()
        return analysis.finish()

    # What an analysis asks of its session.

    def kept_stems(self, track: Track) -> StemsToKeep | None:
        """Where the stems of a song are kept; None where nobody asked."""
        if not (self.keep_stems or self._demix_dir is not None):
            return None
        return stems_to_keep(self._demix_dir, track.name, track.source, self.demix)

    def kept_before(self, kept: StemsToKeep, wanted: tuple[str, ...]) -> StemFiles | None:
        """Stems of an earlier run, where they are what this one would make, and the model wants stems."""
        files = kept.find(dict(self._choices).get("demix"))
        if files is None:
            return None
        stages = needed_stages(Stems, frozenset(wanted))
        try:
            # Nothing is measured for this question; it may be asked in a thread that reads ahead.
            self._decide(self.request(tuple(stages), USUAL_LENGTH_S))
        except SelectionError:  # of a model that takes the song itself
            return None
        return files

    # What the pipeline asks of its session.

    def device_of(self, candidate: Candidate) -> str:
        """Name of the device that `candidate` runs on: the one asked for, where it is of that kind."""
        return self._device_name(candidate.backend, candidate.ready)

    def callable_of(self, candidate: Candidate) -> Any:
        """What runs `candidate`, set up at the first call."""
        backend = candidate.backend
        key = (backend.stage, backend.name)
        if key not in self._callables:
            self._callables[key] = load_target(backend.target)(self.setup_of(candidate))
        return self._callables[key]

    def setup_of(self, candidate: Candidate, model: Model | None = None) -> Setup:
        """What the factory of `candidate` is called with; the model is this session's where none is given.

        Where half precision of a separator was measured to lose too much, ``auto`` is not told to it.
        """
        if "nn" not in candidate.backend.stages or not self.card.files:
            model = None
        elif model is None:
            model = self.model()
        return Setup(
            device=self.device_of(candidate),
            model=model,
            metre=self.metre,
            demix=self._demix_of(candidate) if "demix" in candidate.backend.stages else self.demix,
            threads=self._threads,
        )

    def _demix_of(self, candidate: Candidate) -> DemixParameters:
        if self._precision_errors is None:
            self._precision_errors = load_errors()
        if not self._precision_errors or candidate.ready is None:
            return self.demix
        parameters, reason = without_what_loses_too_much(
            self.demix,
            candidate.backend.name,
            self.conditions_of(candidate),
            self._precision_errors,
        )
        if reason and reason not in self._told:
            self._told.add(reason)
            log.warning("%s", reason)
        return parameters

    def conditions_of(self, candidate: Candidate) -> dict[str, str]:
        """Tell for what a measurement of `candidate` made in this session holds."""
        if candidate.ready is None:
            raise ValueError(f"{candidate.backend.name} cannot run: {candidate.refusal}")
        return self._conditions(candidate.backend, candidate.plugin, candidate.ready)

    def _conditions(
        self, backend: Backend[Any], plugin: PluginRecord, ready: Ready
    ) -> dict[str, str]:
        device = self._device_name(backend, ready)
        return conditions_of(
            backend,
            plugin,
            Ready(device, ready.detail),
            model=f"{self.card.architecture}, {len(self.card.files)} members",
            metre=self.metre,
            demix=self.demix,
            threads=self._threads,
        )

    def _measured(self, backend: Backend[Any], plugin: PluginRecord, ready: Ready) -> Speed | None:
        saved = self.calibration.backends
        if not saved:
            return None
        return find_speed(saved, backend, self._conditions(backend, plugin, ready))

    def is_measured(self, candidate: Candidate) -> bool:
        """Whether a measurement of `candidate` holds here, or was tried in this session."""
        backend, ready = candidate.backend, candidate.ready
        if (backend.stage, backend.name) in self._tried or ready is None:
            return True
        return self._measured(backend, candidate.plugin, ready) is not None

    def note_tried(self, candidate: Candidate) -> None:
        """Remember that `candidate` was to be measured, so that one that cannot be is not tried again."""
        self._tried.add((candidate.backend.stage, candidate.backend.name))

    def note_measured(self, new: Calibration) -> None:
        """Count `new` from now on."""
        self._calibration = self.calibration.updated(new)

    @property
    def calibration(self) -> Calibration:
        """What was measured on this machine, read once."""
        if self._calibration is None:
            self._calibration = load_calibration()
        return self._calibration

    def ready_at(self, space: Space) -> Ready | None:
        """Tell the device of `space`, as the first backend that can run there names it; None where none can."""
        if space == HOST:
            return Ready("cpu")
        if self._device is not None and space.device not in ("cpu", self._device.partition(":")[0]):
            return None
        for offered in self.offers.backends:
            backend = offered.item
            touches = space in (backend.consumes, backend.produces)
            if touches and self._probes.missing(backend.needs) is None:
                verdict = self._probes.verdict(backend)
                if isinstance(verdict, Ready):
                    return Ready(self._device_name(backend, verdict), verdict.detail)
        return None

    def conditions_of_bridge(self, offered: Offered[Bridge]) -> dict[str, str] | None:
        """Tell for what a measurement of a bridge made in this session holds; None where it cannot be used here."""
        bridge = offered.item
        source, destination = self.ready_at(bridge.source), self.ready_at(bridge.destination)
        if source is None or destination is None:
            return None
        return bridge_conditions(bridge, offered.plugin, source, destination)

    def _priced(self, spaces: Collection[Space]) -> dict[Bridge, str]:
        saved = self.calibration.bridges
        priced: dict[Bridge, str] = {}
        for offered in self.offers.offered_bridges:
            bridge, evidence = offered.item, PRIOR
            if saved and {bridge.source, bridge.destination} <= set(spaces):
                conditions = self.conditions_of_bridge(offered)
                found = conditions and find_bridge(saved, bridge, conditions)
                if found:
                    bridge, evidence = found.on(bridge), found.evidence
            priced.setdefault(bridge, evidence)
        return priced

    def _device_name(self, backend: Backend[Any], ready: Ready | None) -> str:
        kind = backend.device
        if self._device is not None and self._device.partition(":")[0] == kind:
            return self._device
        return ready.device if ready else kind

    def model(self) -> Model:
        """The model with its parameters, loaded at the first call.

        Raises
        ------
        WeightsError
            If they are missing, damaged, or cannot be fetched.
        """
        if self._model is None:
            self._model = load_model(self.card, weights_dir=self.weights_dir)
        return self._model

    def exclude(self, candidate: Candidate, reason: str) -> bool:
        """Leave `candidate` out of later decisions of this session, and tell whether that is news."""
        key = (candidate.backend.stage, candidate.backend.name)
        is_news = key not in self._failures
        self._failures[key] = reason
        self._callables.pop(key, None)
        return is_news

    def is_named(self, candidate: Candidate) -> bool:
        """Whether the user asked for `candidate`, or for its plugin, so that nothing may replace it."""
        return any(stage in candidate.backend.stages for stage, _ in self._choices)

    def must_check(self, candidate: Candidate) -> bool:
        """Whether the guard has yet to compare `candidate` with the reference."""
        backend = candidate.backend
        return (
            self._guard
            and backend.parity.level != "lossy"
            and candidate.plugin.name != "reference"
            and (backend.stage, backend.name) not in self._checked
            and has_reference(self.offers, backend.stages)
        )

    def note_timing(self, record: StageRecord, *, ended: float, track: str) -> None:
        """Keep when a stage ran, where that was asked for; `ended` is in seconds since 1970.

        Raises
        ------
        OutputError
            If the file of timings cannot be written.
        """
        timing = timing_of(record, ended=ended, model=self.card.name, track=track)
        if self._picture is not None:
            self._timings.append(timing)
        if self._timings_path is not None:
            append_timing(self._timings_path, timing)

    def note_checked(self, candidate: Candidate) -> None:
        """Remember that `candidate` has kept its promise."""
        self._checked.add((candidate.backend.stage, candidate.backend.name))

    def source_of(self, candidate: Candidate) -> str:
        """Words for where the choice of `candidate` came from; none for an argument."""
        stages = candidate.backend.stages
        return next(
            (said_by(stage, self._sources) for stage in stages if stage in self._sources), ""
        )

    def observe(self, hook: str, **arguments: Any) -> None:
        """Tell the plugins, from one thread at a time; what they raise is logged."""
        with self._observing:
            self._observe(hook, arguments)

    def _observe(self, hook: str, arguments: Mapping[str, Any]) -> None:
        for name, plugin in self.plugins.manager.list_name_plugin():
            if plugin is None:
                continue
            try:
                self.plugins.hook_of(name, hook)(**arguments)
            except Exception as error:
                log.warning("Plugin %s raised in %s: %s", name, hook, error)
