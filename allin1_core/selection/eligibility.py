"""Eligibility: which backends may run, and a reason for each that may not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.metre import STEADY_PHASE
from allin1_core.contracts.parity import is_weaker
from allin1_core.contracts.route import RouteRequest
from allin1_core.contracts.stages import Stage
from allin1_core.contracts.verdict import Broken, Ready, Unavailable
from allin1_core.markers import level_problem
from allin1_core.plugins.collecting import Offered, Offers, full_name, is_meant
from allin1_core.selection.candidate import Candidate, Refusal
from allin1_core.selection.cost import Prices, estimate
from allin1_core.selection.probing import Probes

#: Backends that failed, by (stage, name), with a sentence that says when and how.
Failures = Mapping[tuple[Stage, str], str]


@dataclass(frozen=True)
class _Feature:
    """Why a backend without a feature is excluded, the remedy, and which backends do not need the feature."""

    reason: str
    remedy: str = ""
    not_needed_by: Callable[[Backend[Any]], bool] = lambda backend: False


_FEATURES = {
    "tempo_prior": _Feature(
        "It does not support a prior over tempo.",
        "Decode without one: --tempo-prior none",
    ),
    STEADY_PHASE: _Feature(
        "It decodes logits by itself, and does not keep the phase of a steady tempo.",
        "Decode without that: --no-steady-phase",
        # The pipeline takes care of it, for any decoder that is given activations.
        not_needed_by=lambda backend: backend.stages == ("metrical_dbn",),
    ),
    "labels": _Feature(
        "It knows only the ten labels of the Harmonix set; the model has others.",
        # A backend that runs the model knows its labels.
        not_needed_by=lambda backend: "nn" in backend.stages,
    ),
}


def gate(
    offers: Offers,
    request: RouteRequest,
    probes: Probes,
    failures: Failures,
    prices: Prices,
) -> dict[Stage, tuple[Candidate, ...]]:
    """Check every backend that covers a stage of `request`.

    Returns
    -------
    dict
        For each stage of the request, its candidates: eligible ones first, sorted by cost.
    """
    judged: dict[tuple[Stage, str], Candidate] = {}
    by_stage: dict[Stage, tuple[Candidate, ...]] = {}
    for stage in request.stages:
        candidates = []
        for offered in offers.covering(stage):
            key = (offered.item.stage, offered.item.name)
            if key not in judged:
                judged[key] = _judge(offered, request, probes, failures, prices)
            candidates.append(judged[key])
        by_stage[stage] = tuple(
            sorted(candidates, key=lambda c: (not c.is_eligible, c.cost_s, c.backend.name))
        )
    return by_stage


def _judge(
    offered: Offered[Backend[Any]],
    request: RouteRequest,
    probes: Probes,
    failures: Failures,
    prices: Prices,
) -> Candidate:
    backend = offered.item
    verdict = _verdict(offered, request, probes, failures)
    ready = verdict if isinstance(verdict, Ready) else None
    refusal = verdict if isinstance(verdict, Refusal) else None
    speed = None if ready is None else prices.of_backend(backend, offered.plugin, ready)
    cost_s, evidence = estimate(backend, request.audio_s, speed, request.members, request.songs)
    return Candidate(backend, offered.plugin, ready, refusal, cost_s, evidence)


def _verdict(
    offered: Offered[Backend[Any]], request: RouteRequest, probes: Probes, failures: Failures
) -> Ready | Refusal:
    backend = offered.item
    failure = failures.get((backend.stage, backend.name))
    if failure is not None:
        return Refusal("failed", failure)
    problem = level_problem(backend.api)
    if problem is not None:
        return Refusal("api", *problem)
    named = False
    for choice in request.choices:
        if choice.stage in backend.stages:
            if not is_meant(offered, choice.name):
                return Refusal("choice", f"{choice.name} was requested for stage {choice.stage}.")
            # The name of a plugin requests what auto would choose from it; only a backend's own name enables an opt-in.
            named = named or choice.name in (backend.name, full_name(offered))
    if backend.opt_in and not named:
        return Refusal(
            "opt-in",
            "It runs only when requested by name.",
            f"Request it: --backend {backend.stage}={backend.name}",
        )
    if "nn" in backend.stages and not any(
        fnmatchcase(request.architecture, pattern) for pattern in backend.models
    ):
        return Refusal("model", f"It cannot run models of architecture {request.architecture}.")
    if "spectrogram" in backend.stages and backend.takes != request.takes:
        return Refusal(
            "model",
            f"It transforms the {backend.takes}; the model's spectrogram is of the {request.takes}.",
        )
    for stage, name in request.features:
        feature = _FEATURES.get(name, _Feature(f"It does not support {name}."))
        if (
            stage in backend.stages
            and name not in backend.features
            and not feature.not_needed_by(backend)
        ):
            return Refusal("feature", feature.reason, feature.remedy)
    if not named and is_weaker(backend.parity, request.parity):
        reason = f"It promises {backend.parity}; {request.parity} was requested."
        return Refusal("parity", reason)
    missing = probes.missing(backend.needs)
    if missing is not None:
        return Refusal("needs", missing.reason, missing.remedy)
    if request.device is not None and request.device != "cpu":
        # Checked before the probe, so that only backends of this kind report that the device is missing.
        kind = request.device.partition(":")[0]
        if backend.device not in (kind, "cpu"):
            return Refusal("device", f"It runs on {backend.device}, not {request.device}.")
    elif request.device == "cpu" and backend.device != "cpu":
        return Refusal("device", f"It runs on {backend.device}, not cpu.")
    verdict = probes.verdict(backend)
    if isinstance(verdict, Unavailable):
        return Refusal("probe", verdict.reason, verdict.remedy)
    if isinstance(verdict, Broken):
        text = verdict.error[0].upper() + verdict.error[1:] if verdict.error else "It is broken"
        return Refusal("probe", f"{text.rstrip('.')}.", f"Reinstall {offered.plugin.distribution}.")
    return verdict
