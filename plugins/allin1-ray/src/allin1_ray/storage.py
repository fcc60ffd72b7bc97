"""Files in folders and object stores, by fsspec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allin1_core.errors import Allin1Error, InputError, OutputError, brief
from allin1_core.installing import install_command
from allin1_core.urls import Url, is_url


def shown(url: str) -> str:
    """A path, or a URL without what lets others in, for messages."""
    return str(Url(url).without_secrets) if is_url(url) else url


def join(folder: str, name: str) -> str:
    """Address of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def open_storage(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The file system of a path or URL, and the path in it.

    Raises
    ------
    InputError
        There is no such file system, or what it needs is not installed.
    """
    from fsspec.core import url_to_fs

    try:
        storage, path = url_to_fs(url, **(options if is_url(url) else {}))
    except (ImportError, ValueError) as error:
        raise InputError(
            f"Cannot be opened: {error}",
            remedy=f"Install what it needs: {install_command('allin1-ray', 's3')}, or [gcs], or [http].",
            path=shown(url),
        ) from error
    return storage, path


def fetch(url: str, destination: Path, options: Mapping[str, Any]) -> None:
    """Copy a file of a store to `destination`.

    Raises
    ------
    InputError
        It is not there, or cannot be read.
    """
    storage, path = open_storage(url, options)
    try:
        storage.get_file(path, str(destination))
    except FileNotFoundError as error:
        raise InputError("There is no such file.", path=shown(url)) from error
    except Exception as error:  # each store has classes of its own
        raise InputError(f"Cannot be read: {brief(error)}.", path=shown(url)) from error


def fetch_if_there(url: str, destination: Path, options: Mapping[str, Any]) -> bool:
    """Copy a file of a store to `destination` where it exists, and tell whether it does."""
    storage, path = open_storage(url, options)
    try:
        storage.get_file(path, str(destination))
    except FileNotFoundError:
        destination.unlink(missing_ok=True)
        return False
    except Exception as error:
        raise InputError(f"Cannot be read: {brief(error)}.", path=shown(url)) from error
    return True


def put(source: Path, url: str, options: Mapping[str, Any]) -> None:
    """Copy a file to a store, where it appears whole or not at all.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        storage, path = open_storage(url, options)
        storage.put_file(str(source), path)
    except Allin1Error:
        raise
    except Exception as error:
        raise OutputError(f"Cannot be written: {brief(error)}.", path=shown(url)) from error
