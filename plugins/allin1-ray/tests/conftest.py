"""A cluster of several nodes on this machine, and songs that do to their workers what their names say."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest_plugins = ["allin1_core.testing.fixtures"]

#: A plugin whose network stands in for the slow one, and which does as the names of the songs say.
STAND_IN = """
import os, signal, time
import numpy as np
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.logits import Logits
from allin1_core.contracts.speed import Speed
from allin1_core.markers import hookimpl

def network(setup):
    folder = os.environ["ALLIN1_TEST_FOLDER"]
    with open(f"{folder}/threads-{os.getpid()}", "w") as file:
        file.write(str(setup.threads))
    def run(spectrogram, task):
        length = spectrogram.frames.shape[1]
        beat = np.full(length, -9, np.float32)
        # Beats are as far apart as the song's loudness says, so that songs differ.
        beat[20 :: 40 + int(1e4 * float(spectrogram.frames.mean())) % 20] = 9
        task.progress(1.0)
        return Logits(beat, np.roll(beat, 7), beat - 1, np.zeros((10, length), np.float32))
    return run

@hookimpl
def allin1_postprocess_result(track, result):
    folder = os.environ["ALLIN1_TEST_FOLDER"]
    with open(f"{folder}/log-{os.getpid()}", "a") as file:
        file.write(track + chr(10))
    if track.startswith("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    if track.startswith("once"):
        try:
            open(f"{folder}/{track}", "x").close()
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
    if track.startswith("ends") and not os.path.exists(f"{folder}/{track}"):
        open(f"{folder}/{track}", "x").close()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    if track.startswith("slow"):
        time.sleep(0.3)
    while track.startswith("waits") and not os.path.exists(f"{folder}/go"):
        time.sleep(0.02)
    if track.startswith("sleeps"):
        time.sleep(60)

@hookimpl
def allin1_nn():
    return [Backend("stand-in", "nn", "stand_in_plugin:network", speed=(Speed("", 0, 1e-9, "a test"),))]
"""

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


def pytest_collection_modifyitems(items):
    for item in items:
        # Ray warns of its own defaults, and leaves sockets to the garbage collector.
        item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"))
        item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder with the plugin as it is installed, on the path of every process that is started from now on."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "stand_in-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-in\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[allin1]\nstand-in = stand_in_plugin\n")
    (folder / "stand_in_plugin.py").write_text(STAND_IN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("ALLIN1_TEST_FOLDER", str(folder))
        patch.setenv("ALLIN1_CONFIG", "")
        patch.setenv("ALLIN1_CACHE_LIMIT", "0")
        # Ray refuses a temporary folder within a virtual environment, as nox has it, and long names of sockets.
        ray_folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        patch.setenv("RAY_TMPDIR", ray_folder)
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield folder
    shutil.rmtree(ray_folder, ignore_errors=True)
    sys.modules.pop("stand_in_plugin", None)


@pytest.fixture(scope="session")
def cluster(site):
    """A head that computes nothing, and two nodes with a CPU each."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": 80_000_000,
            "include_dashboard": False,
        },
    )
    for _ in range(2):
        cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    ray.init(cluster.address, log_to_driver=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def make_songs(tmp_path):
    """Make songs of these names, of two seconds, each with contents of its own; "broken" ones hold no audio."""

    def make(*names: str, folder: str = "songs") -> list[Path]:
        paths = []
        for name in names:
            path = tmp_path / folder / f"{name}.wav"
            path.parent.mkdir(exist_ok=True)
            paths.append(path)
            if name.startswith("broken"):
                path.write_bytes(b"no audio")
                continue
            rng = np.random.default_rng(list(name.encode()))
            noise = rng.normal(0, rng.uniform(0.02, 0.2), (88_200, 2))
            soundfile.write(path, noise, 44_100, subtype="PCM_16")
        return paths

    return make


def without_times(path: Path) -> str:
    """The JSON of a result, without what two runs may differ in: seconds."""
    content = json.loads(path.read_text())
    for stage in content["provenance"]["stages"]:
        del stage["seconds"]
    return json.dumps(content)


@pytest.fixture
def results_of():
    """Results of a folder by name, without what two runs may differ in."""
    return lambda folder: {path.stem: without_times(path) for path in Path(folder).glob("*.json")}
