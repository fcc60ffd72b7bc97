"""Conformance of separators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import Setup, Task
from allin1_core.runtime.difference import measure
from allin1_core.runtime.moving import cross
from allin1_core.testing import signals
from allin1_core.testing.conformance.backend import BackendConformance
from allin1_core.testing.skipping import does_not_apply


class DemixConformance(BackendConformance):
    """Conformance of a backend for ``demix``.

    There is no reference implementation of separation: also compare with the original code. Override :meth:`setup` if the
    default model is large, or must be downloaded.
    """

    stage = "demix"

    #: Parameters of the separation.
    parameters: ClassVar[DemixParameters] = DemixParameters()

    #: Whether the seed of the parameters has an effect; None to skip this test.
    seeded: ClassVar[bool | None] = True

    #: Largest difference between stems that were separated block by block and in one call.
    stream_tolerance: ClassVar[float] = 1e-5

    #: Largest difference between stems that were separated with other songs and alone.
    batch_tolerance: ClassVar[float] = 1e-5

    def setup(self, device: str) -> Setup:
        """Give what the factory is called with."""
        return replace(super().setup(device), demix=self.parameters, threads=1)

    def test_it_keeps_its_promise_of_parity(self) -> None:
        pytest.skip("there is no reference of separation: compare with the original's code")

    def test_stems_are_as_long_as_the_song_to_the_sample(self) -> None:
        for name, data, output in self.outputs():
            given, wanted = output.samples.shape[-1], data.samples.shape[-1]
            assert given == wanted, f"{name}: stems of {given} samples: cut or pad to {wanted}"
            assert output.samples.dtype == np.float32, f"{name}: give float32"

    def test_silence_gives_numbers(self) -> None:
        record, device = self.ready()
        silence = Mix(np.zeros((2, 40_000), np.float32))
        with self.created(record, device) as call:
            stems = self.run(call, record, device, silence, Task())
        assert np.isfinite(stems.samples).all(), "silence gives no numbers: divide by no level of 0"
        assert np.abs(stems.samples).max() < 1e-3, "silence gives sound: take the offset away"

    def test_the_seed_decides(self) -> None:
        record, device = self.ready()
        mix = signals.noise_mix(60_000)
        stems = []
        for seed in (1, 1, 2):
            setup = self.setup(device)
            setup = replace(setup, demix=replace(setup.demix, seed=seed, shifts=1))
            stems.append(self.run(self.create(record, setup), record, device, mix, Task()))
        assert measure(stems[0], stems[1]) == 0.0, (
            "the same seed gives other stems: take what is random from setup.demix.seed"
        )
        if self.seeded is not None:
            has_effect = measure(stems[0], stems[2]) > 0.0
            assert has_effect == self.seeded, (
                "another seed gives other stems: set seeded = True in its tests"
                if has_effect
                else "another seed gives the same stems: use setup.demix.seed, or set seeded = False"
                " in its tests where nothing is random"
            )

    def test_progress_ends_at_one(self) -> None:
        self.check_progress()

    def test_what_progress_raises_comes_out(self) -> None:
        self.check_cancelling(self.run)
        if self.record().streams:
            self.check_cancelling(self.run_streamed)
        if self.record().batches:
            self.check_cancelling(self.run_alone_in_a_batch)

    def run_streamed(
        self,
        call: Any,
        record: Backend[Any],
        device: str,
        data: Any,
        task: Task,
        length: int = 7000,
    ) -> Any:
        """Call a separator on blocks of a mix in NumPy arrays, and concatenate its stems."""
        there = self.bridges().way(HOST, record.consumes)
        back = self.bridges().way(record.produces, HOST)

        def blocks() -> Iterator[Mix]:
            for start in range(0, data.samples.shape[-1], length):
                yield cross(Mix(data.samples[:, start : start + length]), there, device)

        pieces = [cross(stems, back, "cpu").validate() for stems in call.stream(blocks, task)]
        return Stems(np.concatenate([stems.samples for stems in pieces], axis=-1))

    def test_block_by_block_it_gives_the_same(self) -> None:
        record, device = self.ready()
        told: list[float] = []
        with self.created(record, device) as call:
            assert record.streams == hasattr(call, "stream"), (
                "its record and its callable disagree on streaming: declare streams=True, and have"
                " a method stream, or neither"
            )
            if not record.streams:
                does_not_apply(f"{self.backend} does not separate block by block")
            for name, data in self.inputs():
                wanted = self.run(call, record, device, data, Task())
                told.clear()
                for length in (7000, data.samples.shape[-1]):
                    task = Task(progress=told.append, audio_s=data.duration_s)
                    output = self.run_streamed(call, record, device, data, task, length)
                    assert measure(wanted, output) <= self.stream_tolerance, (
                        f"{name}, blocks of {length} samples: the stems differ from those of the"
                        " whole song: keep the context that a block needs of the one before"
                    )
                    assert told[-1] == 1.0, "its progress does not end at 1: tell 1.0 at the end"

    def run_batch(
        self, call: Any, record: Backend[Any], device: str, mixes: Sequence[Mix], task: Task
    ) -> list[Stems]:
        """Call a separator on several mixes in NumPy arrays, and bring its stems to NumPy."""
        there = self.bridges().way(HOST, record.consumes)
        back = self.bridges().way(record.produces, HOST)
        found = call.batch([cross(mix, there, device) for mix in mixes], task)
        return [cross(stems, back, "cpu").validate() for stems in found]

    def run_alone_in_a_batch(
        self, call: Any, record: Backend[Any], device: str, data: Any, task: Task
    ) -> Stems:
        """Call a separator on a batch of one song."""
        (stems,) = self.run_batch(call, record, device, [data], task)
        return stems

    def test_with_other_songs_it_gives_the_same(self) -> None:
        record, device = self.ready()
        if not record.batches:
            does_not_apply(f"{self.backend} does not separate several songs in one call")
        with self.created(record, device) as call:
            assert hasattr(call, "batch"), (
                "its record declares batches=True, and its callable has no method batch"
            )
            names, mixes = zip(*self.inputs(), strict=True)
            told: list[float] = []
            seconds = sum(mix.duration_s for mix in mixes)
            task = Task(progress=told.append, audio_s=seconds)
            found = self.run_batch(call, record, device, mixes, task)
            assert len(found) == len(mixes), (
                f"{len(mixes)} songs give {len(found)} records: give stems for each, in order"
            )
            for name, mix, stems in zip(names, mixes, found, strict=True):
                wanted = self.run(call, record, device, mix, Task())
                assert stems.samples.shape == wanted.samples.shape, (
                    f"{name}: the stems of another length: give those of each song, in order"
                )
                assert measure(wanted, stems) <= self.batch_tolerance, (
                    f"{name}: with other songs, the stems differ from those of the song alone"
                )
        assert told, "it tells no progress: call task.progress(fraction) now and then"
        assert told == sorted(told), "its progress goes back: tell fractions of all songs"
        assert told[-1] == 1.0, "its progress does not end at 1: tell 1.0 at the end"
