"""The standard tests of all records of a plugin other than backends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from allin1_core.plugins.collecting import Offered, collect_commands, collect_offers
from allin1_core.testing.conformance.audio_loader import AudioLoaderConformance
from allin1_core.testing.conformance.command import CommandConformance
from allin1_core.testing.conformance.executor import ExecutorConformance
from allin1_core.testing.conformance.exporter import ExporterConformance
from allin1_core.testing.conformance.offered import load_alone
from allin1_core.testing.skipping import does_not_apply
from allin1_core.testing.verdicts import run_tests

#: For each kind of record, the class of its tests, and the attribute with the name of the record.
CLASSES: dict[str, tuple[type, str]] = {
    "audio loader": (AudioLoaderConformance, "loader"),
    "command": (CommandConformance, "command"),
    "executor": (ExecutorConformance, "executor"),
    "exporter": (ExporterConformance, "exporter"),
}

#: A test of the class, which is not needed for those created here.
WITHOUT = ("test_no_standard_test_is_missing",)


def tests_of_records(hooks: str, kinds: Iterable[str]) -> Iterator[tuple[str, type]]:
    """Create a class of tests for each record of these kinds, with a label such as ``exporter mine``."""
    plugins, plugin = load_alone(hooks)
    offers = collect_offers(plugins)
    offered: dict[str, Iterable[Offered[Any]]] = {
        "audio loader": offers.loaders,
        "command": collect_commands(plugins, ())[0].values(),
        "executor": offers.executors.values(),
        "exporter": offers.exporters.values(),
    }
    for kind in kinds:
        base, attribute = CLASSES[kind]
        for one in offered[kind]:
            if one.plugin.name == plugin:
                members = {"hooks": hooks, attribute: one.item.name}
                yield f"{kind} {one.item.name}", type(f"Test{base.__name__}", (base,), members)


def assert_records_keep_their_promises(hooks: str, kind: str) -> None:
    """Run the standard tests of every record of a kind; skip if there are none, or some cannot be run here."""
    verdicts = [
        verdict
        for subject, tests in tests_of_records(hooks, [kind])
        for verdict in run_tests(tests, subject, without=WITHOUT)
    ]
    if not verdicts:
        does_not_apply(f"it brings no {kind}")
    lines = {
        state: [f"{v.subject}: {v.promise}: {v.text}" for v in verdicts if v.state == state]
        for state in ("broken", "not checked")
    }
    assert not lines["broken"], "; ".join(lines["broken"])
    if lines["not checked"]:
        pytest.skip("; ".join(lines["not checked"]))
