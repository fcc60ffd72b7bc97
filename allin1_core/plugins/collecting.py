"""What the loaded plugins offer, collected hook by hook and plugin by plugin."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.model import ModelCard, Takes
from allin1_core.contracts.space import Bridge
from allin1_core.contracts.stages import GIVES, STAGES, TAKES, Stage
from allin1_core.errors import PluginError
from allin1_core.plugins.loading import BUILT_IN, Plugins
from allin1_core.plugins.record import PluginRecord, Problem

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Offered(Generic[T]):
    """A record and the plugin that offers it."""

    item: T
    plugin: PluginRecord


@dataclass(frozen=True)
class Offers:
    """Everything that the loaded plugins offer.

    Attributes
    ----------
    backends
        In the order of stages, then by plugin; a spanning backend once, at its first stage.
    offered_bridges, models
        By plugin.
    problems
        What was left out, and why.
    """

    backends: tuple[Offered[Backend[Any]], ...]
    offered_bridges: tuple[Offered[Bridge], ...]
    models: dict[str, Offered[ModelCard]]
    problems: tuple[Problem, ...]

    @property
    def bridges(self) -> tuple[Bridge, ...]:
        """The bridges alone."""
        return tuple(offered.item for offered in self.offered_bridges)

    def covering(self, stage: Stage) -> list[Offered[Backend[Any]]]:
        """Backends that cover `stage`, alone or with others."""
        return [offered for offered in self.backends if stage in offered.item.stages]


def collect_offers(plugins: Plugins) -> Offers:
    """Ask every plugin for its backends, bridges and models.

    A hook that raises, or a record that is wrong, costs that hook or record alone.

    Raises
    ------
    PluginError
        When `plugins` are strict, for the first problem.
    """
    problems: list[Problem] = []
    backends: list[Offered[Backend[Any]]] = []
    for stage in STAGES:
        hook = f"allin1_{stage}"

        def check(backend: Backend[Any], stage: Stage = stage) -> str | None:
            return _wrong_with_backend(backend, stage)

        collected = _collect(plugins, hook, Backend, check, problems)
        backends += _refuse_shared_names(collected, hook, lambda b: b.name, problems)
    bridges = _collect(plugins, "allin1_bridges", Bridge, _no_check, problems)
    models = _refuse_shared_names(
        _collect(plugins, "allin1_models", ModelCard, _no_check, problems),
        "allin1_models",
        lambda card: card.name,
        problems,
    )
    for problem in problems:
        if plugins.strict:
            raise PluginError(f"{problem}", remedy="(Strict mode makes this an error.)")
        log.warning("%s", problem)
    return Offers(
        tuple(backends),
        tuple(bridges),
        {offered.item.name: offered for offered in models},
        tuple(problems),
    )


def _collect(
    plugins: Plugins,
    hook: str,
    kind: type[T],
    check: Callable[[T], str | None],
    problems: list[Problem],
) -> list[Offered[T]]:
    """Call `hook` of each plugin alone."""
    collected: list[Offered[T]] = []
    for name, plugin in plugins.manager.list_name_plugin():
        if plugin is None:
            continue
        try:
            answers = plugins.hook_of(name, hook)()
            # Hooks may be generators, whose body runs only now.
            items = [item for answer in answers for item in answer]
        except Exception as error:
            log.debug("hook %s of plugin %s raised", hook, name, exc_info=True)
            problems.append(Problem(name, hook, f"It raised {type(error).__name__}: {error}"))
            continue
        for item in items:
            if not isinstance(item, kind):
                problems.append(
                    Problem(name, hook, f"It gave {item!r}, which is no {kind.__name__}.")
                )
            elif (wrong := check(item)) is not None:
                problems.append(Problem(name, hook, wrong))
            else:
                collected.append(Offered(item, plugins.record(name)))
    return collected


def _no_check(_: object) -> None:
    return None


def _wrong_with_backend(backend: Backend[Any], stage: Stage) -> str | None:
    if backend.stage != stage:
        return f"Backend {backend.name} says it is for stage {backend.stage}."
    for field, target in (("target", backend.target), ("probe", backend.probe)):
        if target is not None and not all(target.partition(":")):
            return f"Backend {backend.name} has {field} {target!r}; wanted 'package.module:name'."
    stages = backend.stages
    if stages[0] != stage or any(s not in STAGES for s in stages):
        return f"Backend {backend.name} spans {stages}, which does not begin at {stage}."
    if backend.takes not in get_args(Takes):
        return f"Backend {backend.name} takes {backend.takes!r}; wanted {' or '.join(get_args(Takes))}."
    if backend.takes == "mix" and stage != "spectrogram":
        return f"Backend {backend.name} takes the mix in place of stems, but begins at {stage}."
    for one, following in itertools.pairwise(stages):
        if GIVES[one] is not TAKES[following]:
            return f"Backend {backend.name} spans {one} and {following}, which do not follow."
    return None


def _refuse_shared_names(
    collected: list[Offered[T]],
    hook: str,
    name_of: Callable[[T], str],
    problems: list[Problem],
) -> list[Offered[T]]:
    """Leave out every record whose name another has too, except the core's own.

    Which one came first depends on what happens to be installed, so none may win.
    """
    by_name: dict[str, list[Offered[T]]] = defaultdict(list)
    for offered in collected:
        by_name[name_of(offered.item)].append(offered)
    kept = []
    for name, sharing in by_name.items():
        own = [offered for offered in sharing if offered.plugin.name in BUILT_IN]
        if len(sharing) == 1 or own:
            kept.append((own or sharing)[0])
        if len(sharing) > 1:
            owners = ", ".join(offered.plugin.name for offered in sharing)
            problems.extend(
                Problem(
                    o.plugin.name, hook, f"The name {name} is offered more than once ({owners})."
                )
                for o in sharing
                if not own or o is not own[0]
            )
    return kept
