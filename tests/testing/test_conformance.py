"""The conformance kit: the reference passes it, and each way to be wrong is caught by the test that is meant to."""

from __future__ import annotations

import pytest

from allin1_core.testing.conformance import (
    FunctionalConformance,
    MetricalDbnConformance,
    MetricalPrepConformance,
    MixSpectrogramConformance,
    SpectrogramConformance,
)


class Reference:
    hooks = "allin1_core.reference.hooks"
    backend = "reference"


# The network's is left to the plugins: the reference against itself for minutes would prove nothing more.
class TestReferenceSpectrogram(Reference, SpectrogramConformance):
    pass


class TestReferenceMixSpectrogram(Reference, MixSpectrogramConformance):
    backend = "reference-mix"


class TestReferenceMetricalPrep(Reference, MetricalPrepConformance):
    pass


class TestReferenceMetricalDbn(Reference, MetricalDbnConformance):
    pass


class TestReferenceFunctional(Reference, FunctionalConformance):
    pass


HOOKS = """
{extra}
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.options import Option
from allin1_core.contracts.parity import close
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.markers import hookimpl

@hookimpl
def allin1_metrical_prep():
    yield Backend("{name}", "metrical_prep", "PACKAGE.work:create", "{summary}", {record})

@hookimpl
def allin1_bridges():
    device = Space("allin1_core", "npu")
    yield Bridge(HOST, device, "allin1_core.testing.foreign:upload")
    yield Bridge(device, HOST, "allin1_core.testing.foreign:download")
"""

WORK = """
import ctypes, os, sys, threading, time
import numpy as np
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.verdict import Broken, Ready
from allin1_core.reference import metrical_prep
from allin1_core.testing.foreign import on_foreign

def probe():
    return Broken("no licence")

def elsewhere():
    return Ready("cuda:0")

def npu():
    return Ready("npu")

def detailed():
    return Ready("cpu", "eight cores")

calls = []

def create(setup):
    good = metrical_prep.create(setup)
    def call(logits, task):
        activations = good(logits, task).values
        {body}
        return Activations(activations)
    {after}
    return call
"""

#: Quick probes, which may import less than what does the work.
PROBING = """
from allin1_core.contracts.verdict import Ready, Unavailable

def raising():
    raise OSError("no driver")

def heavy():
    import numpy
    return Ready("cpu", "eight cores")

def other():
    return Ready("cpu", "two cores")

def refusing():
    return Unavailable("It is Sunday.", "Wait.")
"""

#: Tests that start a process, for mistakes that these cannot see.
SLOW = ("test_declaring_it_imports_nothing_heavy",)


@pytest.fixture
def failures(write_modules, broken_promises):
    """Write a plugin with a mistake and run the kit on it; gives what it says, by the test that fails."""

    def run(
        *,
        body="",
        record="",
        extra="",
        after="",
        override=None,
        slow=False,
        name="wrong",
        summary="for a test",
    ):
        package = write_modules(
            hooks=HOOKS.format(extra=extra, record=record, name=name, summary=summary),
            work=WORK.format(body=body or "pass", after=after),
            probing=PROBING,
        )
        return broken_promises(
            MetricalPrepConformance,
            without=() if slow else SLOW,
            **{"hooks": f"{package}.hooks", "backend": name, **(override or {})},
        )

    return run


def test_a_right_backend_passes(failures):
    assert failures(slow=True) == {}


def test_a_backend_gets_the_defaults_of_its_options(failures):
    record = "options=(Option('gain', float, 1.0),)"
    body = "activations = activations * np.float32(setup.options['gain'])"
    assert failures(record=record, body=body) == {}


def test_a_backend_without_a_reference_is_not_compared_with_one(failures):
    body = "activations = activations * np.float32(0.5)"
    assert failures(record="parity=None", body=body) == {}


def test_a_looser_promise_covers_a_larger_difference(failures):
    mistake = "activations = activations * np.float32(1 - 1e-3)"
    assert failures(body=mistake, record="parity=close(2e-3)") == {}


def speeds(*arguments: str) -> str:
    return "speed=(" + ", ".join(f"Speed({one})" for one in arguments) + ",)"


ON_NPU = "consumes=Space('allin1_core', 'npu'), produces=Space('allin1_core', 'npu'), probe='PACKAGE.work:npu'"

WRITING_ON_NPU = """
    right = on_foreign(call)
    def call(logits, task):
        logits.beat._values[0] += 1
        return right(logits, task)
"""


@pytest.mark.parametrize(
    ("mistake", "promise", "words"),
    [
        (
            {"body": "activations = activations + np.float32(1e-3)"},
            "it keeps its promise of parity",
            "differs from the reference by 0.001, and promises identical",
        ),
        (
            {"body": "activations = activations.astype('float16')"},
            "its output fulfils the contract",
            "dtype float16",
        ),
        (
            {"body": "activations = activations[:-1]"},
            "its output fulfils the contract",
            "shape [0, 2]",
        ),
        (
            {"body": "return activations"},
            "its output fulfils the contract",
            "It returned ndarray; wanted Activations",
        ),
        (
            {"body": "logits.beat[0] = 0"},
            "inputs stay as they were",
            "it writes to beat of its input: copy before you change",
        ),
        (
            {"body": "logits.beat[0] = 0"},
            "arrays may be read only or not contiguous",
            "read-only",
        ),
        (
            {"record": ON_NPU, "after": WRITING_ON_NPU},
            "inputs stay as they were",
            "it writes to beat of its input",
        ),
        (
            {"body": "activations = activations + np.float32(1e-9) * np.random.rand()"},
            "the same input gives the same output",
            "seed what is random",
        ),
        (
            {"body": "calls.append(1); activations = activations + np.float32(len(calls))"},
            "the same input gives the same output",
            "keep nothing from one call to the next",
        ),
        (
            {"record": "produces=Space('allin1_core', 'npu'), probe='PACKAGE.work:npu'"},
            "it gives its arrays where its record says",
            "it gives values in numpy/cpu, and its record produces allin1_core/npu",
        ),
        (
            {"body": "print('working')"},
            "stdout stays clean",
            "it prints on stdout ('working')",
        ),
        (
            {"body": "os.write(1, b'from below')"},
            "stdout stays clean",
            "it prints on stdout ('from below')",
        ),
        (
            {"body": "ctypes.CDLL(None).puts(b'from C')"},
            "stdout stays clean",
            "it prints on stdout ('from C')",
        ),
        (
            {"after": "threading.Thread(target=time.sleep, args=(30,), daemon=True, name='mine').start()"},
            "no thread is left behind",
            "it leaves threads behind (mine): end them in close()",
        ),
        (
            {"after": "threading.Thread(target=time.sleep, args=(3,), name='mine').start()"},
            "no thread is left behind",
            "it leaves threads that keep a program from ending behind (mine",
        ),
        (
            {"record": speeds("'cpu', 1.0, 250.0, 'here'")},
            "its record is well formed",
            "give seconds, not milliseconds",
        ),
        (
            {"record": speeds("'cpu', 3000, 0.1, 'here'")},
            "its record is well formed",
            "set-up of 3000 s: give seconds",
        ),
        (
            {"record": speeds("'cpu', 0, 0, 'here'")},
            "its record is well formed",
            "measure it by 'allin1 bench'",
        ),
        (
            {"record": speeds("'cpu', 0, 1, 'here'", "'cpu', 0, 2, 'there'")},
            "its record is well formed",
            "several speeds on cpu: give one",
        ),
        (
            {"record": speeds("'cuda', 0, 1, 'here'")},
            "its record is well formed",
            "has speeds on cuda alone: give its own",
        ),
        (
            {"record": speeds("'cpu', 0, 1, ''")},
            "its record is well formed",
            "name machine and date",
        ),
        (
            {"extra": "import numpy", "slow": True},
            "declaring it imports nothing heavy",
            "imports numpy: import it where the work is",
        ),
        (
            {"extra": "import no_such_module", "slow": True},
            "declaring it imports nothing heavy",
            "raised ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ({"summary": ""}, "its record is well formed", "it has no summary: say in a line what it is"),
        ({"name": "Wrong"}, "its record is well formed", "its name is Wrong: write it small"),
        *(
            (
                {"record": f"probe='PACKAGE.work:detailed', quick_probe='PACKAGE.probing:{quick}'"},
                "its quick probe says the same and imports nothing heavy",
                words,
            )
            for quick, words in {
                "raising": "probing:raising raised OSError: no driver: let it answer",
                "heavy": "its quick probe imports numpy: leave that to the probe",
                "other": "says cpu 'two cores', its probe cpu 'eight cores': let both say the same",
                "refusing": "its quick probe refuses what can run",
            }.items()
        ),
        ({"record": "probe='PACKAGE.work:probe'"}, "its probe answers", "no licence"),
        ({"record": "probe='no_such_module:probe'"}, "its probe answers", "no_such_module"),
        (
            {"record": "probe='PACKAGE.work:elsewhere'"},
            "its probe answers",
            "its probe names the device cuda:0, its record the device cpu: let both name one",
        ),
        (
            {"override": {"test_inputs_stay_as_they_were": lambda self: None}},
            "no standard test is missing",
            "test_inputs_stay_as_they_were is overridden: name yours otherwise",
        ),
        (
            {"override": {"backend": "rong"}},
            "its record is well formed",
            "offers no backend rong; it offers: wrong",
        ),
        (
            {"override": {"stage": "functional"}},
            "its record is well formed",
            "does not end with stage functional but with metrical_prep",
        ),
    ],
)  # fmt: skip
def test_each_mistake_is_caught(failures, monkeypatch, mistake, promise, words):
    monkeypatch.setattr("allin1_core.testing.watching.PATIENCE_S", 0.05)
    failed = failures(**mistake)
    assert promise in failed, failed
    assert words in failed[promise]


def test_threads_that_end_in_close_are_none_that_stay(failures):
    after = (
        "stop = threading.Event(); threading.Thread(target=stop.wait).start()\n"
        "    call.close = stop.set"
    )
    assert failures(after=after) == {}
