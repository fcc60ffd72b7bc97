from __future__ import annotations

import itertools

from allin1_core.contracts.space import HOST, Space

from allin1_backend_mlx import hooks

STAGES = ("demix", "spectrogram", "nn", "metrical_prep", "functional")


def offered():
    return [b for stage in STAGES for b in getattr(hooks, f"allin1_{stage}")()]


def test_each_stage_runs_on_each_device_but_separation_only_on_metal():
    for stage in STAGES:
        names = [b.name for b in offered() if b.stage == stage]
        more = ["mlx-cpu-mix", "mlx-gpu-mix"] if stage == "spectrogram" else []
        assert names == (["mlx-gpu"] if stage == "demix" else ["mlx-cpu", "mlx-gpu", *more])


def test_backends_named_for_the_mix_take_the_mix():
    for backend in offered():
        assert (backend.takes == "mix") == backend.name.endswith("-mix")


def test_an_unmeasured_speed_names_its_source():
    for backend in offered():
        (speed,) = backend.speed
        assert speed.device == backend.device
        assert ("not measured here" in speed.measured) == (backend.device == "gpu")


def test_separation_needs_a_mac_and_names_the_package_to_install():
    (demix,) = hooks.allin1_demix()
    assert demix.needs.platforms == ("darwin",)
    assert any(r.startswith("demucs-mlx") for r in demix.needs.requires)
    assert "allin1-mlx[demix]" in demix.needs.remedy


def test_bridges_connect_every_pair_of_spaces():
    spaces = [HOST, Space("mlx", "cpu"), Space("mlx", "gpu")]
    joined = {(b.source, b.destination) for b in hooks.allin1_bridges()}
    assert joined == set(itertools.permutations(spaces, 2))
