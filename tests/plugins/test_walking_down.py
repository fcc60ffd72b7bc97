"""Without one plugin after another the same beats are found, down to the reference."""

from __future__ import annotations

import pytest

from allin1_core.plugins.loading import load_plugins
from allin1_core.runtime.session import Session
from allin1_core.testing.models import RANDOM_MODEL, model_plugin, write_random_model
from allin1_core.testing.signals import music_stems


def test_blocking_plugins_one_by_one_ends_at_the_reference_with_the_same_beats(
    tmp_path, monkeypatch
):
    from allin1_core.contracts.metre import Metre

    for variable in ("ALLIN1_BLOCK", "ALLIN1_DISABLE_AUTOLOAD", "ALLIN1_STRICT"):
        monkeypatch.delenv(variable, raising=False)
    card = write_random_model(tmp_path, seed=11)
    extra = {"model": model_plugin(card)}
    stems = music_stems(6.0)
    found = [r.name for r in load_plugins(extra=extra).records if r.status == "loaded"]
    installed = [name for name in found if name not in ("reference", "harmonix", "model")]
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
        return {record.plugin for record in run.records}, run.products[Metre]

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
