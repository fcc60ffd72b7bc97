"""The kernels of the spectrogram, of the residual branch and of attention access only their own memory.

Compiles them with sanitizers and runs them on signals of many lengths.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from allin1_backend_cython._isa import instruction_sets
from allin1_backend_cython.dconv import DConv, Layer
from allin1_backend_cython.dconv_packing import pack
from allin1_backend_cython.spectrogram_tables import tables
from numpy.typing import NDArray

from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import mix_spectrogram
from allin1_core.reference import spectrogram as reference
from allin1_core.testing.builds import compile_program, compiles

KERNEL = Path(__file__).resolve().parents[1] / "src/allin1_backend_cython/kernel"

pytestmark = compiles

#: Runs a program on the parts of a problem; returns the name and the output of each kernel.
Run = Callable[[list[Any], int], list[tuple[str, NDArray[np.float32]]]]


def program(name: str, folder: Path) -> Run:
    sources = [Path(__file__).with_name(f"check_{name}.c"), KERNEL / "isa.c"]
    sources += sorted(KERNEL.glob(f"{name}*.c"))
    command = compile_program(f"check_{name}", folder, KERNEL, sources)

    def run(problem: list[Any], count: int) -> list[tuple[str, NDArray[np.float32]]]:
        parts = [np.ascontiguousarray(part).tobytes() for part in problem]
        (folder / "problem").write_bytes(b"".join(parts))
        paths = [str(folder / "problem"), str(folder / "answer")]
        ran = subprocess.run([*command, *paths], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        answer = (folder / "answer").read_bytes()
        size = 8 + 4 * count
        assert answer
        assert len(answer) % size == 0
        return [
            (
                answer[start : start + 8].decode().strip(),
                np.frombuffer(answer[start + 8 : start + size], np.float32),
            )
            for start in range(0, len(answer), size)
        ]

    return run


@pytest.fixture(scope="module")
def run_spectrogram(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return program("spectrogram", tmp_path_factory.mktemp("spectrogram"))


@pytest.fixture(scope="module")
def run_dconv(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return program("dconv", tmp_path_factory.mktemp("dconv"))


@pytest.fixture(scope="module")
def run_attention(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return program("attention", tmp_path_factory.mktemp("attention"))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("length", [1, 440, 1023, 2049, 3528, 9000])
def test_the_spectrogram_stays_in_its_memory(
    run_spectrogram: Run, channels: int, length: int
) -> None:
    own, frames = tables(), -(-length // 441)
    rng = np.random.default_rng(length)
    samples = rng.uniform(-1, 1, (1, channels, length)).astype(np.float32)
    wanted = list(reference.create(Setup())(Stems(samples), Task()).frames)
    # One channel equals a mix of two identical ones, except for the difference, which needs two.
    both = np.broadcast_to(samples[0], (2, length))
    wanted += list(mix_spectrogram.create(Setup())(Mix(both), Task()).frames)
    if channels == 1:
        wanted[2] = wanted[1]
    sizes = np.array([channels, length, frames, 81, len(own.weights)], np.int64)
    problem = [sizes, own.window, own.within_side, own.between_sides, own.halves]
    problem += [own.starts, own.lengths, own.weights, samples]
    for number, (name, values) in enumerate(run_spectrogram(problem, frames * 81)):
        np.testing.assert_allclose(
            values.reshape(frames, 81), wanted[number % 5], rtol=0, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize(("channels", "hidden"), [(1, 1), (3, 2), (16, 5), (12, 13)])
@pytest.mark.parametrize("dilation", [1, 2, 37])
@pytest.mark.parametrize("length", [1, 31, 64, 512, 1100])
def test_the_residual_branch_stays_in_its_memory(
    run_dconv: Run, channels: int, hidden: int, dilation: int, length: int
) -> None:
    rng = np.random.default_rng(length)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape).astype(np.float32)

    layer = Layer(
        normal(hidden, channels, 3), normal(hidden), dilation, normal(hidden), normal(hidden),
        1e-3, normal(2 * channels, hidden), normal(2 * channels), normal(2 * channels),
        normal(2 * channels), 1e-3, normal(channels),
    )  # fmt: skip
    x = normal(channels, length)
    own = pack(layer)
    problem = [np.array([channels, hidden, dilation, length], np.int64)]
    problem += [own.narrow, own.narrow_bias, own.gain, own.shift, own.widen, own.widen_bias]
    problem += [own.widen_gain, own.widen_shift, own.scale, own.gram, own.row_sum, own.biased_sum]
    problem += [np.array([own.eps, own.widen_eps, own.bias_sum, own.bias_square]), x]
    answers = run_dconv(problem, x.size)
    DConv([layer])(x, threads=1)
    for name, values in answers:
        # Short signals and few random numbers magnify rounding errors.
        np.testing.assert_allclose(values.reshape(x.shape), x, rtol=0, atol=1e-3, err_msg=name)


@pytest.mark.skipif("avx2" not in instruction_sets(), reason="there are kernels for x86-64 only")
@pytest.mark.parametrize("queries", [1, 24, 48, 101])
@pytest.mark.parametrize("keys", [1, 7, 128, 261])
@pytest.mark.parametrize("width", [8, 24, 64])
def test_attention_stays_in_its_memory(
    run_attention: Run, queries: int, keys: int, width: int
) -> None:
    rng = np.random.default_rng(queries + keys)
    lengths = (queries, keys, keys)
    q, k, v = (rng.standard_normal((length, width)).astype(np.float32) for length in lengths)
    weights = np.exp(q.astype(np.float64) @ k.T / np.sqrt(width))
    wanted = weights @ v / weights.sum(axis=1, keepdims=True)
    problem = [np.array([queries, keys, width], np.int64), q, k, v]
    for name, values in run_attention(problem, q.size):
        np.testing.assert_allclose(values.reshape(q.shape), wanted, rtol=0, atol=5e-6, err_msg=name)
