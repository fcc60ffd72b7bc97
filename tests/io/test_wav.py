from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import soundfile

from allin1_core.io import wav
from allin1_core.io.wav import StereoWriter


def noise(channels: int, frames: int) -> np.ndarray:
    samples = np.random.default_rng(0).normal(0, 2, (channels, frames)).astype(np.float32)
    return np.asfortranarray(samples)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("announced", "form"), [(700, "WAV"), (500, "WAV"), (None, "RF64"), (2**30, "RF64")]
)
def test_what_is_written_is_read(
    tmp_path: Path, channels: int, announced: int | None, form: str
) -> None:
    samples = noise(channels, 700)
    writer = StereoWriter(tmp_path / "x.wav", 44_100, announced)
    for part in np.array_split(samples, 3, axis=1):
        writer.write(part)
    writer.close()
    info = soundfile.info(str(tmp_path / "x.wav"))
    assert (info.format, info.subtype, info.channels, info.samplerate, info.frames) == (
        *(form, "FLOAT", 2, 44_100, 700),
    )
    read, _ = soundfile.read(str(tmp_path / "x.wav"), dtype="float32")
    np.testing.assert_array_equal(read.T, np.broadcast_to(samples, (2, 700)))


def test_more_than_was_announced_and_fits_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav, "MOST_FRAMES", 1000)
    writer = StereoWriter(tmp_path / "x.wav", 44_100, 10)
    writer.write(noise(2, 1001))
    with pytest.raises(OSError, match="more samples"):
        writer.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_an_error_that_says_so() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        StereoWriter(Path("/dev/full"), 44_100, 10)
    assert caught.value.errno == errno.ENOSPC
