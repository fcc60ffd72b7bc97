"""Shards of annotated music, and the command."""

import numpy as np
import pytest
import soundfile
from allin1_core.evaluation import Reference
from allin1_core.testing.signals import music_mix, music_stems

from allin1_train.annotated import label_index, main, truth
from allin1_train.cli import main as command
from allin1_train.network import LABELS


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Verse 2", "verse"),
        ("chorus_b", "chorus"),
        ("pre-chorus", None),
        ("Instrumental", "inst"),
        ("intro", "intro"),
        ("end", "end"),
        ("bridge3", "bridge"),
        ("tag", None),
    ],
)
def test_usual_names_of_labels_are_recognised(name, label):
    assert label_index(name) == (-1 if label is None else LABELS.index(label))


def test_missing_annotations_are_unknown():
    found = truth(Reference(beats=np.array([0.5, 1.0])), 200)
    assert found["beats"].tolist() == [0.5, 1.0]
    assert np.isnan(found["downbeats"]).all()
    assert (found["labels"] == -1).all()


def test_a_song_and_a_folder_of_stems_become_shards(tmp_path, capsys):
    music, out = tmp_path / "music", tmp_path / "shards"
    (music / "two").mkdir(parents=True)
    soundfile.write(music / "one.wav", music_mix(3.0).samples.T, 44100)
    for name, stem in zip(
        ("bass", "drums", "other", "vocals"), music_stems(3.0).samples, strict=True
    ):
        soundfile.write(music / "two" / f"{name}.wav", stem.T, 44100)
    soundfile.write(music / "three.wav", music_mix(3.0).samples.T, 44100)
    (music / "one.beats").write_text("0.5\t1\n1.0\t2\n")
    (music / "one.lab").write_text("0.2 1.5 verse\n1.5 2.5 tag\n")
    (music / "two.txt").write_text("0.5\n1.0\n")
    main([str(music), str(out)])
    assert sorted(p.name for p in out.iterdir()) == ["one.npz", "two.npz"]
    told = capsys.readouterr()
    assert "three" in told.err
    assert "'tag': 1" in told.out
    with np.load(out / "one.npz") as z:
        assert z["x"].shape == (4, 300, 81)
        assert z["downbeats"].tolist() == [0.5]
        assert z["boundaries"].tolist() == [0.2, 1.5, 2.5]
        assert [LABELS[i] if i >= 0 else None for i in z["labels"][[0, 50, 200, 280]]] == [
            "start",
            "verse",
            None,
            "end",
        ]
    main([str(music), str(tmp_path / "stems"), "--takes", "stems"])
    assert [p.name for p in (tmp_path / "stems").iterdir()] == ["two.npz"]


def test_a_folder_without_references_is_reported(tmp_path):
    with pytest.raises(SystemExit, match="No song"):
        main([str(tmp_path), str(tmp_path / "out")])


def test_the_command_lists_and_runs_its_subcommands(tmp_path, capsys):
    command(["--help"])
    assert "annotated" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="usage"):
        command(["dance"])
    with pytest.raises(SystemExit, match="No song"):
        command(["annotated", str(tmp_path), str(tmp_path / "out")])
