"""The published models of Demucs: their files, URLs and digests. Importing this imports neither PyTorch nor Demucs.

Digests are those of the whole file. Those of the ``.safetensors`` files are stated by the Hugging Face hub for the given
revision; those of the two ``.th`` files start with the digits that Demucs itself states. For the other ``.th`` files, only
these eight digits are published, which can be forged; they are not used, and the core stores the digest of the first copy
that it reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from allin1_core.contracts.model import SeparatorCard, WeightsFile

_LICENCE = (
    "The code of Demucs is under the MIT licence; for its weights, which were trained on MUSDB18-HQ and other songs, its"
    " authors do not state a separate licence."
)
_SOURCE = "Demucs, https://github.com/adefossez/demucs"
_HUB = "https://huggingface.co/adefossez"
_META = "https://dl.fbaipublicfiles.com/demucs"


@dataclass(frozen=True)
class _Network:
    """One network of a model: the digests and sizes of its files, where known."""

    signature: str
    th_digits: str
    safetensors: tuple[str, int] | None = None
    th: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class _Published:
    """A model and its locations: the repository on the hub, with revisions of the same files, and Meta's folder."""

    summary: str
    networks: tuple[_Network, ...]
    repository: str = ""
    revisions: tuple[str, ...] = ()
    folder: str = "hybrid_transformer"


def _older(*names: tuple[str, str]) -> tuple[_Network, ...]:
    return tuple(_Network(signature, digits) for signature, digits in names)


_PUBLISHED = {
    "htdemucs": _Published(
        "Hybrid transformer Demucs, the default",
        (
            _Network(
                "955717e8",
                "8726e21a",
                ("d9fa14133cfcc034a6758923bb3a8ca9f8dfd0b582134643bbf83f72c17576dd", 84_025_440),
                ("8726e21a993978c7ba086d3872e7608d7d5bfca646ca4aca459ffda844faa8b4", 84_141_911),
            ),
        ),
        "HTDemucs",
        (
            "cbc8a9b1a87023b7fd74e7b3412e6321c0eab003",
            "bf35a81b663819a8255c8fefee17f9d812b786b5",
        ),
    ),
    "htdemucs_ft": _Published(
        "Demucs, one network fine-tuned for each stem: four times slower",
        tuple(
            _Network(signature, digits, (digest, 84_025_440))
            for signature, digits, digest in (
                (
                    "f7e0c4bc",
                    "ba3fe64a",
                    "2c85ab3c62dd6edd8e0b965e38b16fd1cdde357cc25de6b6bc9ce7c83f60925f",
                ),
                (
                    "d12395a8",
                    "e57c48e6",
                    "5b01a97567ae9a3178a6236fb520251045c03eb8834bc8c24a4eec11d6c8fb56",
                ),
                (
                    "92cfc3b6",
                    "ef3bcb9c",
                    "a241863551f30d01c42bd7b97da40839922ead3acb0f1fcab25682f55b4eeb59",
                ),
                (
                    "04573f0d",
                    "f3cf25b2",
                    "68854b0d7c2b3274723b5761f6fd9f5aec5f1bcd3f0de7c1669546fdb7871b7c",
                ),
            )
        ),
        "HTDemucs-ft",
        (
            "d74ac89c3a1e874fc78f152555cf4d8533f06cd4",
            "478be8a68f85418addd6f7baefd4be76522a4034",
        ),
    ),
    "htdemucs_6s": _Published(
        "Demucs with guitar and piano, which are added to other",
        (
            _Network(
                "5c90dfd2",
                "34c22ccb",
                ("d2a1745f0744721f6b8ca5bf469b67c651ea5ed1b52998cab033b2158609d411", 54_885_744),
                ("34c22ccb381c6f9fdbf324f04e1e2fe21aaaf293f5ded163a162697ff9a02ddd", 54_996_327),
            ),
        ),
        "HTDemucs-6s",
        ("3c5ee475be622df764938de97e4281a7b07ffa58",),
    ),
    "hdemucs_mmi": _Published("Hybrid Demucs, version 3", _older(("75fc33f5", "1941ce65"))),
    "mdx": _Published(
        "Demucs of the MDX challenge, MUSDB18-HQ alone",
        _older(
            ("0d19c1c6", "0f06f20e"),
            ("7ecf8ec1", "70f50cc9"),
            ("c511e2ab", "fe698775"),
            ("7d865c68", "3d5dd56b"),
        ),
        folder="mdx_final",
    ),
    "mdx_extra": _Published(
        "Demucs of the MDX challenge, with more songs",
        _older(
            ("e51eebcc", "c1b80bdd"),
            ("a1d90b5c", "ae9d2452"),
            ("5d2d6c55", "db83574e"),
            ("cfa93e08", "61801ae1"),
        ),
        folder="mdx_final",
    ),
}

#: Names of the models that the core can download.
NAMES = tuple(_PUBLISHED)


def file_names(signature: str) -> tuple[str, ...]:
    """File names of a published network; for any other network, the names that its files would have."""
    for published in _PUBLISHED.values():
        for network in published.networks:
            if network.signature == signature:
                file = _file(published, network)
                return (file.name, *(other.name for other in file.alternatives))
    return (f"{signature}.safetensors",)


def separators() -> Iterator[SeparatorCard]:
    """Yield the published models."""
    for name, published in _PUBLISHED.items():
        files = tuple(_file(published, network) for network in published.networks)
        yield SeparatorCard(name, published.summary, files, _LICENCE, _SOURCE)


def _file(published: _Published, network: _Network) -> WeightsFile:
    th_name = f"{network.signature}-{network.th_digits}.th"
    th_digest, th_size = network.th
    th = WeightsFile(
        th_name,
        th_digest,
        th_size,
        (f"{_META}/{published.folder}/{th_name}",),
        (str(_torch_home() / "hub" / "checkpoints" / th_name),),
    )
    if network.safetensors is None:
        return th
    name = f"{network.signature}.safetensors"
    digest, size = network.safetensors
    urls = [f"{_HUB}/{published.repository}/resolve/{one}/{name}" for one in published.revisions]
    snapshots = _hub_cache() / f"models--adefossez--{published.repository}" / "snapshots"
    return WeightsFile(name, digest, size, tuple(urls), (str(snapshots / "*" / name),), (th,))


def _hub_cache() -> Path:
    """Cache folder of huggingface_hub, which Demucs uses for downloads."""
    if cache := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return _cache() / "huggingface" / "hub"


def _torch_home() -> Path:
    """Cache folder of torch.hub, which older releases of Demucs use for downloads."""
    if home := os.environ.get("TORCH_HOME"):
        return Path(home).expanduser()
    return _cache() / "torch"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
