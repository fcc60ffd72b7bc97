from __future__ import annotations

import numpy as np
import pytest

from allin1_core.errors import WeightsError
from allin1_core.reference.network_folding import Map, fold_network
from allin1_core.reference.network_parameters import Norm, read_network
from allin1_core.testing.weights import random_parameters


def standardised(x):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True))


@pytest.fixture(scope="module")
def parameters():
    return random_parameters(3)


def test_a_map_after_a_norm_takes_what_the_norm_standardises():
    rng = np.random.default_rng(0)
    linear = Map(rng.standard_normal((5, 7)), rng.standard_normal(5))
    norm = Norm(rng.standard_normal((7, 1)), rng.standard_normal((7, 1)))
    x = standardised(rng.standard_normal((9, 7)))
    wanted = (x * norm.gain[:, 0] + norm.bias[:, 0]) @ linear.weight.T + linear.bias
    folded = linear.after(norm)
    np.testing.assert_allclose(x @ folded.weight.T + folded.bias, wanted)
    centred = linear.centred()
    plain = x @ linear.weight.T + linear.bias
    np.testing.assert_allclose(
        x @ centred.weight.T + centred.bias, plain - plain.mean(axis=1, keepdims=True)
    )
    np.testing.assert_allclose(linear.scaled(3).bias, 3 * linear.bias)


@pytest.mark.parametrize("place", [0, 10])
def test_an_attention_gives_the_same_folded_or_not(parameters, place):
    plain = read_network(parameters, np.float64).blocks[place].time
    folded = fold_network(parameters).blocks[place].time
    x = standardised(np.random.default_rng(place).standard_normal((6, 24)))
    normed = x * plain.before.gain[:, 0] + plain.before.bias[:, 0]

    def attend(query, key, value, output, scale):
        out = []
        for head in (slice(0, 12), slice(12, 24)):
            scores = scale * query[:, head] @ key[:, head].T
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            out.append(weights / weights.sum(axis=1, keepdims=True) @ value[:, head])
        return np.concatenate(out, axis=1) @ output.weight.T

    for one, other in zip(plain.attentions, folded.attentions, strict=True):
        projected = [normed @ a.weight.T + a.bias[:, 0] for a in (one.query, one.key, one.value)]
        wanted = attend(*projected, one.output, 12**-0.5) + one.output.bias[:, 0]
        projected = [x @ a.weight.T + a.bias for a in (other.query, other.key, other.value)]
        found = attend(*projected, other.output, 1.0) + other.output.bias
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_the_heads_take_what_the_last_norm_standardises(parameters):
    plain, folded = read_network(parameters, np.float64), fold_network(parameters)
    x = standardised(np.random.default_rng(1).standard_normal((5, 4, 24)))
    normed = (x * plain.norm.gain[:, 0] + plain.norm.bias[:, 0]).reshape(5, 96)
    wanted = normed @ plain.heads.weight.T + plain.heads.bias[:, 0]
    found = x.reshape(5, 96) @ folded.heads.weight.T + folded.heads.bias
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_parameters_that_are_missing_or_of_another_shape_are_named(parameters):
    name = "encoder.layers.3.timelayer.attention.self.key.weight"
    lacking = {key: value for key, value in parameters.items() if key != name}
    with pytest.raises(WeightsError, match=name):
        fold_network(lacking)
    with pytest.raises(WeightsError, match="has shape"):
        fold_network({**parameters, name: parameters[name][1:]})
