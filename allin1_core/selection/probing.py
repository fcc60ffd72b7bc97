"""Asking backends whether they can run here: once each, with a deadline."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.rules import find_fault, show
from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict
from allin1_core.errors import PLUGIN_FAILURES, in_full

log = logging.getLogger(__name__)

#: Seconds that a probe may take. The first import of a large library from a cold disk can take most of it.
PROBE_DEADLINE_S = 90.0


def load_target(target: str) -> Any:
    """Import what ``"package.module:name"`` points to."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def check_needs(needs: Needs) -> Unavailable | None:
    """What is missing, from metadata alone; None if nothing is."""
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
                f"{requirement.name} is at {installed}; it needs {requirement.specifier}.", remedy
            )
    return None


class Probes:
    """What is missing, and the verdicts of the probes, remembered for the life of a session.

    Parameters
    ----------
    deadline_s
        Seconds that a probe may take before it counts as broken.
    """

    def __init__(self, deadline_s: float = PROBE_DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._verdicts: dict[str, Verdict] = {}
        # A thread that reads ahead may ask while another does.
        self._one_at_a_time = threading.Lock()
        self._missing: dict[Needs, Unavailable | None] = {}

    def missing(self, needs: Needs) -> Unavailable | None:
        """What is missing of `needs`; None if nothing is."""
        if needs not in self._missing:
            self._missing[needs] = check_needs(needs)
        return self._missing[needs]

    def verdict(self, backend: Backend[Any]) -> Verdict:
        """Whether `backend` can run here. Backends with the same probe share its answer."""
        if backend.probe is None:
            return Ready(backend.device)
        with self._one_at_a_time:
            if backend.probe not in self._verdicts:
                self._verdicts[backend.probe] = self._ask(backend.probe)
            return self._verdicts[backend.probe]

    def _ask(self, target: str) -> Verdict:
        answer: list[Verdict] = []

        def run() -> None:
            try:
                verdict = load_target(target)()
            except PLUGIN_FAILURES as error:
                log.debug("probe %s raised", target, exc_info=True)
                verdict = Broken(f"its probe {target} raised {in_full(error)}")
            answer.append(_judged(verdict, target))

        # A daemon: a probe that hangs in a driver must not keep the program from ending.
        thread = threading.Thread(target=run, name=f"probe {target}", daemon=True)
        thread.start()
        thread.join(self._deadline_s)
        if not answer:
            return Broken(f"its probe {target} did not answer within {self._deadline_s:g} s")
        return answer[0]


def _judged(verdict: object, target: str) -> Verdict:
    """The verdict of the probe `target`, or that it gave none that can be used."""
    for kind in (Ready, Unavailable, Broken):
        if isinstance(verdict, kind):
            fault = find_fault(verdict, kind)
            return verdict if fault is None else Broken(f"its probe {target} gave {fault}")
    return Broken(f"its probe {target} gave {show(verdict)}, which is no verdict")
