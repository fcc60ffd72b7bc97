"""Separation block by block gives the same stems as of the whole song, which is never in memory as a whole."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from allin1_core.contracts.audio import Mix
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.stages import Task
from allin1_core.errors import BackendError, InputError
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("demucs", reason="needs Demucs: install allin1-torch[demucs]")

from allin1_backend_torch import demix_models, demix_segments
from allin1_backend_torch.demix import Separation
from allin1_backend_torch.demix_level import level_of, level_of_blocks
from allin1_backend_torch.demix_members import Member
from allin1_backend_torch.demix_models import Bag
from allin1_backend_torch.demix_segments import Cut

SOURCES = ("drums", "bass", "other", "vocals")
CPU = torch.device("cpu")


def noise(samples, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(2, samples, generator=rng, dtype=torch.float32) + 0.02


def forward(windows):
    """Return values that depend on the position in the window and on its other end, like a network's estimates."""
    place = torch.linspace(-1, 1, windows.shape[-1])
    factors = torch.tensor([0.5, 1.0, -0.3, 2.0])[:, None, None]
    return (windows + 0.3 * windows.flip(-1) * place)[:, None] * factors + 0.1


def given_members(parameters, *cuts, forward=forward, batch_size=1, precision="float32"):
    """Return a separation by functions instead of models."""
    weights = [(1.0, 0.5, 0.0, 0.25), (0.0, 0.5, 1.0, 0.75)] if len(cuts) > 1 else [(1.0,) * 4]
    members = [
        Member(forward, cut, shares, draws)
        for cut, shares, draws in zip(cuts, weights, (True, False), strict=False)
    ]
    held = dict.fromkeys(("float32", "tf32", "float16"), members)
    bag = Bag((), (), SOURCES)
    return Separation(bag, parameters, CPU, precision, batch_size=batch_size, _members=held)


def cut_of(segment, overlap, *, grows=False):
    stride = max(1, int((1 - overlap) * segment))
    # Like HDemucs, whose windows have the length that its layers need, or HTDemucs, whose windows have a fixed length.
    window = (lambda length: length + (-length) % 64 + 64) if grows else (lambda length: segment)
    return Cut(segment, stride, window)


def blocks_of(samples, lengths):
    """Return blocks of these lengths, repeated, and a counter of requests."""
    calls = []

    def blocks():
        calls.append(0)
        start, number = 0, 0
        while start < samples.shape[-1]:
            length = lengths[number % len(lengths)]
            yield Mix(samples[:, start : start + length])
            start, number = start + length, number + 1

    return blocks, calls


def streamed(own, samples, lengths=(4410,), task=None):
    blocks, calls = blocks_of(samples, lengths)
    stems = [stems.validate().samples for stems in own.stream(blocks, task or Task())]
    assert len(calls) == 2
    return torch.cat(stems, dim=-1)


def whole(own, samples):
    return own(Mix(samples), Task()).samples


def assert_same(own, samples, lengths):
    out, wanted = streamed(own, samples, lengths), whole(own, samples)
    assert out.shape == wanted.shape
    assert (out - wanted).abs().max() < 2e-6


@settings(deadline=None, max_examples=150)
@given(
    samples=st.integers(1, 9000),
    segment=st.integers(700, 3000),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    shifts=st.integers(0, 2),
    bag=st.booleans(),
    grows=st.booleans(),
    batch=st.sampled_from([1, 3, 32]),
    lengths=st.lists(st.integers(1, 4000), min_size=1, max_size=3),
    most_shift=st.sampled_from([10, 500, 22_050]),
)
def test_blocks_equal_the_whole(
    samples, segment, overlap, shifts, bag, grows, batch, lengths, most_shift
):
    parameters = DemixParameters(shifts=shifts, overlap=overlap, seed=samples)
    cuts = [cut_of(segment, overlap, grows=grows)]
    cuts += [cut_of(segment + 300, overlap)] if bag else []
    own = given_members(parameters, *cuts, batch_size=batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demix_segments, "MOST_SHIFT", most_shift)
        assert_same(own, noise(samples, samples), [max(each, samples // 50) for each in lengths])


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.9])
def test_the_song_may_end_at_the_border_of_a_segment(extra, overlap):
    cut = cut_of(1000, overlap)
    for samples in (1000, 1000 + 3 * cut.stride, 7 * cut.stride):
        own = given_members(DemixParameters(shifts=0, overlap=overlap), cut, batch_size=2)
        assert_same(own, noise(samples + extra), [441, 1000])


def test_the_networks_of_demucs_give_the_same_in_blocks(small_htdemucs):
    models = demix_models.bag_of(small_htdemucs(1)), demix_models.bag_of(small_htdemucs(2))
    bag = Bag(
        tuple(bag.models[0] for bag in models),
        ((1.0, 0.0, 2.0, 1.0), (0.0, 1.0, 1.0, 1.0)),
        SOURCES,
    )
    for channels_last in (False, True):
        own = Separation(
            bag, DemixParameters(seed=5), CPU, "float32", channels_last, batch_size=2, threads=1
        )
        assert_same(own, noise(70_001), [10_000, 1])


def test_the_level_of_blocks_is_that_of_the_whole_to_the_last_digits():
    for samples, lengths in ((1, [1]), (2, [1]), (100_000, [999, 1, 4410]), (50_000, [50_000])):
        song = noise(samples) + 0.5
        blocks, _ = blocks_of(song, lengths)
        level = level_of_blocks((block.samples for block in blocks()), CPU)
        exact = song.mean(0).double()
        assert level.samples == samples
        assert float(level.mean) == pytest.approx(float(exact.mean()), rel=1e-7)
        if samples > 1:
            assert float(level.scale) == pytest.approx(float(exact.std()) + 1e-8, rel=1e-7)
        assert float(level.scale) == pytest.approx(float(level_of(song).scale), rel=1e-5)
    with pytest.raises(InputError, match="no samples"):
        level_of_blocks(iter(()), CPU)


def test_memory_does_not_grow_with_the_song():
    cut, seen, given_out = cut_of(1000, 0.25), [], []
    own = given_members(DemixParameters(overlap=0.25), cut, cut_of(800, 0.25), batch_size=2)
    read = [0]

    def blocks():
        read[0] = 0
        for _ in range(500):
            read[0] += 500
            yield Mix(noise(500))

    for stems in own.stream(blocks, Task()):
        given_out.append(stems.samples.shape[-1])
        seen.append(read[0] - sum(given_out))
    assert sum(given_out) == 250_000
    assert len(given_out) > 100
    # Two segments, the padding that a shift of half a second adds before the song, a window and a block.
    assert max(seen) < 2 * 1000 + 1000 + 500
    assert max(given_out) < 3000


def test_progress_moves_and_its_exceptions_propagate():
    own = given_members(DemixParameters(), cut_of(1000, 0.25))
    told = []
    streamed(own, noise(30_000), task=Task(progress=told.append))
    assert told == sorted(told)
    assert len({*told}) > 30
    assert told[-1] == 1.0

    def stop(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        streamed(own, noise(30_000), task=Task(progress=stop))


def test_it_may_be_closed_early_and_restores_the_settings_of_the_process():
    own = given_members(DemixParameters(), cut_of(1000, 0.25))
    stream = own.stream(blocks_of(noise(30_000), (500,))[0], Task())
    next(stream)
    assert not torch.is_inference_mode_enabled()
    stream.close()
    assert whole(own, noise(5000)).shape == (4, 2, 5000)


def test_an_exception_from_reading_propagates():
    own = given_members(DemixParameters(), cut_of(1000, 0.25))
    calls = []

    def blocks():
        calls.append(0)
        yield Mix(noise(5000))
        if len(calls) == 2:
            raise InputError("damaged")
        yield Mix(noise(5000))

    with pytest.raises(InputError, match="damaged"):
        for _ in own.stream(blocks, Task()):
            pass


def test_a_song_that_is_shorter_the_second_time_is_an_error():
    own = given_members(DemixParameters(), cut_of(1000, 0.25))
    lengths = iter((9000, 4000))

    def blocks():
        yield Mix(noise(next(lengths)))

    with pytest.raises(InputError, match="shorter"):
        for _ in own.stream(blocks, Task()):
            pass


def test_nan_values_are_an_error():
    own = given_members(DemixParameters(), cut_of(1000, 0.25))
    song = noise(9000)
    song[0, 8000] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        streamed(own, song)
    broken = given_members(
        DemixParameters(), cut_of(1000, 0.25), forward=lambda windows: forward(windows) / 0
    )
    with pytest.raises(BackendError, match="not finite"):
        streamed(broken, noise(9000))


def test_half_precision_that_overflows_halfway_continues_in_single_precision(caplog):
    calls = []

    def overflowing(windows):
        calls.append(len(windows))
        return forward(windows) * (torch.inf if len(calls) == 4 else 1)

    parameters = DemixParameters(shifts=0)
    exact = given_members(parameters, cut_of(1000, 0.25))
    own = replace(
        given_members(parameters, cut_of(1000, 0.25), forward=overflowing), precision="float16"
    )
    with caplog.at_level(logging.WARNING):
        out = streamed(own, noise(9000))
    assert caplog.text.count("overflowed") == 1
    assert (out - whole(exact, noise(9000))).abs().max() < 2e-6


def lengths_of(call):
    """A forward that notes how many windows it is given at once."""
    sizes = []

    def noting(windows):
        sizes.append(len(windows))
        return call(windows)

    return sizes, noting


def test_several_songs_at_once_have_the_stems_that_each_has_alone():
    sizes, noting = lengths_of(forward)
    parameters, cuts = DemixParameters(overlap=0.25, shifts=1), [cut_of(20_000, 0.25)]
    own = given_members(parameters, *cuts, forward=noting, batch_size=8)
    mixes = [Mix(noise(length, length)) for length in (30_000, 1, 70_000, 20_000, 44_100)]
    alone = [own(mix, Task()).samples for mix in mixes]
    sizes.clear()
    told = []
    together = own.batch(mixes, Task(progress=told.append))
    assert sum(sizes[:-1]) == 8 * (len(sizes) - 1), "a batch but the last was not full"
    assert told == sorted(told)
    assert told[-1] == 1.0
    for stems, wanted in zip(together, alone, strict=True):
        torch.testing.assert_close(stems.validate().samples, wanted, rtol=0, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    batch=st.integers(1, 9),
    shifts=st.integers(0, 2),
    segments=st.lists(st.integers(40, 900), min_size=1, max_size=2),
    grows=st.booleans(),
    overlap=st.sampled_from([0.0, 0.25, 0.7]),
)
def test_songs_of_any_lengths_can_be_separated_together(
    lengths, batch, shifts, segments, grows, overlap
):
    parameters = DemixParameters(overlap=overlap, shifts=shifts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demix_segments, "MOST_SHIFT", 500)
        cuts = [cut_of(segment, overlap, grows=grows) for segment in segments]
        own = given_members(parameters, *cuts, batch_size=batch)
        mixes = [Mix(noise(length, length)) for length in lengths]
        alone = [own(mix, Task()).samples for mix in mixes]
        for stems, wanted in zip(own.batch(mixes, Task()), alone, strict=True):
            torch.testing.assert_close(stems.samples, wanted, rtol=0, atol=1e-5)


def test_songs_together_go_on_with_fewer_segments_where_memory_is_short():
    def short_of_memory(windows):
        if len(windows) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return forward(windows)

    sizes, noting = lengths_of(short_of_memory)
    own = given_members(DemixParameters(), cut_of(20_000, 0.25), forward=noting, batch_size=8)
    usual = given_members(DemixParameters(), cut_of(20_000, 0.25))
    mixes = [Mix(noise(length, length)) for length in (30_000, 70_000)]
    for stems, mix in zip(own.batch(mixes, Task()), mixes, strict=True):
        torch.testing.assert_close(stems.samples, usual(mix, Task()).samples, rtol=0, atol=1e-6)
    assert sizes[:3] == [8, 4, 2]


def test_no_song_together_is_none():
    own = given_members(DemixParameters(), cut_of(1000, 0.25))
    assert own.batch([], Task()) == []
