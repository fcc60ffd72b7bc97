"""Wrong arguments of public functions are told by name, with what was wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from allin1_core.contracts.arguments import check_arguments
from allin1_core.contracts.metre import MetreParameters, TempoPrior

GOOD = [
    (str | None, ["x", None]),
    (int, [3, np.int64(3)]),
    (float, [3, 3.5, np.float32(3.5)]),
    (bool, [True, False, np.True_, 0, 1]),
    (str | PathLike[str], ["x", Path("x")]),
    (Mapping[str, int], [{}, {"a": 1}]),
    (tuple[int, ...], [(), (1, 2), [1]]),
    (Callable[..., object] | None, [print, None]),
    (Literal["a", "b"], ["a"]),
    (Any, [3, None]),
    (MetreParameters | None, [None, MetreParameters(), MetreParameters(beats_per_bar=[3])]),
]

BAD = [
    (str | None, 3, "x is 3; wanted a text or None."),
    (str, b"a", "x is b'a'; wanted a text."),
    (int | None, "2", "x is '2'; wanted a whole number or None."),
    (int, True, "x is True; wanted a whole number."),
    (int, 2.0, "x is 2.0; wanted a whole number."),
    (float, "2", "x is '2'; wanted a number."),
    (bool, "no", "x is 'no'; wanted True or False."),
    (bool, 2, "x is 2; wanted True or False."),
    (str | PathLike[str], 3, "x is 3; wanted a text or a path."),
    (Mapping[str, str], [], "x is []; wanted a dict."),
    (Mapping[str, Mapping[str, Any]], {"a": 1}, "x['a'] is 1; wanted a dict."),
    (tuple[int, ...], 3, "x is 3; wanted a tuple."),
    (Callable[..., object], 3, "x is 3; wanted a function."),
    (Literal["a", "b"], "c", "x is 'c'; wanted one of a, b."),
    (MetreParameters | None, {}, "x is {}; wanted a MetreParameters or None."),
    (
        MetreParameters | None,
        MetreParameters(tempo_prior=TempoPrior("120", 1.0)),  # type: ignore[arg-type]
        "x.tempo_prior.bpm is '120'; wanted a number.",
    ),
]


@pytest.mark.parametrize(("kind", "values"), GOOD)
def test_values_as_people_give_them_are_accepted(kind: Any, values: list[Any]) -> None:
    for value in values:
        check_arguments("f", {"x": value}, {"x": kind})


@pytest.mark.parametrize(("kind", "value", "text"), BAD)
def test_a_wrong_value_is_told_with_its_place_and_what_was_wanted(
    kind: Any, value: object, text: str
) -> None:
    with pytest.raises(TypeError) as caught:
        check_arguments("f", {"x": value}, {"x": kind})
    assert str(caught.value) == f"f(): {text}"


def test_what_does_not_exist_is_told() -> None:
    with pytest.raises(TypeError, match=r"f\(\) has no option y, z"):
        check_arguments("f", {"z": 1, "y": 1, "x": 1}, {"x": int})
