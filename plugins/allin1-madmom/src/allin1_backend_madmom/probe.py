"""Whether a madmom is there, and whether it has the trained networks."""

from __future__ import annotations

import os
from pathlib import Path

from allin1_core.contracts.verdict import Broken, Ready, Unavailable, Verdict

from allin1_backend_madmom.provider import INSTALL_ORIGINAL, Provider, find

#: The eight networks of madmom's downbeat model, below the folder of its models.
NETWORKS = tuple(f"downbeats/2016/downbeats_blstm_{number}.pkl" for number in range(1, 9))


def check() -> Verdict:
    """Import madmom, and name the package and version that will be used."""
    found = find()
    return Ready("cpu", str(found)) if isinstance(found, Provider) else found


def check_networks() -> Verdict:
    """Find the trained networks, which nothing here downloads."""
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
        f"{found.name} brings no trained networks.",
        f"Build the original, which has them, with a C compiler at hand: {INSTALL_ORIGINAL}."
        " Or fetch them once (3.3 MB; CC BY-NC-SA 4.0, not for commercial use):"
        ' python -c "from madmom_infer.models import downbeats_blstm as fetch; fetch()".',
    )


def networks_folder(provider: Provider) -> Path:
    """Folder of the trained models: within madmom, or where madmom-infer keeps what it has fetched."""
    if provider.is_original:
        (folder,) = provider.module("models").__path__
        return Path(folder)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "madmom_infer" / "models"
