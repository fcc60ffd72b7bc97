"""Kept stems appear whole or not at all, and are used again only where nothing has changed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.errors import OutputError
from allin1_core.io import kept_stems
from allin1_core.io.kept_stems import NOTE, stems_to_keep
from allin1_core.io.stems import find_stems, read_stems
from allin1_core.io.wav import StereoWriter
from allin1_core.testing.signals import noise_stems

BY = ("torch-cpu", "torch", "0.1.0")


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song.mp3"
    path.write_bytes(b"a song")
    return path


@pytest.fixture
def kept(tmp_path, song):
    return stems_to_keep(tmp_path / "demix", "song", song, DemixParameters())


def write(kept, stems, pieces=3, samples=None):
    with kept.writing(lambda: samples or stems.samples.shape[-1], BY) as take:
        for part in np.array_split(stems.samples, pieces, axis=-1):
            take(Stems(part))


def left_over(kept):
    return sorted(path.name for path in kept.folder.parent.iterdir())


def test_they_lie_where_the_original_puts_them_and_are_those_that_were_separated(kept, tmp_path):
    stems = noise_stems(10_000)
    stems.samples[0, 0, 5] = 3.0  # beyond full scale
    write(kept, stems)
    folder = tmp_path / "demix" / "htdemucs" / "song"
    assert kept.folder == folder
    assert sorted(p.name for p in folder.iterdir()) == sorted([*(f"{s}.wav" for s in STEMS), NOTE])
    for name in STEMS:
        info = soundfile.info(str(folder / f"{name}.wav"))
        assert (info.format, info.subtype) == ("WAV", "FLOAT")
        assert (info.channels, info.samplerate, info.frames) == (2, SAMPLE_RATE, 10_000)
    read, _, warnings = read_stems(find_stems(folder))
    np.testing.assert_array_equal(read.samples, stems.samples)
    assert warnings == []
    assert left_over(kept) == ["song"]


def test_mono_stems_are_written_in_stereo(kept):
    stems = noise_stems(2000, channels=1)
    write(kept, stems)
    read, _, _ = read_stems(find_stems(kept.folder))
    np.testing.assert_array_equal(read.samples, np.repeat(stems.samples, 2, axis=1))


@pytest.mark.parametrize("samples", [600_000_000, None])
def test_what_wav_has_no_room_for_is_rf64(kept, samples):
    stems = noise_stems(2000)
    with kept.writing(lambda: samples, BY) as take:
        take(stems)
    assert soundfile.info(str(kept.folder / "bass.wav")).format == "RF64"
    read, _, _ = read_stems(find_stems(kept.folder))
    np.testing.assert_array_equal(read.samples, stems.samples)


def test_they_are_found_while_nothing_has_changed(kept):
    assert kept.find() is None
    write(kept, noise_stems(2000))
    assert kept.find() == find_stems(kept.folder)
    assert kept.find("torch") == kept.find("torch-cpu") == kept.find()
    assert kept.find("torch/torch-cpu") == kept.find()
    assert kept.find("mlx") is None
    assert kept.find("mlx/torch-cpu") is None


def test_they_are_found_under_the_same_options_of_their_plugin_alone(tmp_path, song):
    def with_options(**options):
        return stems_to_keep(tmp_path / "demix", "song", song, DemixParameters(), options)

    write(with_options(torch={"fused": True}, other={"batch": 4}), noise_stems(2000))
    assert with_options(torch={"fused": True}).find() is not None
    assert with_options(torch={"fused": False}).find() is None
    assert with_options(other={"batch": 4}).find() is None


def rewrite(kept, **changes):
    path = kept.folder / NOTE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def of_now(kept):
    """The same, by another run."""
    return stems_to_keep(kept.folder.parents[1], "song", kept.source, kept.parameters)


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept.source.write_bytes(b"another song"),
        lambda kept: kept.source.write_bytes(b"b song"),
        lambda kept: kept.source.unlink(),
        lambda kept: (kept.folder / NOTE).unlink(),
        lambda kept: (kept.folder / NOTE).write_text("{"),
        lambda kept: (kept.folder / NOTE).write_text("[1]"),
        *(lambda kept: rewrite(kept, schema=1), lambda kept: rewrite(kept, schema=[])),
        lambda kept: rewrite(kept, separation=None),
        *(lambda kept: rewrite(kept, by=1), lambda kept: rewrite(kept, by=[["torch"]])),
        lambda kept: rewrite(kept, sizes=[1, 2]),
        lambda kept: (kept.folder / NOTE).write_text("[" * 100_000),
        lambda kept: (kept.folder / "bass.wav").unlink(),
        lambda kept: (kept.folder / "bass.wav").write_bytes(b"cut off"),
    ],
)
def test_they_are_not_found_once_anything_has_changed(kept, change):
    write(kept, noise_stems(2000))
    change(kept)
    assert of_now(kept).find("torch") is None


def test_they_are_found_wherever_the_same_song_lies(kept, tmp_path):
    write(kept, noise_stems(2000))
    os.utime(kept.source, (1, 1))
    kept.source.rename(tmp_path / "moved.mp3")
    moved = stems_to_keep(tmp_path / "demix", "song", tmp_path / "moved.mp3", kept.parameters)
    assert moved.find() == kept.find()
    moved.check()


@pytest.mark.parametrize("content", [b"b song", b"a longer song"])
def test_stems_of_a_song_that_was_replaced_meanwhile_are_not_kept(kept, content):
    with kept.writing(lambda: 2000, BY) as take:
        take(noise_stems(1000))
        other = kept.source.with_name("new")
        other.write_bytes(content)
        os.utime(other, ns=(1, kept.source.stat().st_mtime_ns))
        other.replace(kept.source)
        take(noise_stems(1000))
    assert "the song changed" in str(kept.problem)
    assert not kept.folder.parent.exists()


def test_a_song_that_was_only_touched_meanwhile_is_the_same(kept):
    with kept.writing(lambda: 2000, BY) as take:
        take(noise_stems(2000))
        kept.source.touch()
    assert kept.problem is None
    assert kept.find() is not None


def test_a_folder_with_anything_else_in_it_is_never_replaced(kept, tmp_path):
    write(kept, noise_stems(2000))
    (kept.folder / "my notes.txt").write_text("mine")
    for _ in range(2):
        with pytest.raises(OutputError, match=r"contains my notes\.txt"):
            kept.check(overwrite=True)
        write(kept, noise_stems(3000))
        assert r"contains my notes.txt" in str(kept.problem)
    assert kept.find() is not None
    assert (kept.folder / "my notes.txt").read_text() == "mine"
    other = stems_to_keep(tmp_path / "demix", "other", kept.source, kept.parameters)
    (other.folder / "bass.wav").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"contains bass\.wav"):
        other.check(overwrite=True)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_song_without_a_name_keeps_its_stems_to_itself(tmp_path, song, name):
    first = stems_to_keep(tmp_path / "demix", "first", song, DemixParameters())
    nameless = stems_to_keep(tmp_path / "demix", name, song, DemixParameters())
    write(first, noise_stems(2000))
    for _ in range(2):
        write(nameless, noise_stems(2000))
    assert nameless.folder.parent == first.folder.parent
    assert first.find() is not None
    assert nameless.find() is not None


def test_a_disk_that_has_no_room_is_told_before_anything_is_separated(kept, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(total=10**12, free=50_000_000)
    )
    kept.check(seconds=30)
    with pytest.raises(OutputError, match="disk is full .50.0 MB free, 85.7 MB needed"):
        kept.check(seconds=60)


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"shifts": 2}, {"weights": "random:1"}, {"precision": "tf32"}], ids=str
)
def test_they_are_not_found_for_other_parameters(kept, changes):
    write(kept, noise_stems(2000))
    assert replace(kept, parameters=DemixParameters(**changes)).find() is None


def test_another_song_of_the_same_name_neither_finds_nor_replaces_them(kept, tmp_path):
    write(kept, noise_stems(2000))
    other = tmp_path / "other" / "song.mp3"
    other.parent.mkdir()
    other.write_bytes(b"b song")
    rival = stems_to_keep(tmp_path / "demix", "song", other, kept.parameters)
    assert rival.find() is None
    with pytest.raises(OutputError, match=f"contains the stems of {kept.source}.*--overwrite"):
        rival.check()
    rival.check(overwrite=True)
    kept.check()


def test_stems_of_unknown_origin_are_not_replaced(kept):
    kept.folder.mkdir(parents=True)
    (kept.folder / "bass.wav").write_bytes(b"somebody's")
    with pytest.raises(OutputError, match="unknown origin"):
        kept.check()
    kept.check(overwrite=True)
    write(kept, noise_stems(2000))
    assert kept.find() is not None
    assert left_over(kept) == ["song"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_ends_it_early_leaves_nothing_and_what_was_there(kept, error):
    def begin_to_write():
        with kept.writing(lambda: 2000, BY) as take:
            take(noise_stems(1000))
            raise error

    for before in (False, True):
        with pytest.raises(error):
            begin_to_write()
        assert kept.folder.parents[1].exists() == before
        assert not before or left_over(kept) == ["song"]
        write(kept, noise_stems(2000, seed=4))
    read, _, _ = read_stems(kept.find())
    np.testing.assert_array_equal(read.samples, noise_stems(2000, seed=4).samples)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_told_with_the_path_leaves_nothing_and_ends_no_separation(kept, monkeypatch):
    class Full(StereoWriter):
        def __init__(self, path, *arguments):
            super().__init__(Path("/dev/full"), *arguments)

    monkeypatch.setattr(kept_stems, "StereoWriter", Full)
    write(kept, noise_stems(2000))
    assert "the disk is full (No space left on device)" in str(kept.problem)
    assert kept.problem.path == str(kept.folder)
    assert "--demix-dir" in str(kept.problem)
    assert not kept.folder.parents[1].exists()


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_separated(tmp_path, song):
    (tmp_path / "demix").write_text("a file")
    kept = stems_to_keep(tmp_path / "demix", "song", song, DemixParameters())
    with pytest.raises(OutputError, match="demix is not a folder"):
        kept.check()


def test_earlier_stems_stay_where_the_new_ones_cannot_take_their_place(kept, monkeypatch):
    write(kept, noise_stems(2000))

    def failing(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", failing)
    write(kept, noise_stems(3000))
    assert "Permission denied" in str(kept.problem)
    monkeypatch.undo()
    assert kept.find() is not None
    assert left_over(kept) == ["song"]
