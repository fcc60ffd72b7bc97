"""What the loaded plugins provide, collected hook by hook and plugin by plugin."""

from __future__ import annotations

import itertools
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from allin1_core.contracts.audio_loader import AudioLoader
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.command import Command
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.export import Exporter
from allin1_core.contracts.model import ModelCard, SeparatorCard
from allin1_core.contracts.rules import find_fault, show
from allin1_core.contracts.space import Bridge
from allin1_core.contracts.stages import BOTH_BRANCHES, GIVES, STAGES, TAKES, Stage, covers_both
from allin1_core.errors import PLUGIN_FAILURES, PluginError, in_full
from allin1_core.plugins.loading import BUILT_IN, Plugins
from allin1_core.plugins.record import PluginRecord, Problem

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R", Backend[Any], ModelCard, SeparatorCard, Exporter, Executor, AudioLoader, Command)
#: Records that declare options.
D = TypeVar("D", Backend[Any], Executor)

#: A name that no other plugin may use: all backends are compared with the ``reference``.
CORE_NAME = "reference"


@dataclass(frozen=True)
class Offered(Generic[T]):
    """A record, and the plugin that provides it.

    If several plugins use the name of a record, it is prefixed with the name of its plugin: ``plugin/name``.
    """

    item: T
    plugin: PluginRecord


@dataclass(frozen=True)
class Offers:
    """Everything that the loaded plugins provide.

    Attributes
    ----------
    backends
        In the order of stages, then by plugin; a spanning backend is listed once, at its first stage.
    offered_bridges, models, separators
        By plugin.
    problems
        What was left out, with the reason.
    exporters, executors
        By name.
    loaders
        By plugin; those that take precedence over the core's readers come first.
    """

    backends: tuple[Offered[Backend[Any]], ...]
    offered_bridges: tuple[Offered[Bridge], ...]
    models: dict[str, Offered[ModelCard]]
    separators: dict[str, Offered[SeparatorCard]]
    problems: tuple[Problem, ...]
    exporters: dict[str, Offered[Exporter]]
    executors: dict[str, Offered[Executor]]
    loaders: tuple[Offered[AudioLoader], ...] = ()

    @property
    def bridges(self) -> tuple[Bridge, ...]:
        """The bridges without their plugins."""
        return tuple(offered.item for offered in self.offered_bridges)

    def covering(self, stage: Stage) -> list[Offered[Backend[Any]]]:
        """Backends that cover `stage`, alone or with others."""
        return [offered for offered in self.backends if stage in offered.item.stages]


def full_name(offered: Offered[Backend[Any]]) -> str:
    """Name that identifies this backend among all of its stage: ``plugin/name``."""
    return f"{offered.plugin.name}/{plain_name(offered)}"


def plain_name(offered: Offered[Backend[Any]]) -> str:
    """Name that the plugin gave its backend."""
    return offered.item.name.rpartition("/")[2]


def is_meant(offered: Offered[Backend[Any]], name: str) -> bool:
    """Whether `name` refers to this backend: its own name, ``plugin/name``, or the name of its plugin."""
    return name in (offered.item.name, full_name(offered), offered.plugin.name)


def collect_offers(plugins: Plugins) -> Offers:
    """Collect the backends, bridges, models and other records of all plugins.

    If a hook raises an exception, or a record is invalid, only that hook or record is left out. Records of several
    plugins that have the same name are all kept, as ``plugin/name``.

    Raises
    ------
    PluginError
        `plugins` are strict; raised for the first problem.
    """
    problems: list[Problem] = []
    backends: list[Offered[Backend[Any]]] = []
    for stage in STAGES:
        hook = f"allin1_{stage}"

        def check(backend: Backend[Any], stage: Stage = stage) -> str | None:
            return _wrong_with_backend(backend, stage)

        collected = collect_records(plugins, hook, Backend, check, problems)
        backends += _disambiguate(without_repeated(collected, hook, problems))
    option_types: dict[tuple[str, str], type[Any]] = {}
    backends = _without_contradicting_options(backends, option_types, problems)
    bridges = collect_records(plugins, "allin1_bridges", Bridge, _no_check, problems)
    hook = "allin1_models"
    cards = collect_records(plugins, hook, ModelCard, _no_check, problems)
    models = _disambiguate(without_repeated(cards, hook, problems))
    hook = "allin1_separators"
    separator_cards = collect_records(plugins, hook, SeparatorCard, _no_check, problems)
    separators = _disambiguate(without_repeated(separator_cards, hook, problems))
    hook = "allin1_exporters"
    formats = collect_records(plugins, hook, Exporter, _no_check, problems)
    exporters = _disambiguate(without_repeated(formats, hook, problems))
    hook = "allin1_executors"
    runners = collect_records(plugins, hook, Executor, _wrong_with_options, problems)
    runners = _without_contradicting_options(runners, option_types, problems)
    executors = _disambiguate(without_repeated(runners, hook, problems))
    loaders = collect_loaders(plugins, problems)
    report_problems(problems, plugins)
    return Offers(
        tuple(backends),
        tuple(bridges),
        {offered.item.name: offered for offered in models},
        {offered.item.name: offered for offered in separators},
        tuple(problems),
        {offered.item.name: offered for offered in exporters},
        {offered.item.name: offered for offered in executors},
        loaders,
    )


def collect_loaders(plugins: Plugins, problems: list[Problem]) -> tuple[Offered[AudioLoader], ...]:
    """Collect the audio loaders of all plugins, those with precedence first; problems are appended to `problems`."""
    hook = "allin1_audio_loaders"
    readers = collect_records(plugins, hook, AudioLoader, _wrong_with_loader, problems)
    loaders = _disambiguate(without_repeated(readers, hook, problems))
    return tuple(sorted(loaders, key=lambda offered: not offered.item.before_core))


def collect_commands(
    plugins: Plugins, taken: Collection[str]
) -> tuple[dict[str, Offered[Command]], tuple[Problem, ...]]:
    """Collect the commands of all plugins.

    Parameters
    ----------
    plugins
        The plugins.
    taken
        Names of the core's own commands.

    Returns
    -------
    commands
        Commands by name. A name that another plugin, or the core, also uses is left out, because which one came first
        depends on what happens to be installed.
    problems
        What was left out, with the reason.
    """
    problems: list[Problem] = []
    hook = "allin1_commands"
    collected = collect_records(plugins, hook, Command, _no_check, problems)
    collected = without_repeated(collected, hook, problems)
    owners: dict[str, list[str]] = defaultdict(list)
    for offered in collected:
        owners[offered.item.name].append(offered.plugin.name)
    commands = {}
    for offered in collected:
        name, plugin = offered.item.name, offered.plugin.name
        if name in taken:
            reason = (
                f"Command {name}: allin1 has a command of this name. Ask its author to rename it."
            )
            problems.append(Problem(plugin, hook, reason))
        elif len(owners[name]) > 1:
            others = " and ".join(other for other in owners[name] if other != plugin)
            reason = (
                f"Command {name}: plugin {others} has one of this name too, so neither can be used."
                f" Leave one out: allin1 --block {plugin} {name}"
            )
            problems.append(Problem(plugin, hook, reason))
        else:
            commands[name] = offered
    return commands, tuple(problems)


def report_problems(problems: Iterable[Problem], plugins: Plugins) -> None:
    """Log problems, or raise an error if plugins are strict.

    Raises
    ------
    PluginError
        `plugins` are strict; raised for the first problem.
    """
    for problem in problems:
        if plugins.strict:
            raise PluginError(f"{problem}", remedy="(Strict mode makes this an error.)")
        log.warning("%s", problem)


def collect_records(
    plugins: Plugins,
    hook: str,
    kind: type[T],
    check: Callable[[T], str | None],
    problems: list[Problem],
) -> list[Offered[T]]:
    """Call `hook` of each plugin separately, and check every record that it returns."""
    collected: list[Offered[T]] = []
    record_of = {record.name: record for record in plugins.records if record.status == "loaded"}
    for name, plugin in plugins.manager.list_name_plugin():
        if plugin is None:
            continue
        items: list[Any] = []
        try:
            for answer in plugins.hook_of(name, hook)():
                if isinstance(answer, Iterable) and not isinstance(answer, str):
                    # Hooks may be generators, whose body is only executed here.
                    items.extend(answer)
                else:
                    wanted = f"wanted an iterable of {kind.__name__}: yield each, or return a list"
                    problems.append(Problem(name, hook, f"It returned {show(answer)}; {wanted}."))
        except PLUGIN_FAILURES as error:
            log.debug("hook %s of plugin %s raised", hook, name, exc_info=True)
            problems.append(Problem(name, hook, f"It raised {in_full(error)}"))
            continue
        for item in items:
            wrong = find_fault(item, kind) or check(item)
            if wrong is None:
                collected.append(Offered(item, record_of[name]))
            else:
                problems.append(Problem(name, hook, wrong))
    return collected


def _no_check(_: object) -> None:
    return None


def _wrong_with_backend(backend: Backend[Any], stage: Stage) -> str | None:
    if backend.stage != stage:
        return f"Backend {backend.name} declares stage {backend.stage}."
    stages = backend.stages
    if stages[0] != stage:
        return f"Backend {backend.name} spans {stages}, which does not begin at {stage}."
    if backend.takes == "mix" and stage != "spectrogram":
        return f"Backend {backend.name} takes the mix instead of stems, but begins at {stage}."
    if covers_both(stages):
        if stages == BOTH_BRANCHES or stages[-4] == "nn":
            stages = stages[:-3]  # both branches begin at the logits
        else:
            return f"Backend {backend.name} spans {stages}, which lacks the stage nn."
    for one, following in itertools.pairwise(stages):
        if GIVES[one] is not TAKES[following]:
            return f"Backend {backend.name} spans {one} and {following}, which are not consecutive."
    return _wrong_with_options(backend)


def _wrong_with_options(record: Backend[Any] | Executor) -> str | None:
    for index, option in enumerate(record.options):
        where = f"{type(record).__name__} {record.name}: options[{index}]"
        if option.name in (other.name for other in record.options[:index]):
            return f"{where}.name is {option.name!r}, which an earlier option already has."
        if not option.has_valid_default:
            return f"{where}.default is {show(option.default)}; wanted a {option.type.__name__}."
    return None


def _wrong_with_loader(loader: AudioLoader) -> str | None:
    if not loader.suffixes and loader.probe is None:
        return f"AudioLoader {loader.name} has neither suffixes nor a probe; wanted one of them."
    return None


def _without_contradicting_options(
    collected: list[Offered[D]], types: dict[tuple[str, str], type[Any]], problems: list[Problem]
) -> list[Offered[D]]:
    """Leave out records that declare an option with another type than an earlier record of the same plugin.

    `types` contains the types so far, by name of the plugin and of the option, and is extended.
    """
    kept = []
    for offered in collected:
        record, plugin = offered.item, offered.plugin.name
        contradicting = [o for o in record.options if types.get((plugin, o.name), o.type) != o.type]
        if contradicting:
            name = contradicting[0].name
            kind = type(record).__name__
            other = f"another {kind.lower()}" if isinstance(record, Backend) else "a backend"
            reason = f"{kind} {record.name}: option {name} has another type in {other}."
            hook = f"allin1_{record.stage}" if isinstance(record, Backend) else "allin1_executors"
            problems.append(Problem(plugin, hook, reason))
            continue
        types.update({(plugin, option.name): option.type for option in record.options})
        kept.append(offered)
    return kept


def without_repeated(
    collected: list[Offered[R]], hook: str, problems: list[Problem]
) -> list[Offered[R]]:
    """Leave out repeated names of a plugin, and names that are reserved for the core."""
    core = {o.item.name for o in collected if o.plugin.name in BUILT_IN} | {CORE_NAME}
    kept: list[Offered[R]] = []
    seen: set[tuple[str, str]] = set()
    for offered in collected:
        plugin, name = offered.plugin.name, offered.item.name
        kind = type(offered.item).__name__
        if name in core and plugin not in BUILT_IN:
            problems.append(
                Problem(plugin, hook, f"{kind} {name}: the name is reserved for the core.")
            )
        elif (plugin, name) in seen:
            reason = f"{kind} {name}: the plugin provides another of this name; the first is used."
            problems.append(Problem(plugin, hook, reason))
        else:
            seen.add((plugin, name))
            kept.append(offered)
    return kept


def _disambiguate(collected: list[Offered[R]]) -> list[Offered[R]]:
    """Prefix each name that several plugins use with the name of the plugin.

    Which one came first depends on what happens to be installed, so none may have the plain name.
    """
    count = Counter(offered.item.name for offered in collected)
    return [
        Offered(replace(o.item, name=f"{o.plugin.name}/{o.item.name}"), o.plugin)
        if count[o.item.name] > 1
        else o
        for o in collected
    ]
