from __future__ import annotations

import types

import pytest

from allin1_core.contracts.backend import Backend
from allin1_core.errors import PluginError
from allin1_core.markers import API_LEVEL, hookimpl
from allin1_core.plugins.collecting import collect_offers
from allin1_core.plugins.loading import BUILT_IN, load_plugins

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


def test_a_plugin_of_a_future_contract_is_incompatible(isolated_plugins, make_plugin):
    plugin = make_plugin(allin1_nn=lambda: [])
    plugin.ALLIN1_API = API_LEVEL + 1
    record = record_of(isolated_plugins(future=plugin), "future")
    assert record.status == "incompatible"
    assert f"level {API_LEVEL + 1}" in record.reason
    assert "--upgrade allin1-core" in record.remedy


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


def test_an_object_without_hooks_is_no_plugin(isolated_plugins):
    record = record_of(isolated_plugins(empty=types.ModuleType("empty")), "empty")
    assert record.status == "broken"
    assert "hookimpl" in record.reason


def test_an_object_that_cannot_be_hashed_does_not_break_the_others(isolated_plugins):
    plugins = isolated_plugins(
        odd=types.SimpleNamespace(allin1_nn=hookimpl(lambda: [backend("odd", "nn")]))
    )
    assert record_of(plugins, "odd").status == "broken"
    assert collect_offers(plugins).problems == ()


def test_a_hook_that_raises_costs_that_hook_alone(isolated_plugins, make_plugin):
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
        ("a string", "is no Backend"),
        (backend(stage="nn"), "says it is for stage nn"),
        (Backend("x", "spectrogram", "no colon"), "wanted 'package.module:name'"),
        (backend(probe=":check"), "wanted 'package.module:name'"),
        (backend(spans=("nn", "metrical_prep")), "does not begin at spectrogram"),
        (backend(spans=("spectrogram", "functional")), "do not follow"),
        (backend(takes="both"), "takes 'both'; wanted stems or mix"),
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


def test_two_backends_of_one_name_are_both_left_out(isolated_plugins, make_plugin):
    plugins = isolated_plugins(
        one=make_plugin(allin1_spectrogram=lambda: [backend("same")]),
        two=make_plugin(allin1_spectrogram=lambda: [backend("same")]),
    )
    offers = collect_offers(plugins)
    names = [o.item.name for o in offers.covering("spectrogram")]
    assert names == ["reference", "reference-mix"]
    assert {p.plugin for p in offers.problems} == {"one", "two"}


def test_no_plugin_can_push_the_reference_out(isolated_plugins, make_plugin):
    plugins = isolated_plugins(bold=make_plugin(allin1_spectrogram=lambda: [backend("reference")]))
    offers = collect_offers(plugins)
    assert {o.plugin.name for o in offers.covering("spectrogram")} == {"reference"}
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
