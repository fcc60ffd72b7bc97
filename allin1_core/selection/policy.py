"""The policy, which selects one route for a request from what the plugins provide, with reasons."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from allin1_core.contracts.route import Choice, Route, RouteRequest
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import STAGES, Stage
from allin1_core.errors import PLUGIN_FAILURES, SelectionError, in_full
from allin1_core.installing import install_command
from allin1_core.plugins.collecting import Offered, Offers, full_name, is_meant, plain_name
from allin1_core.plugins.loading import Plugins
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.candidate import Candidate, Refusal
from allin1_core.selection.cost import Prices
from allin1_core.selection.decision import Decision
from allin1_core.selection.eligibility import Failures, gate
from allin1_core.selection.no_route import NoRouteError
from allin1_core.selection.probing import Probes
from allin1_core.selection.reachability import Candidates, refuse_unreachable
from allin1_core.selection.routing import find_routes
from allin1_core.text import did_you_mean

log = logging.getLogger(__name__)

#: Plugins that exist, for messages: an unknown name may be one that is not installed.
KNOWN_PLUGINS = {
    "torch": "allin1-torch",
    "dbn-cython": "allin1-dbn-cython",
    "cython": "allin1-cython",
    "madmom": "allin1-madmom",
    "mlx": "allin1-mlx",
}


def decide(
    plugins: Plugins,
    offers: Offers,
    request: RouteRequest,
    probes: Probes,
    failures: Failures,
    prices: Prices,
) -> Decision:
    """Choose the route for `request`.

    There is no fallback for what the user named: it is used, or an error is raised. Then the hook
    ``allin1_select_route`` of each plugin may choose; otherwise the cheapest route by `prices` is chosen.

    Raises
    ------
    SelectionError
        No backend may run a stage, or one that was named cannot run.
    """
    check_choices(offers, plugins, request.choices)
    candidates = gate(offers, request, probes, failures, prices)
    try:
        if request.device not in (None, "cpu"):
            candidates = _keep_to_device(request, candidates)
        _check_each_stage(request, candidates)
        eligible = [c.backend for found in candidates.values() for c in found if c.is_eligible]
        ends = (space for backend in eligible for space in (backend.consumes, backend.produces))
        spaces = {HOST, request.start, *ends}
        bridges = prices.of_bridges(spaces)
        network = BridgeNetwork(bridges)
        candidates = refuse_unreachable(request, candidates, network)
        _check_each_stage(request, candidates)
        routes = find_routes(request, candidates, network)
        if not routes:
            raise _nothing_through(request, candidates)
    except SelectionError as error:
        raise NoRouteError.of(error, request, candidates) from None
    chosen, decided_by = _ask_plugins(plugins, request, routes) or (routes[0], "auto")
    between = {b: said for b, said in bridges.items() if {b.source, b.destination} <= spaces}
    return Decision(request, candidates, routes, chosen, decided_by, network, between)


def check_choices(
    offers: Offers,
    plugins: Plugins,
    choices: Iterable[Choice],
) -> None:
    """Raise :class:`SelectionError` if a stage or backend that was named does not exist."""
    for choice in choices:
        stage, name, by = choice.stage, choice.name, choice.said_by
        if stage not in STAGES:
            raise SelectionError(
                f"There is no stage {stage}{by}.", remedy=f"Stages are {', '.join(STAGES)}."
            )
        covering = offers.covering(stage)
        meant = [o for o in covering if is_meant(o, name) or plain_name(o) == name]
        if len({o.plugin.name for o in meant}) > 1:
            raise SelectionError(
                f"More than one plugin has a backend of stage {stage} that is called {name}{by}.",
                remedy=f"Name one of {', '.join(sorted(map(full_name, meant)))}.",
            )
        if meant:
            continue
        names = sorted({o.item.name for o in covering} | {o.plugin.name for o in covering})
        for record in plugins.records:
            if record.name == name and record.status != "loaded":
                raise SelectionError(f"{record}", remedy=f"It was requested{by}." if by else None)
        remedy = f"{did_you_mean(name, names)}There are: {', '.join(names) or 'none'}."
        if name in KNOWN_PLUGINS and not any(r.name == name for r in plugins.records):
            remedy = f"Install it: {install_command(KNOWN_PLUGINS[name])}"
        raise SelectionError(f"No backend of stage {stage} is called {name}{by}.", remedy=remedy)


def _check_each_stage(request: RouteRequest, candidates: Candidates) -> None:
    """Raise an error if no backend may run a stage."""
    for stage in request.stages:
        if not any(candidate.is_eligible for candidate in candidates[stage]):
            raise _nothing_for(stage, request, candidates[stage])


def _nothing_for(
    stage: Stage,
    request: RouteRequest,
    candidates: tuple[Candidate, ...],
) -> SelectionError:
    choice = request.choice(stage)
    if choice is not None:
        of_name = [c for c in candidates if is_meant(Offered(c.backend, c.plugin), choice.name)]
        reasons = " ".join(f"{c.backend.name}: {c.refusal}" for c in of_name)
        return SelectionError(
            f"The requested backend, {stage}={choice.name}{choice.said_by}, cannot run. {reasons}"
        )
    if not candidates and stage == "demix":
        return SelectionError(
            "No plugin that separates a mix into stems is installed.",
            remedy="Give the four stems instead: --stems-dir FOLDER",
        )
    if not candidates:
        return SelectionError(f"No plugin provides a backend for stage {stage}.")
    reasons = " ".join(f"{c.backend.name}: {c.refusal}" for c in candidates)
    return SelectionError(f"No backend can run stage {stage}. {reasons}")


def _nothing_through(request: RouteRequest, candidates: Candidates) -> SelectionError:
    """Create the error for backends that cannot be combined, for example if all begin before the run's input."""
    for stage in request.stages:
        eligible = [candidate.backend for candidate in candidates[stage] if candidate.is_eligible]
        if all(backend.stage not in request.stages for backend in eligible):
            names = ", ".join(f"{b.name} (from stage {b.stage})" for b in eligible)
            return SelectionError(
                f"Stage {stage} can only be run by {names}, but the run starts after that.",
                remedy="Give the song itself, without stems."
                if any(backend.stage == "demix" for backend in eligible)
                else "Start earlier.",
            )
    each = (
        f"{stage}: {', '.join(c.backend.name for c in candidates[stage] if c.is_eligible)}"
        for stage in request.stages
    )
    return SelectionError(
        f"Every stage has a backend, but they cannot be combined: {'; '.join(each)}.",
        remedy="Leave some of the choices to auto.",
    )


def _keep_to_device(
    request: RouteRequest, candidates: dict[Stage, tuple[Candidate, ...]]
) -> dict[Stage, tuple[Candidate, ...]]:
    """Exclude the CPU for stages that can run on the requested device; other stages remain on the CPU.

    Raises
    ------
    SelectionError
        No stage can run there.
    """
    kind = (request.device or "").partition(":")[0]
    there = [c for stage in candidates.values() for c in stage if c.backend.device == kind]
    if not there:
        raise SelectionError(
            f"No installed backend runs on device {request.device}.",
            remedy="'allin1 backends' lists the installed ones.",
        )
    covered = {stage for c in there if c.is_eligible for stage in c.backend.stages}
    if not covered:
        reasons = dict.fromkeys(f"{c.backend.name}: {c.refusal}" for c in there)
        raise SelectionError(f"Device {request.device} cannot be used. {' '.join(reasons)}")

    def judge(candidate: Candidate) -> Candidate:
        backend = candidate.backend
        if (
            not candidate.is_eligible
            or backend.device == kind
            or covered.isdisjoint(backend.stages)
        ):
            return candidate
        reason = f"It runs on {backend.device}; {request.device} was requested."
        return replace(candidate, ready=None, refusal=Refusal("device", reason))

    return {stage: tuple(map(judge, judged)) for stage, judged in candidates.items()}


def _ask_plugins(
    plugins: Plugins, request: RouteRequest, routes: tuple[Route, ...]
) -> tuple[Route, str] | None:
    for name, select in plugins.implementations("allin1_select_route"):
        try:
            route = select(request=request, routes=routes)
            if route is None:
                continue
            # It may have returned a copy; the original route is run.
            offered = next((one for one in routes if one == route), None)
        except PLUGIN_FAILURES as error:
            log.warning("Plugin %s could not choose a route: %s", name, in_full(error))
            log.debug("hook allin1_select_route of plugin %s raised", name, exc_info=True)
            continue
        if offered is None:
            log.warning("Plugin %s chose a route that was not offered; it is ignored.", name)
            continue
        return offered, name
    return None
