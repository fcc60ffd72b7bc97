"""Options that several commands share."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from allin1_core.contracts.model import AUTO_MODEL
from allin1_core.presentation.formats import PICTURES, SOUNDS

if TYPE_CHECKING:
    from allin1_core.contracts.metre import TempoPrior
    from allin1_core.errors import Allin1Error


#: Types of options for a file format, given as a suffix without its dot.
PICTURE_FORMAT = click.Choice([suffix[1:] for suffix in PICTURES])
SOUND_FORMAT = click.Choice([suffix[1:] for suffix in SOUNDS])


class _Parameters(Protocol):
    def validate(self) -> Any: ...


T = TypeVar("T", bound=_Parameters)


def show_calibration(is_shown: bool = True) -> None:
    """Log the measurements of a run on stderr while they are made, or do not."""
    level = logging.INFO if is_shown else logging.NOTSET
    logging.getLogger("allin1_core.measuring.on_demand").setLevel(level)


def validated(parameters: T, options: Mapping[str, str]) -> T:
    """Validate parameters; a value out of range is a usage error that names the option.

    Parameters
    ----------
    parameters
        Parameters made from the options.
    options
        Name of the option for each field whose name differs.

    Raises
    ------
    click.UsageError
        A value is out of range.
    """
    from allin1_core.errors import ContractError

    try:
        parameters.validate()
    except ContractError as error:
        field, verb, rest = error.message.partition(" is ")
        if verb and field.isidentifier():
            field = f"--{options.get(field, field).replace('_', '-')}"
        raise click.UsageError(f"{field}{verb}{rest}") from error
    return parameters


class Number(click.ParamType):  # type: ignore[type-arg]
    """A finite number within inclusive bounds; the ranges of click accept NaN."""

    name = "float"

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse a number."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not self._low <= number <= self._high:
            self.fail(f"{value} is not between {self._low:g} and {self._high:g}", param, ctx)
        return number


#: A length of audio, from a frame of the spectrogram to a day.
SECONDS = Number(0.01, 86_400)


class _InputPath(click.Path):
    """A file or folder to read. If it does not exist, only this input has failed, not the command line."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty name, which would be the current folder."""
        if value == "":
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


#: Results, annotations, and folders of them.
INPUT = _InputPath()


class StageAndName(click.ParamType):  # type: ignore[type-arg]  # older versions of click have no argument
    """``stage=name``."""

    name = "STAGE=NAME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split at the equals sign."""
        if isinstance(value, tuple):
            return value
        stage, equals, name = str(value).partition("=")
        if not (stage and equals and name):
            self.fail(f"{value!r} is not of the form STAGE=NAME, such as nn=torch", param, ctx)
        return stage.strip(), name.strip()


class Prior(click.ParamType):  # type: ignore[type-arg]
    """``BPM,OCTAVES[,STRENGTH]``, or ``none``."""

    name = "BPM,OCTAVES[,STRENGTH]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> TempoPrior:
        """Split at the commas."""
        from allin1_core.contracts.metre import NO_TEMPO_PRIOR, TempoPrior
        from allin1_core.errors import ContractError

        if isinstance(value, TempoPrior):
            return value
        if value == "none":
            return NO_TEMPO_PRIOR
        try:
            bpm, octaves, *strength = (float(part) for part in str(value).split(","))
            return TempoPrior(bpm, octaves, *strength).validate()
        except ContractError as error:
            self.fail(error.message, param, ctx)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not of the form {self.name}, such as 120,0.7", param, ctx)


tempo_prior_option = click.option(
    "--tempo-prior",
    type=Prior(),
    help="Prefer tempi near BPM, by a log-normal distribution with a standard deviation of OCTAVES; STRENGTH defaults to"
    " 0.05. none disables the prior of a model.  [default: the model's]",
)

steady_phase_option = click.option(
    "--steady-phase/--no-steady-phase",
    default=None,
    help="In a song of constant tempo, correct passages whose beats were detected half a beat off.  [default: the model's]",
)


class PluginOption(click.ParamType):  # type: ignore[type-arg]
    """``plugin.option=value``."""

    name = "PLUGIN.OPTION=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str, str]:
        """Split at the first equals sign, and at the last dot before it."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        plugin, _, option = name.strip().rpartition(".")
        if not (plugin and option and equals):
            self.fail(f"{value!r} is not of the form {self.name}, such as mine.batch=4", param, ctx)
        return plugin, option, text


def by_plugin(options: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Values by plugin and option; if an option is repeated, the last value counts."""
    values: dict[str, dict[str, str]] = {}
    for plugin, option, value in options:
        values.setdefault(plugin, {})[option] = value
    return values


plugin_option = click.option(
    "-O",
    "--option",
    "plugin_options",
    multiple=True,
    type=PluginOption(),
    help="Set an option that a plugin declares, such as mine.batch=4; may be repeated. 'allin1 plugins' lists them.",
)
model_option = click.option(
    "-m",
    "--model",
    help="Name of the model; 'allin1 weights list' lists them. auto chooses harmonix-all if its weights are installed and"
    f" stems are given or songs can be separated, otherwise builtin.  [default: {AUTO_MODEL}]",
)
backend_option = click.option(
    "-b",
    "--backend",
    "backends",
    multiple=True,
    type=StageAndName(),
    help="Use this backend or plugin for a stage, such as nn=torch-cpu; may be repeated."
    " NAME auto overrides the environment and the configuration file.",
)
calibrate_option = click.option(
    "--calibrate/--no-calibrate",
    default=None,
    help="Before choosing, measure the backends that have no valid measurement yet, and save the measurements.",
)
parity_option = click.option(
    "--parity",
    type=click.Choice(["identical", "close", "lossy"]),
    help="Weakest guarantee of parity with the reference to accept.  [default: close]",
)
results_argument = click.argument(
    "results", nargs=-1, required=True, type=INPUT, metavar="RESULT..."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace files that exist.")


def result_files(
    paths: tuple[Path, ...], report: Callable[[Allin1Error], None] | None = None
) -> list[Path]:
    """List the results that `paths` name: files, and the JSON files in folders, sorted by name.

    Parameters
    ----------
    paths
        Files and folders.
    report
        Called with the error of each folder that cannot be read; None raises it.

    Raises
    ------
    click.UsageError
        There are none.
    InputError
        A folder cannot be read, and there is no `report`.
    """
    from allin1_core.errors import InputError

    found: list[Path] = []
    is_reported = False
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir, never raises
            found.append(path)
            continue
        try:
            found += sorted(file for file in path.iterdir() if file.suffix == ".json")
        except OSError as error:
            reason = f"The folder cannot be read: {error.strerror}."
            unreadable = InputError(reason, remedy="Check its permissions.", path=path)
            if report is None:
                raise unreadable from error
            report(unreadable)
            is_reported = True
    if paths and not found and not is_reported:
        raise click.UsageError(
            f"There are no results in {', '.join(map(str, paths))}: no file ends in .json."
        )
    return found
