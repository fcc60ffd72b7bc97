"""Probes: whether a madmom is installed, and whether it has the trained networks."""

from __future__ import annotations

import os
from pathlib import Path

from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict

from allin1_backend_madmom.provider import INSTALL_ORIGINAL, Provider, find

#: The eight networks of madmom's downbeat model, relative to the folder of its models.
NETWORKS = tuple(f"downbeats/2016/downbeats_blstm_{number}.pkl" for number in range(1, 9))


def check() -> Verdict:
    """Import madmom, and report the package and version that will be used."""
    found = find()
    return Ready("cpu", str(found)) if isinstance(found, Provider) else found


def check_networks() -> Verdict:
    """Find the trained networks, which are not downloaded automatically."""
    found = find()
    if not isinstance(found, Provider):
        return found
    folder = networks_folder(found)
    missing = [name for name in NETWORKS if not (folder / name).is_file()]
    if not missing:
        return Ready("cpu", str(found))
    if found.is_original:
        return Broken(f"{found} lacks its own model {folder / missing[0]}")
    return Unavailable(
        f"The trained networks of {found.name} are missing.",
        f"Build the original, which includes them, with a C compiler: {INSTALL_ORIGINAL}."
        " Or download them once (3.3 MB; CC BY-NC-SA 4.0, not for commercial use):"
        ' python -c "from madmom_infer.models import downbeats_blstm as fetch; fetch()".',
    )


def networks_folder(provider: Provider) -> Path:
    """Folder of the trained models: within madmom, or the download folder of madmom-infer."""
    if provider.is_original:
        (folder,) = provider.module("models").__path__
        return Path(folder)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "madmom_infer" / "models"
