"""Conformance tests that a plugin's own tests subclass: a class for the plugin, and one for each kind of what it brings.

::

    from allin1_core.testing.conformance import PluginConformance, SpectrogramConformance


    class TestPlugin(PluginConformance):
        hooks = "my_package.hooks"


    class TestMine(SpectrogramConformance):
        hooks = "my_package.hooks"
        backend = "mine"
        heavy = ("torch",)

Every test of the class then runs against the backend: that declaring it imports nothing heavy, that the
record is well formed, that the output fulfils the contract and lies where it should, that the promised parity with the
reference holds, that the same input gives the same output and stays as it was, that nothing is printed and no thread
stays, for odd lengths, silence, and arrays that are read-only or not contiguous. Where its probe says that it cannot run
here, the tests that run it are skipped with the probe's reason; a probe that says it is broken fails.

A backend that spans stages is tested by the class of the stage that it ends with, with inputs of the stage that it begins
with, against the references of all of them in turn.

Add tests as you like. Removing a standard test by overriding it makes ``test_no_standard_test_is_missing`` fail.
"""

from __future__ import annotations

from allin1_core.runtime.difference import measure as measure
from allin1_core.testing.conformance.audio_loader import AudioLoaderConformance
from allin1_core.testing.conformance.backend import BackendConformance
from allin1_core.testing.conformance.command import CommandConformance
from allin1_core.testing.conformance.demix import DemixConformance
from allin1_core.testing.conformance.executor import ExecutorConformance
from allin1_core.testing.conformance.exporter import ExporterConformance
from allin1_core.testing.conformance.functional import FunctionalConformance
from allin1_core.testing.conformance.metre import MetricalDbnConformance, MetricalPrepConformance
from allin1_core.testing.conformance.network import NnConformance
from allin1_core.testing.conformance.original import NnOriginalConformance
from allin1_core.testing.conformance.plugin import PluginConformance
from allin1_core.testing.conformance.spectrogram import (
    MixSpectrogramConformance,
    SpectrogramConformance,
)

__all__ = [
    "AudioLoaderConformance",
    "BackendConformance",
    "CommandConformance",
    "DemixConformance",
    "ExecutorConformance",
    "ExporterConformance",
    "FunctionalConformance",
    "MetricalDbnConformance",
    "MetricalPrepConformance",
    "MixSpectrogramConformance",
    "NnConformance",
    "NnOriginalConformance",
    "PluginConformance",
    "SpectrogramConformance",
]
