"""Options that plugins declare, and the values that users give them."""

from __future__ import annotations

import pytest

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.options import Option
from allin1_core.errors import SettingsError
from allin1_core.plugins.collecting import collect_offers
from allin1_core.plugins.options import check_options, declared_options, options_of

BATCH = Option("batch", int, 4, "Segments at once")
GAIN = Option("gain", float, 1)
FUSED = Option("fused", bool, False)
KERNEL = Option("kernel", str)


def backend(name, *options, stage="spectrogram"):
    return Backend(name, stage, "somewhere:create", options=options)


@pytest.fixture
def check(isolated_plugins, make_plugin):
    """Check given options against two backends of the plugin ``mine`` and one without options."""
    plugins = isolated_plugins(
        block=("blocked",),
        mine=make_plugin(
            allin1_spectrogram=lambda: [backend("first", BATCH, GAIN)],
            allin1_nn=lambda: [backend("second", BATCH, FUSED, KERNEL, stage="nn")],
        ),
        plain=make_plugin(allin1_spectrogram=lambda: [backend("plain")]),
        blocked=make_plugin(allin1_nn=lambda: []),
    )
    offers = collect_offers(plugins)
    assert offers.problems == ()

    def run(plugin, name, value, source=""):
        values = check_options(offers, plugins, {(plugin, name): (value, source)})
        return {o.item.name: options_of(o.item, o.plugin.name, values) for o in offers.backends}

    return run


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch", "8", 8),
        ("batch", 8, 8),
        ("batch", " 8 ", 8),
        ("gain", "0.5", 0.5),
        ("gain", 2, 2.0),
        ("fused", "on", True),
        ("fused", "False", False),
        ("fused", True, True),
        ("kernel", "a=b.c", "a=b.c"),
        ("kernel", "", ""),
    ],
)
def test_values_are_converted_to_the_declared_type(check, name, value, expected):
    found = [options[name] for options in check("mine", name, value).values() if name in options]
    assert found
    for one in found:
        assert (one, type(one)) == (expected, type(expected))


def test_a_backend_gets_the_options_that_it_declares_with_defaults_for_the_rest(check):
    options = check("mine", "batch", 8)
    assert options["first"] == {"batch": 8, "gain": 1.0}
    assert isinstance(options["first"]["gain"], float)
    assert options["second"] == {"batch": 8, "fused": False, "kernel": None}
    assert options["plain"] == {}
    assert options["reference"] == {}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("batch", "many", "batch is 'many'; wanted a whole number."),
        ("batch", 1.5, "batch is 1.5; wanted a whole number."),
        ("batch", True, "batch is True; wanted a whole number."),
        ("batch", None, "batch is None; wanted a whole number."),
        ("gain", "nan", "gain is 'nan'; wanted a finite number."),
        ("gain", [1.0], "gain is [1.0]; wanted a finite number."),
        ("fused", "perhaps", "fused is 'perhaps'; wanted true or false."),
        ("fused", 1, "fused is 1; wanted true or false."),
        ("kernel", 5, "kernel is 5; wanted text."),
    ],
)
def test_a_value_of_another_type_is_an_error_that_says_what_was_wanted(check, name, value, wanted):
    with pytest.raises(SettingsError) as caught:
        check("mine", name, value)
    assert str(caught.value) == f"Option of plugin mine: {wanted}"
    with pytest.raises(SettingsError, match=r"set by /config\.toml"):
        check("mine", name, value, "/config.toml")


def test_an_unknown_option_is_an_error_that_names_those_there_are(check):
    with pytest.raises(SettingsError, match="Did you mean batch") as caught:
        check("mine", "bach", 8)
    assert "It has: batch, gain, fused, kernel." in caught.value.remedy
    with pytest.raises(SettingsError, match=r"has no option batch.*It has: none"):
        check("plain", "batch", 8)


def test_an_argument_for_a_plugin_that_is_not_loaded_is_an_error(check):
    with pytest.raises(SettingsError, match=r"no plugin mien.*Did you mean mine"):
        check("mien", "batch", 8)
    with pytest.raises(SettingsError, match="blocked"):
        check("blocked", "batch", 8)


def test_a_file_may_have_options_for_plugins_that_are_blocked_or_not_installed(check, caplog):
    caplog.set_level("WARNING", logger="allin1_core.plugins")
    assert check("blocked", "batch", 8, "config.toml")["first"]["batch"] == 4
    assert caplog.messages == []
    check("absent", "batch", 8, "config.toml")
    assert caplog.messages == ["config.toml has options for plugin absent, which is not installed."]


def test_an_option_that_two_backends_of_a_plugin_declare_has_one_type(
    isolated_plugins, make_plugin
):
    def nn():
        return [
            backend("odd", Option("batch", str), stage="nn"),
            backend("fine", BATCH, stage="nn"),
        ]

    plugins = isolated_plugins(
        mine=make_plugin(allin1_spectrogram=lambda: [backend("first", BATCH)], allin1_nn=nn),
        other=make_plugin(allin1_nn=lambda: [backend("own", Option("batch", str), stage="nn")]),
    )
    offers = collect_offers(plugins)
    names = {o.item.name for o in offers.backends if o.plugin.name != "reference"}
    assert names == {"first", "fine", "own"}
    (problem,) = offers.problems
    assert (problem.plugin, problem.hook) == ("mine", "allin1_nn")
    assert "Backend odd: option batch has another type" in problem.reason
    assert declared_options(offers, "mine") == {"batch": BATCH}


def test_a_backend_that_declares_an_option_twice_is_left_out(isolated_plugins, make_plugin):
    plugins = isolated_plugins(
        mine=make_plugin(allin1_nn=lambda: [backend("twice", BATCH, BATCH, stage="nn")])
    )
    (problem,) = collect_offers(plugins).problems
    assert "options[1].name is 'batch', which an earlier option already has" in problem.reason
