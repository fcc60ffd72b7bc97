"""Workers, nodes and the driver die; each song is done once, as far as the output shows."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from allin1_core import analyze

import allin1_ray
from allin1_ray.table import read_table

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}
OPTIONS = {"model": "builtin", "backends": {"nn": "stand-in"}, "threads": 1}


def begun(site: Path) -> Counter[str]:
    """How often each song came to the end of its analysis."""
    lines = [line for path in site.glob("log-*") for line in path.read_text().split()]
    return Counter(lines)


def workers(site: Path) -> list[int]:
    """Processes of workers that live."""
    pids = [int(path.name.partition("-")[2]) for path in site.glob("log-*")]
    return [pid for pid in pids if pid != os.getpid() and Path(f"/proc/{pid}").exists()]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_song_that_kills_its_worker_thrice_is_given_up_and_takes_no_other_with_it(
    cluster, site, make_songs, tmp_path
):
    songs = make_songs("a", "dies", "b", "once", "c", "d")
    summary = allin1_ray.analyze(songs, tmp_path / "out", batch=6, workers=1, **OPTIONS)
    assert (summary.done + summary.skipped, summary.failed) == (5, 1)
    tries = begun(site)
    assert (tries["dies"], tries["once"]) == (3, 2)
    rows = {row["name"]: row for row in read_table(str(tmp_path / "out")).to_pylist()}
    assert sorted(rows) == ["a", "b", "c", "d", "dies", "once"]
    (letter,) = map(json.loads, Path(summary.dead_letters).read_text().splitlines())
    assert letter["song"] == str(songs[1])
    assert "The 3 workers that analysed it have died." in letter["error"]


def test_a_worker_that_is_terminated_within_a_plugin_writes_no_result(
    cluster, site, make_songs, tmp_path
):
    (song,) = make_songs("ends")
    assert allin1_ray.analyze([song], tmp_path / "out", **OPTIONS).done == 1
    assert begun(site)["ends"] == 2
    assert json.loads((tmp_path / "out/ends.json").read_text())["warnings"] == []


def test_a_machine_that_is_added_gets_songs_of_the_batch_that_runs(
    cluster, site, make_songs, tmp_path
):
    songs = make_songs(*(f"waits-{number}" for number in range(8)))

    def busy() -> int:
        return sum("waits" in path.read_text() for path in site.glob("log-*"))

    with ThreadPoolExecutor(1) as executor:
        found = executor.submit(allin1_ray.analyze, songs, tmp_path / "out", batch=1, **OPTIONS)
        wait_for(lambda: busy() == 2)
        node = cluster.add_node(**NODE)
        try:
            wait_for(lambda: busy() == 3)
        finally:
            (site / "go").touch()
            summary = found.result()
            cluster.remove_node(node)
    assert summary.done == 8
    assert begun(site) >= Counter([song.stem for song in songs])


def test_driver_workers_and_a_node_are_killed_and_the_results_are_those_of_this_machine(
    cluster, site, make_songs, tmp_path, results_of
):
    songs = make_songs(*(f"slow-{number:02}" for number in range(24)), "broken")
    out = tmp_path / "out"
    words = ["-m", "allin1_ray", str(tmp_path / "songs"), "-o", str(out), "-m", "builtin"]
    environment = {**os.environ, "ALLIN1_BACKEND": "nn=stand-in"}
    with subprocess.Popen(
        [sys.executable, *words, "--threads", "1", "--batch", "1"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as driver:
        deadline = time.monotonic() + 200
        while len(list(out.glob("*.json"))) < 6 and driver.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        driver.kill()
    before = results_of(out)
    assert 6 <= len(before) < 24

    rng = random.Random(5)
    killed = []

    def disturb(progress):
        analysed = progress.counts["done"]
        if analysed in killed or analysed not in (2, 4, 8):
            return
        killed.append(analysed)
        if analysed == 4:
            cluster.remove_node(rng.choice(list(cluster.worker_nodes)), allow_graceful=False)
            cluster.add_node(**NODE)
        elif alive := workers(site):
            os.kill(rng.choice(alive), signal.SIGKILL)

    summary = allin1_ray.analyze(songs, out, batch=1, progress=disturb, **OPTIONS)
    assert len(killed) == 3
    assert (summary.done + summary.skipped, summary.failed) == (24, 1)
    assert summary.skipped >= len(before)
    after = results_of(out)
    assert before.items() <= after.items()
    analyze(songs[:-1], tmp_path / "here", **OPTIONS)
    assert after == results_of(tmp_path / "here")
    names = Counter(read_table(str(out))["name"].to_pylist())
    assert names == Counter([song.stem for song in songs])
    assert not [path for path in out.rglob(".*") if path.is_file()]
