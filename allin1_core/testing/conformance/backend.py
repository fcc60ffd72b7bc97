"""Conformance of a backend of any stage."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import pytest

from allin1_core.contracts.arrays import move_arrays
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.findings import Findings
from allin1_core.contracts.parity import promise_text
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import Task
from allin1_core.contracts.verdict import Ready, Unavailable
from allin1_core.errors import ContractError
from allin1_core.runtime.backends import close_backend
from allin1_core.runtime.borders import check_output
from allin1_core.runtime.checking import has_reference
from allin1_core.runtime.difference import keeps_promise, measure
from allin1_core.runtime.moving import copied, cross, lies_in, space_of
from allin1_core.selection.probing import Probes, check_needs
from allin1_core.testing.conformance.inputs import sample_of
from allin1_core.testing.conformance.running import BackendRunner, runs_all_in_one
from allin1_core.testing.examining import HEAVY, examine_import, same_path
from allin1_core.testing.speeds import find_speed_faults
from allin1_core.testing.watching import printed, threads_beside

#: Number of inputs for tests that do not depend on the length.
_FEW = 15

#: The package of the standard tests.
_PACKAGE = __name__.rpartition(".")[0]


class BackendConformance(BackendRunner):
    """Requirements for backends of any stage. Subclass the class of your backend's last stage instead."""

    def test_declaring_it_imports_nothing_heavy(self) -> None:
        report = examine_import(self.hooks, self.heavy)
        assert not report.error, f"importing {self.hooks} raised {report.error}"
        assert not report.heavy, imports_heavy(self.hooks, report.heavy)

    def test_its_record_is_well_formed(self) -> None:
        record = self.record()
        assert record.summary, "it has no summary: say in a line what it is; people see that"
        assert record.name == record.name.lower(), f"its name is {record.name}: write it small"
        faults = find_speed_faults(record)
        assert not faults, " ".join(faults)

    def test_its_probe_answers(self) -> None:
        record = self.record()
        verdict = check_needs(record.needs) or Probes().verdict(record)
        assert isinstance(verdict, (Ready, Unavailable)), str(verdict)
        if isinstance(verdict, Ready):
            kind = verdict.device.partition(":")[0]
            assert kind == record.device, (
                f"its probe names the device {verdict.device}, its record the device {record.device}:"
                " let both name one"
            )

    def test_its_quick_probe_says_the_same_and_imports_nothing_heavy(self) -> None:
        record = self.record()
        if record.quick_probe is None or check_needs(record.needs) is not None:
            return
        module, _, name = record.quick_probe.partition(":")
        code = (
            f"import sys, {module}; {module}.{name}();"
            f" print(*(m for m in {HEAVY + self.heavy!r} if m in sys.modules))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env=same_path(),
        )
        said = ran.stderr.strip().splitlines()[-1:]
        assert ran.returncode == 0, (
            f"its quick probe {record.quick_probe} raised {' '.join(said)}: let it answer"
        )
        assert ran.stdout.split() == [], (
            f"its quick probe imports {', '.join(ran.stdout.split())}: leave that to the probe"
        )
        probes = Probes()
        quick, verdict = probes.verdict(record), probes.confirm(record)
        if isinstance(quick, Ready) and isinstance(verdict, Ready):
            same = (quick.device, quick.detail) == (verdict.device, verdict.detail)
            assert same, (
                f"its quick probe says {quick.device} {quick.detail!r}, its probe"
                f" {verdict.device} {verdict.detail!r}: let both say the same"
            )
        elif isinstance(quick, Unavailable):
            assert not isinstance(verdict, Ready), (
                "its quick probe refuses what can run: leave what it cannot tell to the probe"
            )

    def test_its_output_fulfils_the_contract(self) -> None:
        record, device = self.ready()
        labels = self.setup(device).labels
        for name, data, output in self.outputs():
            fault = _fault_of(output, record, data, labels)
            assert fault is None, f"{name}: {fault}"

    def test_it_gives_its_arrays_where_its_record_says(self) -> None:
        record, device = self.ready()
        way = self.bridges().way(HOST, record.consumes)
        with self.created(record, device) as call:
            output = call(cross(sample_of(record), way, device), Task())
        for part in output.parts if isinstance(output, Findings) else (output,):
            for name in part.ARRAYS:
                array = getattr(part, name)
                assert array is None or lies_in(array, record.produces), (
                    f"it gives {name} in {space_of(array)}, and its record produces"
                    f" {record.produces}: move it there, or declare where it lies"
                )

    def test_it_keeps_its_promise_of_parity(self) -> None:
        record, _ = self.ready()
        if not has_reference(self.offers()[0], record.stages):
            pytest.skip(f"there is no reference of {'+'.join(record.stages)}")
        tolerance_of(record)
        if "nn" in record.stages and not runs_all_in_one(record):
            pytest.fail(
                f"it promises {promise_text(record.parity)}, and there is no reference of the"
                f" architectures {', '.join(record.models)}: declare parity=None"
            )
        setup = self.setup("cpu")
        for name, data, output in self.outputs():
            difference = measure(self.reference(record, setup, data), output)
            assert keeps_promise(record.parity, difference), (
                f"{name}: it differs from the reference by {difference:g}, and promises"
                f" {promise_text(record.parity)}: mend it, or declare what it keeps"
            )

    def test_the_same_input_gives_the_same_output(self) -> None:
        record, device = self.ready()
        with self.created(record, device) as call:
            for name, data in self.few_inputs():
                first = self.run(call, record, device, data, Task())
                again = self.run(call, record, device, data, Task())
                assert measure(first, again) == 0.0, (
                    f"{name}: a second call gives something else: seed what is random,"
                    " and keep nothing from one call to the next"
                )

    def test_inputs_stay_as_they_were(self) -> None:
        record, device = self.ready()
        bridges = self.bridges()
        way = bridges.way(HOST, record.consumes)
        back = bridges.way(record.consumes, HOST)
        with self.created(record, device) as call:
            for name, data in self.few_inputs():
                before = copied(data)
                moved = cross(data, way, device)
                call(moved, Task())
                for after in (data, cross(moved, back, HOST.device)):
                    for field in before.ARRAYS:
                        one, other = getattr(before, field), getattr(after, field)
                        assert one is None or np.array_equal(one, other, equal_nan=True), (
                            f"{name}: it writes to {field} of its input: copy before you change"
                        )

    def test_arrays_may_be_read_only_or_not_contiguous(self) -> None:
        record, device = self.ready()
        with self.created(record, device) as call:
            for name, data in self.few_inputs():
                wanted = self.run(call, record, device, data, Task())
                for convert, words in ((_read_only, "read-only"), (_not_contiguous, "strided")):
                    changed = move_arrays(data, convert)
                    output = self.run(call, record, device, changed, Task())
                    assert measure(wanted, output) == 0.0, (
                        f"{name}: {words} arrays give another output: make them contiguous first,"
                        " and write to none"
                    )

    def test_stdout_stays_clean(self) -> None:
        record, device = self.ready()
        data = sample_of(record)
        with printed() as texts, self.created(record, device) as call:
            self.run(call, record, device, data, Task())
        assert not texts, prints(texts[0])

    def test_no_thread_is_left_behind(self) -> None:
        record, device = self.ready()
        data = sample_of(record)
        known = threading.enumerate()
        for kind in ("threads that keep a program from ending", "threads"):
            call = self.create(record, self.setup(device))
            self.run(call, record, device, data, Task())
            close_backend(call, record.name)
            del call
            left = threads_beside(known)
            if kind != "threads":
                # A library may keep a thread of its own; a second backend may add none.
                left, known = [t for t in left if not t.daemon], threading.enumerate()
            names = ", ".join(thread.name for thread in left)
            assert not left, f"it leaves {kind} behind ({names}): end them in close()"

    def test_no_standard_test_is_missing(self) -> None:
        assert_none_is_overridden(type(self))

    # Helpers for several stages.

    def few_inputs(self) -> list[tuple[str, Any]]:
        """Return a selection of the inputs, for tests that do not depend on the length."""
        inputs = list(self.inputs())
        return inputs[:: 1 + len(inputs) // _FEW]

    def check_progress(self) -> None:
        """Assert that a call reports its progress, which ends at 1."""
        record, device = self.ready()
        told: list[float] = []
        with self.created(record, device) as call:
            sample = sample_of(record)
            task = Task(progress=told.append, audio_s=sample.duration_s)
            self.run(call, record, device, sample, task)
        assert told, "it tells no progress: call task.progress(fraction) now and then"
        assert told == sorted(told), "its progress goes back: tell fractions that grow"
        assert told[-1] == 1.0, f"its progress ends at {told[-1]:g}: tell 1.0 at the end"

    def check_cancelling(self, run: Callable[..., Any]) -> None:
        """Assert that an exception of the progress callback is propagated by a call through `run`."""
        record, device = self.ready()

        def stop(fraction: float) -> NoReturn:
            raise KeyboardInterrupt

        with self.created(record, device) as call:
            try:
                sample = sample_of(record)
                task = Task(progress=stop, audio_s=sample.duration_s)
                run(call, record, device, sample, task)
            except KeyboardInterrupt:
                return
        pytest.fail("what task.progress raises is swallowed: let it through, it cancels the run")


def tolerance_of(record: Backend[Any]) -> float:
    """Largest difference from the reference that `record` promises; skips the test if it has no reference."""
    if record.parity is None:
        pytest.skip(f"{record.name} declares that it has no reference")
    return record.parity.tolerance


def _fault_of(
    output: Any, record: Backend[Any], data: Any, labels: tuple[str, ...]
) -> ContractError | None:
    try:
        check_output(output, record.stages, HOST, data, labels)
    except ContractError as error:
        return error
    return None


def assert_none_is_overridden(kind: type) -> None:
    """Assert that a test class does not override standard tests of its base classes."""
    for base in kind.__mro__[1:]:
        if not base.__module__.startswith(_PACKAGE):
            continue
        for name in vars(base):
            if name.startswith("test_"):
                module = getattr(kind, name).__module__
                assert module.startswith(_PACKAGE), f"{name} is overridden: name yours otherwise"


def imports_heavy(hooks: str, modules: tuple[str, ...]) -> str:
    """Message for hooks that import heavy modules."""
    return (
        f"importing {hooks}, or asking its hooks, imports {', '.join(modules)}:"
        " import it where the work is, in the module that the target names"
    )


def prints(text: str) -> str:
    """Message for output on stdout."""
    line = text.strip().splitlines()[0] if text.strip() else text
    return f"it prints on stdout ({line!r}), which is for results: log it, or leave it"


def _read_only(array: Any) -> Any:
    array = array.copy()
    array.setflags(write=False)
    return array


def _not_contiguous(array: Any) -> Any:
    spread = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    spread[..., ::2] = array
    return spread[..., ::2]
