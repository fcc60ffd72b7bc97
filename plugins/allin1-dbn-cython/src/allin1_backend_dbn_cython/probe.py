"""Probe: whether the compiled module exists and can be loaded."""

from __future__ import annotations

from importlib.util import find_spec

from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict

MODULE = "allin1_backend_dbn_cython._kernel"


def check() -> Verdict:
    """Load the compiled module, and name the instruction set that it will use."""
    try:
        from allin1_backend_dbn_cython import _kernel
    except ImportError as error:
        if find_spec(MODULE) is None:
            return Unavailable(
                "The compiled module of allin1-dbn-cython is missing.",
                "Reinstall the distribution, from a wheel or with a C compiler installed.",
            )
        return Broken(f"{type(error).__name__}: {error}")
    return Ready("cpu", _kernel.instruction_sets()[0])
