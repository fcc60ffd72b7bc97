"""Measuring every eligible backend of every stage."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from allin1_core.calibration.measurements import Measurement
from allin1_core.contracts.audio import Mix, Stems
from allin1_core.contracts.logits import HARMONIX_LABELS
from allin1_core.contracts.model import Model, Takes
from allin1_core.contracts.parity import promise_text
from allin1_core.contracts.route import USUAL_AUDIO_S
from allin1_core.contracts.space import HOST
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND
from allin1_core.contracts.stages import STAGES, Stage, Task
from allin1_core.errors import PLUGIN_FAILURES, InputError, WeightsError, in_full
from allin1_core.measuring import signals
from allin1_core.measuring.random_weights import random_model
from allin1_core.measuring.stopwatch import separate, time_backend
from allin1_core.runtime.backends import close_backend, create, wait_for
from allin1_core.runtime.checking import (
    ReferenceFailedError,
    difference_from_reference,
    has_reference,
    run_alone,
)
from allin1_core.runtime.difference import keeps_promise
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.moving import cross
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.cost import estimate
from allin1_core.weights.load import load_model

#: Lengths of audio in seconds; two lengths are needed to separate set-up and rate.
LENGTHS = (4.0, 16.0)

#: Stages that are measured unless others are named: separation could download a model.
USUAL_STAGES: tuple[Stage, ...] = STAGES[1:]


@dataclass(frozen=True)
class BackendRow:
    """The measurement of a backend.

    Attributes
    ----------
    stage, backend, plugin, device, promise
        The backend, its device, and the parity that it promises.
    measurement
        Its cost; None if it could not be measured, or broke its promise.
    difference
        Difference from the reference; None if there is no reference, or it failed.
    prior_s, measured_s
        Seconds for three minutes of audio according to the prior (None without one) and as measured.
    trouble
        A sentence, if it failed or broke its promise.
    """

    stage: Stage
    backend: str
    plugin: str
    device: str
    promise: str
    measurement: Measurement | None = None
    difference: float | None = None
    prior_s: float | None = None
    measured_s: float | None = None
    trouble: str = ""


def measure_backends(
    engine: Engine,
    stages: Sequence[Stage] = USUAL_STAGES,
    seconds: tuple[float, float] = LENGTHS,
) -> Iterator[BackendRow]:
    """Measure the backends that may run, one after another, and compare each with the reference.

    The network uses the session's model if its weights are on this machine, otherwise random weights of the same shape:
    nothing is downloaded. Choices of the session are ignored; backends that run only when named are not measured.

    Parameters
    ----------
    engine
        Determines model, device and threads.
    stages
        Stages whose backends are measured. A backend that spans stages is measured with its first stage.
    seconds
        Lengths of audio in seconds, the shorter first.

    Raises
    ------
    InputError
        The lengths are not in order.
    """
    short_s, long_s = seconds
    if not 0 < short_s < long_s < math.inf:
        raise InputError(
            f"The lengths are {short_s:g} and {long_s:g} s; wanted the shorter first, above 0."
        )
    engine.chooser.be_thorough()
    model = model_to_measure(engine) if "nn" in stages else None
    for stage in stages:
        request = replace(engine.chooser.request((stage,), USUAL_AUDIO_S), choices=())
        for candidate in engine.chooser.candidates(request)[stage]:
            if candidate.is_eligible and candidate.backend.stage == stage:
                yield measure_backend(engine, candidate, model, seconds)


def measure_backend(
    engine: Engine,
    candidate: Candidate,
    model: Model | None,
    seconds: tuple[float, float] = LENGTHS,
) -> BackendRow:
    """Measure one backend, and compare it with the reference; for the network, with `model`."""
    backend, device = candidate.backend, engine.devices.of(candidate)
    prior_s, _ = estimate(backend, USUAL_AUDIO_S, members=len(engine.card.files) or None)
    row = BackendRow(
        backend.stage,
        backend.name,
        candidate.plugin.name,
        device,
        promise_text(backend.parity),
        prior_s=prior_s if backend.speed else None,
    )
    try:
        times, difference = _run(engine, candidate, model, seconds)
    except PLUGIN_FAILURES as error:  # reported in the row; the others are still measured
        return replace(row, trouble=f"It failed: {in_full(error)}")
    row = replace(row, difference=difference)
    if difference is not None and not keeps_promise(backend.parity, difference):
        return replace(
            row,
            trouble=f"It breaks its promise: it differs from the reference by {difference:g};"
            f" promised: {promise_text(backend.parity)}.",
        )
    setup_s, rate, shape_s = times
    measurement = Measurement(
        backend.stage,
        backend.name,
        engine.prices.conditions_of(candidate),
        setup_s,
        rate,
        datetime.date.today().isoformat(),
        shape_s,
    )
    return replace(row, measurement=measurement, measured_s=measurement.speed.cost_s(USUAL_AUDIO_S))


def _run(
    engine: Engine, candidate: Candidate, model: Model | None, seconds: tuple[float, float]
) -> tuple[tuple[float, float, float], float | None]:
    """Set-up, rate and cost of a new length, and the difference from the reference for the shorter input."""
    backend, device = candidate.backend, engine.devices.of(candidate)
    network = BridgeNetwork(engine.offers.bridges)
    setup = engine.backends.setup_of(candidate, model)
    labels = len(engine.card.labels)
    inputs = [generate(backend.stage, length, backend.takes, labels) for length in seconds]
    home = network.between(backend.produces, HOST) or ()

    def run(call: Any, data: Any) -> None:
        output = call(data, Task())
        wait_for(call)
        if home and not hasattr(call, "synchronize"):
            # Only an array in NumPy shows that the device has finished.
            cross(output, home, "cpu")

    difference = None
    if backend.parity is not None and has_reference(engine.offers, backend.stages):
        call = create(backend, setup)
        try:
            output = run_alone(backend, call, network, device, inputs[0])
        finally:
            close_backend(call, f"{backend.stage}={backend.name}")
        # If the reference itself fails, its own row reports that.
        with suppress(ReferenceFailedError):
            difference = difference_from_reference(engine.offers, backend, setup, inputs[0], output)
    there = network.between(HOST, backend.consumes) or ()
    short, long = (cross(data, there, device) for data in inputs)
    times = time_backend(lambda: create(backend, setup), short, long, run)
    return separate(times, *seconds), difference


def generate(
    stage: Stage, seconds: float, takes: Takes = "stems", labels: int = len(HARMONIX_LABELS)
) -> Any:
    """Generate an input of `seconds` seconds for `stage` in NumPy arrays; logits have `labels` labels."""
    frames = max(1, round(seconds * FRAMES_PER_SECOND))
    if stage == "spectrogram" and takes == "mix":
        # With different channels, because backends may skip a silent side.
        return signals.music_mix(seconds, late_samples=300)
    if stage in ("demix", "spectrogram"):
        mono = signals.music_stems(seconds).samples
        stems = np.ascontiguousarray(np.repeat(mono, 2, axis=1))
        return Mix(stems.sum(axis=0)) if stage == "demix" else Stems(stems)
    if stage == "nn":
        return signals.random_spectrogram(frames)
    if stage == "metrical_dbn":
        return signals.song_activations(frames)
    logits = signals.song_logits(frames)
    rows = np.arange(labels) % len(HARMONIX_LABELS)
    return replace(logits, function=logits.function[rows])


def model_to_measure(engine: Engine) -> Model | None:
    """Load the model if its weights are on this machine, or create random weights of its size.

    Raises
    ------
    WeightsError
        The weights are missing, and the architecture is not All-In-One.
    """
    if not engine.card.files:
        return None
    try:
        return load_model(engine.card, weights_dir=engine.backends.weights_dir, download=False)
    except WeightsError:
        if engine.card.architecture != "all-in-one":
            raise
        return random_model(seed=0, members=len(engine.card.files))
