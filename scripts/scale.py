"""Time and cost of a million songs on clusters of various sizes, computed from measured rates, for ``docs/scale.md``.

``python scripts/scale.py`` prints the tables, ``--write`` writes them to the document, and ``--check`` checks that it is up
to date. The rates are those of ``benchmarks/scale_rates.json``, or of another file (``--rates``).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "scale.md"
RATES = ROOT / "benchmarks" / "scale_rates.json"
BEGIN, END = "<!-- computed by scripts/scale.py -->", "<!-- end -->"

SONGS, SONG_S = 1_000_000, 210.0
MACHINES = (8, 64, 512)
#: A worker a CPU of a machine; or one a GPU, which needs as many CPUs as keep it busy.
CPUS, GPUS = 8, 8
#: As the plugin has it: seconds of work of a task, tasks a second at most, songs of a task at most.
TASK_S, TASKS_PER_S, MOST_BATCH = 10.0, 50.0, 32


@dataclass(frozen=True)
class Fleet:
    """Machines of a kind.

    Attributes
    ----------
    what
        The model that they run.
    workers
        Number of workers per machine.
    song_s
        Time per song in a worker, in seconds.
    megabytes
        Size of a song's file.
    machine_hour
        Price per machine-hour in US dollars.
    """

    what: str
    workers: int
    song_s: float
    megabytes: float
    machine_hour: float


@dataclass(frozen=True)
class Estimate:
    """The estimate for a fleet and all songs.

    Attributes
    ----------
    machines
        Number of machines.
    songs_per_s
        Throughput of the workers, limited by that of the driver.
    driver_per_s
        Maximum throughput of one driver.
    hours, money
        Time and cost for all songs, with one driver.
    megabytes_per_s
        Required throughput of the store.
    bound
        The limiting factor.
    """

    machines: int
    songs_per_s: float
    driver_per_s: float
    hours: float
    money: float
    megabytes_per_s: float
    bound: str


def fleets(rates: dict[str, Any]) -> tuple[Fleet, Fleet]:
    """The machines with only CPUs, and those with GPUs."""
    cpu, gpu, prices = rates["cpu"], rates["gpu"], rates["prices"]
    gpu_s = SONG_S * sum(gpu["stages_s_per_s"].values())
    return (
        Fleet(cpu["what"], CPUS, cpu["song_s"], cpu["megabytes"], CPUS * prices["vcpu_hour"]),
        Fleet(gpu["what"], GPUS, gpu_s, gpu["megabytes"], GPUS * prices["gpu_hour"]),
    )


def cpus_of_a_gpu(rates: dict[str, Any]) -> float:
    """Number of CPUs that are needed to keep one GPU busy."""
    gpu = rates["gpu"]
    return float(sum(gpu["cpu_s_per_s"].values()) / sum(gpu["stages_s_per_s"].values()))


def estimate(fleet: Fleet, machines: int, rates: dict[str, Any]) -> Estimate:
    """Return the estimate for a number of machines of a fleet."""
    workers = machines * fleet.workers
    computed = workers / fleet.song_s
    batch = min(MOST_BATCH, max(1, round(max(TASK_S, workers / TASKS_PER_S) / fleet.song_s)))
    driver = 1 / (rates["driver"]["song_s"] + rates["driver"]["task_s"] / batch)
    songs_per_s = min(computed, driver)
    hours = SONGS / songs_per_s / 3600
    prices = rates["prices"]
    # For each song: its state is checked, an existing result is searched, it is read; the result is written.
    requests = SONGS / 1e6 * (3 * prices["get_million"] + prices["put_million"])
    return Estimate(
        machines,
        songs_per_s,
        driver,
        hours,
        hours * machines * fleet.machine_hour + requests,
        songs_per_s * fleet.megabytes,
        "the driver" if driver < computed else "the workers",
    )


def table(fleet: Fleet, rates: dict[str, Any]) -> str:
    """Return the table of a fleet in Markdown."""
    lines = [
        "| machines | workers | songs per second | hours | US dollars | from the store | limited by |",
        "|---|---|---|---|---|---|---|",
    ]
    for machines in MACHINES:
        found = estimate(fleet, machines, rates)
        lines.append(
            f"| {machines} | {machines * fleet.workers} | {found.songs_per_s:,.0f} | {found.hours:.2f} |"
            f" {found.money:,.0f} | {found.megabytes_per_s / 1000:.2f} GB/s | {found.bound} |"
        )
    return "\n".join(lines)


def computed(rates: dict[str, Any]) -> str:
    """Return the generated part of the document."""
    cpu, gpu = fleets(rates)
    driver = rates["driver"]
    limits = [estimate(fleet, MACHINES[-1], rates).driver_per_s for fleet in (cpu, gpu)]
    most = [
        limit * fleet.song_s / fleet.workers
        for limit, fleet in zip(limits, (cpu, gpu), strict=True)
    ]
    parts = [
        f"### `builtin` on machines of {CPUS} CPUs",
        f"{cpu.song_s:.2f} CPU seconds per song ({SONG_S / cpu.song_s:.0f} times real time), of which"
        f" {rates['cpu']['read_s']:.2f} are for reading the file; {cpu.megabytes:g} MB per song; {cpu.machine_hour:.3f} dollars per machine-hour.",
        table(cpu, rates),
        f"### `harmonix-all` with separation on machines of {GPUS} H200",
        f"{gpu.song_s * 1000:.0f} ms of GPU time per song, if reading and the metre decoder keep up, which takes"
        f" {cpus_of_a_gpu(rates):.1f} CPUs per GPU; {gpu.megabytes:g} MB per song; {gpu.machine_hour:.2f} dollars per machine-hour."
        " From batches on one GPU and on two without Ray: one with Ray was not measured on GPUs.",
        table(gpu, rates),
        "### Bottleneck",
        f"The driver needs {driver['task_s'] * 1000:.1f} ms per task and {driver['song_s'] * 1000:.1f} ms per song, in one thread."
        f" This limits throughput to {limits[0]:,.0f} songs per second with `builtin`, reached with {most[0]:,.0f} machines, and to"
        f" {limits[1]:,.0f} with `harmonix-all`, reached with {most[1]:,.0f} machines.",
    ]
    return "\n\n".join(parts)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=Path, default=RATES)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = computed(json.loads(options.rates.read_text(encoding="utf-8")))
    if not (options.write or options.check):
        print(text)
        return
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    after = rest.partition(END)[2]
    wanted = f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
    if options.write:
        DOCUMENT.write_text(wanted, encoding="utf-8")
    elif document != wanted:
        sys.exit(
            "docs/scale.md is not what scripts/scale.py computes: python scripts/scale.py --write"
        )


if __name__ == "__main__":
    main()
