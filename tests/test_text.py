from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allin1_core.errors import OutputError
from allin1_core.text import shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Caf\u00e9 \u30ab\u30d5\u30a7\u3000 \u0645\u0642\u0647\u0649.wav", None),
        ("\U0001f469\u200d\U0001f3a4.mp3", None),  # an emoji of two, joined
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b]0;title\a\x9b31m\x7f", "\\x1b]0;title\\a\\x9b31m\\x7f"),
        ("\u202egnp.exe\u2066\u200f", "\\u202egnp.exe\\u2066\\u200f"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
        ("\ud800\U000e0041", "\\ud800\\U000e0041"),
    ],
)
def test_what_moves_the_cursor_or_hides_is_escaped_and_the_rest_is_not(
    text: str, expected: str | None
) -> None:
    assert shown(text) == (text if expected is None else expected)


@given(st.text(st.characters()))
def test_no_control_character_is_left_whatever_the_text(text: str) -> None:
    after = shown(text)
    assert not {unicodedata.category(c) for c in after} & {"Cc", "Cs", "Zl", "Zp"}
    after.encode()
    assert shown(text, keep="\n").replace("\n", "\\n") == after


def test_the_path_of_an_error_is_escaped() -> None:
    error = OutputError("is full.", path="a\nb\x1b[2J")
    assert str(error) == "a\\nb\\x1b[2J: is full."
    assert error.path == "a\nb\x1b[2J"
