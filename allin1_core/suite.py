"""The measurements of ``allin1 bench --report``, which take a few minutes.

Start-up and reading are measured with processes and files, the stages one by one with the backends that ``auto``
chooses, and a song from its samples to its result. Songs are generated, and no weights are downloaded: separators use
random weights, and so does the network if its own are missing; this takes the same time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from allin1_core.contracts.audio import SAMPLE_RATE, Mix, Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.model import AUTO_MODELS
from allin1_core.contracts.route import USUAL_AUDIO_S
from allin1_core.contracts.stages import STAGES, Stage
from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, SelectionError, in_full
from allin1_core.io.mix import MixFile
from allin1_core.measuring.backends import measure_backend, model_to_measure
from allin1_core.measuring.machines import DEMUCS_MODEL, Figure
from allin1_core.measuring.signals import music_mix
from allin1_core.measuring.stopwatch import best_time
from allin1_core.plugins.collecting import collect_offers
from allin1_core.plugins.loading import Plugins
from allin1_core.runtime.plan import trunk_of
from allin1_core.runtime.session import Session

#: Seconds after which no further measurement is started.
BUDGET_S = 240.0

#: Seconds of audio for the stages, and for separation, whose segments are 7.8 s long. On an accelerator, starting the
#: kernels takes longer than a few seconds of audio.
LENGTHS, SEPARATION_LENGTHS, ACCELERATOR_LENGTHS = (4.0, 16.0), (5.0, 17.0), (30.0, 180.0)

#: Number of songs for which backends are chosen, since set-up times are not part of the figures.
SONGS = 100

#: Seconds of the song that is read.
READ_S = 60.0

#: Formats of the files that are read: subtypes of libsndfile.
FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III"}


@dataclass(frozen=True)
class Task:
    """A figure to be measured.

    Attributes
    ----------
    name
        Name of the figure.
    measure
        Returns its value, and the name of the backend that was measured, or an empty string.
    """

    name: str
    measure: Callable[[], tuple[float, str]]


def tasks(plugins: Plugins, *, device: str | None = None, threads: int | None = None) -> list[Task]:
    """List the figures that can be measured on this machine."""
    stem_model, mix_model = AUTO_MODELS
    options: dict[str, Any] = {"device": device, "threads": threads, "calibrate": False}
    options |= {"plugins": plugins, "cache": False}
    found = [
        Task("start", lambda: (_process(["--help"]), "")),
        Task("first-song", partial(_first_song, mix_model, device, threads)),
        *(Task(f"read-{name}", partial(_reading, name)) for name in FORMATS),
    ]
    mix = Session(mix_model, **options)
    found += _stage_tasks(mix, ("spectrogram", "nn", *STAGES[3:]), mix_model)
    found.append(Task("song", partial(_song, mix)))
    separated = DemixParameters(DEMUCS_MODEL, weights="random:0")
    stems = Session(stem_model, demix=separated, **options)
    found += _stage_tasks(stems, trunk_of(stems.card), stem_model)
    return found


def run(
    suite: list[Task],
    tell: Callable[[int, Task], None],
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Figure]:
    """Measure one figure after another; failures and skipped measurements are recorded in the figures."""
    began = clock()
    for number, task in enumerate(suite, 1):
        if clock() - began > BUDGET_S:
            minutes = BUDGET_S / 60
            yield Figure(task.name, trouble=f"skipped after {minutes:g} minutes")
            continue
        tell(number, task)
        try:
            value, backend = task.measure()
        except SelectionError as error:
            yield Figure(task.name, trouble=error.message)
        except PLUGIN_FAILURES as error:
            said = error.message if isinstance(error, Allin1Error) else in_full(error)
            yield Figure(task.name, trouble=said)
        else:
            yield Figure(task.name, value, backend)


def _stage_tasks(session: Session, stages: tuple[Stage, ...], model: str) -> list[Task]:
    return [Task(f"{stage} {model}", partial(_stage, session, stage)) for stage in stages]


def _stage(session: Session, stage: Stage) -> tuple[float, str]:
    """Seconds for three minutes of audio, without set-up, and the backend."""
    engine = session.engine
    # Use the route of a whole song if there is one, so that arrays are located as in a real run.
    try:
        decision = session.explain(Mix, songs=SONGS)
    except SelectionError:
        if stage == "demix":
            raise
        decision = session.explain(Stems, songs=SONGS)
    backends = [s.backend for s in decision.chosen.steps if stage in s.backend.stages]
    candidate = decision.candidate(backends[0])
    model = model_to_measure(engine) if stage == "nn" else None
    device, lengths = engine.devices.of(candidate), LENGTHS
    if not device.startswith("cpu"):
        lengths = ACCELERATOR_LENGTHS
    elif stage == "demix":
        lengths = SEPARATION_LENGTHS
    row = measure_backend(engine, candidate, model, lengths)
    if row.measurement is None:
        raise Allin1Error(row.trouble)
    return row.measurement.rate * USUAL_AUDIO_S, f"{row.backend} on {device}"


def _song(session: Session) -> tuple[float, str]:
    """Seconds from the samples of a three-minute song to its beats and sections, without set-up."""
    mix = music_mix(USUAL_AUDIO_S, late_samples=300)
    session.run(replace(mix, samples=mix.samples[:, : 4 * SAMPLE_RATE]))
    try:
        return best_time(lambda: session.run(mix)), ""
    finally:
        session.close()


def _first_song(model: str, device: str | None, threads: int | None) -> tuple[float, str]:
    """Seconds of a process that analyses a 16-bit file of three minutes."""
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.wav"
        _write(song, USUAL_AUDIO_S, "PCM_16")
        command = ["analyze", str(song), "-m", model, "-q", "--overwrite", "-o", folder]
        command += ["-d", device] if device else []
        command += ["--threads", str(threads)] if threads else []
        return _process(command), ""


def _process(command: list[str]) -> float:
    """The best time of several processes of this interpreter."""
    environment = {**os.environ, "ALLIN1_CACHE_LIMIT": "0"}

    def call() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "allin1_core", *command],
            env=environment,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise Allin1Error(said[-1] if said else f"it ended with status {done.returncode}")

    return best_time(call)


def _reading(suffix: str) -> tuple[float, str]:
    """Seconds to read and resample three minutes at 48 kHz, with the file in the disk cache."""
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / f"song.{suffix}"
        _write(song, READ_S, FORMATS[suffix], rate=48_000)
        seconds = best_time(lambda: MixFile(song).read())
        return seconds * USUAL_AUDIO_S / READ_S, ""


def _write(path: Path, seconds: float, subtype: str, rate: int = SAMPLE_RATE) -> None:
    import soundfile

    # The generator assumes 44.1 kHz, but its output is usable at any rate.
    samples = music_mix(seconds * rate / SAMPLE_RATE, late_samples=300).samples.T
    soundfile.write(path, samples, rate, subtype=subtype)


def accelerators(plugins: Plugins, device: str | None = None) -> list[str]:
    """List the devices besides the CPU that backends can use, by the names that their probes report."""
    session = Session(AUTO_MODELS[-1], device=device, calibrate=False, plugins=plugins)
    session.engine.chooser.be_thorough()
    found: dict[str, None] = {}
    for candidates in session.candidates(session.request(STAGES[1:], USUAL_AUDIO_S)).values():
        for candidate in candidates:
            if candidate.ready is not None and candidate.backend.device != "cpu":
                found[candidate.ready.detail.partition(",")[0]] = None
    return list(found)


def versions(plugins: Plugins) -> str:
    """List the distributions of plugins and the libraries that they require, with their versions."""
    names = {"allin1-core", "numpy"}
    for offered in collect_offers(plugins).backends:
        if offered.plugin.distribution:
            names.add(offered.plugin.distribution)
        names |= {Requirement(text).name for text in offered.item.needs.requires}
    found = []
    for name in sorted(names):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
