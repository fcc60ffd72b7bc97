"""Reading ahead: how many tracks, and their memory."""

from __future__ import annotations

import math
import sys
import threading
from types import ModuleType

import pytest

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.speed import Speed
from allin1_core.io.stems import StemFiles
from allin1_core.reference import network
from allin1_core.runtime import batch, reading, reading_ahead
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.reading_ahead import ReadingAhead
from allin1_core.runtime.track import make_tracks
from allin1_core.selection.chooser import Chooser
from allin1_core.testing.foreign import BRIDGES, FOREIGN, on_foreign


@pytest.fixture
def sixteen_cpus(monkeypatch):
    monkeypatch.setattr(reading_ahead, "usable_cpus", lambda: 16)


@pytest.fixture
def many_at_first(monkeypatch):
    monkeypatch.setattr(reading_ahead, "FIRST_AHEAD", 15)


@pytest.mark.usefixtures("sixteen_cpus")
def test_one_core_is_left():
    assert ReadingAhead().most == 15
    assert ReadingAhead(threads=5).most == 4
    assert ReadingAhead(threads=64).most == 15
    assert ReadingAhead(threads=1).most == 2


@pytest.mark.usefixtures("sixteen_cpus")
def test_before_anything_is_known_few_songs_are_read_ahead():
    assert ReadingAhead().count == 3
    assert ReadingAhead(threads=3).count == 2


@pytest.mark.usefixtures("sixteen_cpus")
def test_one_more_song_is_read_ahead_whenever_one_was_waited_for():
    pace = ReadingAhead()
    pace.was_late()  # while the first song is read
    pace.was_computed(10.0)
    pace.was_read(0.1)
    pace.was_computed(1.0)
    assert pace.count == 2
    pace.was_late()
    assert pace.count == 3
    for _ in range(100):
        pace.was_late()
    assert pace.count == 15


@pytest.mark.usefixtures("sixteen_cpus")
@pytest.mark.parametrize(
    ("reading_s", "computing_s", "count"),
    [(0.5, 0.075, 10), (0.1, 1.0, 2), (0.0, 1.0, 2), (5.0, 0.075, 15), (0.5, 0.0, 15)],
)
def test_the_number_follows_from_the_times(reading_s, computing_s, count):
    pace = ReadingAhead()
    pace.was_computed(10.0)  # with the set-up of backends
    for _ in range(20):
        pace.was_read(reading_s)
        pace.was_computed(computing_s)
    assert pace.count == count


@pytest.mark.usefixtures("sixteen_cpus")
def test_the_number_changes_with_the_songs():
    pace = ReadingAhead()
    for reading_s in [1.0] * 20 + [0.01] * 20:
        pace.was_read(reading_s)
        pace.was_computed(0.1)
    assert pace.count == 2


def test_a_track_waits_for_memory_until_another_is_computed_or_it_is_awaited():
    pace = ReadingAhead(most_bytes=100)
    pace.reserve(1, 60)
    pace.reserve(2, 40)
    reserved = [threading.Event(), threading.Event()]

    def reserve(index, size, event):
        pace.reserve(index, size)
        event.set()

    threads = [
        threading.Thread(target=reserve, args=(3, 50, reserved[0])),
        threading.Thread(target=reserve, args=(4, 500, reserved[1])),
    ]
    for thread in threads:
        thread.start()
    assert not reserved[0].wait(0.05)
    with pace.awaiting(1):
        assert not reserved[0].wait(0.05)
    assert reserved[0].wait(30)
    assert not reserved[1].wait(0.05)
    with pace.awaiting(4):
        assert reserved[1].wait(30)
    for thread in threads:
        thread.join()


def test_nothing_waits_for_memory_after_a_stop():
    pace = ReadingAhead(most_bytes=10)
    waiting = threading.Thread(target=pace.reserve, args=(1, 11))
    waiting.start()
    pace.stop()
    waiting.join(30)
    assert not waiting.is_alive()


class Reads:
    """Which songs have been read, and the largest number that was waiting to be computed."""

    def __init__(self, monkeypatch):
        self.names: list[str] = []
        self.seven = threading.Event()
        read = reading.read_stems

        def watched(files: StemFiles):
            found = read(files)
            self.names.append(files.name)
            if len(self.names) == 7:
                self.seven.set()
            return found

        monkeypatch.setattr(reading, "read_stems", watched)
        monkeypatch.setattr(batch, "FEWEST_FOR_PROCESSES", math.inf)  # they read in this process


@pytest.fixture
def reads(monkeypatch):
    return Reads(monkeypatch)


@pytest.fixture
def album(tmp_path, write_stems):
    for number in range(8):
        write_stems(tmp_path / "stems" / f"{number}", 0.5, number)
        (tmp_path / f"{number}.mp3").touch()
    return make_tracks([tmp_path / f"{number}.mp3" for number in range(8)], [tmp_path / "stems"])


@pytest.fixture
def npu(make_plugin, monkeypatch):
    """Make a plugin with a network on a device, whose set-up calls a function."""

    def make(while_set_up):
        def create(setup):
            while_set_up()
            return on_foreign(network.create(setup))

        module = ModuleType("npu_backends")
        module.create = create
        monkeypatch.setitem(sys.modules, module.__name__, module)
        backend = Backend(
            name="npu",
            stage="nn",
            target="npu_backends:create",
            consumes=FOREIGN,
            produces=FOREIGN,
            speed=(Speed("npu", 0.0, 1e-9, "a test"),),
        )
        return make_plugin(allin1_nn=lambda: [backend], allin1_bridges=lambda: BRIDGES)

    return make


@pytest.mark.usefixtures("sixteen_cpus", "many_at_first")
def test_many_songs_are_read_while_an_accelerator_is_set_up(make_session, album, reads, npu):
    waited = []
    plugin = npu(lambda: waited.append(reads.seven.wait(60)))
    with make_session(plugins={"npu": plugin}) as session:
        outcomes = list(run_batch(session, album))
    assert waited == [True]
    assert [outcome.track.name for outcome in outcomes] == list("01234567")
    assert [outcome.status for outcome in outcomes] == ["done"] * 8


@pytest.mark.usefixtures("sixteen_cpus", "many_at_first")
def test_routes_for_an_accelerator_are_chosen_by_threads_that_read(
    make_session, album, reads, npu, monkeypatch
):
    threads = []
    decide = Chooser.decide

    def watched(self, *arguments):
        threads.append(threading.current_thread().name)
        return decide(self, *arguments)

    with make_session(plugins={"npu": npu(lambda: reads.seven.wait(60))}) as session:
        monkeypatch.setattr(Chooser, "decide", watched)
        outcomes = list(run_batch(session, album))
    assert [outcome.status for outcome in outcomes] == ["done"] * 8
    main = threading.current_thread().name
    # For the first song: once to prepare, once to begin.
    assert threads.count(main) == 2
    assert sum(name.startswith("allin1-read") for name in threads) == 7


@pytest.mark.usefixtures("sixteen_cpus", "many_at_first")
def test_no_more_songs_are_read_than_there_is_memory_for(
    make_session, album, reads, npu, monkeypatch
):
    # Eight channels of half a second each.
    monkeypatch.setattr(ReadingAhead.__init__, "__defaults__", (None, 3 * 8 * 22_050 * 4))
    waited = []

    def while_set_up():
        waited.append(reads.seven.wait(0.5))
        waited.append(len(reads.names))

    with make_session(plugins={"npu": npu(while_set_up)}) as session:
        outcomes = list(run_batch(session, album))
    assert waited == [False, 4]
    assert [outcome.status for outcome in outcomes] == ["done"] * 8


@pytest.mark.usefixtures("sixteen_cpus")
def test_next_to_a_computation_on_the_cpu_one_song_is_read(make_session, album, reads):
    begun: list[int] = []

    def progress(index, stage, fraction):
        if stage == "nn" and index not in begun:
            begun.append(index)
            assert len(reads.names) <= index + 2

    with make_session() as session:
        outcomes = list(run_batch(session, album, progress=progress))
    assert [outcome.status for outcome in outcomes] == ["done"] * 8
    assert begun == [*range(8)]


@pytest.mark.usefixtures("sixteen_cpus")
def test_ctrl_c_ends_a_batch_whose_songs_wait_for_memory(
    make_session, album, reads, npu, monkeypatch
):
    monkeypatch.setattr(ReadingAhead.__init__, "__defaults__", (None, 3 * 8 * 22_050 * 4))

    def interrupt():
        raise KeyboardInterrupt

    with make_session(plugins={"npu": npu(interrupt)}) as session:
        with pytest.raises(KeyboardInterrupt):
            list(run_batch(session, album))
    assert len(reads.names) <= 4
