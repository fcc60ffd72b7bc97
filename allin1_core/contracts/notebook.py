"""A result as HTML, which notebooks display instead of its text: a heading and a picture of the song."""

from __future__ import annotations

import html
from collections.abc import Sequence

from allin1_core.contracts.colours import colours_of
from allin1_core.contracts.sections import Segment
from allin1_core.text import shown

#: Size of the picture in its own units; it is scaled to the width of the page.
_WIDTH, _HEIGHT, _BAND = 1000.0, 92.0, 44.0

#: Maximum number of beats or downbeats that are drawn; more would become a grey area.
_MOST_LINES = 1000

#: Possible steps of the time axis in seconds, and the maximum number of its labels.
_STEPS, _MOST_NUMBERS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200), 14


def html_of(
    title: str,
    summary: str,
    segments: Sequence[Segment],
    beats: Sequence[float],
    downbeats: Sequence[float],
    warnings: Sequence[str] = (),
) -> str:
    """Draw a song with sections in colours, beats, downbeats and warnings.

    Parameters
    ----------
    title, summary
        Texts of the heading.
    segments
        In time order; may be empty.
    beats, downbeats
        Times in seconds; may be empty.
    warnings
        Lines below the picture.

    Returns
    -------
    str
        An HTML element with an inline SVG. It has no script, loads nothing, and text from outside is escaped.
    """
    length = max([*beats[-1:], *(one.end for one in segments[-1:]), 1.0])
    described = ", ".join(f"{one.label} from {_clock(one.start)}" for one in segments)
    parts = [
        f'<div style="max-width:{_WIDTH:.0f}px;font:13px sans-serif">',
        f"<div><b>{_text(title)}</b> &middot; {_text(summary)}</div>",
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" width="100%" role="img" fill="currentColor" '
        f'font-size="11" aria-label="{_text(described or "no sections")}">',
        *_sections(segments, length),
        *_beats(beats, downbeats, length),
        *_numbers(length),
        "</svg>",
        *(f"<div>Warning: {_text(warning)}</div>" for warning in warnings),
        "</div>",
    ]
    return "".join(parts)


def _sections(segments: Sequence[Segment], length: float) -> list[str]:
    colours = colours_of(one.label for one in segments)
    parts = []
    for one in segments:
        left, width = _x(one.start, length), _x(one.end - one.start, length)
        # The nested SVG element clips a label that is longer than its section.
        parts.append(
            f'<svg x="{left:.2f}" y="16" width="{width:.2f}" height="{_BAND:g}">'
            f"<title>{_text(one.label)}, {_clock(one.start)} to {_clock(one.end)}</title>"
            f'<rect width="100%" height="100%" fill="{colours[one.label]}" stroke="white"/>'
            f'<text x="4" y="14" fill="black">{_text(one.label)}</text></svg>'
        )
    return parts


def _beats(beats: Sequence[float], downbeats: Sequence[float], length: float) -> list[str]:
    top = 16 + _BAND + 2
    parts = []
    for times, bottom, width in (
        (beats, top + 5, 0.6),
        (downbeats, top + 11, 1.2),
    ):
        if 0 < len(times) <= _MOST_LINES:
            lines = "".join(f"M{_x(time, length):.2f} {top:g}V{bottom:g}" for time in times)
            parts.append(f'<path d="{lines}" stroke="currentColor" stroke-width="{width:g}"/>')
    return parts


def _numbers(length: float) -> list[str]:
    step = next((s for s in _STEPS if length / s <= _MOST_NUMBERS), 3600)
    return [
        f'<text x="{_x(time, length):.2f}" y="{_HEIGHT - 4:g}">{_clock(time)}</text>'
        for time in range(0, int(length - 0.04 * length) + 1, step)
    ]


def _x(seconds: float, length: float) -> float:
    return _WIDTH * seconds / length


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _text(text: str) -> str:
    return html.escape(shown(text))
