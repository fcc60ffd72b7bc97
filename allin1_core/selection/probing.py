"""Probes, which determine whether backends can run here; each is called once, with a time limit."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.rules import find_fault, show
from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict
from allin1_core.errors import PLUGIN_FAILURES, in_full

log = logging.getLogger(__name__)

#: Time limit of a probe in seconds. The first import of a large library from a cold disk can take most of it.
PROBE_DEADLINE_S = 90.0


def load_target(target: str) -> Any:
    """Import the object that ``"package.module:name"`` refers to."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def check_needs(needs: Needs) -> Unavailable | None:
    """Check requirements using only metadata; None if nothing is missing."""
    if needs.platforms and not sys.platform.startswith(needs.platforms):
        return Unavailable(f"It runs on {' or '.join(needs.platforms)}; this is {sys.platform}.")
    for text in needs.requires:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        remedy = needs.remedy or f'Install it: pip install "{text}"'
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            return Unavailable(f"{requirement.name} is not installed.", remedy)
        try:
            fits = requirement.specifier.contains(installed, prereleases=True)
        except (InvalidVersion, TypeError):  # its metadata is damaged
            fits = not requirement.specifier
        if not fits:
            return Unavailable(
                f"{requirement.name} {installed} is installed; {requirement.specifier} is required.",
                remedy,
            )
    return None


class Probes:
    """Missing requirements and the verdicts of probes, cached for the lifetime of a session.

    Parameters
    ----------
    deadline_s
        Seconds after which a probe counts as broken.

    Attributes
    ----------
    is_thorough
        Whether full probes are always called. The start-ups that a quick probe reports are kept, so that prices are
        those of a process that has not started anything.
    surprises
        Number of backends whose full probe did not confirm what the quick one reported.
    """

    def __init__(self, deadline_s: float = PROBE_DEADLINE_S) -> None:
        self.is_thorough = False
        self.surprises = 0
        self._deadline_s = deadline_s
        self._verdicts: dict[str, Verdict] = {}
        self._quick: dict[str, Verdict | None] = {}
        # A thread that reads ahead may ask at the same time.
        self._one_at_a_time = threading.Lock()
        self._missing: dict[Needs, Unavailable | None] = {}
        # Libraries that the caller has already imported need no start-up.
        self._started = set(sys.modules)

    def missing(self, needs: Needs) -> Unavailable | None:
        """What is missing of `needs`; None if nothing is missing."""
        if needs not in self._missing:
            self._missing[needs] = check_needs(needs)
        return self._missing[needs]

    def verdict(self, backend: Backend[Any]) -> Verdict:
        """Whether `backend` can run here, if possible without importing its library.

        Backends with the same probe share its result.
        """
        if backend.probe is None:
            return Ready(backend.device)
        with self._one_at_a_time:
            is_asked = backend.probe in self._verdicts
            quick = None if is_asked and not self.is_thorough else self._quick_verdict(backend)
            if quick is not None and not isinstance(quick, Ready):
                return quick
            if quick is not None and not (is_asked or self.is_thorough):
                return self._without_what_is_started(quick)
            verdict = self._full_verdict(backend.probe)
            if quick is None or not isinstance(verdict, Ready):
                return verdict
            return self._without_what_is_started(replace(verdict, start_ups=quick.start_ups))

    def confirm(self, backend: Backend[Any]) -> Verdict:
        """Whether `backend` can run here, according to its full probe, which may import its library."""
        if backend.probe is None:
            return Ready(backend.device)
        with self._one_at_a_time:
            was_asked = backend.probe in self._verdicts
            verdict = self._full_verdict(backend.probe)
            quick = self._quick.get(backend.quick_probe or "")
            if isinstance(quick, Ready):
                if isinstance(verdict, Ready):
                    self._started.update(one.name for one in quick.start_ups)
                elif not was_asked:
                    self.surprises += 1
                    log.debug("%s seemed ready, and is not: %s", backend.name, verdict)
            return verdict

    def is_confirmed(self, backend: Backend[Any]) -> bool:
        """Whether :meth:`confirm` would return immediately."""
        return backend.probe is None or backend.probe in self._verdicts

    def _without_what_is_started(self, ready: Ready) -> Ready:
        left = tuple(one for one in ready.start_ups if one.name not in self._started)
        return replace(ready, start_ups=left)

    def _full_verdict(self, probe: str) -> Verdict:
        if probe not in self._verdicts:
            verdict = self._ask(probe)
            # Only a quick probe may return None.
            self._verdicts[probe] = _judged(None, probe) if verdict is None else verdict
        return self._verdicts[probe]

    def _quick_verdict(self, backend: Backend[Any]) -> Verdict | None:
        target = backend.quick_probe
        if target is None:
            return None
        if target not in self._quick:
            verdict = self._ask(target)
            if isinstance(verdict, Broken):
                log.debug("quick probe %s: %s", target, verdict)
                verdict = None  # the full probe decides
            self._quick[target] = verdict
        return self._quick[target]

    def _ask(self, target: str) -> Verdict | None:
        answer: list[Verdict | None] = []

        def run() -> None:
            try:
                verdict = load_target(target)()
            except PLUGIN_FAILURES as error:
                log.debug("probe %s raised", target, exc_info=True)
                verdict = Broken(f"its probe {target} raised {in_full(error)}")
            answer.append(None if verdict is None else _judged(verdict, target))

        # A daemon: a probe that hangs in a driver must not prevent the program from exiting.
        thread = threading.Thread(target=run, name=f"probe {target}", daemon=True)
        thread.start()
        thread.join(self._deadline_s)
        if not answer:
            return Broken(f"its probe {target} did not answer within {self._deadline_s:g} s")
        return answer[0]


def _judged(verdict: object, target: str) -> Verdict:
    """The verdict of the probe `target`, or Broken if its result is invalid."""
    for kind in (Ready, Unavailable, Broken):
        if isinstance(verdict, kind):
            fault = find_fault(verdict, kind)
            return verdict if fault is None else Broken(f"its probe {target} returned {fault}")
    return Broken(f"its probe {target} returned {show(verdict)}, which is not a verdict")
