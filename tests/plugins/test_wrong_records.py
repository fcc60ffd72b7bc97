"""Only records with an invalid field are left out, with a reason, and all commands continue to work."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from unittest import mock

import pytest

from allin1_core.cli.main import run
from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.export import Exporter
from allin1_core.contracts.model import ModelCard, SeparatorCard, WeightsFile
from allin1_core.contracts.options import Option
from allin1_core.contracts.parity import Parity, close
from allin1_core.contracts.rules import find_fault, show
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.plugins import loading
from allin1_core.plugins.collecting import collect_offers

SPEED = Speed("cpu", 0.1, 0.01, "a test")
FILE = WeightsFile("mine.npz", "0" * 64, 10, ("https://example.org/mine.npz",))
GOOD = {
    Backend: Backend("mine", "spectrogram", "somewhere:create", speed=(SPEED,)),
    Bridge: Bridge(HOST, Space("arrays", "npu"), "somewhere:upload"),
    ModelCard: ModelCard("mine", "A model", (FILE,), 0.1, "MIT", "somewhere"),
    SeparatorCard: SeparatorCard("mine", "A separator", (FILE,), "MIT", "somewhere"),
    Exporter: Exporter("mine", ".mine", "A format", "somewhere:write"),
    Executor: Executor("mine", "Some machines", "somewhere:create"),
}
HOOKS = {
    Backend: "allin1_spectrogram",
    Bridge: "allin1_bridges",
    ModelCard: "allin1_models",
    SeparatorCard: "allin1_separators",
    Exporter: "allin1_exporters",
    Executor: "allin1_executors",
}


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no words")


class Subclass(Backend):
    @property
    def stages(self):
        raise OSError("no stages today")


def speed(**changes):
    return (dataclasses.replace(SPEED, **changes),)


def write(songs, file):
    raise AssertionError("nobody calls it")


def file(**changes):
    return (dataclasses.replace(FILE, **changes),)


# A kind of record, the field that is wrong, its value, and where the reason says it is where that is deeper.
WRONG = [
    (Backend, "name", None),
    (Backend, "name", ""),
    (Backend, "name", "auto"),
    (Backend, "name", "torch_cpu"),
    (Backend, "name", "-torch"),
    (Backend, "name", "torch--cpu"),
    (Backend, "name", "torch cpu\n"),
    (Backend, "name", "one/mine"),
    (Backend, "name", 5),
    (Backend, "name", Unprintable()),
    (Backend, "stage", "spektrogram"),
    (Backend, "stage", None),
    (Backend, "stage", ["spectrogram"]),
    (Backend, "target", print),
    (Backend, "target", "no_colon"),
    (Backend, "target", ":create"),
    (Backend, "target", None),
    (Backend, "summary", None),
    (Backend, "summary", "two\nlines"),
    (Backend, "summary", "\ud800"),
    (Backend, "consumes", "numpy"),
    (Backend, "consumes", None),
    (Backend, "produces", ("numpy", "cpu")),
    (Backend, "produces", Space("numpy", 0), "produces.device"),
    (Backend, "produces", Space("", "cpu"), "produces.library"),
    (Backend, "needs", None),
    (Backend, "needs", ("scipy",)),
    (Backend, "needs", Needs(requires=["scipy>>1"]), "needs.requires"),
    (Backend, "needs", Needs(requires=("scipy>>1",)), "needs.requires[0]"),
    (Backend, "needs", Needs(requires=("numpy", None)), "needs.requires[1]"),
    (Backend, "needs", Needs(requires=("numpy; os_name ~= 'x'",)), "needs.requires[0]"),
    (Backend, "needs", Needs(platforms="linux"), "needs.platforms"),
    (Backend, "needs", Needs(remedy=None), "needs.remedy"),
    (Backend, "probe", len),
    (Backend, "probe", ""),
    (Backend, "parity", "close"),
    (Backend, "parity", close),
    (Backend, "parity", Parity("near"), "parity.level"),
    (Backend, "parity", Parity(["close"]), "parity.level"),
    (Backend, "parity", close("1e-6"), "parity.tolerance"),
    (Backend, "parity", close(-1e-6), "parity.tolerance"),
    (Backend, "parity", close(math.nan), "parity.tolerance"),
    (Backend, "speed", SPEED),
    (Backend, "speed", None),
    (Backend, "speed", [SPEED]),
    (Backend, "speed", ("cpu", 0.1, 0.01), "speed[0]"),
    (Backend, "speed", speed(rate=-1.0), "speed[0].rate"),
    (Backend, "speed", speed(rate=math.nan), "speed[0].rate"),
    (Backend, "speed", speed(setup_s=math.inf), "speed[0].setup_s"),
    (Backend, "speed", speed(setup_s="fast"), "speed[0].setup_s"),
    (Backend, "speed", speed(setup_s=10**400), "speed[0].setup_s"),
    (Backend, "speed", speed(device=None), "speed[0].device"),
    (Backend, "speed", speed(measured=None), "speed[0].measured"),
    (Backend, "speed", speed(members=0), "speed[0].members"),
    (Backend, "models", "*"),
    (Backend, "models", (None,), "models[0]"),
    (Backend, "spans", "spectrogram"),
    (Backend, "spans", ("spectrogram", "network"), "spans[1]"),
    (Backend, "opt_in", "yes"),
    (Backend, "api", "1"),
    (Backend, "api", 0),
    (Backend, "api", True),
    (Backend, "options", Option("batch", int)),
    (Backend, "options", {"batch": 4}),
    (Backend, "options", ("batch",), "options[0]"),
    (Backend, "options", (Option("a b", int),), "options[0].name"),
    (Backend, "options", (Option("batch", "int"),), "options[0].type"),
    (Backend, "options", (Option("batch", list),), "options[0].type"),
    (Backend, "options", (Option("batch", int, [4]),), "options[0].default"),
    (Backend, "options", (Option("batch", int, "4"),), "options[0].default"),
    (Backend, "options", (Option("batch", int, True),), "options[0].default"),
    (Backend, "options", (Option("gain", float, math.nan),), "options[0].default"),
    (Backend, "options", (Option("gain", str, 1.0),), "options[0].default"),
    (Backend, "options", (Option("batch", int, 4, None),), "options[0].help"),
    (Bridge, "source", "numpy"),
    (Bridge, "destination", None),
    (Bridge, "target", min),
    (Bridge, "bytes_per_second", 0.0),
    (Bridge, "bytes_per_second", "fast"),
    (Bridge, "latency_s", -1.0),
    (Bridge, "latency_s", math.nan),
    (ModelCard, "name", None),
    (ModelCard, "name", "auto"),
    (ModelCard, "summary", 1),
    (ModelCard, "files", ("mine.npz",), "files[0]"),
    (ModelCard, "files", "mine.npz"),
    (ModelCard, "files", None),
    (ModelCard, "files", file(name="../mine.npz"), "files[0].name"),
    (ModelCard, "files", file(name=None), "files[0].name"),
    (ModelCard, "files", file(sha256="abc"), "files[0].sha256"),
    (ModelCard, "files", file(size=-1), "files[0].size"),
    (ModelCard, "files", file(size=None), "files[0].size"),
    (ModelCard, "files", file(urls="https://example.org"), "files[0].urls"),
    (ModelCard, "downbeat_threshold", None),
    (ModelCard, "downbeat_threshold", math.nan),
    (ModelCard, "downbeat_threshold", 2.0),
    (ModelCard, "licence", None),
    (ModelCard, "source", b"bytes"),
    (ModelCard, "architecture", None),
    (ModelCard, "outputs", "beats"),
    (ModelCard, "outputs", ()),
    (ModelCard, "outputs", ("chords",)),
    (ModelCard, "context_frames", -1),
    (ModelCard, "context_frames", 0.5),
    (SeparatorCard, "name", ""),
    (SeparatorCard, "files", ("mine.npz",), "files[0]"),
    (SeparatorCard, "files", file(sha256="abc"), "files[0].sha256"),
    (SeparatorCard, "licence", None),
    (Exporter, "name", "auto"),
    (Exporter, "suffix", "mine"),
    (Exporter, "suffix", None),
    (Exporter, "summary", None),
    (Exporter, "target", write),
    (Exporter, "needs", ("jams",)),
    (Exporter, "needs", Needs(("jams>>1",)), "needs.requires[0]"),
    (Exporter, "collects", "yes"),
    (Executor, "name", "auto"),
    (Executor, "summary", None),
    (Executor, "target", "somewhere"),
    (Executor, "needs", Needs(("ray>>1",)), "needs.requires[0]"),
    (Executor, "options", [Option("nodes", int)]),
    (Executor, "options", (Option("nodes", list),), "options[0].type"),
]


def without_address(value):
    """Every process of pytest-xdist must name the cases alike."""
    return re.sub(r" at 0x[0-9a-f]+|id='\d+'", "", show(value))


def case(kind, field, value, where=None):
    return pytest.param(
        kind, field, value, where or field, id=f"{field}={without_address(value)[:30]}"
    )


@pytest.fixture
def load(isolated_plugins, make_plugin, monkeypatch):
    """Load plugins with these records of one kind, for the commands too."""

    def load(kind, **records):
        plugins = {name: make_plugin(**{HOOKS[kind]: lambda r=r: r}) for name, r in records.items()}
        loaded = isolated_plugins(**plugins)
        monkeypatch.setattr(loading, "load_plugins", lambda **options: loaded)
        return loaded

    return load


def names(offers, kind):
    offered = {
        Backend: offers.backends,
        Bridge: offers.offered_bridges,
        ModelCard: offers.models.values(),
        SeparatorCard: offers.separators.values(),
        Exporter: offers.exporters.values(),
        Executor: offers.executors.values(),
    }
    return [o.plugin.name for o in offered[kind] if o.plugin.name not in loading.BUILT_IN]


@pytest.mark.parametrize(("kind", "field", "value", "where"), [case(*one) for one in WRONG])
def test_a_wrong_field_affects_only_its_record(load, capsys, kind, field, value, where):
    wrong = dataclasses.replace(GOOD[kind], **{field: value})
    plugins = load(kind, mine=[wrong, GOOD[kind]], other=[wrong])
    offers = collect_offers(plugins)
    assert names(offers, kind) == ["mine"]
    assert [problem.plugin for problem in offers.problems] == ["mine", "other"]
    for problem in offers.problems:
        assert problem.hook == HOOKS[kind]
        assert problem.reason.startswith(kind.__name__)
        assert f"{where} is " in problem.reason
        assert "; wanted " in problem.reason
        if "name" in vars(wrong) and field != "name":
            assert " mine: " in problem.reason

    for command in ("plugins", "doctor", "backends", "weights list"):
        status = run(command.split())
        captured = capsys.readouterr()
        assert status == 0, captured.err
        assert "Traceback" not in captured.err
        if command in ("plugins", "doctor"):
            assert captured.out.count(f"{where} is ") == 2


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("command", ["plugins", "doctor", "backends", "weights list"])
def test_all_wrong_records_at_once_leave_json_whole(load, capsys, kind, command):
    wrong = [dataclasses.replace(GOOD[k], **{f: v}) for k, f, v, *_ in WRONG if k is kind]
    load(kind, mine=[*wrong, GOOD[kind]])
    assert run([*command.split(), "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_the_good_records_are_good():
    for kind, record in GOOD.items():
        assert find_fault(record, kind) is None


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize(
    "thing",
    [
        *("text", 5, b"bytes", None, print, Backend, Unprintable(), mock.Mock(spec=Backend)),
        Subclass("mine", "spectrogram", "somewhere:create"),
        object.__new__(Backend),
    ],
    ids=lambda thing: without_address(thing)[:20],
)
def test_what_is_not_a_record_is_left_out(load, kind, thing):
    offers = collect_offers(load(kind, mine=[thing, GOOD[kind]]))
    assert names(offers, kind) == ["mine"]
    (problem,) = offers.problems
    is_no_record = re.search(f"is not an? {kind.__name__}", problem.reason)
    assert is_no_record or "is missing" in problem.reason


@pytest.mark.parametrize("answer", [GOOD[Backend], 5, "text", object()])
def test_a_hook_that_returns_no_iterable_is_reported_with_the_remedy(load, answer):
    (problem,) = collect_offers(load(Backend, mine=answer)).problems
    assert problem.reason.startswith("It returned ")
    assert "wanted an iterable of Backend: yield each, or return a list" in problem.reason


def test_the_reason_names_plugin_hook_record_field_and_what_was_wanted(load):
    wrong = dataclasses.replace(GOOD[Backend], needs=Needs(requires=("scipy>>1",)))
    (problem,) = collect_offers(load(Backend, mine=[wrong])).problems
    assert str(problem) == (
        "Plugin mine, hook allin1_spectrogram: Backend mine: needs.requires[0] is 'scipy>>1';"
        " wanted a requirement in pip's syntax."
    )


def test_a_fault_inside_an_optional_value_is_named_where_it_is():
    @dataclasses.dataclass
    class Holder:
        speed: Speed | None

    assert find_fault(Holder(None), Holder) is None
    assert find_fault(Holder(5), Holder) == "Holder: speed is 5; wanted a Speed or None."
    fault = find_fault(Holder(speed(rate=-1.0)[0]), Holder)
    assert "speed.rate is -1.0" in fault


def test_a_negative_price_never_wins(load):
    cheap = dataclasses.replace(GOOD[Backend], speed=speed(rate=-1e9))
    load(Backend, mine=[cheap])
    from allin1_core.runtime.session import Session

    assert "mine" not in str(Session(calibrate=False).explain(10.0).chosen)
