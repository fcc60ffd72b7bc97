"""MIDI: a tempo map that plays back to the beats, markers for segments, and a click track."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

from allin1_core.contracts.export import Song
from allin1_core.errors import OutputError
from allin1_core.exports.grid import metre_at
from allin1_core.exports.text import one_line

#: Ticks per quarter note: a tick is less than a millisecond from 63 bpm.
TICKS = 960

#: Limit for a tempo, which is stored as 24 bits of microseconds per beat.
_MOST_MICROSECONDS = 0xFF_FF_FF

#: Clicks: side stick and high wood block of General MIDI's drum channel.
_DRUMS, _BEAT, _DOWNBEAT = 9, 37, 76


def write(songs: Sequence[Song], file: BinaryIO) -> None:
    """Write one tempo per beat, so that errors do not accumulate: each beat is within a microsecond of its time.

    The song starts with a bar of one beat that lasts until the first beat. A silent note spans the whole song, without
    which Ableton Live ignores the tempo map.
    """
    import mido

    (song,) = songs
    times = [float(time) for time in song.result.beats]
    if len(times) < 2:
        raise OutputError(
            f"{song.name} has fewer than two beats, which are needed for a tempo map.",
            remedy="Choose another format.",
        )
    tempi, starts = _tempi(song, times)
    end = _tick(song.duration_s, tempi, starts)
    document = mido.MidiFile(type=1, ticks_per_beat=TICKS, charset="utf-8")
    document.tracks.append(_map(mido, song, tempi, starts, end))
    document.tracks.append(_clicks(mido, song, len(times), end, has_lead_in=times[0] > 0))
    document.save(file=file)


def _tempi(song: Song, times: Sequence[float]) -> tuple[list[int], list[float]]:
    """Length of each quarter note of the map in microseconds, and its start in seconds when played."""
    borders = [0.0, *times] if times[0] > 0 else list(times)
    tempi: list[int] = []
    starts = [0.0 if times[0] > 0 else times[0]]
    played = round(1e6 * starts[0])
    for following in borders[1:]:
        # Relative to the played time, not to the last beat, so that rounding is compensated immediately.
        microseconds = max(1, round(1e6 * following) - played)
        if microseconds > _MOST_MICROSECONDS:
            raise OutputError(
                f"{song.name} has {microseconds / 1e6:.1f} s without a beat; MIDI allows at most 16.7 s per beat.",
                remedy="Choose another format.",
            )
        tempi.append(microseconds)
        played += microseconds
        starts.append(played / 1e6)
    tempi.append(tempi[-1])  # the last beat is as long as the one before it
    return tempi, starts


def _tick(time: float, tempi: Sequence[int], starts: Sequence[float]) -> int:
    """Tick of a time in seconds; before the first border 0."""
    last = max((i for i, start in enumerate(starts) if start <= time), default=0)
    beats = last + (time - starts[last]) * 1e6 / tempi[last]
    return max(0, round(beats * TICKS))


def _map(mido: Any, song: Song, tempi: Sequence[int], starts: Sequence[float], end: int) -> Any:
    events: list[tuple[int, Any]] = [(0, mido.MetaMessage("track_name", name=one_line(song.name)))]
    lead_in = len(starts) - len(song.result.beats)
    if lead_in:
        events.append((0, mido.MetaMessage("time_signature", numerator=1, denominator=4)))
    current = 0
    for beat, place in enumerate(song.result.beat_positions):
        metre = metre_at(song, beat)
        if metre != current and (place == 1 or beat == 0):
            current = metre
            signature = mido.MetaMessage("time_signature", numerator=metre, denominator=4)
            events.append(((beat + lead_in) * TICKS, signature))
    for number, microseconds in enumerate(tempi):
        events.append((number * TICKS, mido.MetaMessage("set_tempo", tempo=microseconds)))
    for one in song.result.segments:
        marker = mido.MetaMessage("marker", text=one_line(one.label))
        events.append((_tick(one.start, tempi, starts), marker))
    return _track(mido, events, end)


def _clicks(mido: Any, song: Song, beats: int, end: int, *, has_lead_in: bool) -> Any:
    events: list[tuple[int, Any]] = [
        (0, mido.MetaMessage("track_name", name="Beats")),
        (0, mido.Message("note_on", channel=0, note=0, velocity=1)),
        (max(end, 1), mido.Message("note_off", channel=0, note=0, velocity=0)),
    ]
    for beat, place in enumerate(song.result.beat_positions[:beats]):
        tick = (beat + has_lead_in) * TICKS
        note = _DOWNBEAT if place == 1 else _BEAT
        events.append((tick, mido.Message("note_on", channel=_DRUMS, note=note, velocity=100)))
        off = tick + TICKS // 4
        events.append((off, mido.Message("note_off", channel=_DRUMS, note=note, velocity=0)))
    return _track(mido, events, end)


def _track(mido: Any, events: list[tuple[int, Any]], end: int) -> Any:
    track = mido.MidiTrack()
    now = 0
    for tick, message in sorted(events, key=lambda event: event[0]):
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, end - now)))
    return track
