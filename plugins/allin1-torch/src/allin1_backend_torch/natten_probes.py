"""What of NATTEN can be used on this machine. It and PyTorch are imported by the probes, not with this module."""

from __future__ import annotations

from allin1_core.contracts.verdict import Verdict

from allin1_backend_torch.devices import prepare_import


def probe_cpu() -> Verdict:
    """Tell whether NATTEN computes on the CPU."""
    prepare_import()
    from allin1_backend_torch import network_natten

    return network_natten.probe_cpu()


def probe_cuda() -> Verdict:
    """Tell whether NATTEN computes on an NVIDIA GPU."""
    prepare_import()
    from allin1_backend_torch import network_natten

    return network_natten.probe_cuda()
