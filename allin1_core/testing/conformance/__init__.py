"""Conformance tests, to be subclassed in the tests of a plugin: for the plugin, for each stage, and for each other record.

::

    from allin1_core.testing.conformance import PluginConformance, SpectrogramConformance


    class TestPlugin(PluginConformance):
        hooks = "my_package.hooks"


    class TestMine(SpectrogramConformance):
        hooks = "my_package.hooks"
        backend = "mine"
        heavy = ("torch",)

Every test of the class then runs against the backend. They check that declaring it imports nothing heavy, that the record
is well-formed, that the output fulfils the contract and is in the declared space, that the declared parity with the
reference holds, that the output is reproducible and the input is not modified, and that nothing is printed and no thread
is left behind. The inputs include odd lengths, silence, and arrays that are read-only or not contiguous. If the probe
reports that the backend cannot run here, the tests that run it are skipped with this reason; if it reports that it is
broken, they fail.

A backend that spans stages is tested by the class of its last stage, with inputs of its first stage, against the
references of all its stages in turn.

You can add your own tests. Removing a standard test by overriding it makes ``test_no_standard_test_is_missing`` fail.
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
