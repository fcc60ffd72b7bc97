"""The options of an analysis are defined once, and unknown options are refused."""

from __future__ import annotations

import inspect

import pytest

from allin1_core.api import AnalyzeOptions, analyze
from allin1_core.cli.analyze import _SESSION_OPTIONS
from allin1_core.runtime.analysis import ResultOptions
from allin1_core.runtime.assembly import SessionOptions


def test_a_misspelt_option_is_a_type_error(make_session):
    with pytest.raises(TypeError, match="no option treads"):
        make_session(treads=3)
    with pytest.raises(TypeError, match="no option treads"):
        analyze("song.wav", treads=3)


def test_the_function_has_the_options_of_sessions_and_results():
    own = {*AnalyzeOptions.__annotations__, *inspect.signature(analyze).parameters}
    missing = {*SessionOptions.__annotations__, *ResultOptions.__annotations__} - own
    # Under upstream's names: keep_byproducts, and a part of overwrite.
    assert missing <= {"keep_stems", "overwrite_stems"}


def test_the_command_passes_on_options_that_sessions_have():
    assert set(_SESSION_OPTIONS) - {"model"} < SessionOptions.__annotations__.keys()
