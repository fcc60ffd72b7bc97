"""OGG files with Vorbis, Opus or FLAC, including chained files and files with missing pages.

libsndfile reads only the first link of a chain, closes up the gap of missing pages, and stops if the rate changes. So pages are
located here, and each run of pages is decoded separately, after the headers of its link. Its time follows from the position
that its last page states.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from allin1_core.io.decoding import libsndfile
from allin1_core.io.decoding.reader import Block, silence
from allin1_core.io.decoding.source import Piece, Source
from allin1_core.io.decoding.tags import skip_tags

_CAPTURE = b"OggS"
_HEADER_BYTES = 27
_LARGEST_PAGE = _HEADER_BYTES + 255 + 255 * 255

#: Maximum length of a page; a larger jump in position after a gap is ignored.
_PAGE_S = 60.0

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """A page with a correct checksum: bytes `start` to `end`.

    `position` is the end of the last packet that ends in it, in samples; -1 if none does.
    """

    start: int
    end: int
    first: bool
    position: int
    serial: int
    number: int


@dataclass
class Run:
    """Consecutive pages with audio, and the number of pages missing before them."""

    pages: list[Page]
    missing: int

    @property
    def position(self) -> int:
        """Its end, in samples; -1 if unknown."""
        return max(page.position for page in self.pages)


@dataclass
class Link:
    """One of the chained files: pages with headers, then runs of pages with audio.

    The headers and `codec` are empty if they are damaged.
    """

    codec: str
    serial: int
    headers: list[Page] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)


def find_links(source: Source, *, named_ogg: bool) -> list[Link] | None:
    """Return the links of an OGG file; None if it is not one, or its streams are not consecutive audio.

    If the file name is that of an OGG file, pages are also searched after other data.
    """
    if not named_ogg and source.read_at(skip_tags(source, 0), 4) != _CAPTURE:
        return None
    links: list[Link] = []
    previous: Page | None = None
    for page in _pages(source):
        if page.first:
            codec = _codec(source.read_at(page.start, min(page.end - page.start, 512)))
            if previous is not None and previous.first:
                # Two parallel streams, unless it is the same page again.
                if page.serial != previous.serial:
                    return None
                links.pop()
            if not codec:
                return None
            links.append(Link(codec, page.serial))
        elif previous is None or page.serial != links[-1].serial or page.number < previous.number:
            links.append(Link("", page.serial))
        link = links[-1]
        follows = previous is not None and page.number == previous.number + 1
        if page.first or (page.position <= 0 and follows and link.codec and not link.runs):
            link.headers.append(page)
        elif follows and link.runs:
            link.runs[-1].pages.append(page)
        else:
            missing = 0 if previous is None else max(0, page.number - previous.number - 1)
            link.runs.append(Run([page], missing))
        previous = page
    return links if any(link.codec for link in links) else None


def _codec(head: bytes) -> str:
    content = head[_HEADER_BYTES + head[26] :]
    for codec, magic in (("vorbis", b"\x01vorbis"), ("opus", b"OpusHead"), ("flac", b"\x7fFLAC")):
        if content.startswith(magic):
            return codec
    return ""


def _pages(source: Source) -> Iterator[Page]:
    """Yield all pages with correct checksums; other data is skipped."""
    data, base, at = b"", 0, 0
    while at < source.size:
        if at - base + _LARGEST_PAGE > len(data) and base + len(data) < source.size:
            data, base = source.read_at(at, 8 * _LARGEST_PAGE), at
            if not data:
                return
        index = data.find(_CAPTURE, at - base, at - base + _LARGEST_PAGE)
        if index < 0:
            at += _LARGEST_PAGE - len(_CAPTURE) + 1
            continue
        if index + _LARGEST_PAGE > len(data) and base + len(data) < source.size:
            at = base + index
            continue
        page = _page_at(data, index)
        if page and _checksum(page) == int.from_bytes(page[22:26], "little"):
            start = base + index
            at = start + len(page)
            yield Page(
                start,
                at,
                first=bool(page[5] & 2),
                position=int.from_bytes(page[6:14], "little", signed=True),
                serial=int.from_bytes(page[14:18], "little"),
                number=int.from_bytes(page[18:22], "little"),
            )
        else:
            at = base + index + 1


def _page_at(data: bytes, index: int) -> bytes:
    """Return the page that begins here; empty if it is truncated."""
    segments = data[index + 26] if index + _HEADER_BYTES <= len(data) else 0
    body = index + _HEADER_BYTES + segments
    end = body + sum(data[index + _HEADER_BYTES : body])
    return data[index:end] if body <= end <= len(data) else b""


def _checksum(page: bytes) -> int:
    """CRC-32 as in OGG: that of zlib with the bits of every byte, and of the result, reversed."""
    blank = page[:22] + bytes(4) + page[26:]
    crc = zlib.crc32(blank.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(crc.to_bytes(4, "little").translate(_MIRRORED), "big")


class OggReader:
    """An OGG file; see :class:`~allin1_core.io.decoding.reader.Reader`.

    Parameters
    ----------
    source
        The open file; closed with the reader.
    links
        The links of the file.

    Raises
    ------
    NotReadableError
        libsndfile cannot open the first link.
    """

    guessed_frames: int | None = None
    promised_s: float | None = None

    def __init__(self, source: Source, links: list[Link]) -> None:
        self.source, self._links = source, links
        self.gaps: list[tuple[float, float]] = []
        decoder = None
        for link in links:
            decoder = decoder or self._opened(link)
        if decoder is None:
            raise libsndfile.NotReadableError("no link has its headers")
        self.info = libsndfile.describe(decoder, source)
        decoder.close()
        if len(links) > 1 or len(links[0].runs) != 1 or links[0].runs[0].missing:
            self.info = dataclasses.replace(self.info, frames=None, duration_s=None)
        end = max(page.end for link in links for run in link.runs for page in run.pages)
        if source.read_at(end, len(_CAPTURE)) == _CAPTURE:
            note = "ends in the middle of a page, as truncated files do, and was read up to there."
            self.info = dataclasses.replace(
                self.info, warnings=(*self.info.warnings, f"{source.path}: {note}")
            )

    def _opened(self, link: Link) -> libsndfile.Decoder | None:
        """Decoder of a link's first run; None if the headers are damaged."""
        if not link.codec or not link.runs:
            return None
        try:
            return libsndfile.Decoder(
                self.source, _pieces(self.source, link, link.runs[0], is_first=True)
            )
        except libsndfile.NotReadableError:
            return None

    def blocks(self) -> Iterator[Block]:
        """Yield the audio from start to end; raises `DecodingError` if it cannot continue."""
        done_s = 0.0
        rate, channels = self.info.sample_rate, self.info.channels
        for link in self._links:
            blocks = self._link_blocks(link, done_s)
            decoder = self._opened(link)
            if decoder is not None:
                decoder.close()
            elif link.runs:
                count = sum(len(run.pages) for run in link.runs)
                # The length of the first page is unknown.
                frames = max(0, link.runs[-1].position - link.runs[0].pages[0].position)
                frames = min(frames, round(count * _PAGE_S * rate))
                self.gaps.append((done_s, done_s + frames / rate))
                blocks = silence(frames, channels, rate)
            for block in blocks:
                rate, channels = block.rate, block.samples.shape[1]
                done_s += len(block.samples) / rate
                yield block

    def _link_blocks(self, link: Link, start_s: float) -> Iterator[Block]:
        done = origin = skipped = 0
        rate, channels = self.info.sample_rate, self.info.channels
        for index, run in enumerate(link.runs):
            is_first = not index and not run.missing
            try:
                pieces = _pieces(self.source, link, run, is_first=is_first)
                decoder = libsndfile.Decoder(self.source, pieces)
            except libsndfile.NotReadableError:
                # For example a single last page; libsndfile requires another one before it.
                decoder = None
            frames: int | None = 0
            if decoder is not None:
                rate, channels, frames = decoder.rate, decoder.channels, decoder.frames
            begins = None if frames is None or run.position < 0 else run.position - frames
            if is_first:
                # A stream that was cut out of a longer one does not start at zero.
                origin = begins if decoder is not None and begins is not None else 0
            else:
                origin = origin if index else _pre_skip(self.source, link)
                gap = 0 if begins is None else begins - origin - done
                # Pages may be duplicated.
                skipped = max(0, -gap)
                if not 0 < gap <= (run.missing + len(run.pages)) * _PAGE_S * rate:
                    gap = 0
                if gap or run.missing:
                    self.gaps.append((start_s + done / rate, start_s + (done + gap) / rate))
                yield from silence(gap, channels, rate)
                done += gap
            if decoder is None:
                continue
            try:
                for samples in decoder.blocks():
                    new = samples[skipped:]
                    skipped -= len(samples) - len(new)
                    if len(new):
                        done += len(new)
                        yield Block(new, rate)
            finally:
                decoder.close()

    def close(self) -> None:
        """Close the file."""
        self.source.close()


def _pieces(source: Source, link: Link, run: Run, *, is_first: bool) -> list[Piece]:
    """Return a file for libsndfile: the headers and one run.

    Opus requires samples to be skipped only at the start of a link.
    """
    pieces: list[Piece] = [range(page.start, page.end) for page in link.headers]
    if link.codec == "opus" and not is_first:
        pieces[0] = _without_pre_skip(source, link.headers[0])
    return pieces + [range(page.start, page.end) for page in run.pages]


#: Position of the number of samples to skip in the header of Opus, after that of a page with one segment.
_PRE_SKIP = slice(_HEADER_BYTES + 1 + 10, _HEADER_BYTES + 1 + 12)


def _pre_skip(source: Source, link: Link) -> int:
    if link.codec != "opus":
        return 0
    page = link.headers[0]
    return int.from_bytes(source.read_at(page.start, page.end - page.start)[_PRE_SKIP], "little")


def _without_pre_skip(source: Source, page: Page) -> bytes:
    content = bytearray(source.read_at(page.start, page.end - page.start))
    content[_PRE_SKIP] = bytes(2)
    content[22:26] = _checksum(bytes(content)).to_bytes(4, "little")
    return bytes(content)
