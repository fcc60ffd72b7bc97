"""Batches on a cluster give what this machine gives."""

from __future__ import annotations

import json
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, Popen
from subprocess import run as run_program

import pytest
import ray.data
from allin1_core import analyze, analyze_iter
from allin1_core.cli.main import run
from allin1_core.errors import SelectionError, SettingsError, WeightsError
from click.testing import CliRunner

import allin1_ray
from allin1_ray.__main__ import main
from allin1_ray.table import read_table

STAND_IN = {"backends": {"nn": "stand-in"}}
WORDS = ["analyze", "-m", "builtin", "-b", "nn=stand-in"]

pytestmark = pytest.mark.usefixtures("cluster")


def test_the_command_writes_what_it_writes_without_a_cluster(
    make_songs, tmp_path, capsys, results_of
):
    make_songs(*"dcba", "broken")
    words = [*WORDS, str(tmp_path / "songs"), "--threads", "1"]
    assert run([*words, "-o", str(tmp_path / "here")]) == 3
    here = capsys.readouterr()
    out = tmp_path / "there"
    assert run([*words, "-o", str(out), "--executor", "ray"]) == 3
    there = capsys.readouterr()
    assert there.out == here.out.replace("/here/", "/there/")
    assert "4 analysed" in there.err
    assert results_of(out) == results_of(tmp_path / "here")
    assert len(results_of(out)) == 4

    rows = read_table(str(out)).to_pylist()
    assert sorted(row["name"] for row in rows) == ["a", "b", "broken", "c", "d"]
    row = next(row for row in rows if row["name"] == "c")
    written = json.loads((out / "c.json").read_text())
    assert {k: row[k] for k in ("bpm", "beats", "segments")} == {
        k: written[k] for k in ("bpm", "beats", "segments")
    }
    assert (row["model"], row["status"], row["song"]) == ("builtin", "done", written["path"])
    (letter,) = map(json.loads, (out / "dead-letters.jsonl").read_text().splitlines())
    assert letter["name"] == "broken"
    assert letter["error"] == next(row for row in rows if row["name"] == "broken")["error"]

    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert run([*words, "-o", str(out), "--executor", "ray", "-j", "1"]) == 3
    assert "4 up to date" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_results_without_a_folder_come_whole(make_songs, tmp_path):
    songs = make_songs(*"ab")
    options = {"model": "builtin", "include_activations": True, **STAND_IN}
    outcomes = list(analyze_iter(songs, executor="ray", jobs=1, **options))
    local = list(analyze_iter(songs, **options))
    assert [o.track for o in outcomes] == [o.track for o in local]
    for one, other in zip(outcomes, local, strict=True):
        assert (one.result.activations["beat"] == other.result.activations["beat"]).all()


def test_a_worker_takes_as_many_threads_as_it_has_cpus_where_nothing_else_is_said(make_songs, site):
    songs = make_songs("a")
    for threads, cpus, wanted in ((None, 1.0, 1), (3, 1.0, 3), (None, 0.5, 1)):
        for path in site.glob("threads-*"):
            path.unlink()
        options = {"threads": threads, "plugin_options": {"ray": {"cpus": cpus}}}
        (outcome,) = analyze_iter(songs, executor="ray", model="builtin", **options, **STAND_IN)
        assert outcome.status == "done"
        assert {int(path.read_text()) for path in site.glob("threads-*")} == {wanted}


def test_workers_of_a_cluster_of_its_own_have_its_settings_and_it_ends_with_the_batch(
    make_songs, site, tmp_path
):
    make_songs("a")
    before = set(site.glob("threads-*"))
    words = [sys.executable, "-m", "allin1_core", *WORDS, str(tmp_path / "songs"), "-q"]
    words += ["-o", str(tmp_path / "out"), "--executor", "ray", "-O", "ray.address=local"]
    run_program(words, check=True)
    (mine,) = set(site.glob("threads-*")) - before
    assert mine.read_text() == "1"
    assert (tmp_path / "out/a.json").exists()
    wait_for(lambda: not Path(f"/proc/{mine.name.partition('-')[2]}").exists())


def test_songs_results_and_manifests_may_lie_in_s3(make_songs, tmp_path, results_of, monkeypatch):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        import fsspec

        host, port = server.get_host_and_port()
        storage = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
        fs = fsspec.filesystem("s3", **storage)
        fs.mkdir("music")
        songs = make_songs(*"abc", "broken")
        for song in songs:
            fs.put_file(str(song), f"music/in/{song.name}")
        names = ["in/a.wav", "in/b.wav", "in/c.wav", "in/broken.wav", "in/missing.wav"]
        fs.pipe_file("music/list.csv", "\n".join(["song", *names]).encode())
        analyze = partial(
            allin1_ray.analyze, model="builtin", storage_options=storage, workers=1, **STAND_IN
        )
        summary = analyze("s3://music/list.csv", "s3://music/out")
        assert (summary.done, summary.failed) == (3, 2)
        rows = {row["name"]: row for row in read_table("s3://music/out", storage).to_pylist()}
        assert rows["a"]["song"] == "s3://music/in/a.wav"
        assert rows["missing"]["error"] == "s3://music/in/missing.wav: There is no such file."
        assert fs.cat_file("music/out/dead-letters.jsonl").count(b"\n") == 2

        local = list(analyze_iter(songs[:3], model="builtin", **STAND_IN))
        assert [rows[name]["beats"] for name in "abc"] == [o.result.beats for o in local]
        written = json.loads(fs.cat_file("music/out/a.json"))
        assert (written["path"], written["beats"]) == (rows["a"]["song"], local[0].result.beats)

        again = analyze("s3://music/in/*.wav", "s3://music/out", include_activations=True)
        assert (again.done, again.skipped, again.failed) == (3, 0, 1)
        assert fs.exists("music/out/a.activ.npz")
        assert len(read_table("s3://music/out", storage)) == 5
    finally:
        server.stop()


def test_songs_may_lie_on_a_server_and_in_a_data_set(make_songs, tmp_path):
    make_songs("a", "b")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "songs"))
    handler.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        data = ray.data.from_items(
            [{"url": f"{root}/a.wav", "name": "first"}, {"url": f"{root}/b.wav", "name": None}]
        )
        summary = allin1_ray.analyze(data, tmp_path / "out", "builtin", workers=1, **STAND_IN)
        server.shutdown()
    assert (summary.done, summary.failed) == (2, 0)
    assert {path.name for path in (tmp_path / "out").glob("*.json")} == {"first.json", "b.json"}


def test_what_concerns_all_songs_is_raised(make_songs, tmp_path, monkeypatch):
    songs = make_songs("a")
    with pytest.raises(SettingsError, match="list of devices"):
        list(analyze_iter(songs, executor="ray", device="cuda:0,1"))
    with pytest.raises(SettingsError, match="timings_path"):
        list(analyze_iter(songs, executor="ray", timings_path=tmp_path / "t"))
    with pytest.raises(SelectionError, match="nn"):
        allin1_ray.analyze(songs, tmp_path / "out", "builtin", backends={"nn": "none"})
    monkeypatch.setenv("ALLIN1_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("ALLIN1_OFFLINE", "1")
    (tmp_path / "harmonix-fold0-0vra4ys2.pth").write_bytes(b"damaged")
    stems = tmp_path / "stems"
    stems.mkdir()
    for name in ("bass", "drums", "other", "vocals"):
        (stems / f"{name}.wav").write_bytes(songs[0].read_bytes())
    with pytest.raises(WeightsError):
        list(analyze_iter(songs, executor="ray", jobs=1, model="harmonix-fold0", stems_dir=stems))


def test_a_job_fails_because_of_a_song_unless_failures_are_accepted(make_songs, tmp_path):
    (song,) = make_songs("broken")
    words = [str(song), "-o", str(tmp_path / "out"), "-m", "builtin"]
    found = CliRunner().invoke(main, words)
    assert (found.exit_code, json.loads(found.stdout)["failed"]) == (1, 1)
    assert CliRunner().invoke(main, [*words, "--accept-failures"]).exit_code == 0


def test_closing_the_iterator_ends_the_workers(make_songs, site):
    outcomes = analyze_iter(
        make_songs("a", "sleeps"), executor="ray", model="builtin",
        plugin_options={"ray": {"batch": 1}}, **STAND_IN,
    )  # fmt: skip
    assert next(outcomes).status == "done"
    wait_for(lambda: worker_of("sleeps", site))
    worker = worker_of("sleeps", site)
    outcomes.close()
    wait_for(lambda: not Path(f"/proc/{worker}").exists())


def test_an_exception_of_the_callers_progress_ends_the_batch_and_the_workers(
    make_songs, site, tmp_path
):
    error, songs = KeyError("no such row"), make_songs("a", "sleeps-long")

    def stop(number, stage, fraction):
        wait_for(lambda: worker_of("sleeps-long", site))
        raise error

    with pytest.raises(KeyError) as caught:
        analyze(
            songs, tmp_path / "out", executor="ray", model="builtin", progress=stop,
            plugin_options={"ray": {"batch": 1}}, **STAND_IN,
        )  # fmt: skip
    assert caught.value is error
    worker = worker_of("sleeps-long", site)
    wait_for(lambda: not Path(f"/proc/{worker}").exists())
    assert (tmp_path / "out" / "a.json").is_file()


def test_sigterm_interrupts_the_command_as_it_does_without_a_cluster(make_songs, site, tmp_path):
    make_songs("sleeps-on")
    words = [sys.executable, "-m", "allin1_core", *WORDS, str(tmp_path / "songs"), "-q"]
    words += ["-o", str(tmp_path / "out"), "--executor", "ray"]
    with Popen(words, stderr=PIPE, text=True) as driver:
        wait_for(lambda: worker_of("sleeps-on", site))
        worker = worker_of("sleeps-on", site)
        driver.terminate()
        assert driver.communicate()[1].strip() == "allin1: interrupted"
    assert driver.returncode == 143
    wait_for(lambda: not Path(f"/proc/{worker}").exists())


def worker_of(song: str, site: Path) -> int | None:
    for path in site.glob("log-*"):
        if song in path.read_text().split():
            return int(path.name.partition("-")[2])
    return None


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
