"""Selection and set-up of the executor that the user named."""

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

#: The executor that is used if none is named.
DEFAULT_EXECUTOR = "local"


def make_executor(
    name: str | None,
    session: Session,
    recipe: SessionRecipe,
    *,
    jobs: int | None = None,
    devices: Sequence[str] = (),
) -> BatchRunner:
    """Set up the executor of this name for a batch.

    The outcomes of a plugin's executor are checked: there is one for each track, in order, and exceptions become a
    :class:`~allin1_core.errors.PluginError`.

    Parameters
    ----------
    name
        Name of the executor; None for that of the core, which runs on this machine.
    session
        Session of this process; its plugins provide the executors.
    recipe
        How other processes create an equivalent session.
    jobs, devices
        The user's request, as in :class:`~allin1_core.runtime.executors.ExecutorSetup`.

    Raises
    ------
    SelectionError
        There is no executor of that name, or its requirements are not installed.
    SettingsError
        The executor cannot do what is requested.
    PluginError
        The executor failed.
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
