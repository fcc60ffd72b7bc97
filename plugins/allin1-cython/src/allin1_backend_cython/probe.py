"""Probes: whether the compiled modules exist and can be loaded."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict

PACKAGE = "allin1_backend_cython"


def check(module: str) -> Verdict:
    """Load a compiled module, and name the instruction set that it will use."""
    try:
        import_module(f"{PACKAGE}.{module}")
        from allin1_backend_cython._isa import instruction_sets
    except ImportError as error:
        if find_spec(f"{PACKAGE}.{module}") is None:
            return Unavailable(
                "A compiled module of allin1-cython is missing.",
                "Reinstall the distribution, from a wheel or with a C compiler installed.",
            )
        return Broken(f"{type(error).__name__}: {error}")
    return Ready("cpu", instruction_sets()[0])


def check_network() -> Verdict:
    """Check the module of the network."""
    return check("_network")


def check_spectrogram() -> Verdict:
    """Check the module of the spectrogram."""
    return check("_spectrogram")
