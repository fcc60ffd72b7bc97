"""No byte is read or written that is not the network's.

Compiles its kernels with the address and the undefined-behaviour sanitizer and runs them on songs of many
lengths, so it runs where it is asked for: ``ALLIN1_TEST_BUILDS=1``. With ``ALLIN1_RUNNER`` (such as
``valgrind -q --error-exitcode=9``, or an emulator of another processor) they are compiled as usual by ``CC``
and that command runs them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from allin1_backend_cython.network_parameters import pack

from allin1_core.contracts.stages import Setup, Task
from allin1_core.reference import network as reference
from allin1_core.testing.signals import random_spectrogram
from allin1_core.testing.weights import random_model

KERNEL = Path(__file__).resolve().parents[1] / "src/allin1_backend_cython/kernel"

RUNNER = shlex.split(os.environ.get("ALLIN1_RUNNER", ""))

COMPILER = shlex.split(os.environ.get("CC", "cc"))

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("ALLIN1_TEST_BUILDS"), reason="compiles: set ALLIN1_TEST_BUILDS=1"
    ),
    pytest.mark.skipif(not shutil.which(COMPILER[0]), reason=f"needs the compiler {COMPILER[0]}"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("program")
    flags = ["-std=c11", "-g", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    compiler = [*COMPILER, *flags, f"-I{KERNEL}"]
    # Compilers take minutes over plain C with checks. It reads and writes what SSE2 and NEON do.
    plain = KERNEL / "network_scalar.c"
    subprocess.run([*compiler, "-c", str(plain), "-o", str(folder / "plain.o")], check=True)
    sources = [Path(__file__).with_name("check_network.c"), KERNEL / "isa.c", folder / "plain.o"]
    sources += sorted(set(KERNEL.glob("network*.c")) - {plain})
    if not RUNNER:
        compiler += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    built = folder / "check_network"
    subprocess.run([*compiler, *map(str, sources), "-o", str(built), "-lm"], check=True)
    return [*RUNNER, str(built)]


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
