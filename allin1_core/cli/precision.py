"""``allin1 bench --demix-error``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allin1_core.cli.printing import say, say_json

if TYPE_CHECKING:
    from allin1_core.contracts.audio import Mix
    from allin1_core.measuring.precision import SeparatorRow
    from allin1_core.runtime.engine import Engine

#: Length of the excerpt of a file that is separated, from its middle, in seconds.
_MOST_S = 120.0


def report_precision(
    engine: Engine, file: str, seconds: float, *, save: bool, as_json: bool
) -> bool:
    """Measure the error of each precision of separation, print it, and save it if requested.

    Parameters
    ----------
    engine
        The engine whose separators and device are used.
    file
        A song; empty for generated audio.
    seconds
        Length of the generated audio.
    save, as_json
        Whether to save the measurements, and whether to print JSON.

    Returns
    -------
    bool
        Whether there was a separator, and none failed.
    """
    from allin1_core.calibration.precision import save_errors
    from allin1_core.contracts.audio import STEMS
    from allin1_core.measuring.precision import measure_precision

    mix = _mix(file, seconds)
    rows = []
    if not as_json:
        say(
            f"{'backend':<14}{'device':<9}{'precision':<11}"
            + "".join(f"{stem:>12}" for stem in STEMS)
        )
    for row in measure_precision(engine, mix):
        rows.append(row)
        if not as_json:
            say(_lines(row))
    if as_json:
        say_json([_json(row) for row in rows], indent=2)
    elif not rows:
        say("No separator can run here; 'allin1 backends' says why.")
    if save:
        path = save_errors(error for row in rows for error in row.errors)
        say(f"Saved to {path}", err=as_json)
    return bool(rows) and not any(row.trouble for row in rows)


def _mix(file: str, seconds: float) -> Mix:
    from allin1_core.io.mix import MixFile
    from allin1_core.measuring.backends import generate
    from allin1_core.runtime.checking import cut

    if not file:
        generated: Mix = generate("demix", seconds)
        return generated
    from pathlib import Path

    mix: Mix = cut(MixFile(Path(file)).read()[0], _MOST_S)
    return mix


def _lines(row: SeparatorRow) -> str:
    start = f"{row.backend:<14}{row.device:<9}"
    if not row.errors:
        return f"{start}{row.trouble or row.remark}"
    return "\n".join(
        f"{start}{error.precision:<11}"
        + "".join(f"{_decibels(db):>12}" for db in error.decibels.values())
        for error in row.errors
    )


def _decibels(level: float) -> str:
    if level == float("-inf"):
        return "overflow"
    return "exact" if level == float("inf") else f"{level:.1f} dB"


def _json(row: SeparatorRow) -> dict[str, object]:
    errors = {
        error.precision: {
            stem: db if abs(db) != float("inf") else _decibels(db)
            for stem, db in error.decibels.items()
        }
        for error in row.errors
    }
    return {
        "backend": row.backend,
        "device": row.device,
        "decibels": errors,
        "remark": row.remark,
        "trouble": row.trouble,
    }
