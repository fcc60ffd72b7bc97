from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.metadata import version

import pooch
import pytest

from allin1_core.errors import WeightsError
from allin1_core.weights import download as download_module
from allin1_core.weights.download import DownloadError, download
from allin1_core.weights.store import find_folders, read_weights

#: Reads a card as JSON on stdin and loads its model.
SCRIPT = """
import json, sys
from allin1_core.contracts.model import ModelCard, WeightsFile
from allin1_core.weights.load import load_model
card = json.load(sys.stdin)
files = tuple(WeightsFile(f["name"], f["sha256"], f["size"], tuple(f["urls"])) for f in card["files"])
print(len(load_model(ModelCard(**{**card, "files": files})).members))
"""


def read(card, **options):
    return read_weights(card, find_folders(), **options)


def start_process(card) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write(json.dumps(asdict(card)))
    process.stdin.close()
    process.stdin = None  # communicate() would flush it
    return process


def test_what_is_missing_is_downloaded_once_into_the_cache(cache, server, served, contents):
    for _ in range(2):
        found = read(served)
        assert [file.content for file in found] == contents
        assert [file.path for file in found] == [cache / f"member{k}.npz" for k in range(3)]
    assert server.asked == [f"/member{k}.npz" for k in range(3)]
    assert sorted(path.name for path in cache.iterdir()) == [f"member{k}.npz" for k in range(3)]


def test_named_folders_are_never_written_to(tmp_path, cache, served):
    mine = tmp_path / "mine"
    mine.mkdir()
    found = read_weights(served, find_folders(mine))
    assert {file.path.parent for file in found} == {cache}
    assert list(mine.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="files have no permission bits there")
def test_a_shared_cache_can_be_read_by_others(cache, served):
    for file in read(served):
        assert file.path.stat().st_mode & 0o777 == 0o644


def test_progress_counts_the_bytes_of_all_files_and_ends_at_the_total(served, contents):
    seen: list[tuple[int, int]] = []
    read(served, progress=lambda done, total: seen.append((done, total)))
    total = sum(map(len, contents))
    assert {of for _, of in seen} == {total}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (total, total)
    assert len({done for done, _ in seen}) > len(contents)
    seen.clear()
    read(served, progress=lambda done, total: seen.append((done, total)))
    assert seen == []


def test_progress_needs_no_tqdm(served, contents, monkeypatch):
    monkeypatch.setattr(pooch.downloaders, "tqdm", None)
    assert [file.content for file in read(served, progress=lambda *_: None)] == contents


#: urllib3 tells of a transfer that ends early from version 2 on; before, the digest does.
TRUNCATED = (
    "transfer was interrupted"
    if int(version("urllib3").partition(".")[0]) >= 2
    else "Truncated, or another file: it has 1000 bytes"
)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"body": b"<html>Please log in</html>"}, "Truncated, or another file: it has 26 bytes"),
        ({"body": b"x" * 300_000}, "Not the file in the catalogue"),
        ({"body": b"x" * 1000, "length": 2000}, TRUNCATED),
        ({"status": 404}, "404 Not Found"),
        ({"status": 503}, "503 Service Unavailable"),
    ],
    ids=["login page", "wrong content", "truncated transfer", "not found", "server down"],
)
def test_a_bad_answer_leaves_nothing_behind_and_is_explained(cache, server, served, answer, reason):
    server.answer("/member1.npz", **answer)
    with pytest.raises(WeightsError) as caught:
        read(served)
    assert reason in str(caught.value)
    assert server.url("/member1.npz") in str(caught.value)
    assert "member0.npz" not in str(caught.value)  # is there by now
    assert "member2.npz" in str(caught.value)
    assert [path.name for path in cache.iterdir()] == ["member0.npz"]
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)


@pytest.mark.parametrize(
    "bad",
    [{"status": 404}, {"body": b"wrong"}, {"body": b"short", "length": 500}],
    ids=["not found", "wrong content", "truncated transfer"],
)
def test_the_second_address_is_tried_when_the_first_fails(server, served, make_card, contents, bad):
    server.answer("/first/member0.npz", **bad)
    card = make_card(
        contents[0], urls=lambda name: (server.url(f"/first/{name}"), server.url(f"/{name}"))
    )
    assert [file.content for file in read(card)] == contents[:1]
    assert server.asked == ["/first/member0.npz", "/member0.npz"]


def test_each_address_is_tried_once_and_each_failure_is_told(server, make_card, contents, cache):
    card = make_card(contents[0], urls=lambda name: (server.url("/a"), server.url("/b")))
    with pytest.raises(DownloadError) as caught:
        download(card.files[0], cache, None)
    assert server.asked == ["/a", "/b"]
    assert [server.url("/a") in caught.value.reasons[0], len(caught.value.reasons)] == [True, 2]


def test_without_a_connection_the_error_says_what_to_put_where(make_card, contents, cache):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    card = make_card(*contents, urls=lambda name: (f"{address}/{name}",))
    with pytest.raises(WeightsError) as caught:
        read(card)
    text = str(caught.value)
    assert "the connection failed" in text
    assert "HTTPConnectionPool" not in text
    for expected in ("3 of 3", *(file.name for file in card.files), str(cache), "--weights-dir"):
        assert expected in text


def test_a_server_that_falls_silent_is_not_waited_for(server, served, monkeypatch, cache):
    monkeypatch.setattr(download_module, "TIMEOUT_S", (5.0, 0.2))
    server.answers["/member0.npz"].release = threading.Event()
    try:
        with pytest.raises(WeightsError, match="the connection failed"):
            read(served)
    finally:
        server.answers["/member0.npz"].release.set()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("allow_download", [True, False])
def test_a_model_without_addresses_says_so_and_announces_no_download(
    make_card, contents, cache, caplog, allow_download
):
    with pytest.raises(
        WeightsError, match=r"cannot be downloaded: no URL is known for member0\.npz\."
    ) as caught:
        read(make_card(contents[0]), allow_download=allow_download)
    assert "allin1 weights fetch" not in str(caught.value)
    assert f"Put member0.npz into {cache}" in str(caught.value.remedy)
    assert "ALLIN1_WEIGHTS_DIR" in str(caught.value.remedy)
    assert caplog.messages == []


def test_nothing_is_downloaded_of_a_model_of_which_a_file_has_no_address(
    make_card, contents, server, served
):
    (other,) = make_card(contents[0]).files
    card = replace(served, files=(*served.files, replace(other, name="other.npz")))
    with pytest.raises(WeightsError, match=r"no URL is known for other\.npz\."):
        read(card)
    assert server.asked == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path, served, monkeypatch, server):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot be stored.*ALLIN1_CACHE_DIR") as caught:
        read(served)
    assert caught.value.path == str(tmp_path / "file" / "weights")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, RuntimeError])
def test_an_interruption_passes_through_and_leaves_nothing_under_the_final_name(
    cache, server, served, contents, error
):
    def interrupt(done: int, total: int) -> None:
        if done > len(contents[0]):
            raise error

    with pytest.raises(error):
        read(served, progress=interrupt)
    assert [path.name for path in cache.iterdir()] == ["member0.npz"]
    assert [file.content for file in read(served)] == contents


def test_a_process_killed_in_the_middle_leaves_nothing_broken(cache, server, served, contents):
    answer = server.answers["/member0.npz"]
    answer.release = threading.Event()
    process = start_process(served)
    assert answer.half_sent.wait(timeout=60)
    process.kill()
    process.communicate()
    answer.release.set()
    assert not (cache / "member0.npz").exists()
    assert [file.content for file in read(served)] == contents


def test_threads_that_need_the_same_model_all_get_it(cache, served, contents):
    barrier = threading.Barrier(4)

    def work() -> list[bytes]:
        barrier.wait()
        return [file.content for file in read(served)]

    with ThreadPoolExecutor(4) as pool:
        results = [future.result() for future in [pool.submit(work) for _ in range(4)]]
    assert results == [contents] * 4
    assert sorted(path.name for path in cache.iterdir()) == [f"member{k}.npz" for k in range(3)]


def test_processes_that_need_the_same_model_both_get_it(cache, server, served):
    """Both are in the middle of the same download before either may finish it."""
    answer = server.answers["/member0.npz"]
    answer.release = threading.Event()
    processes = [start_process(served) for _ in range(2)]
    try:
        until = time.monotonic() + 60
        while server.asked.count("/member0.npz") < 2 and time.monotonic() < until:
            assert all(process.poll() is None for process in processes)
            time.sleep(0.02)
    finally:
        answer.release.set()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.strip()) == (0, "3"), err
        # One line of ours; pooch's own announcements are silenced.
        assert err.count("\n") == 1
        assert err.startswith("Downloading the weights of small")
    assert sorted(path.name for path in cache.iterdir()) == [f"member{k}.npz" for k in range(3)]


def test_the_level_of_poochs_logger_is_left_as_it_was(served):
    logger = pooch.get_logger()
    level = logger.level
    read(served)
    assert logger.level == level


def test_looking_and_reading_need_no_download_library(served, contents, cache):
    cache.mkdir(parents=True)
    for k, content in enumerate(contents):
        (cache / f"member{k}.npz").write_bytes(content)
    code = SCRIPT + "assert not {'pooch', 'requests'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(asdict(served)),
        env=dict(os.environ),
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "3", "")
