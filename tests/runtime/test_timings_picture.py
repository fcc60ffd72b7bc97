"""The picture of a run's timings: its contents, and that it is always drawn."""

from __future__ import annotations

import sys

import pytest

from allin1_core.errors import InputError, OutputError
from allin1_core.presentation.figures import check_picture
from allin1_core.runtime.timings import Timing
from allin1_core.runtime.timings_picture import LABELLED, draw_timings
from allin1_core.testing.signals import song_activations, song_logits


@pytest.fixture
def matplotlib():
    return pytest.importorskip("matplotlib", reason="matplotlib, which draws, is not installed")


def timings(*tracks):
    return [
        Timing(stage, 10.0 * number + start, 10.0 * number + end, end - start, device, "m", name)
        for number, name in enumerate(tracks)
        for stage, start, end, device in (
            ("spectrogram", 0.0, 1.0, "cuda:1"),
            ("nn", 1.0, 3.5, "cuda:1"),
            ("metrical_prep+metrical_dbn", 3.5, 4.0, "cpu"),
        )
    ]


@pytest.mark.parametrize(
    ("suffix", "beginning"), [(".pdf", b"%PDF"), (".png", b"\x89PNG"), (".SVG", b"<?xml")]
)
def test_the_suffix_says_the_format(matplotlib, tmp_path, suffix, beginning):
    path = tmp_path / "new" / f"times{suffix}"
    check_picture(path)
    draw_timings(path, timings("song"))
    assert path.read_bytes().startswith(beginning)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_tracks_stages_and_devices_are_named(matplotlib, tmp_path):
    path = tmp_path / "times.svg"
    draw_timings(path, timings("first", "cost $5_a", "日本"))
    text = path.read_text(encoding="utf-8")
    for word in ("first", "cost $5_a", "日本", "cpu", "cuda:1"):
        assert f"<!-- {word} -->" in text
    assert text.count("<!--  nn 2.5 s -->") == 3
    assert "<!--  metrical_prep+metrical_dbn 0.5 s -->" in text
    assert "<!-- seconds -->" in text


def test_many_tracks_begin_at_one_line(matplotlib, tmp_path):
    path = tmp_path / "times.svg"
    draw_timings(path, timings(*(f"song {number}" for number in range(LABELLED + 1))))
    text = path.read_text(encoding="utf-8")
    assert "seconds from each track's start" in text
    assert f"<!-- song {LABELLED} -->" in text
    assert "nn 2.5 s" not in text


def test_a_session_draws_it_at_its_end_whatever_happened(matplotlib, make_session, tmp_path):
    path = tmp_path / "times.svg"

    def work(session):
        session.run(song_logits(300), outputs=["sections"], track="finished")
        with pytest.raises(InputError, match="Only beats"):
            session.run(song_activations(300), outputs=["sections"], track="failed")
        assert not path.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), make_session(timings_viz_path=path) as session:
        work(session)
    text = path.read_text(encoding="utf-8")
    assert "<!-- finished -->" in text
    assert "<!-- failed -->" not in text
    assert "<!-- random -->" in text


def test_a_picture_that_cannot_be_written_leaves_the_old_one(
    matplotlib, make_session, tmp_path, monkeypatch, caplog
):
    from matplotlib.figure import Figure

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = tmp_path / "times.pdf"
    monkeypatch.setattr(Figure, "savefig", full)
    with make_session(timings_viz_path=path) as session:
        session.run(song_logits(300), outputs=["sections"])
    assert "The picture of timings was not drawn" in caplog.text
    assert "No space left" in caplog.text

    # It does not hide what ended the block.
    def interrupted(session):
        session.run(song_logits(300), outputs=["sections"])
        raise KeyboardInterrupt

    session = make_session(timings_viz_path=path)
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), session:
        interrupted(session)
    assert path.read_text() == "old"


def test_what_appears_during_the_run_is_kept_and_an_own_picture_is_drawn_again(
    matplotlib, make_session, tmp_path, caplog
):
    path = tmp_path / "times.svg"
    with make_session(timings_viz_path=path) as session:
        session.run(song_logits(300), outputs=["sections"], track="one")
        path.write_text("notes")
        session.close()
        assert path.read_text() == "notes"
        assert "exists already" in caplog.text
        path.unlink()
        session.close()
        session.run(song_logits(300), outputs=["sections"], track="two")
    assert "<!-- two -->" in path.read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="exists already"):
        make_session(timings_viz_path=path)
    with make_session(timings_viz_path=path, overwrite_timings_viz=True) as session:
        session.run(song_logits(300), outputs=["sections"], track="three")
    assert "<!-- three -->" in path.read_text(encoding="utf-8")


def test_nothing_is_drawn_of_a_run_without_stages(matplotlib, make_session, tmp_path):
    with make_session(timings_viz_path=tmp_path / "times.pdf"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["times", "times.docx"])
def test_an_unknown_suffix_is_refused_before_any_work(make_session, tmp_path, name):
    with pytest.raises(OutputError, match=r"\.pdf, \.png, \.svg"):
        make_session(timings_viz_path=tmp_path / name)


def test_without_matplotlib_it_is_refused_before_any_work(make_session, tmp_path, monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OutputError, match=r"pip install .+\[viz\]"):
        make_session(timings_viz_path=tmp_path / "times.pdf")
    make_session()
