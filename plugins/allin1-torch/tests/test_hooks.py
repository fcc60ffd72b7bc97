from __future__ import annotations

import itertools

from allin1_core.contracts.space import HOST, Space

from allin1_backend_torch import hooks

STAGES = ("spectrogram", "nn", "metrical_prep", "functional")


def offered():
    return [b for stage in STAGES for b in getattr(hooks, f"allin1_{stage}")()]


def test_each_stage_runs_on_each_device():
    for stage in STAGES:
        names = [b.name for b in offered() if b.stage == stage and not b.opt_in]
        more = {
            "nn": ["torch-cuda-triton", "natten-cpu", "natten-cuda"],
            "spectrogram": ["torch-cpu-mix", "torch-cuda-mix", "torch-mps-mix"],
        }
        assert names == ["torch-cpu", "torch-cuda", "torch-mps", *more.get(stage, [])]


def test_backends_named_for_the_mix_take_the_mix():
    for backend in offered():
        assert (backend.takes == "mix") == backend.name.endswith("-mix")


def test_lower_precision_is_only_chosen_by_name():
    for backend in offered():
        usual = {"spectrogram": 1e-6, "nn": 5e-5}
        assert backend.opt_in == backend.name.endswith(("-float32", "-float16"))
        if backend.opt_in:
            assert backend.parity.tolerance > usual[backend.stage]


def test_unmeasured_backends_have_no_speed():
    unmeasured = [b.name for b in offered() if not b.speed]
    assert unmeasured == [
        "torch-mps",
        "torch-mps-mix",
        "torch-mps",
        "natten-cuda",
        *["torch-mps"] * 2,
    ]


def test_bridges_connect_every_pair_of_spaces():
    spaces = [HOST, Space("torch", "cpu")]
    joined = {(b.source, b.destination) for b in hooks.allin1_bridges()}
    for gpu in ("cuda", "mps"):
        assert set(itertools.permutations([*spaces, Space("torch", gpu)], 2)) <= joined
