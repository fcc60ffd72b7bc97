"""Conformance of audio loaders."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from allin1_core.contracts.audio_loader import AudioLoader
from allin1_core.errors import PLUGIN_FAILURES, AudioError, brief, in_full
from allin1_core.io.decoding.loaders import HEAD, Loader, open_with
from allin1_core.io.decoding.reader import DecodingError
from allin1_core.io.decoding.source import Source
from allin1_core.plugins.collecting import Offered, collect_offers
from allin1_core.runtime.audio_loaders import ready_loader
from allin1_core.selection.probing import load_target
from allin1_core.testing.conformance.backend import prints
from allin1_core.testing.conformance.offered import OfferedConformance, load_alone
from allin1_core.testing.signals import music_mix
from allin1_core.testing.watching import printed

_RATE = 44_100

#: Largest sample that is believed: full scale is 1.
_MOST = 8.0


class AudioLoaderConformance(OfferedConformance):
    """Requirements for every audio loader.

    It is tested with the files of :meth:`files`. Override that method if the kit cannot write the format of the loader.

    Attributes
    ----------
    hooks
        What its entry point names: the module with the hooks.
    loader
        Name of the loader.
    """

    loader: ClassVar[str]

    def files(self, folder: Path) -> Iterator[Path]:
        """Write files in the loader's format, and possibly others, to an empty folder.

        By default, one second of music in every format that the kit can write, with a suffix of the loader.
        """
        suffix = next(iter(self.record().suffixes), ".bin")
        for name, write in _WRITERS.items():
            path = folder / f"{name}{suffix}"
            write(path, music_mix(1.0).samples.T)
            yield path

    def record(self) -> AudioLoader:
        """Find the loader among those that the hooks provide."""
        return self._offered().item

    def _offered(self) -> Offered[AudioLoader]:
        plugins, plugin = load_alone(self.hooks)
        loaders = collect_offers(plugins).loaders
        return self.find("audio loader", self.loader, loaders, plugin)

    # The tests.

    def test_its_probe_answers(self) -> None:
        record = self.record()
        with tempfile.TemporaryDirectory() as folder:
            heads = [*_FOREIGN, *(p.read_bytes()[:HEAD] for p in self.files(Path(folder)))]
        if record.probe is None:
            return
        probe = load_target(record.probe)
        head = b""
        try:
            for head in heads:
                probe(head)
        except PLUGIN_FAILURES as error:
            pytest.fail(
                f"its probe raised {in_full(error)} for a file that begins with {head[:8]!r}:"
                " return False for what is not its own, however short"
            )

    def test_other_files_are_left_to_other_readers(self) -> None:
        loader = ready_loader(self._offered())
        with tempfile.TemporaryDirectory() as folder:
            for number, content in enumerate(_FOREIGN):
                path = Path(folder, f"{number}.bin")
                path.write_bytes(content)
                with path.open("rb") as file:
                    try:
                        loaded = loader.load(file, path)
                    except AudioError:
                        continue  # as good as damaged
                    except PLUGIN_FAILURES as error:
                        pytest.fail(
                            f"it raised {in_full(error)} for a file that is no audio:"
                            " return None, or raise an AudioError"
                        )
                assert loaded is None, "it takes a file that is no audio: return None"

    def test_a_file_of_its_format_is_read(self) -> None:
        with self._taken() as taken:
            for path, read in taken:
                samples, frames = read()
                assert len(samples), f"{path.name}: it gives no samples"
                assert frames in (None, len(samples)), (
                    f"{path.name}: it declares {frames} frames, and gives {len(samples)}:"
                    " count them, or declare None"
                )
                assert np.isfinite(samples).all(), f"{path.name}: it gives samples that are NaN"
                largest = np.abs(samples).max()
                assert largest <= _MOST, (
                    f"{path.name}: it gives samples up to {largest:g}: divide them, full scale is 1"
                )

    def test_a_file_can_be_opened_again(self) -> None:
        with self._taken() as taken:
            for path, read in taken:
                first, second = read()[0], read()[0]
                assert np.array_equal(first, second), (
                    f"{path.name}: opened again, it gives other samples: keep nothing between files"
                )

    def test_a_file_that_ends_early_is_damaged_or_shorter(self) -> None:
        with self._taken() as taken:
            for path, read in taken:
                content = path.read_bytes()
                for length in (len(content) // 2, len(content) - 1, 40):
                    path.write_bytes(content[:length])
                    try:
                        read()
                    except AudioError:
                        continue
                    except PLUGIN_FAILURES as error:
                        pytest.fail(
                            f"of {path.name} cut off after {length} of {len(content)} bytes it says"
                            f" {brief(error).removeprefix('AssertionError: ')}: raise an AudioError that says what is wrong"
                        )

    def test_stdout_stays_clean(self) -> None:
        with printed() as texts, self._taken() as taken:
            for _, read in taken:
                read()
        assert not texts, prints(texts[0])

    @contextmanager
    def _taken(self) -> Iterator[list[tuple[Path, Callable[[], Any]]]]:
        """The files that the loader accepts, each with a function that reads it; skip the test if there are none."""
        loader = ready_loader(self._offered())
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            taken = [path for path in self.files(folder) if _is_taken(loader, path)]
            if not taken:
                pytest.skip(
                    f"{self.loader}: the kit cannot write its format: in the tests of the plugin, override"
                    " files() in a subclass of AudioLoaderConformance"
                )
            yield [(path, partial(_read, loader, path)) for path in taken]


def _is_taken(loader: Loader, path: Path) -> bool:
    source = Source(path)
    try:
        reader = open_with(loader, source)
    except AudioError:
        return False
    finally:
        source.close()
    if reader is not None:
        reader.close()
    return reader is not None


def _read(loader: Loader, path: Path) -> tuple[NDArray[np.float32], int | None]:
    """Read all samples, and the number of frames that was declared; no samples if the loader rejects the file."""
    source = Source(path)
    reader = None
    try:
        reader = open_with(loader, source)
        if reader is None:
            return np.zeros((0, 1), np.float32), None
        blocks = [np.asarray(block.samples) for block in reader.blocks()]
        return np.concatenate([np.zeros((0, reader.info.channels), np.float32), *blocks]), (
            reader.info.frames
        )
    except DecodingError as error:
        # Without the name of the loader, which its author knows.
        raise AssertionError(f"{path.name}: {str(error).partition(' failed: ')[2]}") from error
    finally:
        if reader is not None:
            reader.close()
        source.close()


def _sound_file(format: str, subtype: str | None = None) -> Callable[[Path, Any], None]:
    def write(path: Path, samples: Any) -> None:
        soundfile.write(path, samples, _RATE, format=format, subtype=subtype)

    return write


def _array(path: Path, samples: Any) -> None:
    with path.open("wb") as file:
        np.save(file, np.ascontiguousarray(samples))


def _arrays(path: Path, samples: Any) -> None:
    with path.open("wb") as file:
        np.savez(file, samples=np.ascontiguousarray(samples), rate=_RATE)


#: Functions that write samples in each format.
_WRITERS: dict[str, Callable[[Path, Any], None]] = {
    "wav": _sound_file("WAV"),
    "float-wav": _sound_file("WAV", "FLOAT"),
    "flac": _sound_file("FLAC"),
    "ogg": _sound_file("OGG"),
    "mp3": _sound_file("MP3"),
    "aiff": _sound_file("AIFF"),
    "npy": _array,
    "npz": _arrays,
}

#: Contents that are not audio.
_FOREIGN = (b"", b"\0", b"no audio at all", bytes(5000), b"RIFF\xff\xff\xff\xffWAVE", b"\x93NUMPY")
