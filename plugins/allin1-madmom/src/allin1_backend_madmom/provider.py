"""Finds and imports an installed madmom.

Three packages provide the same classes under the same names:

- **madmom 0.16.1**, the release of 2018, which is built from source;
- **madmom 0.17.dev0**, never released, built from its repository;
- **madmom-infer**, a rewrite in pure Python that is imported as ``madmom_infer``.

The original is preferred if it can be imported, as its decoder is compiled.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType

from allin1_core.contracts.verdict import Broken, Unavailable
from allin1_core.errors import BackendError

from allin1_backend_madmom.old_names import give_old_numpy, old_names

#: Import names of the packages by the names of their distributions, the preferred one first.
PACKAGES = {"madmom": "madmom", "madmom-infer": "madmom_infer"}

#: Modules that are imported to check that a package works.
MODULES = ("audio.signal", "audio.stft", "audio.spectrogram", "features.downbeats")

#: Its sources do not declare their build requirements, so these must be installed first.
INSTALL_ORIGINAL = (
    "pip install cython numpy setuptools wheel && pip install --no-build-isolation madmom==0.16.1"
)

REMEDY = (
    "Install the rewrite, which needs no compiler: pip install madmom-infer."
    f" Or build the original, which is faster, with a C compiler: {INSTALL_ORIGINAL}."
)


@dataclass(frozen=True)
class Provider:
    """An imported madmom.

    Attributes
    ----------
    name
        Name of the distribution: ``madmom`` or ``madmom-infer``.
    version
        Version of the distribution.
    passed_over
        Why a preferred one is not used, as a clause; empty if none is installed.
    """

    name: str
    version: str
    passed_over: str = ""

    @property
    def is_original(self) -> bool:
        """Whether it is madmom itself."""
        return self.name == "madmom"

    def module(self, name: str) -> ModuleType:
        """Return one of :data:`MODULES`."""
        return importlib.import_module(f"{PACKAGES[self.name]}.{name}")

    def __str__(self) -> str:
        used = f"{self.name} {self.version}"
        return f"{used} ({self.passed_over})" if self.passed_over else used


def find() -> Provider | Unavailable | Broken:
    """Import the first madmom that works, or return the reason why there is none."""
    failures = []
    for name, package in PACKAGES.items():
        if find_spec(package) is None:
            continue
        released = _version(name)
        try:
            _load(package)
        except Exception as error:
            failures.append(
                f"{name} {released} cannot be imported: {type(error).__name__}: {error}"
            )
        else:
            return Provider(name, released, "; ".join(failures))
    if failures:
        return Broken("; ".join(failures))
    return Unavailable("Neither madmom nor madmom-infer is installed.", REMEDY)


def load() -> Provider:
    """Import the first madmom that works.

    Raises
    ------
    BackendError
        There is none.
    """
    found = find()
    if isinstance(found, Unavailable):
        raise BackendError(found.reason, remedy=found.remedy)
    if isinstance(found, Broken):
        raise BackendError(f"{found.error}.", remedy=REMEDY)
    return found


def _load(package: str) -> None:
    modules = [f"{package}.{name}" for name in MODULES]
    if all(name in sys.modules for name in modules):
        return
    with warnings.catch_warnings():
        # Code of 2018 causes many warnings today; it could not be imported where warnings are errors.
        warnings.simplefilter("ignore")
        if package == "madmom":
            with old_names():
                for name in modules:
                    importlib.import_module(name)
            give_old_numpy(package)
        else:
            for name in modules:
                importlib.import_module(name)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "of unknown version"
