"""The network once more, as literally as its description allows, and slowly: the fast one must agree.

Everything is ``[…, frames, channels]`` in float64. Padding is written out, windows are lists of indices, and
queries take turns.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allin1_core.contracts.model import Model
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import network
from allin1_core.reference.network_attention import attend_across_instruments, attend_in_time
from allin1_core.testing.weights import random_model

#: Every way in which a short song can be shorter than a window, and some in which it is just not.
LENGTHS = [*range(1, 41), 101, 127, 333]


def window(query, length, kernel, dilation):
    """Indices of the keys of a query, and each one's place in a table of relative positions."""
    neighbours = list(range(query % dilation, length, dilation))
    place = neighbours.index(query)
    first = min(max(place - kernel // 2, 0), len(neighbours) - kernel)
    places = range(first, first + kernel)
    return [neighbours[p] for p in places], [p - place + kernel - 1 for p in places]


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attend(query, key, values, table, kernel, dilation, extent, queries):
    """Scores and results of neighbourhood attention along the axes between the heads and the channels.

    query, key, values: [heads, *extent, channels]; table: [heads, …]; queries: index tuples.
    """
    for index in queries:
        windows = [window(i, n, kernel, dilation) for i, n in zip(index, extent, strict=True)]
        keys = tuple(
            np.array(k) for k in zip(*itertools.product(*(w[0] for w in windows)), strict=True)
        )
        places = tuple(
            np.array(p) for p in zip(*itertools.product(*(w[1] for w in windows)), strict=True)
        )
        every = (slice(None),)
        q = query[(*every, *index)]
        scores = np.einsum("hc,hkc->hk", q, key[every + keys]) + table[every + places]
        yield index, scores, np.einsum("hk,hkc->hc", softmax(scores), values[every + keys])


def neighbourhood(x, p, prefix, dilation, queries):
    """Projections, attention and output of ``x`` [*extent, 24], for the queries only, one a row."""
    extent = x.shape[:-1]

    def project(name):
        y = x @ p[f"{prefix}.self.{name}.weight"].T + p[f"{prefix}.self.{name}.bias"]
        return np.moveaxis(y.reshape(*extent, 2, 12), -2, 0)

    query, key, values = project("query") / math.sqrt(12), project("key"), project("value")
    table = p[f"{prefix}.self.rpb"]
    context = np.stack(
        [
            heads.ravel()
            for _, _, heads in attend(query, key, values, table, 5, dilation, extent, queries)
        ]
    )
    return context @ p[f"{prefix}.output.dense.weight"].T + p[f"{prefix}.output.dense.bias"]


def layer_norm(x, p, name):
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return centred / scale * p[f"{name}.weight"] + p[f"{name}.bias"]


def feed_forward(x, p, prefix):
    y = layer_norm(x, p, f"{prefix}.layernorm_after")
    y = y @ p[f"{prefix}.intermediate.dense.weight"].T + p[f"{prefix}.intermediate.dense.bias"]
    y = y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
    return y @ p[f"{prefix}.output.dense.weight"].T + p[f"{prefix}.output.dense.bias"]


def zero_padded(x, shape):
    y = np.zeros((*shape, x.shape[-1]))
    y[tuple(slice(n) for n in x.shape[:-1])] = x
    return y


def convolution(x, p, name, margin):
    """[T, bands, in] to [T, bands', out]; `margin` frames of zeros at either end."""
    kernel = p[f"{name}.weight"]
    _, taps_t, taps_f, _ = kernel.shape
    padded = np.pad(x, ((margin, margin), (0, 0), (0, 0)))
    frames, bands = len(padded) - taps_t + 1, x.shape[1] - taps_f + 1
    y = np.zeros((frames, bands, len(kernel)))
    for t, f in itertools.product(range(taps_t), range(taps_f)):
        y += padded[t : t + frames, f : f + bands] @ kernel[:, t, f].T
    return y + p[f"{name}.bias"]


def pool_and_elu(x):
    thirds = x.shape[1] // 3
    y = np.stack([x[:, 3 * b : 3 * b + 3].max(axis=1) for b in range(thirds)], axis=1)
    return np.where(y > 0, y, np.exp(np.minimum(y, 0)) - 1)


def literal_network(p, spectrogram):
    """Logits [13, T] and embeddings [4, T, 24] in float64."""
    p = {name: np.asarray(value, np.float64) for name, value in p.items()}
    length = spectrogram.shape[1]
    embedded = []
    for instrument in spectrogram.astype(np.float64):
        y = instrument[:, :, None]
        for name, margin in (("conv0", 1), ("conv1", 0), ("conv2", 1)):
            y = pool_and_elu(convolution(y, p, f"embeddings.{name}", margin))
        embedded.append(y[:, 0])
    x = layer_norm(np.stack(embedded), p, "embeddings.norm")

    for i in range(11):
        d = 2**i
        prefix = f"encoder.layers.{i}.timelayer"
        both = []
        for name, dilation in (("attention", d), ("attention2", 2 * d)):
            y = layer_norm(x, p, f"{prefix}.layernorm_before")
            for instrument in range(4):
                padded = zero_padded(y[instrument], (max(length, 10 * d),))
                queries = [(t,) for t in range(length)]
                y[instrument] = neighbourhood(padded, p, f"{prefix}.{name}", dilation, queries)
            both.append(x + y)
        x = sum(both) / 2 + feed_forward(np.concatenate(both, axis=-1), p, prefix)

        prefix = f"encoder.layers.{i}.instlayer"
        y = zero_padded(layer_norm(x, p, f"{prefix}.layernorm_before"), (5, max(length, 5)))
        queries = list(itertools.product(range(4), range(length)))
        h = x + neighbourhood(y, p, f"{prefix}.attention", 1, queries).reshape(x.shape)
        x = h + feed_forward(h, p, prefix)

    x = layer_norm(x, p, "norm")
    frames = np.concatenate(list(x), axis=-1)
    logits = [
        frames @ p[f"{name}_classifier.classifier.weight"].T
        + p[f"{name}_classifier.classifier.bias"]
        for name in ("beat", "downbeat", "section", "function")
    ]
    return np.concatenate(logits, axis=-1).T, x


def spectrogram_of(length, seed=0):
    rng = np.random.default_rng((seed, length))
    return np.abs(rng.standard_normal((4, length, 81))).astype(np.float32) * np.float32(0.5)


def assert_reference_is_literal(model, length, monkeypatch):
    spectrogram = spectrogram_of(length)
    expected, expected_embeddings = literal_network(model.members[0], spectrogram)
    task = Task(embeddings=True)
    for dtype, tile, tolerance in (
        (np.float64, 1024, 1e-11),
        (np.float64, 9 if length <= 40 else 50, 1e-11),
        (np.float32, 1024, 2e-5),
    ):
        monkeypatch.setattr(network, "TILE", tile)
        logits = network.create(Setup(model=model, threads=1), dtype=dtype)(
            LogSpectrogram(spectrogram), task
        )
        given_logits = np.vstack([logits.beat, logits.downbeat, logits.section, logits.function])
        assert given_logits.dtype == dtype
        np.testing.assert_allclose(given_logits, expected, rtol=0, atol=tolerance)
        np.testing.assert_allclose(logits.embeddings, expected_embeddings, rtol=0, atol=tolerance)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_reference_is_the_literal_network(length, monkeypatch):
    assert_reference_is_literal(random_model(length), length, monkeypatch)


@pytest.mark.parametrize("length", [1, 2, 4, 5, 6, 9, 10, 19, 40, 127])
def test_the_reference_is_the_literal_network_with_trained_weights(
    length, weights_dir, monkeypatch
):
    with np.load(weights_dir / "harmonix-fold3_mlx.npz", allow_pickle=False) as arrays:
        trained = Model(random_model(0).card, (dict(arrays),))
    assert_reference_is_literal(trained, length, monkeypatch)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_attention_in_time_is_the_literal_one_for_any_length_and_tile(data):
    dilation = data.draw(st.integers(1, 9))
    length = data.draw(st.integers(5 * dilation, 12 * dilation))
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start + 1, length))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    q, k, v = rng.standard_normal((3, 24, length))
    table = rng.standard_normal((2, 9))
    got = attend_in_time(q[None, :, start:stop], k[None], v[None], table, dilation, start)
    heads = [x.reshape(2, 12, length).transpose(0, 2, 1) for x in (q, k, v)]
    queries = [(t,) for t in range(start, stop)]
    expected = [out.ravel() for *_, out in attend(*heads, table, 5, dilation, (length,), queries)]
    np.testing.assert_allclose(got[0].T, expected, rtol=0, atol=1e-13)


@pytest.fixture(scope="module")
def natten(shared_dir):
    torch = pytest.importorskip(
        "torch", reason="the outputs of NATTEN are stored as PyTorch tensors"
    )
    path = shared_dir / "vectors" / "natten_0_17_5_golden.pt"
    if not path.is_file():
        pytest.skip("needs the outputs of NATTEN: vectors/natten_0_17_5_golden.pt")
    cases = torch.load(path, weights_only=True)
    return [
        {name: each.numpy() if hasattr(each, "numpy") else each for name, each in case.items()}
        for case in (*cases["1d"], *cases["2d"])
    ]


def test_literal_attention_is_that_of_natten(natten):
    assert len(natten) > 5
    for case in natten:
        q, k, v = (case[name][0].astype(np.float64) for name in "qkv")
        extent = q.shape[1:-1]
        queries = list(itertools.product(*map(range, extent)))
        for index, scores, out in attend(
            q, k, v, case["rpb"], case["kernel_size"], case["dilation"], extent, queries
        ):
            at = (0, slice(None), *index)
            np.testing.assert_allclose(scores, case["attn"][at], rtol=0, atol=1e-5)
            np.testing.assert_allclose(out, case["out"][at], rtol=0, atol=1e-5)


def test_the_reference_attention_is_that_of_natten(natten):
    checked = 0
    for case in natten:
        q, k, v, expected = (case[name][0] for name in ("q", "k", "v", "out"))
        if case["kernel_size"] != 5 or (q.ndim == 4 and q.shape[1] != 5):
            continue
        # [heads, (instruments,) frames, channels] to [instruments, channels of all heads, frames]
        q, k, v, expected = (
            np.moveaxis(x.reshape(2, -1, *x.shape[-2:]), (1, 0, 3, 2), (0, 1, 2, 3)).reshape(
                -1, 16, x.shape[-2]
            )
            for x in (q, k, v, expected)
        )
        if case["rpb"].ndim == 2:
            out = attend_in_time(q, k, v, case["rpb"], case["dilation"], 0)
        else:
            out = attend_across_instruments(q, k, v, case["rpb"], 0)
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)
        checked += 1
    assert checked >= 4
