"""Figures of machines: this one, those that are part of the package, and a table of them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

from allin1_core.calibration.conditions import processor
from allin1_core.io.documents import DocumentError, member, read_as

#: The separator that is measured.
DEMUCS_MODEL = "htdemucs"

#: Description of each figure, in the order of the table. All are seconds, so less is better.
FIGURES: dict[str, str] = {
    "start": "`allin1 --help`",
    "first-song": "a process that analyses three minutes of WAV by `builtin`",
    "read-wav": "reading three minutes of WAV at 48 kHz",
    "read-flac": "reading three minutes of FLAC at 48 kHz",
    "read-mp3": "reading three minutes of MP3 at 48 kHz",
    "spectrogram builtin": "spectrogram of the mix",
    "nn builtin": "network, 3 members",
    "metrical_prep builtin": "metrical preparation",
    "metrical_dbn builtin": "metre decoder",
    "functional builtin": "sections",
    "song": "three minutes in memory, by `builtin`, all set up",
    "demix harmonix-all": f"separation by {DEMUCS_MODEL}",
    "spectrogram harmonix-all": "spectrogram of the stems",
    "nn harmonix-all": "network, 8 members",
}

_SCHEMA = 1


@dataclass(frozen=True)
class Figure:
    """A figure of a machine.

    Attributes
    ----------
    name
        Name of the figure; see :data:`FIGURES`.
    seconds
        Seconds, for three minutes of audio where audio matters; None if it could not be measured.
    backend
        The backend that was measured, and its device, if there was a choice.
    trouble
        Why it could not be measured.
    """

    name: str
    seconds: float | None = None
    backend: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Machine:
    """A machine and its figures.

    Attributes
    ----------
    name
        Cores, processor, accelerator.
    system
        Operating system and Python.
    versions
        Versions of the packages involved.
    date
        Date of the measurement, as ``2026-11-28``.
    source
        How the figures were measured.
    figures
        The figures.
    """

    name: str
    system: str
    versions: str
    date: str
    source: str
    figures: tuple[Figure, ...] = field(default=())

    def seconds(self, name: str) -> float | None:
        """The figure of this name; None if it was not measured."""
        return next((f.seconds for f in self.figures if f.name == name), None)


def this_machine(accelerators: Sequence[str] = ()) -> str:
    """Name this machine: ``2 cores, AMD EPYC``, and its accelerators."""
    cores = os.cpu_count() or 1
    name = f"{cores} {'core' if cores == 1 else 'cores'}, {processor()}"
    return ", ".join([name, *accelerators])


def this_system() -> str:
    """Name the operating system and Python."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


def load_references() -> tuple[Machine, ...]:
    """Read the machines that are part of the package."""
    text = (resources.files("allin1_core.measuring") / "machines.json").read_text(encoding="utf-8")
    return from_json(json.loads(text))


def from_json(content: Any) -> tuple[Machine, ...]:
    """Parse machines from the output of :func:`to_json`.

    Raises
    ------
    DocumentError
        The content has another form.
    """
    if member(content, "schema") != _SCHEMA:
        raise DocumentError("it was written by another version")
    machines: list[Machine] = read_as(list[Machine], member(content, "machines"), "machines")
    return tuple(machines)


def to_json(machines: Iterable[Machine]) -> dict[str, Any]:
    """Convert machines to values that can be written as JSON."""
    return {"schema": _SCHEMA, "machines": [asdict(machine) for machine in machines]}


def table(machines: Sequence[Machine], *, with_ratios: bool = False) -> str:
    """Format machines as a table in Markdown, followed by their descriptions.

    Parameters
    ----------
    machines
        The machines, one per column.
    with_ratios
        Whether to state how many times as fast the first machine is as each of the others.
    """
    heads = ["seconds", *(f"[{number}]" for number in range(1, len(machines) + 1))]
    lines = [_row(heads), _row(["---", *["---:"] * len(machines)])]
    for name, words in FIGURES.items():
        values = [machine.seconds(name) for machine in machines]
        own = values[0] if with_ratios else None
        if any(value is not None for value in values):
            first, *others = values
            cells = [_cell(first), *(_cell(value, own) for value in others)]
            lines.append(_row([words, *cells]))
    lines.append("")
    lines += [
        f"- [{number}] {one.name}; {one.system}; {one.versions}; {one.date}; {one.source}"
        for number, one in enumerate(machines, 1)
    ]
    return "\n".join(lines) + "\n"


def report(own: Machine, references: Sequence[Machine]) -> str:
    """Describe a machine in Markdown, next to others."""
    lines = [
        "# What this machine does",
        "",
        "Seconds, for three minutes of audio where audio matters: less is better.",
        "",
        table([own, *references], with_ratios=True),
    ]
    if references:
        lines += ["In brackets: how many times as fast [1] is as that machine.", ""]
    backends = [f"{FIGURES[f.name]}: {f.backend}" for f in own.figures if f.backend]
    if backends:
        lines += ["Backends of [1]:", "", *(f"- {text}" for text in backends), ""]
    troubles = [f"{FIGURES[f.name]}: {f.trouble}" for f in own.figures if f.trouble]
    if troubles:
        lines += ["Not measured:", "", *(f"- {text}" for text in troubles), ""]
    return "\n".join(lines)


def seconds_text(seconds: float) -> str:
    """Format seconds with three significant digits.

    >>> [seconds_text(value) for value in (123.456, 1.23456, 0.00123456, 0.0)]
    ['123', '1.23', '0.00123', '0']
    """
    if seconds >= 100:
        return f"{seconds:.0f}"
    return f"{seconds:.3g}" if seconds >= 1e-4 or not seconds else f"{seconds:.2g}"


def _cell(value: float | None, own: float | None = None) -> str:
    if value is None:
        return ""
    text = seconds_text(value)
    return f"{text} ({value / own:.2g}×)" if own else text


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
