"""Repeated batches: up-to-date results are skipped, missing parts added, and nothing is removed."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.parity import IDENTICAL
from allin1_core.errors import OutputError
from allin1_core.io.known_digests import KnownDigests
from allin1_core.io.results import load_result
from allin1_core.runtime.batch import Outcome, run_batch
from allin1_core.runtime.identity import find_earlier, refuse_other
from allin1_core.runtime.track import make_tracks


@pytest.fixture
def run(make_session, tmp_path, write_stems):
    """Analyse these folders of stems with a session of these options, and give the outcomes."""
    folders = []
    for seed, name in enumerate(("one", "two")):
        folders.append(tmp_path / name)
        write_stems(folders[-1], 3.0, seed)

    def run(*, session: dict[str, Any] | None = None, **options: Any) -> list[Outcome]:
        with make_session(**(session or {})) as opened:
            out_dir = options.pop("out_dir", tmp_path / "out")
            return list(run_batch(opened, make_tracks((), folders), out_dir=out_dir, **options))

    return run


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_is_up_to_date_is_skipped(run, tmp_path):
    first = run()
    before = contents(tmp_path / "out")
    second = run()
    assert (statuses(first), statuses(second)) == (["done"] * 2, ["skipped"] * 2)
    assert contents(tmp_path / "out") == before
    for one, other in zip(first, second, strict=True):
        assert other.result.beats == one.result.beats
        assert other.written == one.written


def test_a_result_says_what_it_is_a_result_of(run, tmp_path):
    identity = run()[0].result.provenance.identity
    assert load_result(tmp_path / "out" / "one.json").provenance.identity == identity
    assert identity.model == "random"
    assert identity.options["input"] == "stems"
    assert identity.options["metre"]["min_bpm"] == 55.0


def test_what_is_requested_beyond_a_result_is_added_and_nothing_is_taken_away(run, tmp_path):
    out = tmp_path / "out"
    beats = run(only="beats")[0].result
    assert statuses(run(only="beats")) == ["skipped"] * 2
    everything = run()
    assert statuses(everything) == ["done"] * 2
    assert everything[0].result.beats == beats.beats
    assert everything[0].result.segments
    assert statuses(run(only="beats")) == ["skipped"] * 2
    assert load_result(out / "one.json").segments == everything[0].result.segments
    with_arrays = run(include_activations=True)
    assert statuses(with_arrays) == ["done"] * 2
    assert statuses(run(include_embeddings=True)) == ["done"] * 2
    result = load_result(out / "one.json")
    assert result.activations is not None
    assert result.embeddings is not None
    assert statuses(run(only="sections")) == ["skipped"] * 2
    (out / "one.activ.npz").unlink()
    assert statuses(run(include_activations=True)) == ["done", "skipped"]
    assert load_result(out / "one.json").embeddings is not None


def test_other_options_never_replace_a_result_without_a_request(run, tmp_path):
    run()
    before = contents(tmp_path / "out")
    slower = {"session": {"metre": MetreParameters(min_bpm=40)}}
    refused = run(**slower)
    assert statuses(refused) == ["failed"] * 2
    assert "its min_bpm is 55.0, not 40" in str(refused[0].error)
    assert "--overwrite" in str(refused[0].error)
    assert contents(tmp_path / "out") == before
    assert statuses(run(**slower, out_dir=tmp_path / "other")) == ["done"] * 2
    assert statuses(run(**slower, overwrite=True)) == ["done"] * 2
    assert statuses(run(**slower)) == ["skipped"] * 2


def test_another_model_never_replaces_a_result_without_a_request(run, make_session, tmp_path):
    run()
    path = tmp_path / "out" / "one.json"
    result = load_result(path)
    identity = result.provenance.identity
    other = replace(identity, model="harmonix-all")
    earlier = find_earlier(path, [other], ("beats",))
    with pytest.raises(OutputError, match="its model is random, not harmonix-all"):
        refuse_other(path, earlier)
    # Where any of several models would do, one of them is enough.
    assert find_earlier(path, [other, identity], ("beats",)).state == "current"


def test_a_song_that_has_changed_is_analysed_again(run, tmp_path, write_stems):
    run()
    write_stems(tmp_path / "one", 3.0, 5)
    assert statuses(run()) == ["done", "skipped"]


def test_a_song_that_was_moved_is_known_again(run, make_session, tmp_path):
    run()
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "one", tmp_path / "elsewhere" / "one")
    with make_session() as session:
        tracks = make_tracks((), [tmp_path / "elsewhere" / "one"])
        (outcome,) = run_batch(session, tracks, out_dir=tmp_path / "out")
    assert outcome.status == "skipped"


def test_a_stronger_parity_is_found_again_and_a_weaker_one_is_not(run):
    run()
    strong = {"session": {"parity": IDENTICAL}}
    assert statuses(run(**strong)) == ["done"] * 2
    assert statuses(run()) == ["skipped"] * 2
    assert statuses(run(session={"parity": "lossy"})) == ["skipped"] * 2


def test_threads_do_not_make_another_result(run):
    run()
    assert statuses(run(session={"threads": 1})) == ["skipped"] * 2


def test_a_result_that_does_not_say_what_it_is_of_is_not_modified(run, tmp_path):
    run()
    path = tmp_path / "out" / "one.json"
    content = json.loads(path.read_text())
    original = {k: v for k, v in content.items() if k in list(content)[:6]}
    path.write_text(json.dumps(original))
    assert statuses(run()) == ["kept", "skipped"]
    assert json.loads(path.read_text()) == original
    assert statuses(run(overwrite=True)) == ["done"] * 2


def test_everything_is_analysed_again_where_that_is_requested(run):
    run()
    assert statuses(run(overwrite=True)) == ["done"] * 2


@pytest.fixture
def cached(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ALLIN1_CACHE_LIMIT", "100M")


def stages(outcome: Outcome) -> set[str]:
    return {stage for record in outcome.result.provenance.stages for stage in record.stages}


def test_other_parameters_of_the_decoder_need_no_network(run, cached, tmp_path):
    slower = {"session": {"metre": MetreParameters(min_bpm=40)}}
    fresh = run(**slower, out_dir=tmp_path / "fresh")
    assert {"spectrogram", "nn"} <= stages(fresh[0])
    run()
    again = run(**slower, out_dir=tmp_path / "again", include_activations=True)
    assert not {"spectrogram", "nn"} & stages(again[0])
    one, other = fresh[0].result, again[0].result
    assert (one.beats, one.segments) == (other.beats, other.segments)
    assert other.activations is not None
    assert other.provenance.input["cached"] == "logits"
    assert other.provenance.input["files"] == one.provenance.input["files"]


def test_a_result_names_the_files_that_it_was_made_of_also_where_others_were_analysed(
    run, cached, make_session, tmp_path
):
    run()
    (tmp_path / "one").rename(tmp_path / "moved")
    with make_session() as session:
        tracks = make_tracks((), [tmp_path / "moved"])
        (outcome,) = run_batch(session, tracks, out_dir=tmp_path / "again")
    source = outcome.result.provenance.input
    assert source["cached"] == "logits"
    assert {Path(file["path"]).parent for file in source["files"]} == {tmp_path / "moved"}


def test_the_cache_is_not_used_for_what_lies_before_the_logits(run, cached, tmp_path):
    run()
    for number, options in enumerate(
        (
            {"include_embeddings": True},
            {"session": {"backends": {"nn": "reference"}}},
            {"session": {"guard": True}},
            {"session": {"cache": False}},
        )
    ):
        outcomes = run(**options, out_dir=tmp_path / f"out{number}")
        assert "nn" in stages(outcomes[0]), options


def test_a_damaged_entry_of_the_cache_only_costs_time(run, cached, tmp_path):
    first = run()
    entries = list((tmp_path / "cache" / "arrays").iterdir())
    assert len(entries) == 2
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-3])
    again = run(out_dir=tmp_path / "again")
    assert "nn" in stages(again[0])
    assert again[0].result.beats == first[0].result.beats


def test_a_song_that_changes_during_the_analysis_has_no_identity(
    run, make_session, tmp_path, write_stems
):
    folder = tmp_path / "one"
    with make_session() as session:
        (track,) = make_tracks((), [folder])
        analysis = session.analysis(track)
        analysis.read()
        analysis.begin()
        write_stems(folder, 3.0, 9)
        result = analysis.finish()
    assert result.provenance.identity is None
    assert any("changed while" in warning for warning in result.warnings)
    assert np.all(np.diff(result.beats) > 0)


def test_what_another_process_has_written_in_the_meantime_is_not_computed_again(
    run, make_session, tmp_path
):
    out, other = tmp_path / "out", tmp_path / "other"
    run(out_dir=other)

    def arrive(index, stage, fraction):
        # While the first is computed, another process finishes both.
        if not out.joinpath("two.json").exists():
            out.mkdir(exist_ok=True)
            for path in other.iterdir():
                shutil.copy2(path, out / path.name)

    outcomes = run(progress=arrive)
    assert statuses(outcomes) == ["skipped", "skipped"]
    assert contents(out) == contents(other)
    with_more = run(progress=arrive, include_activations=True)
    assert statuses(with_more) == ["done"] * 2


@pytest.mark.skipif(os.name == "nt", reason="Windows gives no change times")
@pytest.mark.parametrize("source", ["stems", "song"])
def test_the_cache_remembers_what_files_hold_and_only_the_cache_is_asked(
    make_session, write_stems, tmp_path, monkeypatch, source
):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("ALLIN1_CACHE_LIMIT", "1M")
    write_stems(tmp_path / "song", 1.0, 0)
    song = tmp_path / "song" / "bass.wav"
    (track,) = make_tracks((), [song.parent]) if source == "stems" else make_tracks([song])
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3600 * 10**9)

    def audio(**options: Any) -> str:
        with make_session(demix_dir=tmp_path / "demix", **options) as session:
            analysis = session.analysis(track)
            if source == "song":
                return analysis._start.kept.taken.content
            return analysis.identities[0].audio

    right = audio(cache=False)
    assert not (tmp_path / "user").exists()
    assert audio() == right
    monkeypatch.setattr(KnownDigests, "get", lambda *_: "blake2b:remembered")
    assert audio() != right
    assert audio(cache=False) == right
    monkeypatch.setenv("ALLIN1_CACHE_LIMIT", "0")
    assert audio() == right
