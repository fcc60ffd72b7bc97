"""Finding the executor that the user named, and making it ready."""

from __future__ import annotations

from collections.abc import Sequence

from allin1_core.errors import PLUGIN_FAILURES, Allin1Error, SelectionError
from allin1_core.plugins.loading import BUILT_IN
from allin1_core.plugins.options import options_of
from allin1_core.runtime.checked_outcomes import CheckedRunner, executor_failure
from allin1_core.runtime.executors import BatchRunner, ExecutorSetup, ExecutorTarget
from allin1_core.runtime.session import Session
from allin1_core.runtime.worker_process import SessionRecipe
from allin1_core.selection.probing import check_needs, load_target
from allin1_core.text import did_you_mean

#: What runs a batch where no executor is named.
DEFAULT_EXECUTOR = "local"


def make_executor(
    name: str | None,
    session: Session,
    recipe: SessionRecipe,
    *,
    jobs: int | None = None,
    devices: Sequence[str] = (),
) -> BatchRunner:
    """Make the executor of this name ready to run a batch.

    What an executor of a plugin gives is checked: there is one outcome for each track, in their order, and an exception
    becomes a :class:`~allin1_core.errors.PluginError`.

    Parameters
    ----------
    name
        Its name; None for the one of the core, which runs on this machine.
    session
        The session of this process; its plugins offer the executors.
    recipe
        How other processes make a session like it.
    jobs, devices
        What the user asked for, as in :class:`~allin1_core.runtime.executors.ExecutorSetup`.

    Raises
    ------
    SelectionError
        There is none of that name, or what it needs is not installed.
    SettingsError
        It cannot do what is asked for.
    PluginError
        It failed.
    """
    name = name or DEFAULT_EXECUTOR
    executors = session.offers.executors
    if name not in executors:
        raise SelectionError(
            f"There is no executor called {name!r}.",
            remedy=f"{did_you_mean(name, executors)}There are: {', '.join(executors)}.",
        )
    offered = executors[name]
    missing = check_needs(offered.item.needs)
    if missing is not None:
        raise SelectionError(
            f"The executor {name} cannot run: {missing.reason}", remedy=missing.remedy
        )
    options = options_of(offered.item, offered.plugin.name, session.plugin_options)
    try:
        target: ExecutorTarget = load_target(offered.item.target)
        runner = target(ExecutorSetup(session, recipe, jobs, tuple(devices), options))
    except Allin1Error:
        raise
    except PLUGIN_FAILURES as error:
        raise executor_failure(name, offered.plugin.name, error) from error
    if offered.plugin.name in BUILT_IN:
        return runner
    return CheckedRunner(runner, name, offered.plugin.name)
