"""Exported weights, and what allin1-core computes with them."""

import json

import numpy as np
import pytest
import torch
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.reference.network_parameters import parameter_shapes

from allin1_train.evaluate import main as evaluate
from allin1_train.evaluate import reference_logits
from allin1_train.export import load_weights, main, save_weights
from allin1_train.network import Net
from allin1_train.parameters import Layout


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


def test_the_reference_computes_the_same_to_1e_5(net, tmp_path):
    path = tmp_path / "a.npz"
    save_weights(net.state_dict(), path)
    for frames in (12, 300):
        x = np.random.default_rng(frames).uniform(0, 1.5, (4, frames, 81)).astype(np.float32)
        with torch.no_grad():
            ours = net(torch.from_numpy(x)[None])[0].numpy()
        np.testing.assert_allclose(
            ours, reference_logits([path], LogSpectrogram(x)), rtol=0, atol=1e-5
        )


def test_files_have_upstreams_names_and_shapes_and_can_be_read(net, tmp_path):
    path = tmp_path / "a.npz"
    save_weights(net.state_dict(), path)
    with np.load(path) as z:
        assert {n: z[n].shape for n in z.files} == parameter_shapes()
    again = load_weights(path)
    assert all(torch.equal(again[n], value) for n, value in net.state_dict().items())


def test_export_rounds_and_checks(net, tmp_path, capsys):
    save_weights(net.state_dict(), tmp_path / "a.npz")
    main([str(tmp_path / "a.npz"), str(tmp_path / "b.npz")])
    assert "differ from the reference" in capsys.readouterr().out
    with np.load(tmp_path / "b.npz") as z:
        assert {z[n].dtype for n in z.files} == {np.dtype(np.float16)}


def test_export_refuses_weights_that_are_not_numbers(net, tmp_path):
    state = net.state_dict() | {"norm.weight": torch.full((24,), torch.nan)}
    save_weights(state, tmp_path / "a.npz")
    with pytest.raises(SystemExit, match="differ"):
        main([str(tmp_path / "a.npz"), str(tmp_path / "b.npz")])


def test_evaluate_prints_mean_scores(net, toy_shards, tmp_path, capsys):
    save_weights(net.state_dict(), tmp_path / "a.npz")
    evaluate([str(tmp_path / "a.npz"), "--songs", str(toy_shards), "--most", "1"])
    found = json.loads(capsys.readouterr().out)
    assert found["songs"] == 1
    assert set(found) == {"songs", "beat", "downbeat", "HR.5F", "HR3F", "label"}


def test_weights_of_another_network_are_refused(net):
    with pytest.raises(ValueError, match="no parameters"):
        Layout(net).pack({})
    with pytest.raises(ValueError, match="has shape"):
        Layout(net).pack(net.state_dict() | {"norm.weight": torch.zeros(3)})
