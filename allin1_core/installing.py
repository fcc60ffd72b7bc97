"""The command that installs a distribution of this project: from the clone the core was installed from, or by name."""

from __future__ import annotations

import functools
import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname


def install_command(name: str, *extras: str, options: str = "") -> str:
    """Return a shell command, such as ``pip install "allin1-torch[demucs]"``.

    Parameters
    ----------
    name
        Name of the distribution.
    extras
        Extras to install.
    options
        Options of ``pip install``, inserted before the name.
    """
    root = _clone()
    if root is not None:
        folder = root if name == "allin1-core" else root / "plugins" / name
        name = str(folder) if (folder / "pyproject.toml").is_file() else name
    what = f"{name}[{','.join(extras)}]" if extras else name
    is_plain = all(c.isalnum() or c in "-_./" for c in what)
    return " ".join(filter(None, ("pip install", options, what if is_plain else f'"{what}"')))


@functools.lru_cache(maxsize=1)
def _clone() -> Path | None:
    """The clone that the core was installed from (PEP 610); None if there is none or it no longer exists."""
    try:
        record = json.loads(distribution("allin1-core").read_text("direct_url.json") or "{}")
        url = urlsplit(record["url"])
    except (PackageNotFoundError, OSError, ValueError, TypeError, KeyError):
        return None
    if url.scheme != "file" or "dir_info" not in record:
        return None
    folder = Path(url2pathname(unquote(url.path)))
    return folder if (folder / "plugins").is_dir() else None
