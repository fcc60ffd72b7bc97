from __future__ import annotations

import errno
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allin1_core.contracts.logits import HARMONIX_LABELS
from allin1_core.contracts.metre import TempoAlternative
from allin1_core.contracts.result import (
    SCHEMA,
    AnalysisResult,
    Confidence,
    Provenance,
    SegmentConfidence,
    StageRecord,
    Tempo,
)
from allin1_core.contracts.sections import Segment
from allin1_core.errors import OutputError
from allin1_core.io import results
from allin1_core.io.results import (
    ACTIVATIONS,
    check_destination,
    load_result,
    save_result,
    to_json,
)

FIELDS = (
    "path",
    "bpm",
    "beats",
    "downbeats",
    "beat_positions",
    "segments",
    "tempo",
    "confidence",
    "alternatives",
    "warnings",
)

PROVENANCE = Provenance(
    version="0.1.0",
    model="harmonix-all",
    input={"kind": "stems", "files": [{"path": "a/bass.wav", "sample_rate": 48000}]},
    stages=(StageRecord(("metrical_prep", "metrical_dbn"), "numpy", "core", "0.1.0", "cpu", 0.25),),
    fallbacks=("torch failed: out of memory.",),
    postprocessors=("smoother",),
)


def a_result(path: str = "music/song.wav", **changes: Any) -> AnalysisResult:
    result = AnalysisResult(
        path=Path(path),
        bpm=120,
        beats=[0.33, 0.75, 1.14],
        downbeats=[0.33],
        beat_positions=[1, 2, 3],
        segments=[Segment(0.0, 8.5, "intro"), Segment(8.5, 20.0, "chorus")],
    )
    return replace(result, **changes)


def some_activations(seed: int = 0, frames: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"label": (10, frames)}
    return {key: rng.random(shapes.get(key, frames), np.float32) for key in ACTIVATIONS}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_json_begins_as_the_originals_and_has_its_layout(tmp_path: Path) -> None:
    path = save_result(a_result(), tmp_path / "struct", "song")
    assert path == tmp_path / "struct" / "song.json"
    assert path.read_text() == textwrap.dedent(
        """\
        {
          "path": %s,
          "bpm": 120,
          "beats": [0.33, 0.75, 1.14],
          "downbeats": [0.33],
          "beat_positions": [1, 2, 3],
          "segments": [
            {
              "start": 0.0,
              "end": 8.5,
              "label": "intro"
            },
            {
              "start": 8.5,
              "end": 20.0,
              "label": "chorus"
            }
          ],
          "schema": 1,
          "tempo": null,
          "confidence": null,
          "alternatives": [],
          "warnings": [],
          "provenance": null
        }
        """
    ) % json.dumps(str(Path("music/song.wav")))


seconds = st.floats(0, 1e5, allow_nan=False)


@given(
    # What a file system can give: text, or bytes that are none.
    path=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
    | st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(os.fsdecode),
    bpm=st.none() | st.integers(1, 999),
    beats=st.lists(seconds, unique=True).map(sorted),
    borders=st.lists(seconds, unique=True).map(sorted),
    label=st.sampled_from(HARMONIX_LABELS),
    confidence=st.none()
    | st.builds(
        Confidence,
        st.just([]),
        st.none() | st.floats(0, 1),
        st.dictionaries(st.integers(1, 12), st.floats(-1e6, 0) | st.just(-math.inf)),
        st.none()
        | st.lists(
            st.builds(
                SegmentConfidence,
                st.none() | st.floats(0, 1),
                st.dictionaries(st.sampled_from(HARMONIX_LABELS), st.floats(0, 1)),
            )
        ),
    ),
    tempo=st.none()
    | st.builds(
        Tempo,
        st.floats(1, 999),
        seconds,
        st.floats(0, 1),
        st.booleans(),
        st.none() | st.lists(st.tuples(seconds, st.floats(1, 999))),
    ),
    alternatives=st.lists(
        st.builds(
            TempoAlternative,
            st.sampled_from(["half", "double", "3:2", "2:3"]),
            *[st.floats(0, 1e3)] * 4,
        )
    ),
    warnings=st.lists(st.text()),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_saved_is_what_is_loaded(
    tmp_path: Path,
    path: str,
    bpm: int | None,
    beats: list[float],
    borders: list[float],
    label: str,
    confidence: Confidence | None,
    tempo: Tempo | None,
    alternatives: list[TempoAlternative],
    warnings: list[str],
) -> None:
    if confidence is not None:
        confidence = replace(confidence, beats=[0.5] * len(beats))
    result = AnalysisResult(
        Path(path),
        bpm,
        beats,
        beats[::2],
        [1 + n % 2 for n in range(len(beats))],
        [Segment(start, end, label) for start, end in itertools.pairwise(borders)],
        confidence=confidence,
        tempo=tempo,
        warnings=warnings,
    )
    saved = save_result(result, tmp_path, "song", overwrite=True)
    loaded = load_result(saved)
    for field in FIELDS:
        assert getattr(loaded, field) == getattr(result, field)
    # Each array of numbers stands on one line.
    assert not re.search(r"\[\n\s+[-\d]", saved.read_text())


def test_numpy_numbers_are_saved_as_plain_ones(tmp_path: Path) -> None:
    result = a_result(
        bpm=np.int64(98),
        beats=list(np.array([0.1, 0.7])),
        downbeats=[],
        beat_positions=list(np.array([1, 2])),
    )
    loaded = load_result(save_result(result, tmp_path, "song"))
    assert (loaded.bpm, loaded.beats, loaded.beat_positions) == (98, [0.1, 0.7], [1, 2])
    assert [type(value) for value in (loaded.bpm, loaded.beats[0], loaded.beat_positions[0])] == [
        int,
        float,
        int,
    ]


def test_the_json_can_be_had_without_a_file(tmp_path: Path) -> None:
    result = a_result(provenance=PROVENANCE, warnings=["The song is short."])
    path = save_result(result, tmp_path, "song")
    assert json.loads(json.dumps(to_json(result))) == json.loads(path.read_text())


def test_arrays_and_provenance_come_back_exactly(tmp_path: Path) -> None:
    activations = some_activations()
    embeddings = np.random.default_rng(1).random((4, 7, 24, 8), np.float32)
    result = a_result(activations=activations, embeddings=embeddings, provenance=PROVENANCE)
    # The name has a dot, as "01. Intro" does.
    path = save_result(result, tmp_path, "01. song")
    assert names(tmp_path) == ["01. song.activ.npz", "01. song.embed.npy", "01. song.json"]
    loaded = load_result(path)
    assert loaded.provenance == PROVENANCE
    assert loaded.activations is not None
    assert list(loaded.activations) == ["beat", "downbeat", "segment", "label"]
    for key, array in activations.items():
        assert loaded.activations[key].dtype == np.float32
        np.testing.assert_array_equal(loaded.activations[key], array)
    np.testing.assert_array_equal(loaded.embeddings, embeddings)
    without = load_result(path, load_activations=False, load_embeddings=False)
    assert without.activations is None
    assert without.embeddings is None


@pytest.mark.skipif(sys.platform != "linux", reason="names of arbitrary bytes exist on Linux")
def test_a_file_name_that_is_no_unicode_survives(tmp_path: Path) -> None:
    source = Path(os.fsdecode(b"caf\xe9.wav"))
    assert load_result(save_result(a_result(path=source), tmp_path, "song")).path == source


def test_a_file_of_the_original_package_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.json"
    content = {
        "path": "/data/song.mp3",
        "bpm": None,
        "beats": [0.33, 1],
        "downbeats": [],
        "beat_positions": [1, 2],
        "segments": [{"start": 0.0, "end": 13.13, "label": "intro"}],
    }
    path.write_text(json.dumps(content, indent=2))
    np.savez(tmp_path / "song.activ.npz", **some_activations())
    np.save(tmp_path / "song.embed.npy", np.ones((4, 7, 24), np.float32))
    loaded = load_result(path)
    assert loaded.path == Path("/data/song.mp3")
    assert loaded.bpm is None
    assert loaded.beats == [0.33, 1.0]
    assert loaded.segments == [Segment(0.0, 13.13, "intro")]
    assert loaded.warnings == []
    assert loaded.provenance is None
    assert loaded.activations is not None
    assert loaded.activations["label"].shape == (10, 7)
    assert loaded.embeddings is not None
    assert loaded.embeddings.shape == (4, 7, 24)


def test_the_result_of_another_input_is_kept_unless_overwriting_is_allowed(tmp_path: Path) -> None:
    path = save_result(a_result("a/x.mp3", bpm=90), tmp_path, "x")
    with pytest.raises(OutputError, match=r"another input, a.x\.mp3") as caught:
        save_result(a_result("b/x.wav"), tmp_path, "x")
    assert caught.value.path == str(path)
    assert load_result(path).bpm == 90
    save_result(a_result("b/x.wav"), tmp_path, "x", overwrite=True)
    assert load_result(path).path == Path("b/x.wav")


def test_the_same_input_by_another_spelling_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_result(a_result("music/song.wav", bpm=1), tmp_path, "song")
    save_result(a_result(str(tmp_path / "music" / "song.wav"), bpm=2), tmp_path, "song")
    path = save_result(a_result("./music/../music/song.wav", bpm=3), tmp_path, "song")
    assert load_result(path).bpm == 3


A_RESULT = json.dumps(to_json(a_result()))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"path": "so',
        b"\xff",
        b"my notes",
        f"{A_RESULT}\n{A_RESULT}".encode(),
        f"\ufeff{A_RESULT}".encode(),
        A_RESULT.encode("utf-16"),
        A_RESULT.replace("120", "Infinity").encode(),
        b"[" * 100_000,
        *(b"[]", b"null", b"{}", b'{"path": 3}', b'{"path": "a\\u0000b"}', b'{"path": "\\ud800"}'),
    ],
    ids=lambda content: repr(content[:20]),
)
def test_what_is_no_result_is_kept_unless_told_otherwise(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "song.json"
    path.write_bytes(content)
    with pytest.raises(OutputError) as caught:
        load_result(path)
    assert caught.value.path == str(path)
    with pytest.raises(OutputError, match="is not the result of an analysis.*--overwrite"):
        save_result(a_result(), tmp_path, "song")
    assert path.read_bytes() == content
    save_result(a_result(), tmp_path, "song", overwrite=True)
    assert load_result(path).beats == a_result().beats


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"beat_positions": [1, 2, 1]}, "it has 2 beats and 3 positions"),
        ({"beats": [2.0, 1.0], "downbeats": []}, "beats that are not ascending"),
        ({"beat_positions": [0, 1]}, "a beat at position 0"),
        ({"downbeats": [1.5]}, "a downbeat at 1.5 s, where there is no beat"),
        ({"bpm": 0}, "a tempo of 0 bpm"),
        ({"bpm": -120}, "a tempo of -120 bpm"),
        ({"segments": [{"start": 2, "end": 1, "label": "a"}]}, "a segment from 2 s to 1 s"),
        (
            {"segments": [{"start": n, "end": n + 1, "label": "a"} for n in (1, 0)]},
            "segments that are not sorted",
        ),
    ],
)
def test_an_edited_result_that_contradicts_itself_is_refused_and_kept(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    good = {"path": "music/song.wav", "bpm": 120, "beats": [0.5, 1.0], "downbeats": [0.5]}
    good |= {"beat_positions": [1, 2], "segments": []}
    path = tmp_path / "song.json"
    path.write_text(json.dumps(good))
    load_result(path)
    path.write_text(edited := json.dumps(good | changes))
    with pytest.raises(OutputError, match=f"is not the result of an analysis.*{reason}"):
        load_result(path)
    with pytest.raises(OutputError, match=reason):
        save_result(a_result(), tmp_path, "song")
    assert path.read_text() == edited


@pytest.mark.parametrize(
    "changes",
    [
        {"bpm": None},
        {"bpm": None, "beats": [], "downbeats": [], "beat_positions": []},
        {"downbeats": [], "beat_positions": [2, 3]},
    ],
)
def test_a_result_with_parts_alone_is_consistent(tmp_path: Path, changes: dict[str, Any]) -> None:
    whole = {"path": "a.wav", "bpm": 60, "beats": [0.5, 1.5], "downbeats": [0.5]}
    path = tmp_path / "song.json"
    path.write_text(json.dumps(whole | {"beat_positions": [1, 2], "segments": []} | changes))
    load_result(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few make links")
@pytest.mark.parametrize("target", ["notes.txt", "nothing"])
def test_a_link_to_something_else_is_kept_and_its_target_always(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "song.json").symlink_to(target)
    with pytest.raises(OutputError, match="--overwrite"):
        save_result(a_result(), tmp_path, "song")
    save_result(a_result(), tmp_path, "song", overwrite=True)
    assert names(tmp_path) == ["notes.txt", "song.json"]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "song.json").is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_a_result_that_may_not_be_read_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_result(a_result(), tmp_path, "song")
    plain_open = Path.open

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return plain_open(self, *arguments, **options)

    # Whoever runs the tests as root may read everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OutputError, match="cannot be read .Permission denied.*--overwrite"):
        save_result(a_result(), tmp_path, "song")


@pytest.mark.parametrize("name", ["song.json", "song.embed.npy"])
def test_a_folder_in_the_way_is_told_before_the_analysis(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_destination(tmp_path, "song", "song.wav", overwrite=True)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other limits on names")
def test_a_name_too_long_is_told_before_the_analysis(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="name too long"):
        check_destination(tmp_path, "n" * 250, "song.wav")


def test_looking_at_a_destination_makes_no_folder(tmp_path: Path) -> None:
    check_destination(tmp_path / "a" / "b", "song", "song.wav")
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "b"):
        with pytest.raises(OutputError, match="is not a folder"):
            check_destination(folder, "song", "song.wav")


def test_a_full_disk_is_told_before_the_analysis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**12, free=1000))
    with pytest.raises(OutputError, match="the disk is full"):
        check_destination(tmp_path / "new", "song", "song.wav")


def test_arrays_of_an_earlier_run_are_not_taken_for_the_new_results(tmp_path: Path) -> None:
    embeddings = np.zeros((4, 7, 24), np.float32)
    result = a_result(activations=some_activations(), embeddings=embeddings)
    save_result(result, tmp_path, "song")
    path = save_result(replace(result, embeddings=None), tmp_path, "song")
    assert load_result(path).embeddings is None
    assert load_result(path).activations is not None
    save_result(a_result(), tmp_path, "song")
    assert names(tmp_path) == ["song.json"]


def test_a_full_disk_leaves_the_earlier_result_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = a_result(bpm=90, activations=some_activations(1))
    path = save_result(earlier, tmp_path, "song")

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OutputError, match="the disk is full .No space left"):
        save_result(a_result(activations=some_activations(2)), tmp_path, "song")
    assert names(tmp_path) == ["song.activ.npz", "song.json"]
    loaded = load_result(path)
    assert loaded.bpm == 90
    assert loaded.activations is not None
    np.testing.assert_array_equal(loaded.activations["beat"], some_activations(1)["beat"])


def test_where_the_disk_is_too_full_for_the_arrays_a_first_result_is_saved_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(results, "write_array", full)
    result = a_result(
        activations=some_activations(1), embeddings=np.zeros((4, 7, 24), np.float32), warnings=["x"]
    )
    with pytest.raises(OutputError, match="the disk is full.*saved without activations"):
        save_result(result, tmp_path, "song")
    assert names(tmp_path) == ["song.json"]
    loaded = load_result(tmp_path / "song.json")
    assert loaded.beats == result.beats
    assert loaded.warnings[0] == "x"
    assert "the disk was full" in loaded.warnings[1]


def test_a_missing_json_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nothing\.json: cannot be read: No such file"):
        load_result(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"beats": None}, "is not the result"),
        ({"beats": ["one"]}, "is not the result"),
        ({"bpm": "fast"}, "is not the result"),
        ({"segments": [{"start": 0.0}]}, "is not the result"),
        ({"provenance": {"version": "1"}}, "is not the result"),
        ({"schema": SCHEMA + 1}, "newer version"),
        ({"schema": "1"}, "is not the result"),
        ({"path": "a\0b"}, "NUL"),
        ({"beats": "123"}, "beats is not a list"),
        ({"beats": ["1"]}, "beats is not a number"),
        ({"beats": [10**400]}, "out of range"),
        ({"beats": [True]}, "beats is not a number"),
        ({"beat_positions": [1.5]}, "not an integer"),
        ({"beat_positions": [10**30]}, "out of range"),
        ({"segments": {"start": 0}}, "segments is not a list"),
        ({"segments": [[0, 1, "intro"]]}, "is not an object"),
        ({"warnings": "one"}, "warnings is not a list"),
        ({"confidence": []}, "is not an object"),
        ({"confidence": {"beats": [], "metre": 1, "metre_log_probabilities": {"x": 1}}}, "a key"),
        ({"provenance": "here"}, "is not an object"),
    ],
)
def test_a_json_with_a_wrong_value_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = save_result(a_result(), tmp_path, "song")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(OutputError, match=said):
        load_result(path)


def test_damaged_and_pickled_arrays_are_refused(tmp_path: Path) -> None:
    result = a_result(
        activations=some_activations(frames=2000), embeddings=np.zeros((4, 9, 24), np.float32)
    )
    path = save_result(result, tmp_path, "song")
    activations, embeddings = tmp_path / "song.activ.npz", tmp_path / "song.embed.npy"
    whole = activations.read_bytes()
    middle = len(whole) // 2
    for content in (b"", whole[:middle], whole[:middle] + b"\0\1\2" * 9 + whole[middle + 27 :]):
        activations.write_bytes(content)
        with pytest.raises(OutputError, match=r"song\.activ\.npz: is damaged"):
            load_result(path)
    assert load_result(path, load_activations=False).bpm == 120
    activations.write_bytes(embeddings.read_bytes())
    with pytest.raises(OutputError, match="is damaged .File is not a zip"):
        load_result(path)
    activations.write_bytes(whole)
    embeddings.write_bytes(whole)
    with pytest.raises(OutputError, match=r"song\.embed\.npy: is damaged"):
        load_result(path)
    np.save(embeddings, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(OutputError, match=r"song\.embed\.npy: is damaged"):
        load_result(path)


def test_results_are_read_without_any_audio_library() -> None:
    code = (
        "import sys, allin1_core.io.results; print({'soundfile', 'soxr', 'av'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
