"""What a batch on an accelerator adds to its slowest stage: ``python benchmarks/bench_batch.py [--help]``.

No accelerator is needed: the backends of this script start as many kernels as real ones, each of which takes a few
microseconds of Python, and then wait, as for a device, until the given time of the stage has passed. So everything else
is what the pipeline, the decoding of the next songs and the writing of results add. Prints, without the first two songs:
the wall time per song, the time of each stage, and that of each stage when nothing else runs.

The wall time cannot fall below the CPU time of decoding a song divided by the number of cores, which is also printed.
With ``--jobs``, it prints the wall time per song in one worker process and in so many, without the first two songs of
each.

On a machine with few cores, ``--reading-s`` replaces decoding by a wait, as if each song had a core of its own, and
``--most-ahead`` sets the number of songs that may be read ahead.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import soundfile

from allin1_core.contracts.audio import SAMPLE_RATE, Mix, Stems
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.logits import Activations, Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.sections import Sections, Segment
from allin1_core.contracts.space import HOST
from allin1_core.contracts.spectrogram import LogSpectrogram, frame_count
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import STAGES, Setup, Stage, Task
from allin1_core.io.audio import AudioInfo, read_audio
from allin1_core.io.mix import MixFile
from allin1_core.markers import hookimpl
from allin1_core.plugins.loading import load_plugins
from allin1_core.runtime import batch, reading_ahead
from allin1_core.runtime.batch import run_batch
from allin1_core.runtime.executors import InWorkers
from allin1_core.runtime.reading_ahead import usable_cpus
from allin1_core.runtime.session import Session
from allin1_core.runtime.track import make_tracks
from allin1_core.runtime.worker_process import SessionRecipe
from allin1_core.testing.foreign import BRIDGES, FOREIGN, ForeignArray
from allin1_core.testing.models import RANDOM_MODEL, model_plugin, write_random_model

#: Milliseconds of a stage for a song of three minutes, and number of kernels: as on an H200.
MILLISECONDS: dict[Stage, float] = {
    "demix": 55,
    "spectrogram": 2.6,
    "nn": 13.6,
    "metrical_prep": 0.5,
    "metrical_dbn": 0.4,
    "functional": 1.2,
}
KERNELS: dict[Stage, int] = {
    "demix": 1500,
    "spectrogram": 60,
    "nn": 45,
    "metrical_prep": 20,
    "metrical_dbn": 0,
    "functional": 60,
}


def zeros(*shape: int) -> ForeignArray:
    """Zeros on the device, which take no memory."""
    return ForeignArray(np.broadcast_to(np.float32(0), shape))


def stems_of(mix: Any) -> Stems:
    return Stems(zeros(4, 2, mix.samples.shape[-1]))


def spectrogram_of(stems: Any) -> LogSpectrogram:
    return LogSpectrogram(zeros(4, frame_count(stems.samples.shape[-1]), 81))


def logits_of(spectrogram: Any) -> Logits:
    frames = spectrogram.frames.shape[1]
    return Logits(zeros(frames), zeros(frames), zeros(frames), zeros(10, frames))


def activations_of(logits: Any) -> Activations:
    return Activations(zeros(logits.beat.shape[0], 2))


def metre_of(activations: Any) -> Metre:
    times = np.arange(0.5, activations.values.shape[0] / 100, 0.5)
    return Metre(times, np.arange(len(times)) % 4 + 1)


def sections_of(logits: Any) -> Sections:
    return Sections((Segment(0.0, logits.beat.shape[0] / 100, "verse"),))


OUTPUTS: dict[Stage, Callable[[Any], Any]] = {
    "demix": stems_of,
    "spectrogram": spectrogram_of,
    "nn": logits_of,
    "metrical_prep": activations_of,
    "metrical_dbn": metre_of,
    "functional": sections_of,
}


class Stand:
    """Stands in for a backend on a device: starts kernels, and waits for the device."""

    def __init__(self, stage: Stage, scale: float) -> None:
        self.stage = stage
        self.scale = scale
        self._end = 0.0

    def __call__(self, data: Any, task: Task, /) -> Any:
        """Start the kernels of the stage, and return its output."""
        share = data.duration_s / 180
        self._end = time.perf_counter() + self.scale * share * MILLISECONDS[self.stage] / 1e3
        for _ in range(round(share * KERNELS[self.stage])):
            sum(range(60))  # Python that calls the library
            os.sched_yield()  # the library, which releases the GIL
        task.progress(1.0)
        return OUTPUTS[self.stage](data)

    def batch(self, mixes: Any, task: Task, /) -> list[Any]:
        """Separate several songs in two thirds of the time, as was measured for eight of 30 s on an H200."""
        began = time.perf_counter()
        found = [self(mix, task) for mix in mixes]
        alone_s = self.scale * sum(mix.duration_s for mix in mixes) / 180 * MILLISECONDS["demix"]
        self._end = began + alone_s / 1e3 * 2 / 3
        return found

    def synchronize(self) -> None:
        """Wait for the device."""
        time.sleep(max(0.0, self._end - time.perf_counter()))


def plugin(scale: float, set_up_s: float, *, batches: bool) -> ModuleType:
    """A plugin with a backend of every stage; the decoder is on the CPU."""
    made = ModuleType("bench_batch_backends")
    sys.modules[made.__name__] = made

    def factory(stage: Stage) -> Callable[[Setup], Stand]:
        def create(setup: Setup) -> Stand:
            time.sleep(set_up_s * (stage == "demix"))
            return Stand(stage, scale)

        return create

    for stage in STAGES:
        setattr(made, f"create_{stage}", factory(stage))
        space = HOST if stage == "metrical_dbn" else FOREIGN
        out = HOST if stage in ("metrical_dbn", "functional") else FOREIGN
        backend = Backend(
            name="stand-in",
            stage=stage,
            target=f"{made.__name__}:create_{stage}",
            consumes=space,
            produces=out,
            speed=(Speed("", 0.0, 1e-9, "a stand-in"),),
            batches=stage == "demix" and batches,
        )
        setattr(made, f"allin1_{stage}", hookimpl(lambda backend=backend: [backend]))
    made.allin1_bridges = hookimpl(lambda: BRIDGES)  # type: ignore[attr-defined]
    return made


def write_song(path: Path, seconds: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    beats = np.exp(-8 * (time_s * (1.8 + 0.05 * seed) % 1))
    samples = 0.2 * beats[:, None] * rng.standard_normal((len(time_s), 2))
    kind = {"format": "MP3"} if path.suffix == ".mp3" else {}
    soundfile.write(path, samples.clip(-1, 1), SAMPLE_RATE, **kind)


def wait_instead_of_decoding(seconds: float) -> None:
    """Let the first song that is read stand for all, and take this long without the CPU."""
    read = MixFile.read
    found: list[tuple[Mix, AudioInfo]] = []

    def waiting(file: MixFile) -> tuple[Mix, AudioInfo]:
        if not found:
            found.append(read(file))
        time.sleep(seconds)
        return found[0]

    MixFile.read = waiting  # type: ignore[method-assign]
    batch.FEWEST_FOR_PROCESSES = sys.maxsize  # other processes would decode


def stage_times(session: Session, paths: list[Path], out: Path, timings: Path) -> dict[str, Any]:
    """Analyse songs as a batch, and tell the times per song, without the first two."""
    timings.unlink(missing_ok=True)
    began, cpu = time.time(), time.process_time()
    ends = []
    for outcome in run_batch(session, make_tracks(paths), out_dir=out):
        assert outcome.error is None, outcome.error
        ends.append(time.time())
    cpu = time.process_time() - cpu
    rows = [json.loads(line) for line in timings.read_text().splitlines()]
    first = {row["track"]: row["start"] for row in reversed(rows)}
    counted = {path.stem for path in paths[2:]}
    stages: dict[str, float] = defaultdict(float)
    for row in rows:
        if row["track"] in counted:
            stages[row["stage"]] += 1e3 * row["duration"] / len(counted)
    on_device = [value for stage, value in stages.items() if stage != "metrical_dbn"]
    wall = 1e3 * (ends[-1] - first[paths[2].stem]) / len(counted)
    return {
        "first song s": round(ends[0] - began, 3),
        "wall": round(wall, 1),
        "wall / slowest stage": round(wall / max(stages.values()), 3),
        "wall / stages on the device": round(wall / sum(on_device), 3),
        "CPU": round(1e3 * cpu / len(paths), 1),
        "stages": {stage: round(value, 2) for stage, value in stages.items()},
    }


#: Names the file with the settings of this script for worker processes.
SETTINGS_VARIABLE = "ALLIN1_BENCH_BATCH"

#: A module of plugins, as workers import it.
WORKER_PLUGINS = """
from bench_batch import plugins_in_worker
model, backends = plugins_in_worker()
"""


def plugins_in_worker() -> tuple[ModuleType, ModuleType]:
    """The model and the backends, according to the settings of the parent."""
    settings = pickle.loads(Path(os.environ[SETTINGS_VARIABLE]).read_bytes())
    limit_reading(settings["most_ahead"], settings["reading_s"])
    return model_plugin(settings["card"]), plugin(**settings["backends"])


def limit_reading(most_ahead: int | None, reading_s: float | None) -> None:
    if most_ahead is not None:
        reading_ahead.LEAST_AHEAD = most_ahead
        reading_ahead.MOST_AHEAD = most_ahead
    if reading_s is not None:
        wait_instead_of_decoding(reading_s)


def install_in_workers(root: Path, settings: dict[str, Any]) -> None:
    """Let worker processes find the plugins of this script."""
    info = root / "site" / "bench_batch-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-batch\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[allin1]\nbench-model = bench_batch_plugins:model\n"
        "stand-in = bench_batch_plugins:backends\n"
    )
    (root / "site" / "bench_batch_plugins.py").write_text(WORKER_PLUGINS)
    (root / "settings").write_bytes(pickle.dumps(settings))
    os.environ[SETTINGS_VARIABLE] = str(root / "settings")
    sys.path.insert(0, str(root / "site"))


def time_in_workers(root: Path, paths: list[Path], jobs: int, threads: int | None) -> float:
    """Wall time per song in milliseconds, without the first two songs of each process."""
    options = {
        "weights_dir": root,
        "backends": dict.fromkeys(STAGES, "stand-in"),
        "threads": threads,
        "cache": False,
    }
    ends = []
    for outcome in InWorkers(SessionRecipe(RANDOM_MODEL, options), jobs).run(
        make_tracks(paths), out_dir=root / f"out-{jobs}"
    ):
        assert outcome.error is None, outcome.error
        ends.append(time.perf_counter())
    first = 2 * jobs
    return 1e3 * (ends[-1] - ends[first - 1]) / (len(ends) - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=180.0, help="length of a song")
    parser.add_argument("--suffix", default=".mp3")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the times of stages")
    parser.add_argument("--set-up-s", type=float, default=2.0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--one-by-one", action="store_true", help="never separate several songs")
    parser.add_argument("--most-ahead", type=int)
    parser.add_argument("--reading-s", type=float)
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        card = write_random_model(root)
        paths = [root / f"{number:03}{options.suffix}" for number in range(options.songs)]
        with ProcessPoolExecutor(min(8, usable_cpus())) as pool:
            list(pool.map(write_song, paths, [options.seconds] * len(paths), range(len(paths))))
        reading = []
        for path in paths[:4]:
            began = time.thread_time()
            read_audio(path)
            reading.append(1e3 * (time.thread_time() - began))
        print(
            f"reading: {statistics.median(reading):.0f} ms of CPU time a song,"
            f" {usable_cpus()} CPUs: at least {statistics.median(reading) / usable_cpus():.1f} ms"
        )
        backends = {
            "scale": options.scale,
            "set_up_s": options.set_up_s,
            "batches": not options.one_by_one,
        }
        if options.jobs is not None:
            limits = {"most_ahead": options.most_ahead, "reading_s": options.reading_s}
            install_in_workers(root, {"card": card, "backends": backends, **limits})
            times = [
                time_in_workers(root, paths, jobs, options.threads) for jobs in (1, options.jobs)
            ]
            print(f"1 worker: {times[0]:.1f} ms, {options.jobs} workers: {times[1]:.1f} ms")
            print(f"ratio: {times[0] / times[1]:.2f}")
            return
        limit_reading(options.most_ahead, options.reading_s)
        made = plugin(**backends)
        extra = {"model": model_plugin(card), "stand-in": made}
        timings = root / "timings.jsonl"
        with Session(
            RANDOM_MODEL,
            plugins=load_plugins(extra=extra, autoload=False),
            weights_dir=root,
            threads=options.threads,
            timings_path=timings,
            cache=False,
        ) as session:
            print("batch:", json.dumps(stage_times(session, paths, root / "out", timings)))
            alone: dict[str, list[float]] = defaultdict(list)
            for path in paths[:4]:
                result = session.analyze(path)
                assert result.provenance is not None
                for record in result.provenance.stages:
                    alone["+".join(record.stages)].append(1e3 * record.seconds)
            found = {stage: round(min(times), 2) for stage, times in alone.items()}
            print("alone:", json.dumps(found))


if __name__ == "__main__":
    main()
