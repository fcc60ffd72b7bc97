"""The outcome of each hook of each plugin, to be displayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from allin1_core.contracts.command import Command
from allin1_core.hookspecs import SPECS
from allin1_core.plugins.collecting import Offered, Offers
from allin1_core.plugins.loading import Plugins
from allin1_core.plugins.record import Problem


@dataclass(frozen=True)
class HookOutcome:
    """The outcome of a hook that a plugin implements.

    Attributes
    ----------
    plugin, hook
        Names of the plugin and of the hook.
    status
        ``offers``: its records are used; ``nothing``: it returned none; ``called``: it is called during runs;
        ``ignored``: this core does not know it, and the plugin declares it optional.
    text
        Names of the records, or what the hook is for.
    problems
        Why the hook, or records of it, were left out.
    """

    plugin: str
    hook: str
    status: str
    text: str
    problems: tuple[str, ...] = ()


def hook_outcomes(
    plugins: Plugins,
    offers: Offers,
    commands: Mapping[str, Offered[Command]],
    problems: Iterable[Problem],
) -> list[HookOutcome]:
    """Return the outcome of every hook of the loaded plugins.

    Parameters
    ----------
    plugins
        The plugins.
    offers, commands
        Records that were collected from them.
    problems
        What was left out during collection.
    """
    offered: dict[tuple[str, str], list[str]] = {}
    for plugin, hook, name in _offered(offers, commands):
        offered.setdefault((plugin, hook), []).append(name)
    troubles: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        troubles.setdefault((problem.plugin, problem.hook), []).append(problem.reason)
    outcomes = []
    for plugin, module in plugins.manager.list_name_plugin():
        for caller in sorted(plugins.manager.get_hookcallers(module) or (), key=lambda c: c.name):
            key = (plugin, caller.name)
            if not caller.has_spec():
                status, text = (
                    "ignored",
                    "This core has no such hook; the plugin declares it optional.",
                )
            elif caller.name not in _COLLECTED:
                status, text = "called", _PURPOSES[caller.name]
            else:
                status = "offers" if key in offered else "nothing"
                text = ", ".join(offered.get(key, ()))
            outcomes.append(HookOutcome(*key, status, text, tuple(troubles.get(key, ()))))
    return outcomes


def _offered(
    offers: Offers, commands: Mapping[str, Offered[Command]]
) -> Iterator[tuple[str, str, str]]:
    """Plugin, hook and name of each record."""
    for backend in offers.backends:
        yield backend.plugin.name, f"allin1_{backend.item.stage}", backend.item.name
    for bridge in offers.offered_bridges:
        way = f"{bridge.item.source} to {bridge.item.destination}"
        yield bridge.plugin.name, "allin1_bridges", way
    for model in offers.models.values():
        yield model.plugin.name, "allin1_models", model.item.name
    for separator in offers.separators.values():
        yield separator.plugin.name, "allin1_separators", separator.item.name
    for exporter in offers.exporters.values():
        yield exporter.plugin.name, "allin1_exporters", exporter.item.name
    for executor in offers.executors.values():
        yield executor.plugin.name, "allin1_executors", executor.item.name
    for loader in offers.loaders:
        yield loader.plugin.name, "allin1_audio_loaders", loader.item.name
    for command in commands.values():
        yield command.plugin.name, "allin1_commands", command.item.name


def _hooks() -> Iterator[tuple[str, str, bool]]:
    """Name and purpose of every hook, and whether it returns records."""
    for specs in SPECS:
        for name, function in vars(specs).items():
            if name.startswith("allin1_"):
                purpose = " ".join((function.__doc__ or "").split("\n\n")[0].split())
                yield name, purpose, function.__code__.co_argcount == 1


_PURPOSES = {name: purpose for name, purpose, _ in _hooks()}

#: Hooks that return records. They have no arguments, unlike those that are called during runs.
_COLLECTED = frozenset(name for name, _, gives in _hooks() if gives)
