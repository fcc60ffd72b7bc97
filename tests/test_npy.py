"""Arrays in NumPy's format are read as by NumPy itself."""

from __future__ import annotations

import ast
import io

import numpy as np
import pytest

from allin1_core.npy import read_elements, read_header


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


ARRAYS = [
    np.float32(3.5),
    np.arange(5, dtype=np.float32),
    np.arange(6, dtype=np.float16).reshape(2, 3),
    np.asfortranarray(np.arange(24, dtype=np.float64).reshape(2, 3, 4)),
    np.zeros((0, 7), np.float32),
    np.arange(4, dtype=">f4"),
    np.arange(3, dtype=np.int64),
    np.array([True, False]),
    np.array([1 + 2j], np.complex64),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_numbers_are_read_without_a_syntax_tree(array, monkeypatch):
    content = saved(array)
    monkeypatch.setattr(ast, "parse", None)
    header = read_header(content)
    read = read_elements(content, header)
    assert header.end == len(content)
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read, array)


def test_forms_that_numpy_alone_knows_are_left_to_it():
    for version, header in (
        (b"\x02\x00", b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"),
        (b"\x01\x00", b"{'shape': (2,), 'descr': '<f4', 'fortran_order': False}"),
    ):
        length = 4 if version == b"\x02\x00" else 2
        content = b"\x93NUMPY" + version + len(header + b"\n").to_bytes(length, "little")
        content += header + b"\n" + np.float32([1, 2]).tobytes()
        assert read_elements(content, read_header(content)).tolist() == [1, 2]
    table = np.zeros(2, [("a", "<f4"), ("b", "<i2")])
    assert read_elements(saved(table), read_header(saved(table))).dtype == table.dtype


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "EOF"),
        (b"no array", "magic"),
        (b"\x93NUMPY\x03\x00\x02\x00\x00\x00{}", r"3\.0"),
        (saved(np.zeros(4))[:-1], "shorter than"),
        (saved(np.zeros(4))[:60], "header"),
        (saved(np.zeros(4)).replace(b"(4,)", b"(-4,)"), "header"),
    ],
)
def test_what_is_not_an_array_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read_elements(content, read_header(content))


def test_objects_are_refused_and_not_loaded():
    array = np.empty(1, object)
    with pytest.raises(ValueError, match="Python objects"):
        read_elements(saved(array), read_header(saved(array)))
