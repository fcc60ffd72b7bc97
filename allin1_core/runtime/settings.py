"""Settings of a session from environment variables and from the user's configuration file.

An argument takes precedence over ``ALLIN1_BACKEND``, and that over the file. The file is TOML: the one that
``ALLIN1_CONFIG`` names (none, if that is empty), or else ``config.toml`` in the user's configuration folder::

    model = "harmonix-fold0"
    device = "cuda"
    parity = "close"  # identical, close or lossy
    threads = 4
    calibrate = true
    weights_dir = "~/weights"

    [backends]
    nn = "torch"

    [plugins.mine]  # options that the plugin declares
    batch = 4
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allin1_core.contracts.parity import IDENTICAL, LOSSY, Parity
from allin1_core.contracts.route import ANY_CLOSE, Choice
from allin1_core.contracts.stages import Stage
from allin1_core.errors import SettingsError
from allin1_core.io.documents import DocumentError, read_toml
from allin1_core.paths import expanded
from allin1_core.plugins.options import GivenOptions
from allin1_core.text import did_you_mean

#: Parities that a user can request by name.
PARITIES = {"identical": IDENTICAL, "close": ANY_CLOSE, "lossy": LOSSY}

#: Value that lets the policy choose for a stage, and takes precedence over settings of lower priority.
AUTO = "auto"

_KEYS: dict[str, type] = {
    "model": str,
    "device": str,
    "parity": str,
    "threads": int,
    "calibrate": bool,
    "weights_dir": str,
    "backends": dict,
    "plugins": dict,
}


@dataclass(frozen=True)
class Settings:
    """Values that apply unless an argument overrides them.

    Attributes
    ----------
    model, device, parity, threads, calibrate, weights_dir
        As the parameters of :class:`~allin1_core.runtime.session.Session`; None if not set.
    choices
        The backend or plugin for each stage.
    options
        For each plugin and option name, the value and its source.
    """

    model: str | None = None
    device: str | None = None
    parity: Parity | None = None
    threads: int | None = None
    calibrate: bool | None = None
    weights_dir: str | None = None
    choices: tuple[Choice, ...] = ()
    options: GivenOptions = field(default_factory=dict)


def read_settings() -> Settings:
    """Read the environment and the configuration file.

    Raises
    ------
    SettingsError
        One of them is invalid, or the file that ``ALLIN1_CONFIG`` names does not exist.
    """
    path = config_path()
    content = {} if path is None else _read(path)
    choices = choices_of(content.get("backends", {}), str(path))
    choices |= choices_of(parse_choices(os.environ.get("ALLIN1_BACKEND", "")), "ALLIN1_BACKEND")
    weights_dir = content.get("weights_dir")
    return Settings(
        model=content.get("model"),
        device=content.get("device"),
        parity=PARITIES[content["parity"]] if "parity" in content else None,
        threads=content.get("threads"),
        calibrate=content.get("calibrate"),
        # The variable is read where weights are looked up, and takes precedence over the file.
        weights_dir=None if os.environ.get("ALLIN1_WEIGHTS_DIR") else weights_dir,
        choices=tuple(choices.values()),
        options={
            (plugin, name): (value, str(path))
            for plugin, table in content.get("plugins", {}).items()
            for name, value in table.items()
        },
    )


def choices_of(named: Mapping[Any, str], source: str = "") -> dict[Stage, Choice]:
    """The choices from one source, by stage."""
    return {stage: Choice(stage, name, source) for stage, name in named.items()}


def config_path() -> Path | None:
    """Path of the configuration file; None if there is none.

    Raises
    ------
    SettingsError
        ``ALLIN1_CONFIG`` names a file that does not exist, or a folder.
    """
    named = os.environ.get("ALLIN1_CONFIG")
    if named is not None:
        path = expanded(named)
        if named and not path.is_file():
            reason = "it is not a file" if path.exists() else "it does not exist"
            raise SettingsError(
                f"ALLIN1_CONFIG names this file, but {reason}.",
                remedy="Create the file, or unset the variable.",
                path=path,
            )
        return path if named else None
    import platformdirs

    path = Path(platformdirs.user_config_dir("allin1")) / "config.toml"
    return path if path.is_file() else None


def parse_choices(text: str) -> dict[str, str]:
    """Parse ``stage=name,stage=name``.

    >>> parse_choices("nn=torch-cpu, metrical_dbn=reference")
    {'nn': 'torch-cpu', 'metrical_dbn': 'reference'}

    Raises
    ------
    SettingsError
        The text has another form.
    """
    choices = {}
    for part in text.split(","):
        stage, equals, name = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not (stage and equals and name):
            raise SettingsError(
                f"ALLIN1_BACKEND contains {part.strip()!r}.",
                remedy="Write stage=name,stage=name, such as nn=torch,metrical_dbn=reference.",
            )
        choices[stage] = name
    return choices


def parity_named(name: str, path: Path | None = None) -> Parity:
    """Look up one of :data:`PARITIES`.

    Raises
    ------
    SettingsError
        There is none of that name.
    """
    if name not in PARITIES:
        raise SettingsError(
            f"parity is {name!r}.", remedy=f"Use one of {', '.join(PARITIES)}.", path=path
        )
    return PARITIES[name]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_toml(path)
    except OSError as error:
        raise SettingsError(
            f"cannot be read: {error.strerror or error}.",
            remedy="Check its permissions.",
            path=path,
        ) from error
    except DocumentError as error:
        raise SettingsError(
            f"is not TOML: {error}.", remedy="Correct the file.", path=path
        ) from error
    for key, value in content.items():
        if key not in _KEYS:
            raise SettingsError(
                f"There is no setting {key}.",
                remedy=f"{did_you_mean(key, _KEYS)}There are: {', '.join(_KEYS)}.",
                path=path,
            )
        kind = _KEYS[key]
        # In Python, a bool is an int.
        if type(value) is not kind:
            raise SettingsError(f"{key} is {value!r}; wanted {_WORDS[kind]}.", path=path)
        if isinstance(value, str) and not value.strip():
            raise SettingsError(
                f"{key} is empty.", remedy="Give a value, or remove the line.", path=path
            )
    if content.get("threads", 1) < 1:
        raise SettingsError(f"threads is {content['threads']}; wanted 1 or more.", path=path)
    if "parity" in content:
        parity_named(content["parity"], path)
    for stage, name in content.get("backends", {}).items():
        if not isinstance(name, str):
            raise SettingsError(f"backends.{stage} is {name!r}; wanted a name.", path=path)
    for plugin, table in content.get("plugins", {}).items():
        if not isinstance(table, dict):
            raise SettingsError(f"plugins.{plugin} is {table!r}; wanted a table.", path=path)
    return content


_WORDS = {str: "a text", int: "a whole number", bool: "true or false", dict: "a table"}
