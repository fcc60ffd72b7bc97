"""Errors of precisions of separation: stored, read, and taken into account."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from allin1_core.calibration.precision import (
    LEAST_DB,
    PrecisionError,
    demix_conditions,
    demix_error_path,
    load_errors,
    save_errors,
    without_what_loses_too_much,
)
from allin1_core.contracts.audio import STEMS
from allin1_core.contracts.demix import DemixParameters

HERE = {"machine": "m", "device": "cuda:0", "detail": "card", "versions": "1", "threads": ""}
AUTO = DemixParameters()


def error(worst, precision="float16", conditions=HERE, parameters=AUTO, backend="mine"):
    decibels = {**dict.fromkeys(STEMS, 80.0), "drums": worst}
    of = demix_conditions(conditions, parameters)
    return PrecisionError(backend, precision, of, decibels, "2026-11-22")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize("worst", [41.5, float("inf"), float("-inf")])
def test_what_is_saved_is_found_again(worst):
    assert load_errors() == ()
    save_errors([error(worst)])
    assert load_errors() == (error(worst),)
    json.loads(demix_error_path().read_text(), parse_constant=pytest.fail)


def test_the_newer_replaces_the_older_of_the_same():
    save_errors([error(50.0), error(70.0, "tf32")])
    save_errors([error(30.0), error(50.0, parameters=replace(AUTO, weights="random:1"))])
    assert [one.worst_db for one in load_errors()] == [30.0, 70.0, 50.0]


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 9}', '{"schema": 1, "errors": [{}]}'])
def test_a_file_that_cannot_be_understood_counts_as_none(content, caplog):
    demix_error_path().parent.mkdir(parents=True, exist_ok=True)
    demix_error_path().write_text(content)
    with caplog.at_level(logging.WARNING):
        assert load_errors() == ()
    assert "--demix-error --save" in caplog.text


@pytest.mark.parametrize(
    ("worst", "precision"),
    [(LEAST_DB, "auto"), (LEAST_DB - 0.1, "tf32"), (float("-inf"), "tf32")],
)
def test_half_precision_gives_way_below_forty_decibels(worst, precision):
    parameters, reason = without_what_loses_too_much(AUTO, "mine", HERE, [error(worst)])
    assert parameters == replace(AUTO, precision=precision)
    assert bool(reason) == (precision == "tf32")
    assert not reason or ("TensorFloat-32" in reason and "htdemucs" in reason)


@pytest.mark.parametrize(
    "one",
    [
        error(10.0, "tf32"),
        error(10.0, backend="other"),
        error(10.0, conditions={**HERE, "detail": "another card"}),
        error(10.0, parameters=replace(AUTO, model="htdemucs_ft")),
        error(10.0, parameters=replace(AUTO, weights="folder")),
    ],
)
def test_what_was_measured_of_something_else_changes_nothing(one):
    assert without_what_loses_too_much(AUTO, "mine", HERE, [one]) == (AUTO, "")


@pytest.mark.parametrize("asked", ["float16", "tf32", "float32"])
def test_what_is_requested_is_obeyed(asked):
    parameters = replace(AUTO, precision=asked)
    given = without_what_loses_too_much(parameters, "mine", HERE, [error(10.0)])
    assert given == (parameters, "")
