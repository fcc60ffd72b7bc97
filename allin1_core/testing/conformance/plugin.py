"""Conformance of a plugin as a whole."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from allin1_core.contracts.rules import show
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.verdict import Ready
from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, in_full
from allin1_core.io.results import save_result, to_json
from allin1_core.io.stems import StemFiles, read_stems
from allin1_core.markers import PROJECT
from allin1_core.plugins.collecting import Offers, collect_commands, collect_offers
from allin1_core.plugins.loading import BUILT_IN, Plugins, load_plugins
from allin1_core.runtime.found_stems import StemPlugins
from allin1_core.runtime.moving import cross, lies_in, space_of
from allin1_core.runtime.postprocessing import find_result_fault
from allin1_core.runtime.session import Session
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.probing import Probes, check_needs
from allin1_core.testing.conformance.backend import (
    assert_none_is_overridden,
    imports_heavy,
    prints,
)
from allin1_core.testing.conformance.offered import load_alone
from allin1_core.testing.conformance.records import assert_records_keep_their_promises
from allin1_core.testing.conformance.running import ALL_IN_ONE
from allin1_core.testing.examining import (
    MOST_IMPORT_S,
    examine_import,
    examine_targets,
    import_time,
)
from allin1_core.testing.results import EXAMPLE_RECORD, example_result
from allin1_core.testing.skipping import does_not_apply
from allin1_core.testing.watching import printed
from allin1_core.weights.load import load_model

#: Hooks that observe a run, and the hook for results that were written.
_OBSERVERS = ("allin1_stage_finished", "allin1_track_finished")
_WRITTEN = "allin1_result_written"


class PluginConformance:
    """Requirements for every plugin.

    Attributes
    ----------
    hooks
        Value of the entry point: the hooks module.
    heavy
        Modules besides :data:`~allin1_core.testing.examining.HEAVY` that importing the hooks must not import.
    most_import_s
        Maximum import time of the hooks in seconds, without the modules of the core.
    """

    hooks: ClassVar[str]
    heavy: ClassVar[tuple[str, ...]] = ()
    most_import_s: ClassVar[float] = MOST_IMPORT_S

    # What a plugin's tests may override.

    def song_with_stems(self, folder: Path) -> Path | None:
        """Write a song, and stems that the plugin finds for it, to an empty folder; None if that is not possible."""
        return None

    # Helpers.

    def plugins(self) -> tuple[Plugins, str]:
        """Load the plugin together with the core's own, and return these and the name that it is loaded under."""
        return load_alone(self.hooks)

    def offers(self) -> Offers:
        """Everything that the plugin and the core provide."""
        return collect_offers(self.plugins()[0])

    # The tests.

    def test_its_entry_point_leads_to_its_hooks(self) -> None:
        if self.hooks in BUILT_IN.values():
            pytest.skip("a plugin of the core has no entry point")
        found = [point for point in entry_points(group=PROJECT) if point.value == self.hooks]
        assert found, (
            f"no entry point of the group {PROJECT} names {self.hooks}: add it to pyproject.toml,"
            f' [project.entry-points.{PROJECT}] mine = "{self.hooks}", and install the distribution'
        )

    def test_it_is_loaded_and_nothing_is_left_out(self) -> None:
        plugins, name = self.plugins()
        record = next(record for record in plugins.records if record.name == name)
        assert record.status == "loaded", f"{record.reason} {record.remedy}"
        _, of_commands = collect_commands(plugins, ())
        found = (*collect_offers(plugins).problems, *of_commands)
        problems = [one for one in found if one.plugin == name]
        assert not problems, " ".join(f"hook {one.hook}: {one.reason}" for one in problems)

    def test_importing_it_is_fast(self) -> None:
        report = examine_import(self.hooks, self.heavy)
        assert not report.error, f"importing {self.hooks} raised {report.error}"
        seconds = import_time(self.hooks, self.most_import_s)
        assert seconds <= self.most_import_s, (
            f"importing {self.hooks} takes {seconds:.2f} s, and every command imports it:"
            f" leave the work to the target (at most {self.most_import_s:g} s)"
        )

    def test_declaring_it_imports_no_array_library(self) -> None:
        report = examine_import(self.hooks, self.heavy)
        assert not report.heavy, imports_heavy(self.hooks, report.heavy)

    def test_importing_its_hooks_prints_nothing(self) -> None:
        text = examine_import(self.hooks, self.heavy).printed
        assert not text, prints(text)

    def test_what_its_records_point_to_exists(self) -> None:
        report = examine_targets(self.hooks)
        assert not report.faults, "; ".join(report.faults)
        if report.missing and not report.faults:
            # All targets that could be checked exist.
            pytest.skip("; ".join(report.missing))

    def test_importing_what_it_points_to_prints_nothing(self) -> None:
        text = examine_targets(self.hooks).printed
        assert not text, prints(text)

    def test_its_models_can_be_run_and_read(self) -> None:
        offers, name = self._own()
        cards = [offered.item for offered in offers.models.values() if offered.plugin.name == name]
        if not cards:
            does_not_apply("it brings no model")
        for card in cards:
            known = any(
                fnmatchcase(card.architecture, pattern)
                for offered in offers.covering("nn")
                for pattern in offered.item.models
                # What runs everything was written for All-In-One, or belongs to this plugin.
                if pattern != "*" or name == offered.plugin.name or card.architecture == ALL_IN_ONE
            )
            assert known, (
                f"no backend of the stage nn runs the architecture {card.architecture} of model"
                f" {card.name}: offer one, whose models name it"
            )
            if card.files and all(file.package for file in card.files):
                load_model(card, download=False)

    def test_bridges_lead_there_and_back(self) -> None:
        network = BridgeNetwork(self.offers().bridges)
        spaces = self._spaces()
        if not spaces:
            does_not_apply("all its arrays are NumPy's")
        for space in spaces:
            for source, destination in ((HOST, space), (space, HOST)):
                assert network.between(source, destination) is not None, (
                    f"no bridge leads from {source} to {destination}:"
                    " declare one by the hook allin1_bridges"
                )

    def test_bridges_keep_values(self) -> None:
        if not self._spaces():
            does_not_apply("all its arrays are NumPy's")
        network = BridgeNetwork(self.offers().bridges)
        tried = False
        for space, device in self._devices():
            there, back = network.way(HOST, space), network.way(space, HOST)
            for name, array in _arrays():
                before = array.copy()
                record = _Record(array)
                moved = cross(record, there, device)
                assert lies_in(moved.array, space), (
                    f"the bridge to {space} gives an array in {space_of(moved.array)}"
                )
                home = cross(moved, back, HOST.device).array
                same = home.dtype == before.dtype and np.array_equal(home, before)
                assert same, (
                    f"{name}: over the bridges to {space} and back it becomes another array"
                    f" ({home.dtype} {home.shape}): change neither values, shape nor type"
                )
                assert np.array_equal(array, before), f"{name}: the bridge writes to its input"
                tried = True
        if not tried:
            pytest.skip("none of its devices is here")

    def test_postprocessing_gives_a_result_or_none(self) -> None:
        hook = self._hook("allin1_postprocess_result")
        for kind in ({}, {"beats": False}, {"sections": False}):
            result = example_result(**kind)
            before = copy.deepcopy(result)
            answers = _called(hook, track="example", result=result)
            if not answers:
                assert to_json(result) == to_json(before), (
                    "it changes the result that it was given, and returns nothing:"
                    " return a new one (dataclasses.replace)"
                )
            for answer in answers:
                fault = find_result_fault(answer)
                assert fault is None, f"allin1_postprocess_result: {fault}"

    def test_observers_raise_nothing_and_print_nothing(self) -> None:
        calls: tuple[tuple[str, dict[str, Any]], ...] = (
            ("allin1_stage_finished", {"track": "example", "record": EXAMPLE_RECORD}),
            (
                "allin1_track_finished",
                {"track": "example", "result": example_result(), "error": None},
            ),
            (
                "allin1_track_finished",
                {"track": "example", "result": None, "error": ValueError("no audio")},
            ),
        )
        plugins, name = self.plugins()
        own = {hook for hook in (*_OBSERVERS, _WRITTEN) if _implements(plugins, name, hook)}
        if not own:
            does_not_apply("it observes nothing")
        with printed() as texts, tempfile.TemporaryDirectory() as folder:
            for hook, arguments in calls:
                if hook in own:
                    _called(plugins.hook_of(name, hook), **arguments)
            if _WRITTEN in own:
                result = example_result()
                path = save_result(result, Path(folder), "example")
                written = {"track": "example", "result": result, "path": path}
                _called(plugins.hook_of(name, _WRITTEN), **written, folder=Path(folder))
        assert not texts, prints(texts[0])

    def test_songs_without_stems_have_none(self) -> None:
        hook = self._hook("allin1_find_stems")
        with tempfile.TemporaryDirectory() as folder:
            for name in ("example.wav", "no suffix", "[a] {b} é.wav"):
                song = Path(folder) / name
                song.touch()
                found = _called(hook, song=song, track="example")
                assert found in ([], [None]), (
                    "allin1_find_stems gives stems of a song that has none: return None"
                )

    def test_stems_that_it_finds_can_be_read(self) -> None:
        self._hook("allin1_find_stems")
        with tempfile.TemporaryDirectory() as folder:
            song = self.song_with_stems(Path(folder))
            if song is None:
                pytest.skip(
                    "the kit does not know where it looks for stems: in the tests of the plugin, override"
                    " song_with_stems() in a subclass of PluginConformance"
                )
            found, warnings = StemPlugins(self.plugins()[0]).find(song, "example")
            assert found, " ".join(warnings) or f"it finds no stems of {song.name}"
            try:
                if isinstance(found.start, StemFiles):
                    read_stems(found.start)
                else:
                    found.start.read()
            except Allin1Error as error:
                pytest.fail(f"what it finds of {song.name} cannot be read: {error}")

    def test_it_chooses_among_the_routes_that_there_are(self) -> None:
        hook = self._hook("allin1_select_route")
        with Session("builtin", plugins=load_plugins(autoload=False), cache=False) as session:
            for seconds in (0.01, 180.0, 36_000.0):
                decision = session.explain(seconds)
                request, routes = decision.request, decision.routes
                for answer in _called(hook, request=request, routes=routes):
                    assert answer is None or answer in routes, (
                        f"allin1_select_route gives {show(answer)}, which is none of the routes that"
                        " it was given: return one of them, or None"
                    )

    def test_its_audio_loaders_keep_their_promises(self) -> None:
        assert_records_keep_their_promises(self.hooks, "audio loader")

    def test_its_commands_keep_their_promises(self) -> None:
        assert_records_keep_their_promises(self.hooks, "command")

    def test_its_executors_keep_their_promises(self) -> None:
        assert_records_keep_their_promises(self.hooks, "executor")

    def test_its_exporters_keep_their_promises(self) -> None:
        assert_records_keep_their_promises(self.hooks, "exporter")

    def test_no_standard_test_is_missing(self) -> None:
        assert_none_is_overridden(type(self))

    # Helpers.

    def _hook(self, hook: str) -> Any:
        plugins, name = self.plugins()
        if not _implements(plugins, name, hook):
            does_not_apply(f"it does not implement {hook}")
        return plugins.hook_of(name, hook)

    def _own(self) -> tuple[Offers, str]:
        plugins, name = self.plugins()
        return collect_offers(plugins), name

    def _spaces(self) -> list[Space]:
        """Spaces other than NumPy's that the plugin's backends and bridges use."""
        offers, name = self._own()
        backends = [o.item for o in offers.backends if o.plugin.name == name]
        bridges = [o.item for o in offers.offered_bridges if o.plugin.name == name]
        named = {space for one in backends for space in (one.consumes, one.produces)}
        named |= {space for one in bridges for space in (one.source, one.destination)}
        return sorted(named - {HOST})

    def _devices(self) -> Iterator[tuple[Space, str]]:
        """Those of these spaces that are available here, with the name of a device."""
        offers, name = self._own()
        probes = Probes()
        for space in self._spaces():
            backends = [
                o.item
                for o in offers.backends
                if o.plugin.name == name and space in (o.item.consumes, o.item.produces)
            ]
            for backend in backends:
                verdict = check_needs(backend.needs) or probes.verdict(backend)
                if isinstance(verdict, Ready):
                    is_there = verdict.device.partition(":")[0] == space.device
                    yield space, verdict.device if is_there else space.device
                    break
            else:
                if not backends:
                    yield space, space.device


@dataclass(frozen=True)
class _Record:
    """A record with one array, for bridges."""

    ARRAYS: ClassVar[tuple[str, ...]] = ("array",)

    array: Any


def _implements(plugins: Plugins, name: str, hook: str) -> bool:
    caller = getattr(plugins.manager.hook, hook)
    return any(one.plugin_name == name for one in caller.get_hookimpls())


def _called(hook: Any, **arguments: Any) -> list[Any]:
    try:
        answers = hook(**arguments)
    except PLUGIN_FAILURES as error:
        pytest.fail(f"{hook.name} raised {in_full(error)}: let it deal with every track")
    return answers if isinstance(answers, list) else [answers]


def _arrays() -> Iterator[tuple[str, Any]]:
    """NumPy arrays of every type and layout that records may contain."""
    plain = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    yield "float32", plain
    yield "read-only", _locked(plain)
    yield "strided", plain[..., ::2]
    yield "reversed", plain[:, ::-1]
    yield "transposed", plain.T
    yield "one number", plain[:1, :1, :1]
    yield "infinity", np.array([np.inf, -np.inf, 0.0], np.float32)
    yield "int64", np.arange(5)


def _locked(array: Any) -> Any:
    array = array.copy()
    array.setflags(write=False)
    return array
