"""The real madmom, where it can be imported."""

from __future__ import annotations

import collections
import collections.abc
import importlib
import warnings

import numpy as np
import pytest


@pytest.fixture(scope="module")
def madmom():
    """madmom 0.16 with the names that it expects of older Pythons and NumPys, for the tests of one module."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in collections.abc.__all__:
            if not hasattr(collections, name):
                patch.setattr(collections, name, getattr(collections.abc, name), raising=False)
        for name, kind in {"float": float, "int": int, "object": object}.items():
            if not hasattr(np, name):
                patch.setattr(np, name, kind, raising=False)
        try:
            module = importlib.import_module("madmom")
        except Exception as error:  # Old as it is, it may fail in any way.
            pytest.skip(f"compares with madmom, which cannot be imported: {error!r}")
        yield module
