"""Deprecations state their releases, and last long enough."""

from __future__ import annotations

import sys
from importlib.metadata import version
from types import ModuleType

import pluggy
import pytest

from allin1_core import markers
from allin1_core.deprecations import Allin1DeprecationWarning, Deprecation, moved_names

OLD = Deprecation("old_name", since="0.3", removed_in="0.5", instead="new_name")


def test_the_warning_names_both_releases_and_what_to_use() -> None:
    message = (
        "old_name is deprecated since allin1-core 0.3 and will be removed in 0.5; use new_name."
    )
    with pytest.warns(Allin1DeprecationWarning) as caught:
        OLD.warn(stacklevel=1)
    assert str(caught[0].message) == message
    assert caught[0].filename == __file__
    assert not OLD.is_due("0.4.2")
    assert OLD.is_due("0.5.0")


@pytest.mark.parametrize(("since", "removed_in"), [("0.3", "0.3"), ("0.3", "0.4"), ("1.2", "1.3")])
def test_a_removal_that_comes_too_soon_is_refused(since, removed_in) -> None:
    with pytest.raises(ValueError, match="less than 2 releases"):
        Deprecation("it", since=since, removed_in=removed_in, instead="that")


def test_a_name_that_moved_is_found_with_a_warning(monkeypatch) -> None:
    module = ModuleType("old_home")
    module.__getattr__ = moved_names("old_home", {"old_name": (OLD, "json:loads")})
    monkeypatch.setitem(sys.modules, "old_home", module)
    with pytest.warns(Allin1DeprecationWarning, match="removed in 0.5") as caught:
        from old_home import old_name
    assert old_name("1") == 1
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="module 'old_home' has no attribute 'other'"):
        _ = module.other


def test_a_plugin_of_a_deprecated_level_is_loaded_with_a_warning(
    isolated_plugins, make_plugin, monkeypatch, caplog
) -> None:
    level = Deprecation(
        "Level 1 of the plugin contract", "0.3", "0.5", "level 2 (docs/contract.md)"
    )
    monkeypatch.setitem(markers.DEPRECATED_LEVELS, 1, level)
    plugins = isolated_plugins(mine=make_plugin(allin1_nn=lambda: []))
    assert plugins.records[-1].status == "loaded"
    assert (
        "Plugin mine: Level 1 of the plugin contract is deprecated since allin1-core 0.3"
        in caplog.text
    )


def test_implementing_a_deprecated_hook_warns() -> None:
    marker = pluggy.HookspecMarker("allin1")

    class Specs:
        @marker(warn_on_impl=Allin1DeprecationWarning(str(OLD)))
        def allin1_old(self):
            """Go."""

    manager = pluggy.PluginManager("allin1")
    manager.add_hookspecs(Specs())
    plugin = ModuleType("plugin")
    plugin.allin1_old = markers.hookimpl(lambda: None)
    with pytest.warns(Allin1DeprecationWarning, match="removed in 0.5"):
        manager.register(plugin)


def test_no_level_is_kept_beyond_the_release_that_removes_it() -> None:
    for level, deprecation in markers.DEPRECATED_LEVELS.items():
        assert level in markers.SUPPORTED_LEVELS
        assert not deprecation.is_due(version("allin1-core"))
