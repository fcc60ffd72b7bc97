"""Feeds mutated files to a reader, and tells what it did that it must not.

A reader may return, or raise an error of :mod:`allin1_core.errors`. It must not raise anything else, end its process, take more than five
seconds of CPU time, or hold 200 MB more than the process does at rest. Every mutation comes from a seed, which is told with a
failure and repeats it.

To add a reader, write a module with ``TARGETS`` and name it in ``run.py``.
"""

from __future__ import annotations

import argparse
import faulthandler
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from allin1_core.errors import Allin1Error

MOST_SECONDS = 5.0
MOST_MEGABYTES = 200.0

#: A worker that says nothing for so long hangs.
HANG_S = 60.0

#: Mutations that one worker makes before another takes its place, so that memory that it keeps is not held against the next.
WORKER_CASES = 500


@dataclass(frozen=True)
class Target:
    """A reader, and what it is fed with.

    Attributes
    ----------
    name
        How it is called on the command line.
    suffix
        What names of its files end in.
    originals
        Makes the files that are mutated, in an empty folder.
    read
        Reads a file; returns if it is content with it.
    needs
        Module without which this is left out.
    """

    name: str
    suffix: str
    originals: Callable[[Path], list[bytes]]
    read: Callable[[Path], None]
    needs: str | None = None


@dataclass
class Report:
    """What came of the mutations for one target."""

    target: str
    cases: int = 0
    refused: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0
    failures: list[tuple[int, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.target:12} {self.cases:7} mutations, {self.refused} refused, {len(self.failures)} failures;"
            f" at most {self.seconds:.2f} s, {self.megabytes:.0f} MB"
        )


def mutated(seed: int, originals: Sequence[bytes]) -> bytes:
    """Give the file of a seed: one of the originals, changed in one to eight places."""
    rng = random.Random(seed)
    content = bytearray(rng.choice(originals))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        if not content:
            break
        # Every other change is in what is likely a header.
        reach = min(len(content), 512) if rng.random() < 0.5 else len(content)
        at = rng.randrange(reach)
        count = min(rng.choice((1, 2, 4, 16, 200, 3_000)), len(content) - at)
        match rng.randrange(9):
            case 0:
                content[at] ^= 1 << rng.randrange(8)
            case 1:
                width = rng.choice((1, 2, 4, 8))
                values = (0, 1, (1 << 8 * width) - 1, (1 << 8 * width - 1) - 1, 1 << 8 * width - 1)
                order = rng.choice(("little", "big"))
                content[at : at + width] = rng.choice(values).to_bytes(width, order)  # type: ignore[arg-type]
            case 2:
                content[at : at + count] = rng.randbytes(count)
            case 3:
                content[at:at] = rng.randbytes(count)
            case 4:
                del content[at : at + count]
            case 5:
                content[at : at + count] = bytes(count)
            case 6:
                start = rng.randrange(len(content))
                content[at:at] = content[start : start + count]
            case 7:
                del content[rng.randrange(len(content)) :]
            case 8:
                other = rng.choice(originals)
                start = rng.randrange(len(other))
                content[at : at + count] = other[start : start + count]
    return bytes(content)


class Memory:
    """Peak memory of this process above what it was at rest, in megabytes."""

    def __init__(self) -> None:
        self._rest = self._peak()

    def above_rest(self) -> float:
        """Peak since the last reset where the system tells it, else since the beginning."""
        return self._peak() - self._rest

    def reset(self) -> None:
        """Forget the peak, as far as the system can."""
        if sys.platform == "linux":
            Path("/proc/self/clear_refs").write_text("5")

    @staticmethod
    def _peak() -> float:
        if sys.platform == "linux":
            status = Path("/proc/self/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) / 1024
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024**2 if sys.platform == "darwin" else 1024)


def check(target: Target, path: Path, memory: Memory) -> tuple[bool, float, float, str]:
    """Read one file.

    Returns
    -------
    refused, seconds, megabytes, trouble
        The last is empty if all is well.
    """
    memory.reset()
    began = time.process_time()
    refused, trouble = False, ""
    try:
        target.read(path)
    except Allin1Error:
        refused = True
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        trouble = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    seconds, megabytes = time.process_time() - began, memory.above_rest()
    if seconds > MOST_SECONDS:
        trouble = trouble or f"took {seconds:.1f} s"
    if megabytes > MOST_MEGABYTES:
        trouble = trouble or f"took {megabytes:.0f} MB"
    return refused, seconds, megabytes, " ".join(trouble.split())


def work(target: Target, seeds: Iterable[int], out: Callable[[str], None]) -> None:
    """Try seeds in this process, and tell of each one before and after."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals = target.originals(folder)
        path = folder / f"mutated{target.suffix}"
        for original in originals:
            path.write_bytes(original)
            target.read(path)
        memory = Memory()
        for seed in seeds:
            path.write_bytes(mutated(seed, originals))
            out(f"begin {seed}")
            refused, seconds, megabytes, trouble = check(target, path, memory)
            out(f"end {seed} {int(refused)} {seconds} {megabytes} {trouble}")


def fuzz(target: Target, command: Sequence[str], first: int, count: int, until: float) -> Report:
    """Have workers try seeds from `first` on, `count` of them or until a time of the monotonic clock.

    Parameters
    ----------
    command
        Starts a worker, given the target's name, its first seed and how many it is to try.
    """
    report = Report(target.name)
    seed, end = first, first + count
    while seed < end and time.monotonic() < until:
        batch = min(WORKER_CASES, end - seed)
        seed = _run_worker(report, [*command, target.name, str(seed), str(batch)], seed, until)
    return report


def _run_worker(report: Report, command: Sequence[str], seed: int, until: float) -> int:
    """Run a worker to its end or until it is time, and give the next seed."""
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        said = None
        for line in _lines(worker):
            said, *rest = line.split(" ", 5)
            seed = int(rest[0])
            if said == "end":
                report.cases += 1
                report.refused += int(rest[1])
                report.seconds = max(report.seconds, float(rest[2]))
                report.megabytes = max(report.megabytes, float(rest[3]))
                if trouble := rest[4].strip():
                    report.failures.append((seed, trouble))
                seed += 1
                if time.monotonic() > until:
                    break
        is_hanging = said == "begin" and worker.poll() is None
        if said == "end":
            worker.terminate()
        else:
            worker.kill()
        status = worker.wait()
        errors.seek(0)
        last = (errors.read().strip().splitlines() or [""])[-1]
        if said == "begin":
            trouble = f"said nothing for {HANG_S:.0f} s" if is_hanging else f"died, status {status}"
            report.cases += 1
            report.failures.append((seed, f"{trouble}; {last}"))
            return seed + 1
        if said is None:
            raise RuntimeError(f"A worker could not begin: {last}")
        return seed


def _lines(worker: subprocess.Popen[str]) -> Iterator[str]:
    """Lines of a worker, until it ends or says nothing for too long."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert worker.stdout is not None
        with worker.stdout as stream:
            for line in stream:
                lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=HANG_S)
        except queue.Empty:
            return
        if line is None:
            worker.wait()
            return
        yield line


def main(targets: Sequence[Target], command: Sequence[str], arguments: Sequence[str]) -> int:
    """Run from the command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [target.name for target in targets]
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--mutations", type=int, help="for each target, however long it takes")
    parser.add_argument(
        "--only", action="append", choices=names, help="this target, and others so named"
    )
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--keep", type=Path, help="write the file of --seed of the one target here")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    by_name = {target.name: target for target in targets}
    if options.worker:
        name, first, count = options.worker
        faulthandler.enable()
        seeds = range(int(first), int(first) + int(count))
        work(by_name[name], seeds, lambda line: print(line, flush=True))
        return 0
    chosen = [target for target in targets if target.name in (options.only or names)]
    if options.keep:
        with tempfile.TemporaryDirectory() as folder:
            options.keep.write_bytes(mutated(options.seed, chosen[0].originals(Path(folder))))
        return 0
    return _run_all(chosen, command, options.seed, options.mutations, options.seconds)


def _run_all(
    targets: Sequence[Target], command: Sequence[str], first: int, count: int | None, seconds: float
) -> int:
    failed = False
    present = [target for target in targets if _is_there(target.needs)]
    for target in targets:
        if target not in present:
            print(f"{target.name:12} left out: {target.needs} is not installed")
    for target in present:
        until = float("inf") if count else time.monotonic() + seconds / len(present)
        report = fuzz(target, [*command, "--worker"], first, count or sys.maxsize, until)
        print(report, flush=True)
        for seed, trouble in report.failures:
            failed = True
            print(f"  --only {target.name} --seed {seed} --mutations 1: {trouble}", flush=True)
    return int(failed)


def _is_there(module: str | None) -> bool:
    from importlib.util import find_spec

    return module is None or find_spec(module) is not None
