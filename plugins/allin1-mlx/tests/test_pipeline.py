"""From stems to beats and sections, through a session."""

from __future__ import annotations

import numpy as np
import pytest
from allin1_core.contracts.audio import SAMPLE_RATE, Stems
from allin1_core.plugins.loading import load_plugins
from allin1_core.runtime.session import Session

from allin1_backend_mlx import hooks

MLX = dict.fromkeys(("spectrogram", "nn", "metrical_prep", "functional"), "mlx")
REFERENCE = dict.fromkeys((*MLX, "metrical_dbn"), "reference")


@pytest.fixture(scope="module")
def stems(shared_dir):
    """Return ten seconds of a song."""
    soundfile = pytest.importorskip("soundfile", reason="reads the song with soundfile")
    each = []
    for name in ("bass", "drums", "other", "vocals"):
        path = shared_dir / "music" / "francium" / f"{name}.flac"
        if not path.exists():
            pytest.skip(f"needs {path.name} of the song in the folder of golden outputs")
        each.append(soundfile.read(path, dtype="float32", frames=10 * SAMPLE_RATE)[0])
    return Stems(np.stack(each)[:, None])


@pytest.fixture(scope="module")
def run(shared_dir, stems):
    def run_with(backends):
        plugins = load_plugins(extra={"mlx": hooks}, autoload=False, strict=True)
        weights = str(shared_dir / "weights")
        with Session(
            "harmonix-fold0", backends=backends, plugins=plugins, weights_dir=weights
        ) as session:
            return session.run(stems)

    return run_with


@pytest.fixture(scope="module")
def wanted(run):
    return run(REFERENCE).products


@pytest.mark.parametrize("stages", [("spectrogram", "nn"), tuple(MLX)], ids=["two", "all"])
def test_a_song_has_the_beats_and_sections_of_the_reference(run, wanted, stages):
    ran = run({**REFERENCE, **dict.fromkeys(stages, "mlx")})
    assert [r.backend.startswith("mlx-") for r in ran.records] == [
        stage in stages for r in ran.records for stage in r.stages
    ]
    ours = ran.products
    assert len(wanted.metre.beat_times_s) > 15
    np.testing.assert_array_equal(ours.metre.beat_times_s, wanted.metre.beat_times_s)
    np.testing.assert_array_equal(ours.metre.beat_positions, wanted.metre.beat_positions)
    assert ours.sections == wanted.sections
