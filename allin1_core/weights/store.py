"""Location of weights files on this machine, and reading the files of a model.

A file is searched in the folder given as an argument, in that of ``ALLIN1_WEIGHTS_DIR``, in the cache, and then in the
folders of other programs; if it is missing, it is downloaded to the cache. Every file is verified whenever it is read. A
damaged file in a folder that the user named is an error; one in the cache is replaced. A file that belongs to a package
is searched only there.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from allin1_core.contracts.model import ModelCard, SeparatorCard, WeightsFile
from allin1_core.errors import WeightsError
from allin1_core.paths import expanded
from allin1_core.weights.check import find_damage
from allin1_core.weights.download import DownloadError, download
from allin1_core.weights.first_seen import keep_digest, with_digest

#: Called with the number of bytes downloaded, and the total. An exception that it raises cancels the download.
Progress = Callable[[int, int], None]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Folders:
    """Folders to search for weights.

    Attributes
    ----------
    named
        Folders that the user named, in the order of the search; nothing is written there.
    downloads
        Folder that is searched last, and that files are downloaded to.
    """

    named: tuple[Path, ...]
    downloads: Path


@dataclass(frozen=True)
class Found:
    """A weights file on this machine.

    Attributes
    ----------
    path
        Its path.
    content
        Its content.
    damage
        How the content differs from the catalogue, as a sentence; None if it does not.
    file
        The file that it should be: the requested one, or an alternative to it.
    """

    path: Path
    content: bytes
    damage: str | None
    file: WeightsFile


def cache_folder() -> Path:
    """Folder ``weights`` in ``ALLIN1_CACHE_DIR`` if set, otherwise in the user's cache folder of allin1."""
    import platformdirs

    root = os.environ.get("ALLIN1_CACHE_DIR") or platformdirs.user_cache_dir("allin1")
    return expanded(root) / "weights"


def find_folders(weights_dir: str | os.PathLike[str] | None = None) -> Folders:
    """Folders to search: `weights_dir`, that of ``ALLIN1_WEIGHTS_DIR``, then the cache."""
    named = (weights_dir, os.environ.get("ALLIN1_WEIGHTS_DIR"))
    return Folders(tuple(expanded(folder) for folder in named if folder), cache_folder())


def locate(file: WeightsFile, folders: Folders) -> Path | None:
    """Path of the file that would be used, without verification; None if there is none."""
    found = _find(file, folders)
    return None if found is None else found[1]


def is_here(card: ModelCard | SeparatorCard, folders: Folders) -> bool:
    """Whether all files of a model exist on this machine, without reading or verifying them."""
    return all(locate(file, folders) is not None for file in card.files)


def can_fetch(card: ModelCard | SeparatorCard, folders: Folders) -> bool:
    """Whether a URL is known for each file of a model that is not on this machine."""
    return all(file.urls or locate(file, folders) is not None for file in card.files)


def _find(file: WeightsFile, folders: Folders) -> tuple[WeightsFile, Path] | None:
    """The file, or the alternative to it, that would be used, and its path."""
    for one in (file, *file.alternatives):
        own = None if one.package is None else _package_folders(one.package)
        for folder in (*folders.named, folders.downloads) if own is None else own:
            if os.path.lexists(folder / one.name):
                return one, folder / one.name
        for pattern in one.places:
            for path in sorted(glob.glob(pattern)):  # noqa: PTH207 - a pattern of whole paths
                return one, Path(path)
    return None


def _package_folders(package: str) -> list[Path]:
    try:
        spec = find_spec(package)
    except ModuleNotFoundError:  # a parent package is missing
        return []
    return [] if spec is None else [Path(f) for f in spec.submodule_search_locations or ()]


def inspect(file: WeightsFile, folders: Folders) -> Found | None:
    """Read and verify the file that would be used; None if there is none.

    Raises
    ------
    WeightsError
        The file exists, but cannot be read.
    """
    found = _find(file, folders)
    if found is None:
        return None
    one, path = found
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"Cannot be read: {error.strerror or error}.",
            remedy="Make the file readable, or remove it.",
            path=path,
        ) from error
    return Found(path, content, find_damage(with_digest(one, folders.downloads), content), one)


def read_weights(
    card: ModelCard | SeparatorCard,
    folders: Folders,
    *,
    allow_download: bool = True,
    progress: Progress | None = None,
) -> list[Found]:
    """Read and verify the files of a model, in order; download missing ones.

    Parameters
    ----------
    card
        The model.
    folders
        Folders to search, and to download to.
    allow_download
        Whether to download missing files; otherwise, they are an error.
    progress
        Called with the progress of the download.

    Raises
    ------
    WeightsError
        A file in a folder that the user named is damaged; a file is missing and was not, or could not be,
        downloaded; or a file that belongs to a package is damaged or missing.
    """
    for folder in folders.named:
        if not folder.is_dir():
            _logger.warning("The folder of weights %s does not exist and is ignored.", folder)
    stock = {file: inspect(file, folders) for file in card.files}
    for file, there in stock.items():
        if file.package is not None and (there is None or there.damage):
            raise _badly_installed(file, file.package, there)
    damaged = [there for there in stock.values() if there and there.damage]
    for there in damaged:
        if there.path.parent in folders.named:
            raise WeightsError(
                str(there.damage),
                remedy="Replace the file by an intact copy, or remove it.",
                path=there.path,
            )
    sound = {file: there for file, there in stock.items() if there and not there.damage}
    missing = [file for file in stock if file not in sound]
    if missing:
        notes = [f"{there.path}: {there.damage}" for there in damaged]
        # Reported before a download is announced.
        without = [file.name for file in missing if not file.urls]
        if without:
            reason = f"They cannot be downloaded: no URL is known for {', '.join(without)}."
            raise _not_here(card, missing, folders, [*notes, reason])
        if not allow_download:
            raise _not_here(
                card, missing, folders, [*notes, "Downloading is disabled."], can_fetch=True
            )
        for note in notes:
            _logger.warning("%s It will be downloaded again.", note)
        sound.update(_download_missing(card, missing, folders, progress))
    for there in sound.values():
        keep_digest(there.file, there.content, folders.downloads)
    return [sound[file] for file in card.files]


def _download_missing(
    card: ModelCard | SeparatorCard,
    missing: Sequence[WeightsFile],
    folders: Folders,
    progress: Progress | None,
) -> dict[WeightsFile, Found]:
    total = sum(file.size for file in missing)
    # A warning, because the user should see the licence, and this happens only once.
    _logger.warning(
        "Downloading the weights of %s (%.1f MB) to %s. %s",
        card.name,
        total / 1e6,
        folders.downloads,
        card.licence,
    )
    fetched: dict[WeightsFile, Found] = {}
    done = 0
    for file in missing:

        def advance(count: int, before: int = done) -> None:
            if progress is not None:
                progress(before + count, total)

        try:
            download(with_digest(file, folders.downloads), folders.downloads, advance)
        except DownloadError as error:
            left = missing[len(fetched) :]
            raise _not_here(card, left, folders, error.reasons) from None
        there = inspect(replace(file, places=(), alternatives=()), Folders((), folders.downloads))
        if there is None or there.damage:
            raise WeightsError(
                "Another program removed or changed the file right after the download.",
                remedy="Try again.",
                path=folders.downloads / file.name,
            )
        fetched[file] = there
        done += file.size
    return fetched


def _badly_installed(file: WeightsFile, package: str, there: Found | None) -> WeightsError:
    what = f"{file.name} is missing from the installed package {package}."
    return WeightsError(
        what if there is None else str(there.damage),
        remedy=f"Reinstall the distribution that provides {package.partition('.')[0]}.",
        path=None if there is None else there.path,
    )


def _not_here(
    card: ModelCard | SeparatorCard,
    missing: Sequence[WeightsFile],
    folders: Folders,
    reasons: Iterable[str],
    *,
    can_fetch: bool = False,
) -> WeightsError:
    """Create an error whose remedy says which files to put where, or how to download them."""
    names = ", ".join(file.name for file in missing)
    sources = dict.fromkeys(file.urls[0].rpartition("/")[0] for file in missing if file.urls)
    published = f" They are published at {', '.join(sources)}." if sources else ""
    fetch = f"Download them: allin1 weights fetch {card.name}. Or: " if can_fetch else ""
    return WeightsError(
        f"{len(missing)} of {len(card.files)} weights files of {card.name} are not on this machine."
        f" {' '.join(reasons)}",
        remedy=f"{fetch}Put {names} into {folders.downloads}, or into another folder and give it with --weights-dir or"
        f" ALLIN1_WEIGHTS_DIR.{published}",
    )
