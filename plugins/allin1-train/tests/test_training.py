"""Songs in memory, the objective, the optimiser, and training as a whole."""

import json

import numpy as np
import pytest
import torch

from allin1_train import augment, trainer
from allin1_train.objective import cross_entropy, losses, weights_of_labels
from allin1_train.optimiser import Optimiser
from allin1_train.songs_in_memory import SongRing, distance, read_song
from allin1_train.supply import Supply
from allin1_train.trainer import main, schedule


def song(value, frames):
    return {
        "x": np.full((frames, 324), value, np.float16),
        "near": np.stack([distance(np.array([1.0]), frames)] * 3),
        "labels": np.full(frames, value, np.int8),
    }


def test_new_songs_replace_the_oldest():
    ring = SongRing(torch.device("cpu"), 1000)
    for value, frames in enumerate((400, 300, 250, 500)):
        ring.add([song(value, frames)])
    held = [int(ring.labels[at]) for at, _ in ring.held]
    assert held == [2, 3]
    for value, (at, n) in zip(held, ring.held, strict=True):
        assert (ring.x[at : at + n] == value).all()
    assert ring.count.item() == 2


def test_truth_follows_the_crops_under_time_stretching(tmp_path, toy_shards):
    read = read_song(toy_shards / "0000000.npz")
    ring = SongRing(torch.device("cpu"), 2000)
    ring.add([read])
    torch.manual_seed(0)
    crops = ring.crops(32, 400)
    views = (
        crops.earlier.float()
        + (crops.later - crops.earlier).float() * crops.fraction[..., None, None]
    )
    clicks = (views[:, :, 0, 0] > 0.9) & crops.inside
    beats = crops.targets[:, 0]
    assert clicks.any()
    assert (beats[clicks] >= 0.5).all()
    outside = ~crops.inside
    assert outside.any()
    assert (crops.targets.transpose(1, 2)[outside] == 0).all()
    assert set(crops.labels[outside].tolist()) <= {0, 1}


def test_missing_annotations_do_not_contribute_to_the_loss():
    y = torch.randn(1, 13, 50)
    targets, labels = torch.zeros(1, 3, 50), torch.full((1, 50), 4)
    targets[:, 1], labels[:, 10:] = torch.nan, -1
    found = losses(y, targets, labels, torch.ones(10))
    assert found[1] == 0
    assert torch.isfinite(found).all()
    assert found[3] == pytest.approx(
        cross_entropy(y[:, 3:, :10], labels[:, :10], torch.ones(10)).item()
    )


def test_cross_entropy_is_pytorchs():
    torch.manual_seed(0)
    y, labels, weights = torch.randn(3, 10, 50), torch.randint(0, 10, (3, 50)), torch.rand(10) + 0.5
    true = torch.nn.functional.cross_entropy(y, labels, weights, label_smoothing=0.1)
    torch.testing.assert_close(cross_entropy(y, labels, weights, 0.1), true)


def test_rare_labels_weigh_more_and_the_mean_is_one():
    counts = torch.tensor([1, 1, 5, 5, 5, 5, 5, 5, 30, 30])
    weights = weights_of_labels(counts)
    assert weights[0] > weights[2] > weights[8]
    assert (weights * counts / counts.sum()).sum() == pytest.approx(1, abs=1e-5)


def test_optimiser_is_adamw_and_skips_gradients_that_are_not_finite():
    torch.manual_seed(0)
    begin = torch.randn(20)
    mine, true = begin.clone(), torch.nn.Parameter(begin.clone())
    optimiser = Optimiser(mine, torch.ones(20))
    optimiser.rate.fill_(0.01)
    reference = torch.optim.AdamW([true], 0.01, betas=Optimiser.betas, weight_decay=Optimiser.decay)
    for i in range(5):
        gradient = torch.randn(20) * 0.1
        if i == 2:
            optimiser.step(torch.full((20,), torch.inf))
        optimiser.step(gradient)
        true.grad = gradient.clone()
        reference.step()
    torch.testing.assert_close(mine, true.detach())


def test_augmentation_without_changes_returns_the_views(toy_shards):
    ring = SongRing(torch.device("cpu"), 2000)
    ring.add([read_song(toy_shards / "0000001.npz")])
    crops = ring.crops(2, 300, stretch=0.0)
    nothing = augment.Changes(
        torch.zeros(2, dtype=torch.int64),
        torch.ones(2, 81),
        torch.zeros(2, 81),
        torch.zeros(2, 6),
        torch.ones(2, 4),
    )
    found = augment.apply(crops, nothing, torch.float32)
    true = (crops.earlier * crops.inside[..., None, None]).float().transpose(1, 2)
    torch.testing.assert_close(found, true, rtol=0, atol=1e-5)
    mono = augment.apply(
        crops, nothing._replace(keep=torch.tensor([[1.0, 0, 1, 1]] * 2)), torch.float32
    )
    assert (mono[:, 1] == 0).all()
    assert mono[:, 0].any()


def test_a_member_is_not_trained_on_its_held_out_songs(toy_shards):
    supply = Supply([toy_shards], leave_out=(1, 4))
    songs = []
    while supply.busy():
        songs += supply.take(4)
    supply.close()
    assert len(songs) == 6


def test_the_learning_rate_rises_and_ends_near_zero():
    assert schedule(0, 0, 1.0) < schedule(0, 100, 1.0) < schedule(0, 300, 1.0)
    assert schedule(1, 300, 1.0) < 0.01


CROPS = "--depth 1 --batch 3 --frames 200 --long-batch 1 --long-frames 400"
SMALL = f"{CROPS} --memory-gb 0.02 --device cpu --held-songs 3".split()


def test_training_learns_the_beats_of_toy_songs(toy_shards, tmp_path):
    options = [*SMALL, "--out", str(tmp_path), "--held", str(toy_shards)]
    options += ["--average", "0.1", "--rate", "1e-2"]
    main([str(toy_shards), *options, "--steps", "1", "--name", "begin"])
    main([str(toy_shards), *options, "--steps", "60"])
    before, after = (
        log(tmp_path / f"{name}.json")[-1]["held"]["songs"] for name in ("begin", "member")
    )
    assert after["beat"] > before["beat"] + 0.5


def test_an_interrupted_run_resumes_where_it_stopped(toy_shards, tmp_path, capsys):
    options = [str(toy_shards), *SMALL, "--out", str(tmp_path), "--resume"]
    main([*options, "--steps", "3"])
    with np.load(tmp_path / "member.state.npz") as z:
        before = {n: z[n] for n in z.files}
    main([*options, "--steps", "5"])
    assert "resuming at step 3" in capsys.readouterr().out
    with np.load(tmp_path / "member.state.npz") as z:
        assert z["steps"] == 5
        assert not np.array_equal(z["weights"], before["weights"])
    assert [row["step"] for row in log(tmp_path / "member.json")] == [3, 5]
    main([*options, "--steps", "5"])
    with np.load(tmp_path / "member.state.npz") as z:
        assert z["steps"] == 5


def test_a_member_starts_from_given_weights_and_the_log_records_their_digest(toy_shards, tmp_path):
    options = [str(toy_shards), *SMALL, "--out", str(tmp_path)]
    main([*options, "--steps", "1", "--name", "a"])
    main([*options, "--steps", "1", "--name", "b", "--init", str(tmp_path / "a.npz")])
    records = [json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab"]
    assert records[1]["init_sha256"] == records[0]["sha256"]


@pytest.mark.parametrize("arguments", [["songs"], ["songs", "--steps", "1", "--path", "warp"]])
def test_contradictory_arguments_are_refused(arguments):
    with pytest.raises(SystemExit):
        main(arguments)


def test_a_folder_without_songs_is_reported(tmp_path):
    with pytest.raises(SystemExit, match="fewer than 1 song"):
        main([str(tmp_path), *SMALL, "--out", str(tmp_path), "--steps", "1"])


def log(path):
    return json.loads(path.read_text())["log"]


def test_if_the_device_refuses_the_fast_path_the_program_restarts_without_it(monkeypatch, capsys):
    started = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(trainer.os, "execv", lambda _, command: started.append(command))

    class Refused:
        def __init__(self, options):
            self.options = options

        def run(self):
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(trainer, "Training", Refused)
    main(["songs", "--steps", "1"])
    assert started[0][1:] == [
        "-m",
        "allin1_train.trainer",
        "songs",
        "--steps",
        "1",
        "--path",
        "plain",
    ]
    assert "stream is capturing" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="capturing"):
        main(["songs", "--steps", "1", "--path", "fast"])


def test_an_unreadable_shard_is_skipped_and_reported(toy_shards, capsys):
    (toy_shards / "0000003.npz").write_bytes(b"torn")
    supply = Supply([toy_shards])
    songs = []
    while supply.busy():
        songs += supply.take(4)
    supply.close()
    assert len(songs) == 7
    assert "0000003.npz cannot be read" in capsys.readouterr().out
