"""As plugins are removed one by one, down to the reference, the beats stay the same."""

from __future__ import annotations

import pytest

from allin1_core.io.stems import find_stems
from allin1_core.plugins.loading import BUILT_IN, load_plugins
from allin1_core.runtime.session import Session
from allin1_core.testing.models import RANDOM_MODEL, model_plugin, write_random_model
from allin1_core.testing.signals import music_stems


@pytest.fixture(autouse=True)
def _nothing_blocked(monkeypatch):
    for variable in ("ALLIN1_BLOCK", "ALLIN1_DISABLE_AUTOLOAD", "ALLIN1_STRICT"):
        monkeypatch.delenv(variable, raising=False)


def test_blocking_plugins_one_by_one_ends_at_the_reference_with_the_same_beats(tmp_path):
    card = write_random_model(tmp_path, seed=11)
    extra = {"model": model_plugin(card)}
    stems = music_stems(6.0)
    found = [r.name for r in load_plugins(extra=extra).records if r.status == "loaded"]
    installed = [name for name in found if name not in (*BUILT_IN, "model")]
    if not installed:
        pytest.skip("no plugin is installed")

    def analyse(block):
        plugins = load_plugins(extra=extra, block=block)
        with Session(RANDOM_MODEL, weights_dir=str(tmp_path), plugins=plugins) as session:
            # Named plugins take part though a prior would choose the reference.
            offered = {
                stage: name
                for name in installed
                if name not in block
                for stage in ("spectrogram", "nn", "metrical_prep", "metrical_dbn", "functional")
                if any(
                    c.is_eligible and c.plugin.name == name
                    for c in session.candidates(session.request((stage,), 6.0))[stage]
                )
            }
        with Session(
            RANDOM_MODEL, weights_dir=str(tmp_path), plugins=plugins, backends=offered
        ) as session:
            run = session.run(stems)
        return {record.plugin for record in run.records}, run.products.metre

    used, wanted = analyse(())
    assert used != {"reference"}
    assert len(wanted.beat_times_s) > 4
    for count in range(1, len(installed) + 1):
        blocked = installed[:count]
        used, metre = analyse(blocked)
        assert used.isdisjoint(blocked)
        assert metre.beat_times_s.tolist() == wanted.beat_times_s.tolist()
        assert metre.beat_positions.tolist() == wanted.beat_positions.tolist()
    assert used == {"reference"}


@pytest.fixture(params=["a song", "synthesis"])
def material(request, tmp_path):
    """Stems in files with the trained weights and the original's beats; or synthetic ones with random weights."""
    if request.param == "a song":
        shared_dir = request.getfixturevalue("shared_dir")
        expected = request.getfixturevalue("golden")("francium_excerpt.json")["fold0"]
        model, weights_dir, extra = "harmonix-fold0", shared_dir / "weights", {}
        start = find_stems(shared_dir / "music" / "francium")
    else:
        expected = None
        extra = {"model": model_plugin(write_random_model(tmp_path, seed=11))}
        model, weights_dir, start = RANDOM_MODEL, tmp_path, music_stems(20.0)

    def analyse(block=(), backends=None):
        plugins = load_plugins(extra=extra, block=tuple(block), autoload=True)
        options = {"weights_dir": str(weights_dir), "backends": backends, "plugins": plugins}
        with Session(model, **options) as session:
            run = session.run(start, outputs=["beats"])
        assert run.fallbacks == []
        return {record.plugin for record in run.records}, run.products.metre

    return analyse, expected


def test_auto_walks_down_what_it_uses_to_the_reference_with_the_same_beats(material):
    analyse, expected = material
    blocked: list[str] = []
    used, wanted = analyse()
    if used == {"reference"}:
        pytest.skip("needs an installed plugin that auto takes, such as allin1-torch")
    assert len(wanted.beat_times_s) > 10
    if expected is not None:
        assert wanted.beat_times_s.tolist() == expected["beats"]
        assert wanted.beat_positions.tolist() == expected["beat_positions"]
    while used != {"reference"}:
        # Whatever auto takes is taken away.
        blocked += sorted(used - {"reference"})[:1]
        used, metre = analyse(blocked)
        assert used.isdisjoint(blocked)
        assert_same_beats(metre, wanted)


def test_madmom_itself_finds_the_beats_that_auto_finds(material):
    """It is slower than the reference, so that auto does not come to it by itself."""
    installed = {r.name: r for r in load_plugins().records}
    if "madmom" not in installed or installed["madmom"].status != "loaded":
        pytest.skip("needs allin1-madmom")
    analyse, _ = material
    _, wanted = analyse()
    others = [name for name in installed if name not in (*BUILT_IN, "madmom")]
    used, metre = analyse(others, {"spectrogram": "madmom", "metrical_dbn": "madmom"})
    assert used == {"madmom", "reference"}
    assert_same_beats(metre, wanted)


def assert_same_beats(metre, wanted):
    assert metre.beat_times_s.tolist() == wanted.beat_times_s.tolist()
    assert metre.beat_positions.tolist() == wanted.beat_positions.tolist()
