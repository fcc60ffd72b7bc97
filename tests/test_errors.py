"""Errors as text: what happened, to which file, and what to do about it."""

from __future__ import annotations

import pytest

from allin1_core.errors import Allin1Error


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("There is no such file.", "There is no such file. Check the name."),
        ("The probe failed: OSError: no driver", "The probe failed: OSError: no driver. Check the name."),
        ("Which file?", "Which file? Check the name."),
    ],
)  # fmt: skip
def test_a_full_stop_separates_the_message_from_the_remedy(message: str, text: str) -> None:
    assert str(Allin1Error(message, remedy="Check the name.")) == text


@pytest.mark.parametrize("remedy", [None, ""])
def test_without_a_remedy_the_message_is_unchanged(remedy: str | None) -> None:
    error = Allin1Error("failed: no driver", remedy=remedy, path="song.wav")
    assert str(error) == "song.wav: failed: no driver"
