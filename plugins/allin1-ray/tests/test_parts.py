"""What needs no cluster: attempts, sizes of tasks, progress, and what every command imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from allin1_core.errors import SettingsError
from allin1_core.runtime.batch import Outcome
from allin1_core.runtime.track import Track

from allin1_ray.backlog import Backlog
from allin1_ray.cluster import Resources, room
from allin1_ray.executor import resources_of
from allin1_ray.progress import Progress


def test_songs_whose_worker_died_are_tried_alone_and_given_up_after_three_deaths():
    backlog = Backlog(6)
    assert backlog.take(4) == [0, 1, 2, 3]
    assert backlog.blame([0, 1]) == []
    backlog.put_back([2, 3])
    assert len(backlog) == 6
    assert backlog.take(4) == [2, 3]
    assert [backlog.take(4) for _ in range(2)] == [[0], [1]]
    assert backlog.blame([1]) == []
    assert backlog.take(4) == [1]
    assert backlog.blame([1]) == [1]
    assert backlog.take(4) == [4, 5]
    assert len(backlog) == 0
    assert backlog.take(4) == []


def test_a_task_has_about_ten_seconds_of_work_and_every_worker_has_several():
    assert Resources(song_s=0.5).batch_of(10_000, 8) == 20
    assert Resources(song_s=30.0).batch_of(10_000, 8) == 1
    assert Resources(song_s=1e-9).batch_of(10_000, 8) == 32
    assert Resources(song_s=0.5).batch_of(64, 8) == 2
    assert Resources(song_s=3.0).batch_of(1_000_000, 4096) == 27  # the driver has tasks for all
    assert Resources(batch=7).batch_of(10, 8) == 7
    assert Resources().batch_of(10_000, 8) == 4


def test_a_worker_has_a_gpu_where_one_is_asked_for_and_a_cpu_for_each_thread():
    def needed(plugin, **session):
        found = resources_of(plugin, session, None)
        return found.cpus, found.gpus

    assert needed({}) == (1.0, 0.0)
    assert needed({}, threads=4, device="cpu") == (4.0, 0.0)
    assert needed({}, device="cuda") == (1.0, 1.0)
    assert needed({"gpus": 0.25, "cpus": 2.0}, device="cuda") == (2.0, 0.25)


def test_a_worker_that_this_machine_has_no_room_for_is_an_error_and_a_cluster_may_grow():
    there = {"CPU": 4.0, "memory": 1e9}
    assert room(Resources(cpus=1.5), there, may_grow=False) == 2
    assert room(Resources(cpus=8.0), there, may_grow=True) == 1
    assert room(Resources(cpus=0.0), there, may_grow=False) == 1
    with pytest.raises(SettingsError, match=r"needs 8 CPUs, and this machine has 4\. .*ray\.cpus"):
        room(Resources(cpus=8.0), there, may_grow=False)
    with pytest.raises(SettingsError, match=r"needs 0\.5 GPUs, and this machine has 0"):
        room(Resources(gpus=0.5), there, may_grow=False)


def test_progress_tells_rate_and_time_left_from_the_last_minutes():
    now = 0.0
    progress = Progress(1000, lambda: now)
    track = Track("a", Path("a"))
    for _ in range(100):
        now += 0.5
        progress.add(Outcome(track, status="done"))
    assert progress.finished == 100
    assert (progress.songs_per_s, progress.seconds_left) == (2.0, 450.0)
    assert str(progress) == "100 of 1000 songs, 2 songs/s, 0:07:30 left"
    for _ in range(150):
        now += 4.0
        progress.add(Outcome(track, status="failed"))
    assert progress.short == "0.25/s 0:50:00"
    assert "150 failed" in str(progress)


def test_the_hooks_import_neither_ray_nor_arrow():
    code = (
        "import sys, allin1_ray, allin1_ray.hooks;"
        "found = {'ray', 'pyarrow', 'fsspec', 'pandas', 'numpy'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
