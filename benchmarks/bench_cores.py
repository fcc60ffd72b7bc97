"""Separation on a CPU by number of threads: Demucs, one segment after another, and segments side by side.

For each number of threads, in a process of its own: milliseconds per second of audio, the ratio to Demucs, and the peak
of memory. After one call to warm up, one is measured, of as many segments as run at once, or two of the others. The
weights are random, and the audio is generated. A machine with 32 cores takes about a minute and a half.

    python benchmarks/bench_cores.py
    python benchmarks/bench_cores.py --threads 2 16 --json cores.json
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

THREADS = 2, 8, 16, 32

#: Segments that are measured where they run one after another.
FEW = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cores = len(os.sched_getaffinity(0))
    usual = [number for number in THREADS if number <= cores]
    parser.add_argument("--threads", type=int, nargs="+", default=usual)
    parser.add_argument("--within", type=float, default=95, help="seconds for everything")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--alone", action="store_true", help="measure here, and print JSON")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.within
    if arguments.alone:
        measure(arguments.threads[0], end)
        return
    rows: list[dict[str, Any]] = []
    for position, threads in enumerate(arguments.threads):
        # Each gets the same part of what is left.
        limit = (end - time.monotonic()) / (len(arguments.threads) - position)
        rows += measured_apart(threads, limit)
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measured_apart(threads: int, limit_s: float) -> list[dict[str, Any]]:
    """Measure in a process of its own, which prints a row as soon as it has it."""
    command = [sys.executable, __file__, "--alone", "--threads", str(threads)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    rows = []
    with subprocess.Popen(
        [*command, "--within", str(limit_s)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        for line in process.stdout:
            row = json.loads(line)
            rows.append(row)
            print(
                f"{row['threads']:3} threads, {row['what']:34} {row['ms']:8.1f} ms for a second of audio,"
                f" {row['ratio']:.3f} of Demucs, {row['peak_gb']:.2f} GB",
                flush=True,
            )
    if process.returncode:
        sys.exit(f"{threads} threads: status {process.returncode}")
    return rows


def measure(threads: int, end: float) -> None:
    """Print a row of each, as JSON; what is less important only if time is left."""
    import torch
    from allin1_backend_torch.demix import Separation
    from allin1_backend_torch.demix_at_once import usual_batch
    from allin1_backend_torch.demix_members import cut_of
    from allin1_backend_torch.demix_models import load_bag
    from bench_demix import make_residuals_matter, stock

    from allin1_core.contracts.audio import Mix
    from allin1_core.contracts.demix import DemixParameters
    from allin1_core.contracts.stages import Task

    torch.set_num_threads(threads)
    parameters = DemixParameters(weights="random:1234", shifts=0)
    bag, device = load_bag(parameters), torch.device("cpu")
    make_residuals_matter(bag, 0.1)
    stride = cut_of(bag.models[0], parameters).stride
    rng = torch.Generator().manual_seed(0)

    def mix(segments: int) -> torch.Tensor:
        return 0.1 * torch.randn(2, segments * stride, generator=rng)

    def ours(at_once: int) -> Callable[[torch.Tensor], object]:
        own = Separation(bag, parameters, device, "float32", False, at_once, threads)
        own.members("float32")
        return lambda samples: own(Mix(samples), Task())

    def demucs(samples: torch.Tensor) -> object:
        return stock(bag, samples, parameters, "cpu")

    usual = usual_batch(device, bag, threads)
    runs = [("Demucs", FEW, demucs), ("one segment after another", FEW, ours(1))]
    # The usual number first; then one segment for each thread, and two threads for each segment.
    for at_once in dict.fromkeys([usual, threads, max(1, threads // 2)]):
        if at_once > 1:
            name = f"{at_once} segments side by side"
            runs.append((name + (", usual" if at_once == usual else ""), at_once, ours(at_once)))
    base = None
    for number, (what, segments, run) in enumerate(runs):
        if number > 2 and time.monotonic() > end - 10:
            break
        samples = mix(segments)
        _return_memory()
        run(samples if segments > FEW else samples[:, :stride])
        with _peak() as peak:
            began = time.perf_counter()
            run(samples)
            took = time.perf_counter() - began
        ms = 1000 * took / (segments * stride / 44_100)
        base = base or ms
        row = {"threads": threads, "what": what, "ms": round(ms, 1), "ratio": round(ms / base, 3)}
        print(json.dumps(row | {"peak_gb": round(max(peak) / 1e9, 2)}), flush=True)


def _return_memory() -> None:
    """Return freed memory to the system, so that it does not count for what runs next."""
    with suppress(AttributeError, OSError):  # other C libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def _peak() -> Iterator[list[int]]:
    """Note the memory of this process from time to time, in bytes."""
    over, noted = threading.Event(), [0]

    def note() -> None:
        while not over.wait(0.02):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            noted.append(pages * os.sysconf("SC_PAGE_SIZE"))

    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield noted
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
