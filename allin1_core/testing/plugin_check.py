"""A verdict for each promise of a plugin: the standard tests of everything that it provides, and backend timings."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

import pytest

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.route import USUAL_AUDIO_S
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import Stage, Task
from allin1_core.errors import PLUGIN_FAILURES, PluginError, in_full
from allin1_core.markers import PROJECT
from allin1_core.measuring.backends import LENGTHS, generate
from allin1_core.measuring.stopwatch import separate, time_backend
from allin1_core.plugins.collecting import collect_commands, collect_offers
from allin1_core.plugins.loading import BUILT_IN, Plugins, load_plugins
from allin1_core.runtime.backends import create, wait_for
from allin1_core.runtime.moving import cross
from allin1_core.selection.cost import estimate
from allin1_core.testing.conformance import (
    BackendConformance,
    DemixConformance,
    FunctionalConformance,
    MetricalDbnConformance,
    MetricalPrepConformance,
    MixSpectrogramConformance,
    NnConformance,
    PluginConformance,
    SpectrogramConformance,
)
from allin1_core.testing.conformance.records import CLASSES as RECORDS
from allin1_core.testing.conformance.records import tests_of_records
from allin1_core.testing.examining import import_time, load_hooks
from allin1_core.testing.verdicts import PromiseVerdict, run_tests, words_of
from allin1_core.text import did_you_mean

#: The standard tests of a backend that ends with a stage.
CLASSES: dict[Stage, type[BackendConformance]] = {
    "demix": DemixConformance,
    "spectrogram": SpectrogramConformance,
    "nn": NnConformance,
    "metrical_prep": MetricalPrepConformance,
    "metrical_dbn": MetricalDbnConformance,
    "functional": FunctionalConformance,
}

#: A declared speed is wrong if the time for three minutes of audio differs by more than this factor,
MOST_RATIO = 10.0

#: and by more than this number of seconds.
LEAST_DIFFERENCE_S = 0.5


def check_installed(
    name: str, plugins: Plugins, *, taken: Collection[str] = (), measure: bool = True
) -> Iterator[PromiseVerdict]:
    """Check all promises of an installed plugin.

    Parameters
    ----------
    name
        Name of the plugin.
    plugins
        The installed plugins.
    taken
        Names that commands of plugins must not have.
    measure
        Whether backends are timed, and compared with the speed that they declare.

    Raises
    ------
    PluginError
        There is no such plugin, or it is the core's own.
    """
    record = next((record for record in plugins.records if record.name == name), None)
    if record is None:
        names = [record.name for record in plugins.records]
        raise PluginError(
            f"There is no plugin {name}.",
            remedy=did_you_mean(name, names).rstrip() or "See 'allin1 plugins'.",
        )
    if name in BUILT_IN:
        raise PluginError(f"Plugin {name} is the core's, which has tests of its own.")
    if record.status != "loaded":
        reason = f"{record.reason} {record.remedy}".strip()
        yield PromiseVerdict("plugin", "it is loaded", "broken", reason)
        return
    (point,) = (point for point in entry_points(group=PROJECT) if point.name == name)
    _, problems = collect_commands(plugins, taken)
    for problem in problems:
        if problem.plugin == name:
            yield PromiseVerdict("plugin", "its commands can be called", "broken", problem.reason)
    yield from check_plugin(point.value, measure=measure)


def check_plugin(hooks: str, *, measure: bool = True) -> Iterator[PromiseVerdict]:
    """Check all promises of a plugin.

    Parameters
    ----------
    hooks
        Value of its entry point: ``package.module``, or ``package.module:object``.
    measure
        Whether backends are timed, and compared with the speed that they declare.
    """
    whole = type("TestPlugin", (PluginConformance,), {"hooks": hooks})
    for verdict in run_tests(whole, "plugin", without=(*_OF_THE_PLUGIN, *_OF_RECORDS)):
        if verdict.promise == words_of("test_importing_it_is_fast") and verdict.state == "kept":
            verdict = replace(verdict, text=f"{1000 * import_time(hooks):.1f} ms")
        yield verdict
    plugins = _alone(hooks)
    if plugins is None:
        return
    offers = collect_offers(plugins)
    for offered in offers.backends:
        if offered.plugin.name == _NAME:
            yield from _check_backend(hooks, offered.item, measure=measure)
    for subject, tests in tests_of_records(hooks, RECORDS):
        yield from run_tests(tests, subject, without=_OF_THE_PLUGIN)


def _check_backend(hooks: str, backend: Backend[Any], *, measure: bool) -> Iterator[PromiseVerdict]:
    base = CLASSES[backend.stages[-1]]
    if backend.stages == ("spectrogram",) and backend.takes == "mix":
        base = MixSpectrogramConformance
    members = {"hooks": hooks, "backend": backend.name, "strict": False, "seeded": None}
    kind = type("TestBackend", (base,), members)
    subject = f"{'+'.join(backend.stages)}={backend.name}"
    broken = False
    for verdict in run_tests(kind, subject, without=_OF_THE_PLUGIN):
        broken = broken or verdict.state == "broken"
        yield verdict
    if measure:
        yield _skipped(subject) if broken else _measure(kind(), subject)


def _skipped(subject: str) -> PromiseVerdict:
    return PromiseVerdict(
        subject, _SPEED, "not checked", "it is measured once its other promises are kept"
    )


def _measure(test: BackendConformance, subject: str) -> PromiseVerdict:
    """Time a backend on two lengths of audio, and compare the result with its declared speed."""
    try:
        record, device = test.ready()
        way, home = (
            test.bridges().way(HOST, record.consumes),
            test.bridges().way(record.produces, HOST),
        )
        setup = test.setup(device)
        inputs = [
            generate(record.stage, length, record.takes, len(setup.labels)) for length in LENGTHS
        ]
        short, long = (cross(data, way, device) for data in inputs)

        def run(call: Any, data: Any) -> None:
            output = call(data, Task())
            wait_for(call)
            if home and not hasattr(call, "synchronize"):
                cross(output, home, HOST.device)

        times = time_backend(lambda: create(record, setup), short, long, run)
    except pytest.skip.Exception as skipped:
        return PromiseVerdict(subject, _SPEED, "not checked", str(skipped))
    except PLUGIN_FAILURES as error:
        return PromiseVerdict(
            subject, _SPEED, "broken", f"while it was timed it raised {in_full(error)}"
        )
    setup_s, rate, _ = separate(times, *LENGTHS)
    members = None if setup.model is None else len(setup.model.members)
    return _judge_speed(subject, record, setup_s, rate, members)


def _judge_speed(
    subject: str, record: Backend[Any], setup_s: float, rate: float, members: int | None
) -> PromiseVerdict:
    """Compare the measured with the declared speed."""
    measured_s = setup_s + rate * USUAL_AUDIO_S
    found = f"set-up {setup_s:.3g} s, {1000 * rate:.3g} ms for a second of audio"
    if not record.speed:
        of = "" if members is None else f", members={members}"
        return PromiseVerdict(
            subject,
            _SPEED,
            "not checked",
            f"{found}; it declares none, so that auto takes it last: declare"
            f' Speed("{record.device}", {setup_s:.2g}, {rate:.2g}, "machine, date"{of})',
        )
    declared_s, _ = estimate(record, USUAL_AUDIO_S, members=members)
    ratio = max(declared_s, measured_s) / max(min(declared_s, measured_s), 1e-9)
    if ratio > MOST_RATIO and abs(declared_s - measured_s) > LEAST_DIFFERENCE_S:
        return PromiseVerdict(
            subject,
            _SPEED,
            "broken",
            f"three minutes of audio took {measured_s:.3g} s ({found}), and it declares"
            f" {declared_s:.3g} s: measure it by 'allin1 bench', and declare that",
        )
    return PromiseVerdict(subject, _SPEED, "kept", found)


#: Name that plugins are loaded under here.
_NAME = "under-test"

_SPEED = "its speed is as declared"

#: Tests that the tests of the plugin include already, or that concern subclasses.
_OF_THE_PLUGIN = (
    "test_declaring_it_imports_nothing_heavy",
    "test_no_standard_test_is_missing",
)

#: Tests that run those of other classes, which get separate verdicts here.
_OF_RECORDS = tuple(f"test_its_{kind.replace(' ', '_')}s_keep_their_promises" for kind in RECORDS)


def _alone(hooks: str) -> Plugins | None:
    """The plugin together with the core's own; None if it cannot be loaded."""
    try:
        plugins = load_plugins(extra={_NAME: load_hooks(hooks)}, autoload=False, strict=False)
    except PLUGIN_FAILURES:
        return None
    return plugins if plugins.manager.has_plugin(_NAME) else None
