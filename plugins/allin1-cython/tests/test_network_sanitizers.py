"""The network's kernels, compiled with sanitizers, access only their own memory, on songs of many lengths."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from allin1_backend_cython.network_parameters import pack

from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import network as reference
from allin1_core.testing.builds import compile_program, compiles
from allin1_core.testing.signals import random_spectrogram
from allin1_core.testing.weights import random_model

KERNEL = Path(__file__).resolve().parents[1] / "src/allin1_backend_cython/kernel"

pytestmark = compiles


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    # Compiling plain C with checks takes minutes, and it accesses the same memory as SSE2 and NEON.
    plain = KERNEL / "network_scalar.c"
    sources = [Path(__file__).with_name("check_network.c"), KERNEL / "isa.c"]
    sources += sorted(set(KERNEL.glob("network*.c")) - {plain})
    folder = tmp_path_factory.mktemp("program")
    return compile_program(
        "check_network", folder, KERNEL, sources, unchecked=[plain], optimisation="-O1"
    )


@pytest.mark.parametrize("frames", [1, 33, 130])
def test_the_kernels_stay_in_their_memory(program: list[str], tmp_path: Path, frames: int) -> None:
    model, spectrogram = random_model(3), random_spectrogram(frames)
    problem = (np.int64(frames), pack(model.members[0]), spectrogram.frames)
    (tmp_path / "problem").write_bytes(b"".join(np.asarray(part).tobytes() for part in problem))
    command = [*program, str(tmp_path / "problem"), str(tmp_path / "answer")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr

    wanted = reference.create(Setup(model=model), dtype=np.float64)(
        spectrogram, Task(embeddings=True)
    )
    answer = (tmp_path / "answer").read_bytes()
    size = 8 + 4 * frames * (13 + 4 * 24)
    assert answer
    assert len(answer) % size == 0
    for start in range(0, len(answer), size):
        name = answer[start : start + 8].decode().strip()
        values = np.frombuffer(answer[start + 8 : start + size], np.float32)
        logits = values[: 13 * frames].reshape(13, frames)
        rows = [[wanted.beat, wanted.downbeat, wanted.section], wanted.function]
        np.testing.assert_allclose(logits, np.concatenate(rows), rtol=0, atol=2e-5, err_msg=name)
        embeddings = values[13 * frames :].reshape(4, frames, 24)
        np.testing.assert_allclose(embeddings, wanted.embeddings, rtol=0, atol=2e-5, err_msg=name)
