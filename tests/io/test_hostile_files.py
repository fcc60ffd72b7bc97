"""Files that anybody may have written: each reader raises its own errors, and nothing else."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.errors import Allin1Error, OutputError, SettingsError
from allin1_core.io import documents as reading
from allin1_core.io.arrays import ArrayError, read_array, read_arrays
from allin1_core.io.documents import DocumentError, read_json, read_toml


def fuzz_module() -> ModuleType:
    """The readers that the fuzzer feeds, with one valid file for each."""
    folder = Path(__file__).parents[1] / "fuzz"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(logging, "disable", lambda: None)
        spec = importlib.util.spec_from_file_location("documents_to_fuzz", folder / "documents.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name in ("runner", "audio"):
            sys.modules.pop(name, None)
    return module


# Values that break readers in their own ways.
STRANGE: list[Any] = [
    *(None, True, -1, 0.5, 10**400, -(10**25), 1e308, "", "x", "\0", "\ud800", "\udce9", "1"),
    *([], [None], [[]], {}, {"": None}, ["a"] * 3, {"device": []}, [10**400], [{}]),
]


def mutated(content: Any, rng: random.Random) -> Any:
    """Replace, remove or add something anywhere in a document."""
    if isinstance(content, (dict, list)) and content and rng.random() < 0.85:
        keys = list(content) if isinstance(content, dict) else range(len(content))
        key = rng.choice(list(keys))
        copy: Any = dict(content) if isinstance(content, dict) else list(content)
        if rng.random() < 0.15:
            del copy[key]
        else:
            copy[key] = mutated(copy[key], rng)
        return copy
    return rng.choice(STRANGE)


@pytest.mark.parametrize("name", ["result", "separation", "calibration", "demix-error"])
def test_wrong_values_anywhere_raise_own_errors_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = fuzz_module()
    (target,) = [one for one in documents.TARGETS if one.name == name]
    originals = [json.loads(content) for content in target.originals(tmp_path)]
    path = tmp_path / f"mutated{target.suffix}"
    rng = random.Random(name)
    for _ in range(400):
        content = mutated(rng.choice(originals), rng)
        path.write_text(json.dumps(content))
        try:
            target.read(path)
        except Allin1Error:
            pass
        except Exception as error:
            pytest.fail(f"{error!r} for {json.dumps(content)}")


DEEP = 100_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * DEEP, "nested too deeply"),
        (b"[" * 900 + b"]" * 900, "nested too deeply"),
        (b'{"a":' * DEEP, "nested too deeply"),
        (b"Infinity", "Infinity"),
        (b"[NaN]", "NaN"),
        (b"[1e999]", "not finite"),
        (b"9" * 10_000, "digits"),
        (b'"\\ud800"', None),
        (b"\xff\xfe[\0]\0", "decode"),
        (b"\xef\xbb\xbf[]", "BOM"),
        (b"[] []", "Extra data"),
        (b"", "Expecting value"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
def test_json_is_refused_with_a_reason(tmp_path: Path, content: bytes, reason: str | None) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    if reason is None:
        read_json(path)
        return
    with pytest.raises(DocumentError, match=reason) as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        f"a = {'[' * DEEP}",
        f"a = {'{a=' * DEEP}",
        f"{'a.' * DEEP}a = 1",
        f"{'a.' * 500}a = 1",
        f"[{'a.' * 900}a]",
        "a = inf",
        f"a = {'9' * 10_000}",
        "a = 2026-13-45",
        "a = ",
    ],
    ids=lambda content: content[:12],
)
def test_toml_is_refused_with_a_reason(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allin1_core.runtime.settings import read_settings

    path = tmp_path / "x.toml"
    path.write_text(content)
    with pytest.raises(DocumentError):
        read_toml(path)
    monkeypatch.setenv("ALLIN1_CONFIG", str(path))
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs devices")
def test_devices_and_huge_files_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for read in (read_json, read_toml):
        with pytest.raises(DocumentError, match="not a regular file"):
            read(Path("/dev/zero"))
    with pytest.raises(ArrayError, match="not a regular file"):
        read_array(Path("/dev/zero"))
    monkeypatch.setattr(reading, "MOST_BYTES", 10)
    (tmp_path / "x.json").write_bytes(b'"0123456789"')
    with pytest.raises(DocumentError, match="more than"):
        read_json(tmp_path / "x.json")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_expectations_are_met_or_refused(value: Any) -> None:
    kinds: list[Any] = [str, float, int, bool, Path, list[float], dict[str, str], tuple[int, str]]
    for kind in [*kinds, *(kind | None for kind in kinds)]:
        try:
            found = reading.read_as(kind, value, "x")
        except DocumentError:
            continue
        assert found is None or found == value or found in (Path(str(value)), tuple(value))


# NumPy's own formats.


def npy(header: str, data: bytes = b"", *, version: bytes = b"\1\0") -> bytes:
    raw = header.encode("latin-1")
    return b"\x93NUMPY" + version + struct.pack("<H", len(raw)) + raw + data


FLOATS = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        npy(FLOATS, bytes(7)),
        npy(FLOATS, bytes(9)),
        npy(FLOATS.replace("(2,)", "(2**62,)"), bytes(8)),
        npy(FLOATS.replace("(2,)", f"({2**62}, 4)"), bytes(8)),
        npy(FLOATS.replace("(2,)", "(-2,)"), bytes(8)),
        npy(FLOATS.replace("(2,)", "(True, 2.0)"), bytes(8)),
        npy(FLOATS.replace("<f4", "|O"), bytes(16)),
        npy(FLOATS.replace("<f4", "<U4"), bytes(32)),
        npy(FLOATS.replace("<f4", "<f3"), bytes(6)),
        npy(FLOATS.replace("'<f4'", "[('a', '<f4')]"), bytes(8)),
        npy(FLOATS.replace("'<f4'", "__import__('os').system('true')"), bytes(8)),
        npy("(" * 9000 + "\n"),
        npy("{'descr': '<f4'\n"),
        npy("\0" * 100 + "\n"),
        npy(FLOATS, bytes(8), version=b"\3\0"),
        npy(FLOATS, bytes(8), version=b"\x09\0"),
    ],
    ids=range(18),
)
def test_arrays_are_refused_with_a_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(npy(FLOATS, bytes(8)))
    assert read_array(path).shape == (2,)
    path.write_bytes(content)
    with pytest.raises(ArrayError) as caught:
        read_array(path)
    assert "\n" not in str(caught.value)
    assert "allow_pickle" not in str(caught.value)
    archive = tmp_path / "x.npz"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.npy", content)
    with pytest.raises(ArrayError):
        read_arrays(archive, ["a"])


def zipped(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return bytearray(file.getvalue())


def encrypted() -> bytearray:
    content = zipped("a.npy", npy(FLOATS, bytes(8)))
    directory = content.index(b"PK\1\2")
    content[6] |= 1
    content[directory + 8] |= 1
    return content


def of_method(method: int) -> bytearray:
    content = zipped("a.npy", npy(FLOATS, bytes(8)))
    directory = content.index(b"PK\1\2")
    content[8:10] = content[directory + 10 : directory + 12] = struct.pack("<H", method)
    return content


def claiming(size: int) -> bytearray:
    content = zipped("a.npy", npy(FLOATS, bytes(8)))
    directory = content.index(b"PK\1\2")
    content[directory + 24 : directory + 28] = struct.pack("<I", size)
    return content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\5\6" + bytes(18),
        zipped("b.npy", npy(FLOATS, bytes(8))),
        encrypted(),
        of_method(99),
        of_method(14),  # LZMA, which it is not
        claiming(2**31),
        claiming(70),
        zipped("a.npy", npy(FLOATS, bytes(8)))[:-30],
        # A bomb: a small file that would take 300 MB.
        lambda: zipped("a.npy", npy(FLOATS.replace("(2,)", "(75000000,)"), bytes(300_000_000))),
    ],
    ids=range(10),
)
def test_archives_are_refused_with_a_reason(
    tmp_path: Path, content: bytes | Callable[[], bytes]
) -> None:
    content = content() if callable(content) else content
    path = tmp_path / "x.npz"
    path.write_bytes(zipped("a.npy", npy(FLOATS, bytes(8))))
    assert read_arrays(path, ["a"])["a"].shape == (2,)
    path.write_bytes(content)
    with pytest.raises(ArrayError) as caught:
        read_arrays(path, ["a"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_they_were(tmp_path: Path, order: Any) -> None:
    array = np.asarray(np.random.default_rng(0).random((3, 4, 5), np.float32), order=order)
    np.save(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(read_array(tmp_path / "x.npy"), array)
    assert read_array(tmp_path / "x.npy").dtype == np.float32


def test_a_nul_in_a_path_is_an_error_of_our_own() -> None:
    from allin1_core.io.results import check_destination, load_result

    with pytest.raises(OutputError):
        load_result("a\0b.json")
    with pytest.raises(OutputError):
        check_destination("a\0b", "song", "song.wav")
