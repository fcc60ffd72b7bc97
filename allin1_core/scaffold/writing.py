"""Writing a new plugin from templates."""

from __future__ import annotations

import hashlib
import string
from importlib.metadata import version
from pathlib import Path

from packaging.version import Version

from allin1_core.contracts.rules import is_name
from allin1_core.errors import OutputError, SettingsError
from allin1_core.io.atomic import atomic_path
from allin1_core.plugins.loading import BUILT_IN
from allin1_core.scaffold.kinds import Kind

_TEMPLATES = Path(__file__).parent / "templates"

_CORE = "allin1-core"

#: Suffix of every template.
_SUFFIX = ".tmpl"


def write_plugin(name: str, kind: Kind, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write a complete distribution.

    Parameters
    ----------
    name
        Name of the plugin.
    kind
        Kind of the plugin.
    folder
        Folder to write to; created if it is missing.
    overwrite
        Whether existing files are replaced.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    SettingsError
        The name is not a valid name of a plugin.
    OutputError
        A file exists, or cannot be written.
    """
    contents = plugin_files(name, kind)
    existing = [path for path in contents if (folder / path).exists()]
    if existing and not overwrite:
        raise OutputError(
            f"{existing[0]} exists{_and_more(len(existing) - 1)}.",
            remedy="Choose another folder with --folder, or replace the files with --overwrite.",
            path=folder,
        )
    for path, text in contents.items():
        destination = folder / path
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot be created: {error.strerror}.", path=destination.parent
            ) from error
        with atomic_path(destination) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return [folder / path for path in contents]


def plugin_files(name: str, kind: Kind) -> dict[str, str]:
    """The files of a new plugin, by their paths in its folder.

    Raises
    ------
    SettingsError
        The name is not a valid name of a plugin.
    """
    if not (is_name(name) and name == name.lower() and name[0].isalpha()):
        raise SettingsError(
            f"{name!r} is not a valid name of a plugin.",
            remedy="Use lower-case letters and digits, in groups joined by single hyphens, and not auto.",
        )
    if name in BUILT_IN or distribution_name(name) == _CORE:
        raise SettingsError(
            f"{name!r} is a name of allin1-core itself, so the plugin would never be loaded.",
            remedy=f"Choose a name other than {', '.join((*BUILT_IN, 'core'))}.",
        )
    values = _values(name, kind)
    templates = {**_templates(_TEMPLATES / "common"), **_templates(_TEMPLATES / kind.name)}
    if "src/PACKAGE/weights.json" in templates:
        content = templates["src/PACKAGE/weights.json"].encode()
        values |= {
            "weights_sha256": hashlib.sha256(content).hexdigest(),
            "weights_size": str(len(content)),
        }
    return {
        _filled(path, values).replace("PACKAGE", values["package"]): _filled(text, values)
        for path, text in sorted(templates.items())
    }


def distribution_name(name: str) -> str:
    """The name of a new plugin's distribution, and of its folder.

    >>> distribution_name("mine"), distribution_name("allin1-mine")
    ('allin1-mine', 'allin1-mine')
    """
    return name if name.startswith("allin1-") else f"allin1-{name}"


def _values(name: str, kind: Kind) -> dict[str, str]:
    distribution = distribution_name(name)
    core = Version(version(_CORE))
    dependencies = (f"{_CORE}>={core.major}.{core.minor},<{core.major}.{core.minor + 1}",)
    return {
        "name": name,
        "distribution": distribution,
        "package": distribution.replace("-", "_"),
        "module": kind.module,
        "summary": kind.summary,
        "short": name.replace("-", ""),
        "title": "".join(part.capitalize() for part in name.split("-")),
        "dependencies": ", ".join(f'"{one}"' for one in dependencies + kind.dependencies),
    }


def _filled(text: str, values: dict[str, str]) -> str:
    return string.Template(text).substitute(values)


def _templates(folder: Path) -> dict[str, str]:
    """Templates by their paths; names that start with a dot start with ``dot_`` in the folder."""
    found = {}
    for path in folder.rglob(f"*{_SUFFIX}"):
        parts = [part.replace("dot_", ".") for part in path.relative_to(folder).parts]
        name = "/".join(parts).removesuffix(_SUFFIX)
        found[name] = path.read_text(encoding="utf-8")
    return found


def _and_more(count: int) -> str:
    return f", as do {count} more of its files" if count > 0 else ""
