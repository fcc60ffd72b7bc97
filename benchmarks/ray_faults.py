"""A large batch on a local cluster, whose workers, nodes and driver are killed.

``python benchmarks/ray_faults.py SONGS OUT --report FILE`` analyses the songs of a folder with `python -m allin1_ray` on a
cluster of several nodes, kills processes at random, restarts the driver if it was killed, and monitors the memory of every
process. At the end, it counts the results, and compares a sample with an analysis on this machine.

With ``--own`` it runs ``allin1 analyze --executor ray`` instead, which starts a cluster of its own each time; its nodes
cannot be killed. ``--make N`` first makes N songs of ten seconds in SONGS, all different, one in a hundred of them broken,
and ``--kill-driver-at N`` kills the driver once, when there are N results. Requires Linux and psutil.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from allin1_core.testing.signals import music_stems

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}

RATE, SECONDS = 44_100, 10.0

#: Contents of broken songs: one of them is cut off within its header, one holds no audio, one is empty.
BROKEN = (b"fLaC\0\0\0\x22\x10", b"These are words.", b"")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--report", type=Path, required=True, help="JSON lines")
    parser.add_argument("--nodes", type=int, default=2, help="of one CPU each")
    parser.add_argument("--kill-worker-s", type=float, default=120.0, help="mean time between")
    parser.add_argument("--kill-node-s", type=float, default=600.0)
    parser.add_argument("--kill-driver-s", type=float, default=900.0)
    parser.add_argument("--kill-driver-at", type=int, help="results; instead of --kill-driver-s")
    parser.add_argument("--own", action="store_true", help="use allin1 analyze --executor ray")
    parser.add_argument("--make", type=int, default=0, help="songs to make")
    parser.add_argument("--limit-s", type=float, default=7200.0)
    parser.add_argument("--compare", type=int, default=100, help="songs to analyse here, too")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["ALLIN1_CACHE_LIMIT"] = "0"
    make_songs(options.songs, options.make)
    if options.own:
        options.kill_node_s = 0.0
        run(None, options)
        print(json.dumps(check(options), indent=1))
        return
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(options.nodes):
        cluster.add_node(**NODE)
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        run(cluster, options)
    finally:
        cluster.shutdown()
    print(json.dumps(check(options), indent=1))


def make_songs(folder: Path, songs: int) -> None:
    """Make songs that differ in tempo, and in where they begin."""
    folder.mkdir(parents=True, exist_ok=True)
    tempi = [
        0.3 * music_stems(SECONDS, bpm=80.0 + 5 * n, seed=n).samples.sum(axis=(0, 1))
        for n in range(20 if songs else 0)
    ]
    for number in range(songs):
        if number % 100 == 50:
            path = folder / f"broken-{number:06}.flac"
            path.write_bytes(BROKEN[number // 100 % len(BROKEN)])
            continue
        samples = np.roll(tempi[number % len(tempi)], 44 * number)
        soundfile.write(folder / f"song-{number:06}.flac", samples, RATE, subtype="PCM_16")


def run(cluster: Any, options: argparse.Namespace) -> None:
    """Analyse all songs, with the requested faults."""
    rng = random.Random(options.seed)
    began = time.monotonic()
    kinds = {"worker": options.kill_worker_s, "node": options.kill_node_s}
    kinds["driver"] = 0.0 if options.kill_driver_at else options.kill_driver_s
    due = {kind: rng.expovariate(1 / mean) for kind, mean in kinds.items() if mean}
    killed: Counter[str] = Counter()
    driver = start(options)
    sampled = last = 0.0
    with options.report.open("a") as report:
        while driver.poll() is None:
            time.sleep(1.0)
            elapsed = time.monotonic() - began
            there = finished(options.out)
            if options.kill_driver_at and not killed["driver"] and there >= options.kill_driver_at:
                mine = processes()
                driver.kill()
                driver.wait()
                killed["driver"] += 1
                _, left = psutil.wait_procs(mine, timeout=30)
                told = {"killed at": finished(options.out), "left": [name(one) for one in left]}
                print(json.dumps(told), flush=True)
                driver = start(options)
            if elapsed > options.limit_s:
                driver.kill()
                print(f"stopped after {elapsed:.0f} s")
                break
            for kind in [kind for kind, at in due.items() if elapsed >= at]:
                due[kind] = elapsed + rng.expovariate(1 / kinds[kind])
                if kind == "driver":
                    driver.kill()
                    driver.wait()
                    driver = start(options)
                elif kind == "node":
                    cluster.remove_node(
                        rng.choice(list(cluster.worker_nodes)), allow_graceful=False
                    )
                    cluster.add_node(**NODE)
                elif workers := [p for p in processes() if "SongAnalyser" in name(p)]:
                    rng.choice(workers).kill()
                else:
                    continue
                killed[kind] += 1
            if elapsed - sampled >= 15 or there // 1000 > last:
                sampled, last = elapsed, there // 1000
                line = {"s": round(elapsed), "songs": there, **memory(driver.pid)}
                report.write(json.dumps(line) + "\n")
                report.flush()
    print(json.dumps({"seconds": round(time.monotonic() - began), "killed": killed}))


def start(options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start the driver."""
    words = [str(options.songs), "-o", str(options.out), "-m", "builtin", "--threads", "1"]
    if options.own:
        words = [
            "-m",
            "allin1_core",
            "analyze",
            *words,
            "-q",
            "-j",
            str(options.nodes),
        ]
        words += ["--executor", "ray", "-O", "ray.address=local"]
    else:
        words = ["-m", "allin1_ray", *words, "--every", "60"]
    return subprocess.Popen([sys.executable, *words])


def finished(out: Path) -> int:
    """Number of existing results."""
    return sum(path.suffix == ".json" for path in out.iterdir()) if out.is_dir() else 0


def processes() -> list[psutil.Process]:
    """All processes that this one has started."""
    return psutil.Process().children(recursive=True)


def name(process: psutil.Process) -> str:
    """Title of a process; Ray's workers are named after their tasks."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def memory(driver: int) -> dict[str, int]:
    """Megabytes of each kind of process: the largest; and their shares of all together."""
    found: dict[str, list[float]] = defaultdict(list)
    for process in processes():
        words = name(process)
        try:
            info = process.memory_full_info()
            size = info.rss / 1e6
        except psutil.Error:
            continue
        kind = "other"
        if process.pid == driver:
            kind = "driver"
        elif "SongAnalyser" in words:
            kind = "worker"
        elif "gcs_server" in words:
            kind = "gcs"
        elif "raylet/raylet" in words:
            kind = "raylet"
        elif "dashboard" in words.lower():
            kind = "dashboard"
        found[kind].append(size)
        found["all"].append(info.pss / 1e6)
    return {k: round(sum(v) if k == "all" else max(v)) for k, v in sorted(found.items())}


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Count the results, and compare a sample with results of this machine."""
    from allin1_ray.table import read_table

    import allin1_core

    rows = read_table(str(options.out)).to_pylist()
    names = Counter(row["name"] for row in rows)
    songs = sorted(path for path in options.songs.rglob("*") if path.is_file())
    done = [row for row in rows if row["status"] == "done"]
    sample = random.Random(1).sample(done, min(options.compare, len(done)))
    settings: dict[str, Any] = {"model": "builtin", "threads": 1}
    if options.own:  # the provenance has options of plugins
        settings["plugin_options"] = {"ray": {"address": "local"}}
    differing = []
    for row in sample:
        result = allin1_core.analyze(row["song"], cache=False, **settings).to_dict()
        there = json.loads((options.out / f"{row['name']}.json").read_text())
        for content in (result, there):
            for stage in content["provenance"]["stages"]:
                del stage["seconds"]
        if json.dumps(result) != json.dumps(there) or row["beats"] != there["beats"]:
            differing.append(row["name"])
    return {
        "songs": len(songs),
        "rows": len(rows),
        "rows of a name twice": sum(count > 1 for count in names.values()),
        "done": len(done),
        "failed": Counter(row["error"].rpartition(":")[2][:60] for row in rows if row["error"]),
        "results": finished(options.out),
        "compared": len(sample),
        "differing": differing,
    }


if __name__ == "__main__":
    main()
