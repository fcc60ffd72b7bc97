"""Assembly of engines from the options of a session and the user's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from allin1_core.calibration.prices import MeasuredPrices
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.logits import HARMONIX_LABELS
from allin1_core.contracts.metre import STEADY_PHASE, MetreParameters
from allin1_core.contracts.model import AUTO_MODEL, ModelCard
from allin1_core.contracts.parity import Parity
from allin1_core.contracts.route import ANY_CLOSE, Choice
from allin1_core.contracts.stages import Stage
from allin1_core.io.cache import ArrayCache
from allin1_core.io.known_digests import KnownDigests
from allin1_core.measuring.on_demand import MeasureOnDemand
from allin1_core.paths import expanded
from allin1_core.plugins.collecting import collect_offers
from allin1_core.plugins.loading import Plugins
from allin1_core.plugins.options import GivenOptions, check_options, options_of_backends
from allin1_core.runtime.audio_loaders import use_audio_loaders
from allin1_core.runtime.backends import Backends
from allin1_core.runtime.engine import Engine
from allin1_core.runtime.guard import Guard
from allin1_core.runtime.logits_cache import LogitsCache
from allin1_core.runtime.observers import Observers
from allin1_core.runtime.settings import AUTO, choices_of, parity_named, read_settings
from allin1_core.selection.chooser import Chooser, Preferences
from allin1_core.selection.devices import Devices
from allin1_core.selection.probing import Probes


class SessionOptions(TypedDict, total=False):
    """The options of a :class:`~allin1_core.runtime.session.Session`, which documents them."""

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
    overwrite_timings_viz: bool
    keep_stems: bool
    demix_dir: str | PathLike[str] | None
    overwrite_stems: bool
    cache: bool


class Assembly:
    """The parts that the engines of a session's models share; :meth:`engine` creates the others.

    Attributes
    ----------
    model
        Name of the model; ``auto`` if neither argument nor settings name one.
    observers
        Notified of all runs.
    offers
        What the plugins provide.
    plugin_options
        Options of plugins set by the user.
    known_digests
        Digests of files from earlier runs; None without the cache.

    Raises
    ------
    Allin1Error
        As for :class:`~allin1_core.runtime.session.Session`.
    """

    def __init__(
        self, plugins: Plugins, model: str | None, demix: DemixParameters, options: SessionOptions
    ) -> None:
        settings = read_settings()
        self.model = model or settings.model or AUTO_MODEL
        self.observers = Observers(
            plugins,
            path_of(options.get("timings_path")),
            path_of(options.get("timings_viz_path")),
            overwrite_picture=options.get("overwrite_timings_viz", False),
        )
        self._plugins = plugins
        self.offers = collect_offers(plugins)
        use_audio_loaders(self.offers.loaders)
        self._demix = demix
        self._metre = options.get("metre") or MetreParameters()
        self.threads = options.get("threads") or settings.threads
        self._has_guard = options.get("guard", False)
        weights_dir = options.get("weights_dir") or settings.weights_dir
        self._weights_dir = None if weights_dir is None else str(weights_dir)
        calibrate = options.get("calibrate")
        is_measuring = settings.calibrate if calibrate is None else calibrate
        self._measure = MeasureOnDemand if is_measuring else None
        self._preferences = _preferences(
            options, settings.device, settings.parity, settings.choices
        )
        self._probes = Probes()
        self._devices = Devices(self._preferences.device, self.offers, self._probes)
        cache = ArrayCache() if options.get("cache", True) else None
        self._cache = LogitsCache(cache)
        self.known_digests = KnownDigests(cache) if cache is not None and cache.limit else None
        given = _given_options(options, settings.options)
        self.plugin_options = check_options(self.offers, plugins, given)

    @property
    def cards(self) -> list[ModelCard]:
        """The models that the plugins provide."""
        return [offered.item for offered in self.offers.models.values()]

    def engine(self, card: ModelCard, may_download: bool = True) -> Engine:
        """Create the engine of a model; `may_download` lets it download missing weights."""
        metre = card.complete(self._metre).validate()
        preferences = self._preferences
        features: list[tuple[Stage, str]] = []
        if metre.has_tempo_prior:
            features.append(("metrical_dbn", "tempo_prior"))
        if metre.steady_phase:
            features.append(("metrical_dbn", STEADY_PHASE))
        if card.labels != HARMONIX_LABELS:
            features.append(("functional", "labels"))
        preferences = replace(preferences, features=tuple(features))
        offers, devices = self.offers, self._devices
        parameters: dict[str, Any] = {
            "metre": metre,
            "demix": self._demix,
            "threads": self.threads,
            "options": options_of_backends(offers, self.plugin_options),
        }
        prices = MeasuredPrices(offers, devices, card=card, **parameters)
        backends = Backends(
            card,
            devices,
            prices,
            **parameters,
            weights_dir=self._weights_dir,
            separators={name: offered.item for name, offered in offers.separators.items()},
            may_download=may_download,
        )
        return Engine(
            card,
            offers,
            devices,
            prices,
            Chooser(self._plugins, offers, card, preferences, self._probes, prices),
            backends,
            Guard(self._has_guard, offers, backends, devices),
            self.observers,
            None if self._measure is None else self._measure(),
            self._cache,
            self.known_digests,
        )


def _preferences(
    options: SessionOptions,
    device: str | None,
    parity: Parity | None,
    choices: tuple[Choice, ...],
) -> Preferences:
    """The user's preferences from arguments, otherwise from settings."""
    device = options.get("device") or device
    asked = options.get("parity") or parity or ANY_CLOSE
    named = {choice.stage: choice for choice in choices}
    named |= choices_of(options.get("backends") or {})
    return Preferences(
        device=None if device == AUTO else device,
        parity=parity_named(asked) if isinstance(asked, str) else asked,
        choices=tuple(choice for choice in named.values() if choice.name != AUTO),
    )


def _given_options(options: SessionOptions, of_file: GivenOptions) -> GivenOptions:
    """Options of plugins from arguments, otherwise from the user's settings."""
    arguments = {
        (plugin, name): (value, "")
        for plugin, values in (options.get("plugin_options") or {}).items()
        for name, value in values.items()
    }
    return {**of_file, **arguments}


def path_of(path: str | PathLike[str] | None) -> Path | None:
    """The absolute path, with a leading ``~`` expanded."""
    return None if path is None else expanded(path).absolute()
