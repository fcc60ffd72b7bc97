"""Separation of several short songs in one call, for backends that declare ``batches``."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from allin1_core.contracts.route import Step
from allin1_core.contracts.stages import Task
from allin1_core.errors import PLUGIN_FAILURES, ContractError, InputError, in_full
from allin1_core.runtime.backends import wait_for
from allin1_core.runtime.borders import check_output
from allin1_core.runtime.caller_progress import CallerProgress
from allin1_core.runtime.holding import Held
from allin1_core.runtime.moving import cross, read_only
from allin1_core.runtime.steps import Job, Ran
from allin1_core.selection.candidate import Candidate

log = logging.getLogger(__name__)

#: Length in seconds of all songs of a batch at most, which limits the memory for their stems (0.3 GB).
MOST_BATCH_S = 240.0

#: Length in seconds of a song that is separated with others at most; a longer one keeps a device busy by itself.
MOST_SONG_S = MOST_BATCH_S / 2


@dataclass(frozen=True)
class Separation:
    """A separation that is the next step of a run.

    Attributes
    ----------
    job, step, candidate
        The run, the step, and the backend, which declares ``batches``.
    held
        The mix.
    """

    job: Job
    step: Step
    candidate: Candidate
    held: Held

    @property
    def duration_s(self) -> float:
        """Length of the song in seconds."""
        seconds: float = self.held.record.duration_s
        return seconds

    def goes_with(self, other: Separation) -> bool:
        """Whether both run in the same session, on the same backend, from the same space."""
        return (
            self.job.engine is other.job.engine
            and self.step.backend is other.step.backend
            and self.candidate.plugin is other.candidate.plugin
            and self.held.space == other.held.space
        )


class BatchSeparator:
    """Separates several songs in one call, until a backend fails at that.

    Parameters
    ----------
    caller
        The progress callback of the batch, whose exceptions end the run.
    """

    def __init__(self, caller: CallerProgress) -> None:
        self._caller = caller
        self._has_failed = False

    def choose(self, first: Separation, others: Sequence[Separation]) -> list[Separation]:
        """Return `first` and those of the following that can be separated with it; none if that is only `first`."""
        chosen, total_s = [first], first.duration_s
        for other in others:
            total_s += other.duration_s
            if not other.goes_with(first) or total_s > MOST_BATCH_S:
                break
            chosen.append(other)
        return [] if len(chosen) == 1 or self._has_failed else chosen

    def run(self, separations: Sequence[Separation]) -> list[Ran]:
        """Separate songs in one call; empty if that fails, and they must be separated one by one.

        The time is attributed to the songs in proportion to their lengths.
        """
        try:
            ran = _run(separations)
        except PLUGIN_FAILURES as error:
            self._caller.check()
            if isinstance(error, InputError):
                return []  # which song it is will be reported for that song
            self._has_failed = True
            backend = separations[0].step.backend
            log.warning(
                "Backend %s=%s could not separate %d songs in one call, and separates the rest of this batch one by"
                " one: %s",
                backend.stage,
                backend.name,
                len(separations),
                in_full(error),
            )
            log.debug("separating a batch failed", exc_info=True)
            return []
        self._caller.check()  # the backend may have caught it
        return ran


def _run(separations: Sequence[Separation]) -> list[Ran]:
    first = separations[0]
    backend, engine = first.step.backend, first.job.engine
    call = engine.backends.callable_of(first.candidate)
    device = engine.devices.of(first.candidate)
    bridges = first.job.network.way(first.held.space, backend.consumes)
    total_s = sum(each.duration_s for each in separations)

    def report(fraction: float) -> None:
        for each in separations:
            each.job.progress(backend.stage, each.step.cost_s * fraction)

    began, began_at = time.perf_counter(), time.time()
    report(0.0)
    mixes = [read_only(cross(each.held.record, bridges, device)) for each in separations]
    found = [*call.batch(mixes, Task(progress=report, audio_s=total_s))]
    wait_for(call)
    seconds = time.perf_counter() - began
    if len(found) != len(separations):
        raise ContractError(f"It returned {len(found)} records for {len(separations)} songs.")
    done_s, ran = 0.0, []
    for each, stems in zip(separations, found, strict=True):
        check_output(stems, backend.stages, backend.produces, each.held.record)
        done_s += each.duration_s
        ran.append(
            Ran(
                each.step,
                each.candidate,
                Held(stems, backend.produces),
                (*each.held.bridges, *bridges),
                seconds * each.duration_s / total_s,
                began_at + seconds * done_s / total_s,
            )
        )
    return ran
