"""Finds a backend under test in its hooks, sets it up, and runs it on NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, ClassVar

import pytest

from allin1_core.contracts.backend import Backend
from allin1_core.contracts.findings import Findings
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.model import Model, ModelCard
from allin1_core.contracts.space import HOST
from allin1_core.contracts.stages import Setup, Stage, Task
from allin1_core.errors import WeightsError
from allin1_core.plugins.collecting import Offers, collect_offers
from allin1_core.plugins.loading import BUILT_IN, load_plugins
from allin1_core.runtime.backends import close_backend, create
from allin1_core.runtime.checking import run_reference
from allin1_core.runtime.moving import cross
from allin1_core.selection.bridge_network import BridgeNetwork
from allin1_core.selection.probing import Probes, check_needs
from allin1_core.testing.conformance.inputs import inputs_of
from allin1_core.testing.examining import load_hooks
from allin1_core.testing.skipping import device_or_skip
from allin1_core.testing.weights import random_model
from allin1_core.weights.load import load_model
from allin1_core.weights.separation import read_separator

#: The architecture of the included models, for which there are random parameters for tests.
ALL_IN_ONE = "all-in-one"


class BackendRunner:
    """A backend under test.

    Attributes
    ----------
    hooks
        Name of the module with the hooks.
    backend
        Name of the backend.
    stage
        The last stage of the backend; set by the subclasses.
    heavy
        Modules besides :data:`~allin1_core.testing.examining.HEAVY` that importing the hooks must not import.
    device
        Name of the device to run on; None for that of the probe.
    """

    hooks: ClassVar[str]
    backend: ClassVar[str]
    stage: ClassVar[Stage]
    heavy: ClassVar[tuple[str, ...]] = ()
    device: ClassVar[str | None] = None

    #: Whether other faults of the hooks make these tests fail, too.
    strict: ClassVar[bool] = True

    # Methods that the tests of a plugin may override.

    def inputs(self) -> Iterator[tuple[str, Any]]:
        """Yield named inputs for its first stage, including odd lengths and silence."""
        return inputs_of(self.record())

    def setup(self, device: str) -> Setup:
        """Return the argument of the factory.

        A network gets random parameters of All-In-One or, if the backend does not support that, the model of the plugin
        that it supports; if files of that model are not on this machine, the test is skipped.
        """
        record = self.record()
        setup = Setup(
            device=device,
            threads=2,
            separator_files=self._separator_files if record.separators else None,
        )
        if "nn" not in record.stages:
            return setup
        if runs_all_in_one(record):
            return replace(setup, model=random_model(seed=3))
        card = self.card()
        model = load_or_skip(card) if card.files else None
        metre = card.complete(MetreParameters())
        return replace(setup, model=model, metre=metre, labels=card.labels)

    def card(self) -> ModelCard:
        """Find the model of the plugin whose architecture the backend supports."""
        record = self.record()
        offers, plugin = self.offers()
        for offered in offers.models.values():
            known = (fnmatchcase(offered.item.architecture, one) for one in record.models)
            if offered.plugin.name == plugin and any(known):
                return offered.item
        pytest.fail(
            f"{record.name} runs {', '.join(record.models)}, and the plugin offers no model of that"
            " architecture: offer one by allin1_models, or override setup() to test with another"
        )

    # Helpers.

    def offers(self) -> tuple[Offers, str]:
        """Return everything that the hooks and the core provide, and the name that the hooks are loaded under."""
        return self._offered

    @cached_property
    def _offered(self) -> tuple[Offers, str]:
        built_in = {module: name for name, module in BUILT_IN.items()}
        name = built_in.get(self.hooks, "under-test")
        extra = {} if self.hooks in built_in else {name: load_hooks(self.hooks)}
        return collect_offers(load_plugins(extra=extra, autoload=False, strict=self.strict)), name

    def record(self) -> Backend[Any]:
        """Find the record of the backend among those that the hooks provide."""
        offers, plugin = self.offers()
        own = [o.item for o in offers.backends if o.plugin.name == plugin]
        named = [backend for backend in own if backend.name == self.backend]
        for backend in named:
            if backend.stages[-1] == self.stage:
                return backend
        if not named:
            names = ", ".join(sorted({backend.name for backend in own})) or "none"
            pytest.fail(f"{self.hooks} offers no backend {self.backend}; it offers: {names}")
        ends = " and ".join(backend.stages[-1] for backend in named)
        pytest.fail(
            f"{self.backend} does not end with stage {self.stage} but with {ends}:"
            " subclass the class of that stage"
        )

    def ready(self) -> tuple[Backend[Any], str]:
        """Return the record and its device, or skip the test if it cannot run."""
        record = self.record()
        missing = check_needs(record.needs)
        verdict = missing or Probes().verdict(record)
        device = device_or_skip(self.backend, verdict)
        return record, self.device or device

    def create(self, record: Backend[Any], setup: Setup) -> Any:
        """Call the factory; the test is skipped if weights of the plugin are missing."""
        try:
            return create(record, setup)
        except WeightsError as error:
            if record.separators or not runs_all_in_one(record):
                pytest.skip(f"{record.name}: {error.message}")
            raise

    @contextmanager
    def created(
        self, record: Backend[Any], device: str, setup: Setup | None = None
    ) -> Iterator[Any]:
        """Create the backend, by default with the usual setup; it is closed at the end."""
        call = self.create(record, setup or self.setup(device))
        try:
            yield call
        finally:
            close_backend(call, record.name)

    def run(self, call: Any, record: Backend[Any], device: str, data: Any, task: Task) -> Any:
        """Call a backend on NumPy arrays and bring its output back to NumPy."""
        bridges = self.bridges()
        data = cross(data, bridges.way(HOST, record.consumes), device)
        return self.brought_home(call(data, task), record)

    def brought_home(self, output: Any, record: Backend[Any]) -> Any:
        """The output of a backend, moved to NumPy arrays."""
        way = self.bridges().way(record.produces, HOST)
        if isinstance(output, Findings) and output.logits is not None:
            return replace(output, logits=cross(output.logits, way, HOST.device))
        return output if isinstance(output, Findings) else cross(output, way, HOST.device)

    def bridges(self) -> BridgeNetwork:
        """The bridges that the hooks and the core provide."""
        return BridgeNetwork(self.offers()[0].bridges)

    def outputs(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield the name of each input, the input and its output."""
        record, device = self.ready()
        with self.created(record, device) as call:
            for name, data in self.inputs():
                yield name, data, self.run(call, record, device, data, Task())

    def reference(
        self, record: Backend[Any], setup: Setup, data: Any, task: Task | None = None
    ) -> Any:
        """The output of the reference for the stages that a backend covers."""
        return run_reference(self.offers()[0], record.stages, setup, data, task)

    def _separator_files(self) -> Any:
        separators = {name: o.item for name, o in self.offers()[0].separators.items()}
        name = self.record().separators[0]
        return read_separator(name, separators, weights_dir=None, download=False)


def runs_all_in_one(record: Backend[Any]) -> bool:
    """Whether a backend supports the architecture of the included models."""
    return any(fnmatchcase(ALL_IN_ONE, pattern) for pattern in record.models)


def load_or_skip(card: ModelCard) -> Model:
    """Load a model without downloads, or skip the test."""
    try:
        return load_model(card, weights_dir=None, download=False)
    except WeightsError as error:
        if all(file.package for file in card.files):
            raise  # the files belong to the plugin
        pytest.skip(f"{card.name}: {error.message}")
