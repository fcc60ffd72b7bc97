"""Putting an engine together, from the options of a session and the user's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from allin1_core.calibration.prices import MeasuredPrices
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.metre import MetreParameters
from allin1_core.contracts.model import DEFAULT_MODEL
from allin1_core.contracts.parity import Parity
from allin1_core.contracts.route import ANY_CLOSE, Choice
from allin1_core.contracts.stages import Stage
from allin1_core.io.cache import ArrayCache
from allin1_core.measuring.on_demand import MeasureOnDemand
from allin1_core.paths import expanded
from allin1_core.plugins.collecting import collect_offers
from allin1_core.plugins.loading import Plugins
from allin1_core.plugins.options import GivenOptions, check_options
from allin1_core.runtime.backends import Backends
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.guard import Guard
from allin1_core.runtime.logits_cache import LogitsCache
from allin1_core.runtime.observers import Observers
from allin1_core.runtime.settings import AUTO, choices_of, parity_named, read_settings
from allin1_core.selection.chooser import Chooser, Wishes
from allin1_core.selection.devices import Devices
from allin1_core.selection.probing import Probes
from allin1_core.weights.find import find_card


class SessionOptions(TypedDict, total=False):
    """The options of a :class:`~allin1_core.runtime.session.Session`, which says what they mean."""

    device: str | None
    backends: Mapping[Stage, str] | None
    metre: MetreParameters | None
    demix: DemixParameters | None
    plugin_options: Mapping[str, Mapping[str, Any]] | None
    parity: Parity | str | None
    weights_dir: str | PathLike[str] | None
    threads: int | None
    guard: bool
    calibrate: bool | None
    timings_path: str | PathLike[str] | None
    timings_viz_path: str | PathLike[str] | None
    keep_stems: bool
    demix_dir: str | PathLike[str] | None
    overwrite_stems: bool
    cache: bool


def build_engine(
    plugins: Plugins, model: str | None, demix: DemixParameters, options: SessionOptions
) -> Engine:
    """Put together what a session runs on, from its options and the user's settings.

    Errors are those of :class:`~allin1_core.runtime.session.Session`.
    """
    settings = read_settings()
    offers = collect_offers(plugins)
    cards = [offered.item for offered in offers.models.values()]
    card = find_card(model or settings.model or DEFAULT_MODEL, cards)
    metre = card.complete(options.get("metre") or MetreParameters()).validate()
    threads = options.get("threads") or settings.threads
    weights_dir = options.get("weights_dir") or settings.weights_dir
    calibrate = options.get("calibrate")
    wishes = _wishes(options, settings.device, settings.parity, settings.choices)
    if metre.has_tempo_prior:
        wishes = replace(wishes, features=(("metrical_dbn", "tempo_prior"),))
    probes = Probes()
    devices = Devices(wishes.device, offers, probes)
    values = check_options(offers, plugins, _given_options(options, settings.options))
    prices = MeasuredPrices(
        offers, devices, card=card, metre=metre, demix=demix, threads=threads, options=values
    )
    backends = Backends(
        card,
        devices,
        prices,
        metre=metre,
        demix=demix,
        threads=threads,
        options=values,
        weights_dir=None if weights_dir is None else str(weights_dir),
        separators={name: offered.item for name, offered in offers.separators.items()},
    )
    return Engine(
        card,
        offers,
        devices,
        prices,
        Chooser(plugins, offers, card, wishes, probes, prices),
        backends,
        Guard(options.get("guard", False), offers, backends, devices),
        Observers(
            plugins,
            card.name,
            path_of(options.get("timings_path")),
            path_of(options.get("timings_viz_path")),
        ),
        MeasureOnDemand() if (settings.calibrate if calibrate is None else calibrate) else None,
        LogitsCache(ArrayCache() if options.get("cache", True) else None),
    )


def _wishes(
    options: SessionOptions,
    device: str | None,
    parity: Parity | None,
    choices: tuple[Choice, ...],
) -> Wishes:
    """What was wished by an argument, else by the user's settings."""
    device = options.get("device") or device
    asked = options.get("parity") or parity or ANY_CLOSE
    named = {choice.stage: choice for choice in choices}
    named |= choices_of(options.get("backends") or {})
    return Wishes(
        device=None if device == AUTO else device,
        parity=parity_named(asked) if isinstance(asked, str) else asked,
        choices=tuple(choice for choice in named.values() if choice.name != AUTO),
    )


def _given_options(options: SessionOptions, of_file: GivenOptions) -> GivenOptions:
    """Options of plugins by arguments, and else by the user's settings."""
    arguments = {
        (plugin, name): (value, "")
        for plugin, values in (options.get("plugin_options") or {}).items()
        for name, value in values.items()
    }
    return {**of_file, **arguments}


def path_of(path: str | PathLike[str] | None) -> Path | None:
    """The path, with a tilde expanded."""
    return None if path is None else expanded(path)
