"""The standard tests of each stage on each device; tests of missing devices are skipped."""

from __future__ import annotations

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
    hooks = "allin1_backend_torch.hooks"
    heavy = ("torch", "triton")


class Cpu:
    hooks = "allin1_backend_torch.hooks"
    backend = "torch-cpu"
    heavy = ("torch",)


class Cuda(Cpu):
    backend = "torch-cuda"


class Mps(Cpu):
    backend = "torch-mps"


class TestSpectrogramOnCpu(Cpu, SpectrogramConformance):
    pass


class TestSpectrogramOnCpuInSinglePrecision(Cpu, SpectrogramConformance):
    backend = "torch-cpu-float32"


class TestSpectrogramOnCuda(Cuda, SpectrogramConformance):
    pass


class TestSpectrogramOnCudaInSinglePrecision(Cuda, SpectrogramConformance):
    backend = "torch-cuda-float32"


class TestSpectrogramOnMps(Mps, SpectrogramConformance):
    pass


class TestMixSpectrogramOnCpu(Cpu, MixSpectrogramConformance):
    backend = "torch-cpu-mix"


class TestMixSpectrogramOnCuda(Cuda, MixSpectrogramConformance):
    backend = "torch-cuda-mix"


class TestMixSpectrogramOnMps(Mps, MixSpectrogramConformance):
    backend = "torch-mps-mix"


class TestNnOnCpu(Cpu, NnConformance):
    pass


class TestNnOnCuda(Cuda, NnConformance):
    pass


class TestNnAgainstTheOriginalOnCpu(Cpu, NnOriginalConformance):
    pass


class TestNnAgainstTheOriginalOnCuda(Cuda, NnOriginalConformance):
    pass


class TestNnAgainstTheOriginalOnMps(Mps, NnOriginalConformance):
    pass


class TestNnInTriton(Cuda, NnConformance):
    backend = "torch-cuda-triton"
    heavy = ("torch", "triton")


class TestNnInTritonInHalfPrecision(Cuda, NnConformance):
    backend = "torch-cuda-triton-float16"
    heavy = ("torch", "triton")


class TestNnOnMps(Mps, NnConformance):
    pass


class TestMetricalPrepOnCpu(Cpu, MetricalPrepConformance):
    pass


class TestMetricalPrepOnCuda(Cuda, MetricalPrepConformance):
    pass


class TestMetricalPrepOnMps(Mps, MetricalPrepConformance):
    pass


class TestFunctionalOnCpu(Cpu, FunctionalConformance):
    pass


class TestFunctionalOnCuda(Cuda, FunctionalConformance):
    pass


class TestFunctionalOnMps(Mps, FunctionalConformance):
    pass
