from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.cli.main import cli
from allin1_core.errors import SettingsError
from allin1_core.io.cache import DEFAULT_LIMIT, ArrayCache, cache_key, default_limit


@pytest.fixture(autouse=True)
def _usual_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of all else keep nothing."""
    monkeypatch.delenv("ALLIN1_CACHE_LIMIT", raising=False)


def some_arrays(seed: int = 0, size: int = 1000) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"a": rng.standard_normal(size).astype(np.float32), "b": np.arange(3)}


def test_what_was_put_is_got_to_the_bit(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    assert cache.get("x-1") is None
    cache.put("x-1", some_arrays())
    got = ArrayCache(tmp_path).get("x-1")
    assert got is not None
    assert got.keys() == some_arrays().keys()
    for name, array in some_arrays().items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].dtype == array.dtype


@given(st.data())
def test_a_damaged_entry_is_no_hit_and_is_removed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cache = ArrayCache(tmp_path_factory.mktemp("cache"))
    cache.put("x-1", some_arrays(size=10))
    (path,) = cache.folder.iterdir()
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path.write_bytes(content)
    assert cache.get("x-1") is None
    assert not path.exists()


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    probe = ArrayCache(tmp_path / "probe")
    probe.put("x-0", some_arrays())
    one = probe.info().size
    cache = ArrayCache(tmp_path / "cache", limit=round(3.5 * one))
    for i in range(3):
        cache.put(f"x-{i}", some_arrays(i))
        os.utime(cache.folder / f"x-{i}.a1cache", (i, i))
    assert cache.get("x-0") is not None  # now used last
    cache.put("x-3", some_arrays(3))
    assert {path.name for path in cache.folder.iterdir()} == {
        "x-0.a1cache",
        "x-2.a1cache",
        "x-3.a1cache",
    }
    assert cache.info().size <= cache.limit


def test_nothing_is_kept_with_a_limit_of_zero(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path / "cache", limit=0)
    cache.put("x-0", some_arrays())
    assert not cache.folder.exists()


def test_clearing_removes_entries_and_no_other_file(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x-1.a1cache").write_text("not at the top")
    (tmp_path / "link.a1cache").symlink_to(tmp_path / "mine.txt")
    cache.put("x-0", some_arrays())
    cache.clear()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"mine.txt", "sub", "link.a1cache"}
    assert (tmp_path / "sub" / "x-1.a1cache").exists()


def test_a_cache_that_cannot_be_written_costs_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    cache = ArrayCache(tmp_path / "file" / "cache")
    cache.put("x-0", some_arrays())
    assert "could not be written" in caplog.text
    assert cache.get("x-0") is None
    assert cache.info().entries == 0


SHARING = """
import sys
import numpy as np
from allin1_core.io.cache import ArrayCache

def arrays(i):
    return {"a": np.random.default_rng(i).standard_normal(5000).astype(np.float32)}

cache, hits = ArrayCache(sys.argv[1], limit=200_000), 0
rng = np.random.default_rng(int(sys.argv[2]))
for _ in range(60):
    i = int(rng.integers(20))
    got = cache.get(f"x-{i}")
    if got is None:
        cache.put(f"x-{i}", arrays(i))
        continue
    hits += 1
    np.testing.assert_array_equal(got["a"], arrays(i)["a"])
print(hits)
"""


def test_processes_share_a_cache(tmp_path: Path) -> None:
    script, folder = tmp_path / "share.py", tmp_path / "cache"
    script.write_text(SHARING)
    running = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), str(seed)], stdout=subprocess.PIPE, text=True
        )
        for seed in range(2)
    ]
    hits = [int(process.communicate(timeout=120)[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sum(hits) > 0
    assert ArrayCache(folder, limit=200_000).info().size <= 250_000
    assert not [path for path in folder.iterdir() if path.suffix == ".part"]


def test_keys_depend_on_each_part() -> None:
    keys = {
        cache_key("logits", audio="a", model="m"),
        cache_key("logits", audio="b", model="m"),
        cache_key("logits", audio="a", model="n"),
        cache_key("stems", audio="a", model="m"),
        cache_key("logits", audio="a", model="m", blocks=True),
        cache_key("logits", audio="a\nmodel='m'", model=""),
    }
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("text", "size"), [("", DEFAULT_LIMIT), ("0", 0), ("500M", 5 * 10**8), ("1.5gb", 15 * 10**8)]
)
def test_the_limit_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, size: int
) -> None:
    monkeypatch.setenv("ALLIN1_CACHE_LIMIT", text)
    assert default_limit() == size


@pytest.mark.parametrize("text", ["x", "-1", "1e400", "nan", "5 apples", "b"])
def test_a_limit_that_is_no_size_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ALLIN1_CACHE_LIMIT", text)
    with pytest.raises(SettingsError, match="ALLIN1_CACHE_LIMIT"):
        default_limit()


def test_the_command_tells_and_clears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path))
    folder = CliRunner().invoke(cli, ["cache", "path"]).output.strip()
    ArrayCache().put("logits-1", some_arrays())
    info = CliRunner().invoke(cli, ["cache", "info"]).output
    assert folder in info
    assert "logits: 1 entry" in info
    assert '"entries": 1' in CliRunner().invoke(cli, ["cache", "info", "--json"]).output
    assert CliRunner().invoke(cli, ["cache", "clear"]).exit_code == 0
    assert ArrayCache().info().entries == 0
