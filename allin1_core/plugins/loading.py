"""Loading of plugins one by one, so that none can affect another.

pluggy's own ``load_setuptools_entrypoints`` stops at the first plugin that raises an exception, silently drops the
second of two plugins with the same name, and leaves plugins that are partly registered in place. Here each is loaded,
registered and checked separately, and a record states the outcome.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points, version

import pluggy

from allin1_core.contracts.rules import is_name, show
from allin1_core.errors import PLUGIN_FAILURES, PluginError, in_full
from allin1_core.hookspecs import SPECS
from allin1_core.installing import install_command
from allin1_core.markers import DEPRECATED_LEVELS, FIRST_LEVEL, PROJECT, level_problem
from allin1_core.plugins.record import PluginRecord

log = logging.getLogger(__name__)

#: Plugins of the core itself: the reference implementation and the catalogue of models.
BUILT_IN = {
    "reference": "allin1_core.reference.hooks",
    "harmonix": "allin1_core.weights.hooks",
    "exports": "allin1_core.exports.hooks",
    "runtime": "allin1_core.runtime.hooks",
}

_CORE = "allin1-core"

#: Warnings that this process has already issued.
_issued: set[str] = set()


@dataclass(frozen=True)
class Plugins:
    """The plugins of a session.

    Attributes
    ----------
    manager
        pluggy's manager with everything that was loaded.
    records
        One for each plugin found, the core's own first, then by name.
    strict
        Whether problems are errors.
    """

    manager: pluggy.PluginManager
    records: tuple[PluginRecord, ...]
    strict: bool = False

    def hook_of(self, name: str, hook: str) -> pluggy.HookCaller:
        """Return `hook` as implemented by the plugin `name` alone, so that exceptions can be attributed to it."""
        others = [
            plugin
            for other, plugin in self.manager.list_name_plugin()
            if other != name and plugin is not None
        ]
        return self.manager.subset_hook_caller(hook, others)

    def implementations(self, hook: str) -> Iterator[tuple[str, pluggy.HookCaller]]:
        """Yield the name of each plugin that implements `hook`, in the order of calls, and its :meth:`hook_of`."""
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            yield implementation.plugin_name, self.hook_of(implementation.plugin_name, hook)


def load_plugins(
    *,
    block: Iterable[str] = (),
    extra: Mapping[str, object] | None = None,
    autoload: bool | None = None,
    strict: bool | None = None,
    with_core: bool = True,
) -> Plugins:
    """Load the core's own plugins, those that are installed, and `extra`.

    Parameters
    ----------
    block
        Names of plugins to leave out, in addition to those in ``ALLIN1_BLOCK`` (separated by commas).
    extra
        Modules or objects to register, by plugin name; for tests and programs.
    autoload
        Whether entry points are loaded. None reads ``ALLIN1_DISABLE_AUTOLOAD``.
    strict
        Whether a plugin that cannot be loaded is an error. None reads ``ALLIN1_STRICT``.
    with_core
        Whether the core's own plugins are loaded.

    Raises
    ------
    PluginError
        `strict` is set; raised for the first plugin that is broken or incompatible.
    """
    blocked = {*block, *_split(os.environ.get("ALLIN1_BLOCK", ""))}
    if autoload is None:
        autoload = not _is_on("ALLIN1_DISABLE_AUTOLOAD")
    if strict is None:
        strict = _is_on("ALLIN1_STRICT")

    manager = pluggy.PluginManager(PROJECT)
    for specs in SPECS:
        manager.add_hookspecs(specs())
    records = _load_built_in(manager) if with_core else []

    found: dict[str, list[EntryPoint]] = defaultdict(list)
    if autoload:
        for entry in _entry_points():
            found[entry.name].append(entry)
    for name, entries in sorted(found.items()):
        records.append(_load_entry(manager, name, entries, blocked))
    for name, plugin in (extra or {}).items():
        record = PluginRecord(name, "loaded")
        if name in blocked:
            record = PluginRecord(name, "blocked", reason="It was blocked by name.")
        else:
            record = _register(manager, name, plugin, record)
        records.append(record)

    for name in sorted(blocked - {record.name for record in records}):
        _warn_once(f"No plugin named {name} is installed, so there is nothing to block.")
    for name in sorted(blocked & set(BUILT_IN)):
        _warn_once(f"Plugin {name} is part of the core, and cannot be blocked.")
    for record in records:
        if record.status in ("broken", "incompatible"):
            if strict:
                raise PluginError(f"{record}", remedy="(Strict mode makes this an error.)")
            _warn_once(f"{record}")
    return Plugins(manager, tuple(records), strict)


def _warn_once(text: str) -> None:
    """Warn about a plugin that is not loaded, once per process: each session loads plugins again."""
    if text not in _issued and log.isEnabledFor(logging.WARNING):
        _issued.add(text)
        log.warning("%s", text)


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _entry_points() -> Iterable[EntryPoint]:
    try:
        return entry_points(group=PROJECT)
    except Exception:
        log.debug("entry points cannot be read all at once", exc_info=True)
    # The metadata of some distribution, possibly unrelated, is damaged: read the others one by one.
    entries: dict[tuple[str, str], EntryPoint] = {}
    for distribution in distributions():
        for entry in _entry_points_of(distribution):
            entries.setdefault((distribution.name, entry.name), entry)
    return entries.values()


def _entry_points_of(distribution: Distribution) -> list[EntryPoint]:
    try:
        return [entry for entry in distribution.entry_points if entry.group == PROJECT]
    except Exception as error:
        log.warning("Entry points of %s cannot be read: %s", distribution.name, in_full(error))
        return []


def _load_built_in(manager: pluggy.PluginManager) -> list[PluginRecord]:
    for name, module in BUILT_IN.items():
        manager.register(importlib.import_module(module), name)
    return [PluginRecord(name, "loaded", _CORE, version(_CORE)) for name in BUILT_IN]


def _load_entry(
    manager: pluggy.PluginManager, name: str, entries: list[EntryPoint], blocked: set[str]
) -> PluginRecord:
    known = [_name_and_version(entry) for entry in entries]
    owners = [owner for owner, _ in known]
    distribution = ", ".join(owners)
    number = known[0][1] if len(owners) == 1 else ""
    if name in blocked:
        return PluginRecord(name, "blocked", distribution, number, "It was blocked by name.")
    if name in BUILT_IN:
        return PluginRecord(
            name,
            "incompatible",
            distribution,
            number,
            f"{_CORE} has a plugin of this name, so this one is not loaded.",
            f"Uninstall it: pip uninstall {' '.join(owners)}",
        )
    if len(owners) > 1:
        return PluginRecord(
            name,
            "incompatible",
            distribution,
            reason=f"{' and '.join(owners)} both provide a plugin of this name, so neither is loaded.",
            remedy=f"Uninstall one: pip uninstall {owners[-1]}",
        )
    record = PluginRecord(name, "loaded", distribution, number)
    try:
        plugin = entries[0].load()
    except PLUGIN_FAILURES as error:
        log.debug("plugin %s could not be imported", name, exc_info=True)
        return _broken(
            record,
            f"importing {entries[0].value} raised {in_full(error)}",
            f"Uninstall it, or reinstall it: {install_command(distribution, options='--force-reinstall')}",
        )
    return _register(manager, name, plugin, record)


def _register(
    manager: pluggy.PluginManager, name: str, plugin: object, record: PluginRecord
) -> PluginRecord:
    """Register `plugin`, or leave no trace of it; return the record of the outcome."""
    if not is_name(name.replace("_", "-").replace(".", "-")):
        wanted = "letters and digits, in groups joined by single hyphens, and not auto"
        return _broken(record, f"its name is {show(name)}; wanted {wanted}", "Tell its author.")
    if manager.has_plugin(name):
        return _broken(record, "A plugin of this name is loaded already.", "")
    try:
        if manager.is_registered(plugin):
            raise ValueError("it is loaded already, under another name")
        level = getattr(plugin, "ALLIN1_API", FIRST_LEVEL)
        if not isinstance(level, int) or isinstance(level, bool):
            raise TypeError(f"its ALLIN1_API is {show(level)}; wanted a whole number")
        problem = level_problem(level)
        if problem is not None:
            return replace(record, status="incompatible", reason=problem[0], remedy=problem[1])
        if level in DEPRECATED_LEVELS:
            log.warning("Plugin %s: %s", name, DEPRECATED_LEVELS[level])
        hash(
            plugin
        )  # pluggy needs it, and would otherwise fail much later, on every hook of every plugin
        manager.register(plugin, name)
        callers = manager.get_hookcallers(plugin) or []
        unknown = [c.name for c in callers if not c.has_spec() and not _is_optional(c, plugin)]
        if unknown:
            raise ValueError(f"it implements {', '.join(unknown)}, which this core does not know")
        if not callers:
            raise ValueError("it has no function that is marked with allin1_core.hookimpl")
    except PLUGIN_FAILURES as error:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        log.debug("plugin %s could not be registered", name, exc_info=True)
        return _broken(
            record,
            f"registering it failed: {in_full(error)}",
            "Install compatible versions of it and of allin1-core.",
        )
    return record


def _is_optional(caller: pluggy.HookCaller, plugin: object) -> bool:
    """Whether `plugin` marked its implementation ``hookimpl(optionalhook=True)``."""
    return all(i.optionalhook for i in caller.get_hookimpls() if i.plugin is plugin)


def _name_and_version(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution; its metadata may be damaged."""
    try:
        return (str(entry.dist.name), str(entry.dist.version)) if entry.dist else ("?", "")
    except Exception:
        return "?", ""


def _broken(record: PluginRecord, reason: str, remedy: str) -> PluginRecord:
    reason = reason[0].upper() + reason[1:].rstrip(".") + "."
    return replace(record, status="broken", reason=reason, remedy=remedy)
