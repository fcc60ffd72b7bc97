"""The model of this package, from the mix, by the core alone."""

from __future__ import annotations

import numpy as np
import soundfile

from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Mix, Stems
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import make_tracks
from allin1_core.testing.signals import music_mix, music_stems


def test_a_song_is_analysed_without_stems_separation_or_download(
    tmp_path, isolated_plugins, monkeypatch
):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("ALLIN1_WEIGHTS_DIR", raising=False)
    song = tmp_path / "song.wav"
    soundfile.write(song, music_mix(8.0, late_samples=300).samples.T, SAMPLE_RATE)
    with Session("builtin", plugins=isolated_plugins()) as session:
        (track,) = make_tracks([song])
        result = session.analyze(track)
    provenance = result.provenance
    assert (provenance.model, provenance.model_version) == ("builtin", session.card.version)
    ran = [(record.stages, record.backend) for record in provenance.stages[:2]]
    assert ran == [(("spectrogram",), "reference-mix"), (("nn",), "reference")]
    assert not (tmp_path / "cache").exists()


def test_stems_give_what_their_sum_gives(isolated_plugins):
    stems = music_stems(4.0)
    mono = stems.samples.sum(axis=0)
    with Session("builtin-0", plugins=isolated_plugins()) as session:
        of_stems = session.run(Stems(stems.samples), outputs=["logits"]).products.logits
        of_mix = session.run(Mix(np.repeat(mono, 2, axis=0)), outputs=["logits"]).products.logits
    np.testing.assert_array_equal(of_stems.beat, of_mix.beat)


def test_every_beat_and_downbeat_of_an_excerpt_is_found(shared_dir, isolated_plugins):
    stems = [
        soundfile.read(shared_dir / "music" / "francium" / f"{s}.flac", dtype="float32")[0]
        for s in STEMS
    ]
    mono = np.sum(stems, axis=0)
    with Session("builtin", plugins=isolated_plugins()) as session:
        metre = session.run(Mix(np.stack([mono, mono])), outputs=["beats"]).products.metre
    interval = 60 / 128
    wanted = np.arange(0, len(mono) / SAMPLE_RATE, interval)
    for found, expected in (
        (metre.beat_times_s, wanted),
        (metre.downbeat_times_s, wanted[::4]),
    ):
        assert len(found) == len(expected)
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.07)
