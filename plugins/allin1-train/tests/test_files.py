"""Files appear complete or not at all."""

from pathlib import Path

import pytest

from allin1_train.files import atomically


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    def write(f) -> None:
        f.write(b"new")
        f.flush()
        assert [p.name for p in tmp_path.glob("*.npz")] == ["song.npz"]  # only the old one
        assert path.read_bytes() == b"old"

    path = tmp_path / "song.npz"
    path.write_bytes(b"old")
    atomically(write, path)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_existing_file(tmp_path: Path, error: BaseException) -> None:
    def write(f) -> None:
        f.write(b"half")
        raise error

    path = tmp_path / "song.npz"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        atomically(write, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
