"""The kernels, compiled with sanitizers, access only their own memory, on problems of many shapes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from allin1_backend_dbn_cython._kernel import instruction_sets
from allin1_backend_dbn_cython.tables import MetreTables, build
from allin1_backend_dbn_cython.viterbi import Workspace, find_path, observed_series
from numpy.typing import NDArray

from allin1_core.contracts.metre import MetreParameters
from allin1_core.testing.builds import compile_program, compiles

KERNEL = Path(__file__).resolve().parents[1] / "src/allin1_backend_dbn_cython/kernel"

pytestmark = compiles


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    sources = [Path(__file__).with_name("check_kernels.c"), *sorted(KERNEL.glob("*.c"))]
    return compile_program("check_kernels", tmp_path_factory.mktemp("program"), KERNEL, sources)


def write_problem(path: Path, tables: MetreTables, series: NDArray[np.float64]) -> None:
    frames = series.shape[1] - 2 * tables.padding
    sizes = [tables.beats, len(tables.intervals), tables.block, tables.width, tables.ring]
    sizes += [tables.ring_row, frames, tables.padding, tables.end_row]
    arrays = [
        np.array(sizes, np.int32),
        tables.intervals,
        tables.zones,
        tables.log_transition,
        tables.first_source,
        tables.end_source,
        np.array([tables.log_initial]),
        series,
    ]
    path.write_bytes(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))


@pytest.mark.parametrize("frames", [1, 23, 24, 25, 120, 700])
@pytest.mark.parametrize(
    ("parameters", "rate"),
    [
        (MetreParameters(beats_per_bar=(3, 4)), 100.0),
        (MetreParameters(beats_per_bar=(1, 2, 5, 6, 7, 8), num_tempi=9), 50.0),
        (MetreParameters(num_tempi=None), 31.0),
        (MetreParameters(num_tempi=None, max_bpm=300), 5.0),
        (MetreParameters(beats_per_bar=(2,), num_tempi=5, min_bpm=40), 250.0),
    ],
)
def test_the_kernels_stay_in_their_memory(
    program: list[str], tmp_path: Path, parameters: MetreParameters, rate: float, frames: int
) -> None:
    values = np.random.default_rng(frames).uniform(0.01, 0.45, (frames, 2))
    for tables in build(parameters, rate)[1]:
        series = observed_series(values, parameters, tables.padding)
        path = find_path(tables, series, instruction_sets()[0], Workspace())
        write_problem(tmp_path / "problem", tables, series)
        run = subprocess.run(
            [*program, str(tmp_path / "problem")], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        score, *visits = run.stdout.splitlines()
        assert float(score) == path.log_probability
        lanes = [[int(number) for number in visit.split()] for visit in visits]
        assert lanes[::-1] == path.lanes.tolist()
