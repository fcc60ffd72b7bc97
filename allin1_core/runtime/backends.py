"""Backends that are set up, and the model that they share."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from allin1_core.calibration.precision import (
    PrecisionError,
    load_errors,
    without_what_loses_too_much,
)
from allin1_core.calibration.prices import MeasuredPrices
from allin1_core.contracts.backend import Backend
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.model import Model, ModelCard, SeparatorCard, WeightsContent
from allin1_core.contracts.rules import show
from allin1_core.contracts.stages import Setup, Stage
from allin1_core.errors import PLUGIN_FAILURES, BackendError, ContractError, in_full
from allin1_core.plugins.options import OptionValues, options_of
from allin1_core.selection.candidate import Candidate
from allin1_core.selection.devices import Devices
from allin1_core.selection.probing import load_target
from allin1_core.weights.load import load_model
from allin1_core.weights.separation import read_separator

log = logging.getLogger(__name__)


class Backends:
    """Sets up backends on first use, and keeps them until they are closed.

    Attributes
    ----------
    card
        The model.
    metre, demix, threads
        Parameters with which every backend is set up.
    options
        Options of plugins set by the user.
    weights_dir
        Folder in which weights are looked up first.
    separators
        Separation models whose files the core locates, by name.
    may_download
        Whether missing weights are downloaded.
    is_prepared
        Whether a thread has begun to load what backends need.
    """

    def __init__(
        self,
        card: ModelCard,
        devices: Devices,
        prices: MeasuredPrices,
        *,
        metre: MetreParameters,
        demix: DemixParameters,
        threads: int | None,
        options: OptionValues,
        weights_dir: str | None,
        separators: Mapping[str, SeparatorCard],
        may_download: bool = True,
    ) -> None:
        self.card = card
        self.metre = metre
        self.demix = demix
        self.threads = threads
        self.options = options
        self.weights_dir = weights_dir
        self.separators = separators
        self.may_download = may_download
        self.is_prepared = False
        self._devices = devices
        self._prices = prices
        self._callables: dict[tuple[Stage, str], Any] = {}
        self._process = os.getpid()
        self._model: Model | None = None
        self._loading = threading.Lock()
        self._precision_errors: tuple[PrecisionError, ...] | None = None
        self._warned: set[str] = set()

    def check_process(self) -> None:
        """Raise an error, before anything can wait forever, if this process was forked after backends were set up.

        Raises
        ------
        BackendError
            It was.
        """
        if not self._callables:
            self._process = os.getpid()
        if self._process != os.getpid():
            raise BackendError(
                "This session set up backends before the process was forked;"
                " their threads and devices do not exist in the fork.",
                remedy="Create a session in each process, and start processes with the method 'spawn'.",
            )

    def callable_of(self, candidate: Candidate) -> Any:
        """The callable of `candidate`, which is set up on first use."""
        backend = candidate.backend
        key = (backend.stage, backend.name)
        if key not in self._callables:
            self._callables[key] = create(backend, self.setup_of(candidate))
        return self._callables[key]

    def setup_of(self, candidate: Candidate, model: Model | None = None) -> Setup:
        """The arguments for the factory of `candidate`; `model` is by default that of the session.

        If half precision was measured to lose too much in a separator, ``auto`` becomes the next precision.
        """
        if "nn" not in candidate.backend.stages or not self.card.files:
            model = None
        elif model is None:
            model = self.model()
        return Setup(
            device=self._devices.of(candidate),
            model=model,
            metre=self.metre,
            demix=self._demix_of(candidate) if "demix" in candidate.backend.stages else self.demix,
            threads=self.threads,
            separator_files=self._separator_files if "demix" in candidate.backend.stages else None,
            options=options_of(candidate.backend, candidate.plugin.name, self.options),
            labels=self.card.labels,
        )

    def _separator_files(self) -> tuple[WeightsContent, ...]:
        return read_separator(
            self.demix.model,
            self.separators,
            weights_dir=self.weights_dir,
            download=self.may_download,
        )

    def model(self) -> Model:
        """The model with its parameters, loaded on first use.

        Raises
        ------
        WeightsError
            They are missing, damaged, or cannot be downloaded.
        """
        with self._loading:  # the thread that prepares a run may be loading it
            if self._model is None:
                self._model = load_model(
                    self.card, weights_dir=self.weights_dir, download=self.may_download
                )
            return self._model

    @property
    def is_loaded(self) -> bool:
        """Whether the parameters of the model are in memory."""
        return self._model is not None

    @property
    def set_up(self) -> tuple[tuple[Stage, str], ...]:
        """Stage and name of each backend that is set up."""
        return tuple(self._callables)

    def drop(self, candidate: Candidate) -> None:
        """Close a backend that failed, and forget it."""
        key = (candidate.backend.stage, candidate.backend.name)
        call = self._callables.pop(key, None)
        if call is not None:
            close_backend(call, "=".join(key))

    def close(self) -> None:
        """Close all backends and release the model; what is needed later is set up again."""
        if self._process != os.getpid():
            # They belong to the parent process.
            self._callables.clear()
        while self._callables:
            key, call = self._callables.popitem()
            close_backend(call, "=".join(key))
        self._model = None
        self.is_prepared = False

    def _demix_of(self, candidate: Candidate) -> DemixParameters:
        if self._precision_errors is None:
            self._precision_errors = load_errors()
        if not self._precision_errors or candidate.ready is None:
            return self.demix
        parameters, reason = without_what_loses_too_much(
            self.demix,
            candidate.backend.name,
            self._prices.conditions_of(candidate),
            self._precision_errors,
        )
        if reason and reason not in self._warned:
            self._warned.add(reason)
            log.warning("%s", reason)
        return parameters


def create(backend: Backend[Any], setup: Setup) -> Any:
    """Call the factory of a backend, with default values for options that are not in `setup`.

    Raises
    ------
    ContractError
        The factory is not a function, or does not return a callable.
    """
    factory = load_target(backend.target)
    if not callable(factory):
        raise ContractError(f"Its factory {backend.target} is {show(factory)}; wanted a function.")
    defaults = {option.name: option.value for option in backend.options}
    call = factory(replace(setup, options={**defaults, **setup.options}))
    if not callable(call):
        raise ContractError(
            f"Its factory {backend.target} returned {show(call)}; wanted a function."
        )
    return call


def close_backend(call: Any, name: str) -> None:
    """Close a backend. Failures are only logged, because its earlier outputs remain valid."""
    close = getattr(call, "close", None)
    if close is None:
        return
    try:
        close()
    except PLUGIN_FAILURES as error:
        log.warning("Backend %s could not be closed: %s", name, in_full(error))
        log.debug("closing backend %s failed", name, exc_info=error)


def wait_for(call: Any) -> None:
    """Wait for a backend whose device may still be working after a call has returned."""
    synchronize = getattr(call, "synchronize", None)
    if synchronize is not None:
        synchronize()
