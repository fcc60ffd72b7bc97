"""The standard tests of each stage on each device; tests of missing devices are skipped."""

from __future__ import annotations

from allin1_core.testing import signals
from allin1_core.testing.conformance import (
    FunctionalConformance,
    MetricalPrepConformance,
    MixSpectrogramConformance,
    NnConformance,
    NnOriginalConformance,
    PluginConformance,
    SpectrogramConformance,
)


class TestPlugin(PluginConformance):
    hooks = "allin1_backend_mlx.hooks"
    heavy = ("mlx", "demucs_mlx")


class Cpu:
    hooks = "allin1_backend_mlx.hooks"
    backend = "mlx-cpu"
    heavy = ("mlx", "demucs_mlx")


class Gpu(Cpu):
    backend = "mlx-gpu"


class TestSpectrogramOnCpu(Cpu, SpectrogramConformance):
    pass


class TestSpectrogramOnGpu(Gpu, SpectrogramConformance):
    pass


class TestMixSpectrogramOnCpu(Cpu, MixSpectrogramConformance):
    backend = "mlx-cpu-mix"


class TestMixSpectrogramOnGpu(Gpu, MixSpectrogramConformance):
    backend = "mlx-gpu-mix"


class TestNnOnCpu(Cpu, NnConformance):
    def inputs(self):
        """Return fewer lengths, because the CPU is slow; test_network covers all of them."""
        for frames in (1, 4, 5, 9, 33, 101):
            yield f"{frames} frames", signals.random_spectrogram(frames, seed=frames)


class TestNnOnGpu(Gpu, NnConformance):
    pass


class TestNnAgainstTheOriginalOnCpu(Cpu, NnOriginalConformance):
    most_frames = 100


class TestNnAgainstTheOriginalOnGpu(Gpu, NnOriginalConformance):
    pass


class TestMetricalPrepOnCpu(Cpu, MetricalPrepConformance):
    pass


class TestMetricalPrepOnGpu(Gpu, MetricalPrepConformance):
    pass


class TestFunctionalOnCpu(Cpu, FunctionalConformance):
    pass


class TestFunctionalOnGpu(Gpu, FunctionalConformance):
    pass
