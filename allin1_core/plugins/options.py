"""Values that the user set for options of plugins, checked against what the plugins declare."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.options import Option, OptionValue
from allin1_core.errors import SettingsError
from allin1_core.plugins.collecting import Offered, Offers
from allin1_core.plugins.loading import Plugins
from allin1_core.text import did_you_mean

log = logging.getLogger(__name__)

#: For each plugin and option name, the value and its source; the source of an argument is empty.
GivenOptions = Mapping[tuple[str, str], tuple[Any, str]]

#: For each plugin, values by name of the option.
OptionValues = Mapping[str, Mapping[str, OptionValue]]


def declared_options(offers: Offers, plugin: str) -> dict[str, Option]:
    """Options that the backends and executors of `plugin` declare, by name."""
    options: dict[str, Option] = {}
    declaring: list[Offered[Backend[Any]] | Offered[Executor]]
    declaring = [*offers.backends, *offers.executors.values()]
    for offered in declaring:
        if offered.plugin.name == plugin:
            for option in offered.item.options:
                options.setdefault(option.name, option)
    return options


def check_options(offers: Offers, plugins: Plugins, given: GivenOptions) -> OptionValues:
    """Convert the given values to the types that the plugins declare.

    Options in a file for a plugin that is not loaded are ignored, so that the file can be used everywhere, even if a
    plugin is blocked or not installed.

    Raises
    ------
    SettingsError
        A plugin or an option does not exist, or a value is of another type.
    """
    values: dict[str, dict[str, OptionValue]] = {}
    loaded = {record.name for record in plugins.records if record.status == "loaded"}
    for (plugin, name), (value, source) in given.items():
        by = f" (set by {source})" if source else ""
        if plugin not in loaded:
            _refuse_plugin(plugin, plugins, source)
            continue
        declared = declared_options(offers, plugin)
        if name not in declared:
            raise SettingsError(
                f"Plugin {plugin} has no option {name}{by}.",
                remedy=f"{did_you_mean(name, declared)}It has: {', '.join(declared) or 'none'}.",
            )
        try:
            values.setdefault(plugin, {})[name] = declared[name].read(value)
        except ValueError as error:
            raise SettingsError(f"Option of plugin {plugin}{by}: {error}") from error
    return values


def options_of_backends(offers: Offers, values: OptionValues) -> OptionValues:
    """The values of options that backends declare; those of executors do not affect results."""
    found: dict[str, dict[str, OptionValue]] = {}
    for offered in offers.backends:
        plugin = offered.plugin.name
        for option in offered.item.options:
            if option.name in (given := values.get(plugin, {})):
                found.setdefault(plugin, {})[option.name] = given[option.name]
    return found


def options_of(
    record: Backend[Any] | Executor, plugin: str, values: OptionValues
) -> dict[str, OptionValue]:
    """Values of the options that `record` declares: the user's, or else the defaults."""
    given = values.get(plugin, {})
    return {option.name: given.get(option.name, option.value) for option in record.options}


def _refuse_plugin(plugin: str, plugins: Plugins, source: str) -> None:
    """Raise an error if an argument names a plugin that is not loaded; warn if a file names an unknown plugin."""
    record = next((record for record in plugins.records if record.name == plugin), None)
    if not source:
        if record is not None:
            raise SettingsError(f"Options were given for a plugin that is not loaded. {record}")
        raise SettingsError(
            f"There is no plugin {plugin}, so it has no options.",
            remedy=did_you_mean(plugin, (r.name for r in plugins.records)).rstrip()
            or "See 'allin1 plugins'.",
        )
    if record is None:
        log.warning("%s has options for plugin %s, which is not installed.", source, plugin)
