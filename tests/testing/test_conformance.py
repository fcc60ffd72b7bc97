"""The conformance kit: the reference passes it, and each way to be wrong is caught by the test that is meant to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
from allin1_core.contracts.parity import close
from allin1_core.markers import hookimpl

@hookimpl
def allin1_metrical_prep():
    yield Backend("wrong", "metrical_prep", "wrong_backend:create", "for a test", {record})
"""

BACKEND = """
import numpy as np
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.verdict import Broken
from allin1_core.reference import metrical_prep

def probe():
    return Broken("no licence")

def create(setup):
    good = metrical_prep.create(setup)
    def call(logits, task):
        activations = good(logits, task).values
        {body}
        return Activations(activations)
    return call
"""

TESTS = """
from allin1_core.testing.conformance import MetricalPrepConformance

class TestWrong(MetricalPrepConformance):
    hooks = "wrong_hooks"
    backend = "wrong"
    {override}
"""


def failures(folder: Path, *, body="", record="", extra="", override="") -> set[str]:
    """Write a plugin with this mistake and run the kit on it; give the names of the tests that fail."""
    (folder / "wrong_hooks.py").write_text(HOOKS.format(extra=extra, record=record))
    (folder / "wrong_backend.py").write_text(BACKEND.format(body=body or "pass"))
    (folder / "test_wrong.py").write_text(TESTS.format(override=override))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_wrong.py"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    lines = [line for line in ran.stdout.splitlines() if line.startswith("FAILED")]
    return {line.split("::")[2].split(" ")[0] for line in lines}


def test_a_right_backend_passes(tmp_path):
    assert failures(tmp_path) == set()


def test_a_backend_gets_the_defaults_of_its_options(tmp_path):
    record = "options=(Option('gain', float, 1.0),)"
    extra = "from allin1_core.contracts.options import Option"
    body = "activations = activations * np.float32(setup.options['gain'])"
    assert failures(tmp_path, extra=extra, record=record, body=body) == set()


def test_a_backend_without_a_reference_is_not_compared_with_one(tmp_path):
    body = "activations = activations * np.float32(0.5)"
    assert failures(tmp_path, record="parity=None", body=body) == set()


@pytest.mark.parametrize(
    ("mistake", "caught_by"),
    [
        ({"body": "activations = activations + np.float32(1e-3)"}, "promise_of_parity"),
        ({"body": "activations = activations.astype('float16')"}, "fulfils_the_contract"),
        ({"body": "activations = activations[:-1]"}, "fulfils_the_contract"),
        ({"body": "logits.beat[0] = 0"}, "inputs_stay_as_they_were"),
        ({"body": "logits.beat[0] = 0"}, "read_only_or_not_contiguous"),
        (
            {"body": "activations = activations + np.float32(1e-9) * np.random.rand()"},
            "same_input_gives_the_same_output",
        ),
        ({"extra": "import numpy"}, "imports_nothing_heavy"),
        ({"record": "probe='wrong_backend:probe'"}, "probe_answers"),
        ({"record": "probe='no_such_module:probe'"}, "probe_answers"),
        (
            {"override": "def test_inputs_stay_as_they_were(self): pass"},
            "no_standard_test_is_missing",
        ),
    ],
)
def test_each_mistake_is_caught(tmp_path, mistake, caught_by):
    failed = failures(tmp_path, **mistake)
    assert any(caught_by in name for name in failed), failed


def test_a_looser_promise_covers_a_larger_difference(tmp_path):
    mistake = "activations = activations + np.float32(1e-3)"
    assert failures(tmp_path, body=mistake, record="parity=close(2e-3)") == set()
