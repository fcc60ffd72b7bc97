"""The page in a real browser: Chromium, driven by Playwright."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.result import AnalysisResult, Provenance
from allin1_core.contracts.sections import Segment
from allin1_core.io.results import load_result, save_result
from allin1_core.page.assemble import write_page
from allin1_core.page.content import Version
from allin1_core.page.server import CORRECTED, Entry, PageServer

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.xdist_group("browser"),
]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(accept_downloads=True)
    opened = context.new_page()
    errors: list[str] = []
    opened.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []


@pytest.fixture
def result(tmp_path: Path) -> AnalysisResult:
    seconds, rate = 24, 44_100
    rng = np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal((seconds * rate, 2))).astype(np.float32)
    beats = [float(t) for t in np.arange(0.5, seconds, 0.5)]
    for beat in beats:
        audio[round(beat * rate) :][:200] += 0.5
    song = tmp_path / "song.ogg"
    soundfile.write(song, audio, rate, format="OGG", subtype="VORBIS")
    segments = [
        Segment(0.0, 8.5, "intro"),
        Segment(8.5, 16.5, "verse"),
        Segment(16.5, 24.0, "chorus"),
    ]
    places = [i % 4 + 1 for i in range(len(beats))]
    return AnalysisResult(song, 120, beats, beats[::4], places, segments)


@pytest.fixture
def file_page(page: Any, result: AnalysisResult, tmp_path: Path) -> Any:
    path = tmp_path / "page.html"
    write_page(path, "A <song> & more", [Version("one", result)])
    page.goto(path.as_uri())
    ready(page)
    return page


@pytest.fixture
def served(page: Any, result: AnalysisResult, tmp_path: Path) -> Iterator[tuple[Any, Path]]:
    paths = []
    for folder, shift in (("one", 0.0), ("two", 0.02)):
        beats = [t + shift for t in result.beats]
        moved = replace(result, beats=beats, downbeats=beats[::4])
        paths.append(save_result(moved, tmp_path / folder, "song"))
    with PageServer([Entry("song", tuple(paths))]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(server.url)
        ready(page)
        yield page, paths[0]
        server.shutdown()


def ready(page: Any) -> None:
    page.wait_for_function("document.allin1 && document.getElementById('audio').readyState >= 3")


def labels(page: Any) -> list[str]:
    return page.locator("#ribbon button").all_text_contents()


def test_a_page_from_the_disk_shows_the_result(file_page: Any) -> None:
    assert file_page.title() == "A <song> & more"
    assert "120 bpm, 47 beats" in file_page.inner_text("#facts")
    assert labels(file_page) == ["intro", "verse", "chorus"]
    assert file_page.locator("#sections tbody tr").count() == 3


def test_beats_pass_the_playhead_in_time(file_page: Any) -> None:
    """The media clock, read when a frame is drawn, against the time that the page draws."""
    worst = file_page.evaluate(
        """async () => {
          const {transport, timeline, results} = document.allin1, audio = document.getElementById("audio");
          await transport.play();
          let worst = 0, frames = 0;
          const began = performance.now();
          await new Promise(done => requestAnimationFrame(function step() {
            const drawn = transport.time;
            if (performance.now() - began > 300) {
              worst = Math.max(worst, Math.abs(drawn - audio.currentTime));
              frames += 1;
            }
            if (performance.now() - began < 2300) requestAnimationFrame(step); else done();
          }));
          transport.pause();
          return [worst, frames, audio.currentTime];
        }"""
    )
    assert worst[1] > 5
    assert worst[2] > 1.5
    assert worst[0] < 0.02


def test_clicks_are_scheduled_on_the_beats(file_page: Any) -> None:
    clicks = file_page.evaluate(
        """async () => {
          const {transport, results} = document.allin1, found = [];
          transport.context = {currentTime: 0, state: "running"};
          transport.sound = (at, pitch) => found.push([transport.time + at, pitch]);
          transport.clicks = true;
          await transport.play();
          await new Promise(done => setTimeout(done, 2200));
          transport.pause();
          return found;
        }"""
    )
    assert len(clicks) >= 3
    for time, _ in clicks:
        assert abs(time - round(time / 0.5) * 0.5) < 0.02
    times = [round(time / 0.5) for time, _ in clicks]
    assert times == list(range(times[0], times[0] + len(times)))  # each beat once
    assert all(
        (pitch == 3000) == ((n - 1) % 4 == 0) for n, (_, pitch) in zip(times, clicks, strict=True)
    )


def test_keys_move_edit_and_undo(file_page: Any) -> None:
    position = "document.getElementById('audio').currentTime"
    file_page.keyboard.press("PageDown")
    assert file_page.evaluate(position) == pytest.approx(8.5, abs=0.01)
    file_page.keyboard.press("Shift+ArrowRight")
    assert file_page.evaluate(position) == pytest.approx(10.5, abs=0.01)
    file_page.keyboard.press("ArrowLeft")
    assert file_page.evaluate(position) == pytest.approx(10.0, abs=0.01)
    file_page.keyboard.press("s")
    assert labels(file_page) == ["intro", "verse", "verse", "chorus"]
    file_page.keyboard.press("9")
    assert labels(file_page) == ["intro", "verse", "chorus", "chorus"]
    file_page.keyboard.press("]")
    starts = "document.allin1.results[0].segments.map(s => s.start)"
    assert file_page.evaluate(starts) == pytest.approx([0, 8.5, 10.5, 16.5], abs=0.02)
    file_page.keyboard.press("m")
    assert labels(file_page) == ["intro", "verse", "chorus"]
    for _ in range(4):
        file_page.keyboard.press("Control+z")
    assert labels(file_page) == ["intro", "verse", "chorus"]
    assert file_page.evaluate(starts) == [0, 8.5, 16.5]
    file_page.keyboard.press("y")
    assert labels(file_page) == ["intro", "verse", "verse", "chorus"]
    file_page.keyboard.press("Space")
    file_page.wait_for_function("document.allin1.transport.playing")
    file_page.keyboard.press("Space")
    file_page.wait_for_function("!document.allin1.transport.playing")
    file_page.keyboard.press("?")
    assert file_page.locator("#keys").is_visible()


def test_labels_are_those_of_the_model(page: Any, result: AnalysisResult, tmp_path: Path) -> None:
    names = ("calm", "loud", "constructor")
    provenance = Provenance("1", "toy", {}, (), labels=names)
    segments = [replace(s, label=name) for s, name in zip(result.segments, names, strict=True)]
    own = replace(result, segments=segments, provenance=provenance)
    write_page(tmp_path / "page.html", "song", [Version("one", own)])
    page.goto((tmp_path / "page.html").as_uri())
    ready(page)
    assert page.locator("#label option").all_text_contents() == list(names)
    colours = "[...document.querySelectorAll('#ribbon button')].map(b => b.style.background)"
    assert len(set(page.evaluate(colours))) == 3
    page.keyboard.press("1")
    page.keyboard.press("9")  # no label of this model
    assert labels(page) == ["loud", "loud", "constructor"]


def test_a_section_is_looped(file_page: Any) -> None:
    file_page.keyboard.press("PageDown")
    file_page.keyboard.press("l")
    file_page.evaluate("document.allin1.transport.seek(16.2)")
    file_page.keyboard.press("Space")
    file_page.wait_for_function("document.getElementById('audio').currentTime < 10", timeout=3000)
    assert file_page.evaluate("document.getElementById('audio').currentTime") >= 8.4


def test_half_and_double_tempo(file_page: Any) -> None:
    count = "document.allin1.results[0].grid().beats.length"
    file_page.select_option("#level", "half")
    assert file_page.evaluate(count) == 24
    file_page.select_option("#level", "double")
    assert file_page.evaluate(count) == 93
    file_page.select_option("#level", "found")
    assert file_page.evaluate(count) == 47


def test_tapping_is_compared_with_the_tempo_found(file_page: Any) -> None:
    for _ in range(5):
        file_page.click("#tap")
        file_page.wait_for_timeout(250)
    assert "× found" in file_page.inner_text("#tapped")


def test_a_page_from_the_disk_offers_corrections_as_downloads(
    file_page: Any, result: AnalysisResult, tmp_path: Path
) -> None:
    file_page.keyboard.press("PageDown")
    file_page.keyboard.press("5")
    with file_page.expect_download() as download:
        file_page.click("#save")
    download.value.save_as(tmp_path / "corrected.json")
    corrected = load_result(tmp_path / "corrected.json")
    assert [s.label for s in corrected.segments] == ["intro", "bridge", "chorus"]
    assert corrected.beats == result.beats
    with file_page.expect_download() as download:
        file_page.click("#jams")
    download.value.save_as(tmp_path / "a.jams")
    text = json.loads((tmp_path / "a.jams").read_text("utf-8"))
    assert [o["value"] for o in text["annotations"][1]["data"]] == ["intro", "bridge", "chorus"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_jams_of_the_page_is_valid(file_page: Any, tmp_path: Path) -> None:
    jams = pytest.importorskip("jams")
    with file_page.expect_download() as download:
        file_page.click("#jams")
    download.value.save_as(tmp_path / "a.jams")
    document = jams.load(str(tmp_path / "a.jams"), strict=True)
    assert len(document.search(namespace="beat")[0].data) == 47


def test_the_server_saves_a_correction(served: tuple[Any, Path]) -> None:
    page, path = served
    before = load_result(path)
    page.keyboard.press("PageDown")
    page.keyboard.press("9")
    page.click("#save")
    page.wait_for_function("document.getElementById('notice').textContent.startsWith('Saved to')")
    after = load_result(path)
    assert [s.label for s in after.segments] == ["intro", "chorus", "chorus"]
    assert after.beats == before.beats
    assert after.warnings == [CORRECTED]
    assert load_result(path.with_name("song.json.orig")).segments == before.segments


def test_results_stand_side_by_side_with_their_scores(served: tuple[Any, Path]) -> None:
    pytest.importorskip("mir_eval")
    page, _ = served
    assert page.locator("#version option").all_text_contents() == ["one", "two"]
    assert "beats, F" in page.inner_text("#scores")
    assert page.locator("#others .name").all_text_contents() == ["two"]
    shown = page.locator("#others button:visible").all_text_contents()
    assert shown == ["intro", "verse", "chorus"]
    left = "document.querySelectorAll('{} button')[1].getBoundingClientRect().left"
    assert page.evaluate(left.format("#others")) == page.evaluate(left.format("#ribbon"))
    assert page.locator("#others .beat").count() == 12
    page.select_option("#version", "1")
    assert page.locator("#others .name").all_text_contents() == ["one"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_is_accessible(file_page: Any, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    file_page.set_viewport_size({"width": width, "height": 900})
    file_page.emulate_media(color_scheme=scheme)
    found = axe.Axe().run(file_page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["target"] for n in v["nodes"]]) for v in serious] == []
    overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not file_page.evaluate(overflow)


def test_an_hour_is_drawn(page: Any, result: AnalysisResult, tmp_path: Path) -> None:
    beats = [float(t) for t in np.arange(0.5, 3600, 0.5)]
    places = [i % 4 + 1 for i in range(len(beats))]
    segments = [Segment(60.0 * i, 60.0 * (i + 1), "verse") for i in range(60)]
    long = replace(
        result,
        path=tmp_path / "gone.mp3",
        beats=beats,
        downbeats=beats[::4],
        beat_positions=places,
        segments=segments,
    )
    path = tmp_path / "hour.html"
    write_page(path, "hour", [Version("one", long)])
    page.goto(path.as_uri())
    page.wait_for_function("document.allin1")
    assert page.locator("#ribbon button").count() == 60
    assert page.evaluate("document.allin1.timeline.duration") == 3600
    page.click("#play")
    assert "audio of this result does not exist" in page.inner_text("#notice")
