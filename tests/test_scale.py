"""The figures of docs/scale.md are what the script computes from the measured rates."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "scale.py"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="needs a checkout of the repository")


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("scale", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["scale"]


def test_the_document_has_what_the_script_computes() -> None:
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_the_script_knows_the_plugin_s_sizes_of_tasks(scale) -> None:
    source = SCRIPT.parents[1] / "plugins" / "allin1-ray" / "src" / "allin1_ray" / "cluster.py"
    text = source.read_text(encoding="utf-8")
    assert f"_MOST_BATCH, _TASK_S = 4, {scale.MOST_BATCH}, {scale.TASK_S}" in text
    assert f"_MOST_TASKS_PER_S = {scale.TASKS_PER_S}" in text


def test_workers_bound_few_machines_and_the_driver_many(scale) -> None:
    rates = json.loads(scale.RATES.read_text(encoding="utf-8"))
    fleet, _ = scale.fleets(rates)
    few, many = (scale.estimate(fleet, machines, rates) for machines in (8, 5120))
    assert few.bound == "the workers"
    assert few.songs_per_s == pytest.approx(64 / fleet.song_s)
    assert few.hours * few.songs_per_s * 3600 == pytest.approx(scale.SONGS)
    assert many.bound == "the driver"
    assert many.songs_per_s == many.driver_per_s < 5120 * 8 / fleet.song_s
