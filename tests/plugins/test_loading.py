from __future__ import annotations

import sys
import types

import pytest

from allin1_core import markers
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.model import ModelCard
from allin1_core.errors import PluginError, SelectionError
from allin1_core.markers import API_LEVEL, FIRST_LEVEL, SUPPORTED_LEVELS, hookimpl, level_problem
from allin1_core.plugins.collecting import collect_offers
from allin1_core.plugins.loading import BUILT_IN, load_plugins
from allin1_core.weights.find import find_card

# Warnings are the product here; each test looks at the records instead.


def record_of(plugins, name):
    return next(record for record in plugins.records if record.name == name)


def backend(name="mine", stage="spectrogram", **changes):
    return Backend(name=name, stage=stage, target="somewhere:create", **changes)


def test_the_reference_and_the_catalogue_are_plugins_like_any_other(isolated_plugins):
    plugins = isolated_plugins()
    assert [r.name for r in plugins.records] == list(BUILT_IN)
    offers = collect_offers(plugins)
    stages = {stage for o in offers.backends for stage in o.item.stages}
    assert stages == {"spectrogram", "nn", "metrical_prep", "metrical_dbn", "functional"}
    assert "harmonix-all" in offers.models
    assert offers.problems == ()


def test_a_plugin_is_loaded_and_its_backends_are_offered(isolated_plugins, make_plugin):
    plugins = isolated_plugins(mine=make_plugin(allin1_spectrogram=lambda: [backend()]))
    assert record_of(plugins, "mine").status == "loaded"
    names = [o.item.name for o in collect_offers(plugins).covering("spectrogram")]
    assert sorted(names) == ["mine", "reference", "reference-mix"]


def test_a_blocked_plugin_is_not_loaded(isolated_plugins, make_plugin):
    plugins = isolated_plugins(block=("mine",), mine=make_plugin(allin1_nn=lambda: []))
    assert record_of(plugins, "mine").status == "blocked"
    assert not plugins.manager.has_plugin("mine")


def test_the_environment_blocks_too(isolated_plugins, make_plugin, monkeypatch):
    monkeypatch.setenv("ALLIN1_BLOCK", "other, mine")
    plugins = load_plugins(extra={"mine": make_plugin(allin1_nn=lambda: [])}, autoload=False)
    assert record_of(plugins, "mine").status == "blocked"


def test_a_name_that_blocks_nothing_is_reported_once(isolated_plugins, caplog):
    for _ in range(2):
        isolated_plugins(block=("no-plugin-has-this-name", "harmonix"))
    assert [record.getMessage() for record in caplog.records] == [
        "No plugin named no-plugin-has-this-name is installed, so there is nothing to block.",
        "Plugin harmonix is part of the core, and cannot be blocked.",
    ]


def test_a_plugin_of_a_future_contract_is_incompatible(isolated_plugins, make_plugin):
    plugin = make_plugin(allin1_nn=lambda: [])
    plugin.ALLIN1_API = API_LEVEL + 1
    record = record_of(isolated_plugins(future=plugin), "future")
    assert record.status == "incompatible"
    assert f"level {API_LEVEL + 1}" in record.reason
    assert "--upgrade" in record.remedy


def test_what_says_nothing_is_of_the_first_level_which_this_core_takes(
    isolated_plugins, make_plugin
):
    assert FIRST_LEVEL == 1
    assert backend().api == FIRST_LEVEL
    assert FIRST_LEVEL in SUPPORTED_LEVELS
    assert level_problem(FIRST_LEVEL) is None
    plugin = make_plugin(allin1_nn=lambda: [])
    plugin.ALLIN1_API = 1
    assert record_of(isolated_plugins(mine=plugin), "mine").status == "loaded"


@pytest.mark.parametrize("plugin_or_backend", ["plugin", "backend"])
def test_levels_that_the_core_no_longer_takes_ask_for_a_newer_plugin(
    isolated_plugins, make_plugin, monkeypatch, plugin_or_backend
):
    monkeypatch.setattr(markers, "SUPPORTED_LEVELS", (2, 3))
    monkeypatch.setattr(markers, "API_LEVEL", 3)
    wanted = "It was written for level 1 of the plugin contract; this core supports 2 and 3."
    plugin = make_plugin(allin1_spectrogram=lambda: [backend()])
    if plugin_or_backend == "backend":
        plugin.ALLIN1_API = 2
    plugins = isolated_plugins(old=plugin)
    if plugin_or_backend == "plugin":
        record = record_of(plugins, "old")
        assert (record.status, record.reason) == ("incompatible", wanted)
        assert record.remedy == "Upgrade the plugin."
    else:
        (found,) = [o.item for o in collect_offers(plugins).backends if o.plugin.name == "old"]
        assert level_problem(found.api) == (wanted, "Upgrade the plugin.")


@pytest.mark.parametrize("level", ["1", 1.0, None, True])
def test_a_level_that_is_not_a_number_makes_a_plugin_broken(isolated_plugins, make_plugin, level):
    plugin = make_plugin(allin1_nn=lambda: [])
    plugin.ALLIN1_API = level
    record = record_of(isolated_plugins(odd=plugin), "odd")
    assert record.status == "broken"
    assert f"ALLIN1_API is {level!r}; wanted a whole number" in record.reason


def test_an_unknown_hook_that_is_marked_as_optional_is_ignored(isolated_plugins):
    class Newer:
        @hookimpl(optionalhook=True)
        def allin1_teleport(self, anything):
            raise AssertionError("nobody calls it")

        @hookimpl
        def allin1_spectrogram(self):
            return [backend("works")]

    plugins = isolated_plugins(newer=Newer())
    assert record_of(plugins, "newer").status == "loaded"
    assert "works" in [o.item.name for o in collect_offers(plugins).covering("spectrogram")]


@pytest.mark.parametrize("name", ["", "auto", "a/b", "a=b", "a,b", "two words", "-a"])
def test_a_plugin_whose_name_cannot_be_written_is_broken(isolated_plugins, make_plugin, name):
    plugins = isolated_plugins(**{name: make_plugin(allin1_nn=lambda: [backend("x", "nn")])})
    record = record_of(plugins, name)
    assert record.status == "broken"
    assert f"Its name is {name!r}" in record.reason
    assert "x" not in [o.item.name for o in collect_offers(plugins).covering("nn")]


def test_the_whole_message_of_pluggy_reaches_the_author(isolated_plugins, make_plugin):
    record = record_of(isolated_plugins(half=make_plugin(allin1_bridges=lambda banana: [])), "half")
    for part in ("PluginValidationError", "hook 'allin1_bridges'", "banana", "not be found"):
        assert part in record.reason
    assert "\n" not in record.reason


def test_sys_exit_in_a_hook_or_while_registering_is_the_plugins_failure(
    isolated_plugins, make_plugin
):
    class Leaving:
        def __getattr__(self, name):
            sys.exit(3)

    def leave():
        yield backend("first", "nn")
        sys.exit("no licence")

    plugins = isolated_plugins(leaving=Leaving(), late=make_plugin(allin1_nn=leave))
    assert record_of(plugins, "leaving").status == "broken"
    assert "SystemExit" in record_of(plugins, "leaving").reason
    offers = collect_offers(plugins)
    assert [o.item.name for o in offers.covering("nn")] == ["reference"]
    assert offers.problems[0].reason == "It raised SystemExit: no licence"


def test_ctrl_c_is_the_users_and_not_a_plugins_failure(isolated_plugins, make_plugin):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_offers(isolated_plugins(mine=make_plugin(allin1_nn=interrupted)))


def test_an_exception_that_cannot_say_what_it_is_is_survived(isolated_plugins, make_plugin):
    class Mute(Exception):
        def __str__(self):
            raise ValueError("not even this")

    def mute():
        raise Mute

    (problem,) = collect_offers(isolated_plugins(mine=make_plugin(allin1_nn=mute))).problems
    assert problem.reason == "It raised Mute"


def test_a_hook_that_the_core_does_not_know_makes_a_plugin_broken(isolated_plugins, make_plugin):
    plugins = isolated_plugins(odd=make_plugin(allin1_teleport=lambda: []))
    record = record_of(plugins, "odd")
    assert record.status == "broken"
    assert "allin1_teleport" in record.reason
    assert not plugins.manager.has_plugin("odd")


def test_a_hook_with_wrong_arguments_leaves_nothing_half_registered(isolated_plugins, make_plugin):
    plugin = make_plugin(
        allin1_nn=lambda: [backend("half", "nn")], allin1_bridges=lambda banana: []
    )
    plugins = isolated_plugins(half=plugin)
    assert record_of(plugins, "half").status == "broken"
    assert "half" not in [o.item.name for o in collect_offers(plugins).covering("nn")]


def test_an_object_without_hooks_is_not_a_plugin(isolated_plugins):
    record = record_of(isolated_plugins(empty=types.ModuleType("empty")), "empty")
    assert record.status == "broken"
    assert "hookimpl" in record.reason


def test_an_object_that_cannot_be_hashed_does_not_break_the_others(isolated_plugins):
    plugins = isolated_plugins(
        odd=types.SimpleNamespace(allin1_nn=hookimpl(lambda: [backend("odd", "nn")]))
    )
    assert record_of(plugins, "odd").status == "broken"
    assert collect_offers(plugins).problems == ()


def test_a_hook_that_raises_affects_only_that_hook(isolated_plugins, make_plugin):
    def raising():
        yield backend("first", "nn")
        raise RuntimeError("no driver")

    plugins = isolated_plugins(
        bad=make_plugin(allin1_nn=raising, allin1_spectrogram=lambda: [backend("kept")]),
        good=make_plugin(allin1_nn=lambda: [backend("good", "nn")]),
    )
    offers = collect_offers(plugins)
    assert "kept" in [o.item.name for o in offers.covering("spectrogram")]
    assert sorted(o.item.name for o in offers.covering("nn")) == ["good", "reference"]
    (problem,) = offers.problems
    assert (problem.plugin, problem.hook) == ("bad", "allin1_nn")
    assert "no driver" in problem.reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("a string", "is not a Backend"),
        (backend(stage="nn"), "declares stage nn"),
        (Backend("x", "spectrogram", "no colon"), "wanted 'package.module:name'"),
        (backend(probe=":check"), "wanted 'package.module:name'"),
        (backend(spans=("nn", "metrical_prep")), "does not begin at spectrogram"),
        (backend(spans=("spectrogram", "functional")), "are not consecutive"),
        (backend(takes="both"), "takes is 'both'; wanted one of stems, mix"),
    ],
)
def test_a_wrong_record_is_left_out_and_the_others_stay(
    isolated_plugins, make_plugin, record, reason
):
    plugins = isolated_plugins(
        mine=make_plugin(allin1_spectrogram=lambda: [record, backend("fine")])
    )
    offers = collect_offers(plugins)
    names = sorted(o.item.name for o in offers.covering("spectrogram"))
    assert names == ["fine", "reference", "reference-mix"]
    assert reason in offers.problems[0].reason


def test_backends_of_two_plugins_with_one_name_both_stay_with_their_plugins_names(
    isolated_plugins, make_plugin
):
    plugins = isolated_plugins(
        one=make_plugin(allin1_spectrogram=lambda: [backend("same"), backend("other")]),
        two=make_plugin(allin1_spectrogram=lambda: [backend("same")]),
    )
    offers = collect_offers(plugins)
    names = sorted(o.item.name for o in offers.covering("spectrogram"))
    assert names == ["one/same", "other", "reference", "reference-mix", "two/same"]
    assert offers.problems == ()


def test_models_of_two_plugins_with_one_name_both_stay(isolated_plugins, make_plugin):
    card = ModelCard("same", "A model", (), 0.1, "MIT", "here")
    plugins = isolated_plugins(
        one=make_plugin(allin1_models=lambda: [card]),
        two=make_plugin(allin1_models=lambda: [card]),
    )
    models = collect_offers(plugins).models
    assert [name for name in models if "same" in name] == ["one/same", "two/same"]
    cards = [offered.item for offered in models.values()]
    assert find_card("two/same", cards) is models["two/same"].item
    with pytest.raises(SelectionError, match=r"More than one.*Use one of one/same, two/same"):
        find_card("same", cards)


def test_a_plugin_that_offers_a_name_twice_keeps_the_first(isolated_plugins, make_plugin):
    records = [backend("same", summary="first"), backend("same", summary="second")]
    offers = collect_offers(isolated_plugins(one=make_plugin(allin1_spectrogram=lambda: records)))
    assert records[0] in [o.item for o in offers.covering("spectrogram")]
    assert records[1] not in [o.item for o in offers.covering("spectrogram")]
    (problem,) = offers.problems
    assert "another of this name" in problem.reason


def test_no_plugin_can_push_the_reference_out(isolated_plugins, make_plugin):
    plugins = isolated_plugins(bold=make_plugin(allin1_spectrogram=lambda: [backend("reference")]))
    offers = collect_offers(plugins)
    assert {o.plugin.name for o in offers.covering("spectrogram")} == {"reference"}
    (problem,) = offers.problems
    assert problem.plugin == "bold"
    assert problem.reason == "Backend reference: the name is reserved for the core."


def test_no_plugin_can_push_a_model_of_the_catalogue_out(isolated_plugins, make_plugin):
    card = ModelCard("harmonix-all", "Another", (), 0.1, "MIT", "here")
    offers = collect_offers(isolated_plugins(bold=make_plugin(allin1_models=lambda: [card])))
    assert offers.models["harmonix-all"].plugin.name == "harmonix"
    assert [p.plugin for p in offers.problems] == ["bold"]


def test_strictness_turns_a_broken_plugin_and_a_raising_hook_into_errors(
    isolated_plugins, make_plugin
):
    with pytest.raises(PluginError, match="allin1_teleport"):
        isolated_plugins(strict=True, odd=make_plugin(allin1_teleport=lambda: []))
    plugins = isolated_plugins(strict=True, bad=make_plugin(allin1_nn=lambda: 1 / 0))
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        collect_offers(plugins)


def test_strictness_does_not_mind_a_blocked_plugin(isolated_plugins, make_plugin):
    isolated_plugins(strict=True, block=("mine",), mine=make_plugin(allin1_nn=lambda: []))


def test_marking_works_on_methods_of_an_object(isolated_plugins):
    class Mine:
        @hookimpl
        def allin1_spectrogram(self):
            return [backend("by-method")]

    offers = collect_offers(isolated_plugins(mine=Mine()))
    assert "by-method" in [o.item.name for o in offers.covering("spectrogram")]
