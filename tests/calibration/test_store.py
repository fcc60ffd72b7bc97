"""A measurement is found if and only if its conditions are met."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from allin1_core.calibration.conditions import conditions_of
from allin1_core.calibration.measurements import Measurement, find_speed
from allin1_core.calibration.store import (
    Calibration,
    calibration_path,
    load_calibration,
    save_calibration,
)
from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.stages import DEFAULT_DEMIX, DEFAULT_METRE
from allin1_core.contracts.verdict import Ready
from allin1_core.plugins.record import PluginRecord

BACKEND = Backend("mine", "nn", "nowhere:create", needs=Needs(requires=("numpy>=1",)))
PLUGIN = PluginRecord("me", "loaded", "allin1-mine", "1.0")
READY = Ready("cuda:0", "Some GPU, Library 2.0")


def conditions(
    backend=BACKEND,
    plugin=PLUGIN,
    ready=READY,
    model="all-in-one, 8",
    metre=DEFAULT_METRE,
    demix=DEFAULT_DEMIX,
    threads=None,
    options=None,
):
    return conditions_of(
        backend,
        plugin,
        ready,
        model=model,
        metre=metre,
        demix=demix,
        threads=threads,
        options=options,
    )


def measured(**changes):
    return Measurement(
        **{
            "stage": "nn",
            "backend": "mine",
            "conditions": conditions(),
            "setup_s": 0.5,
            "rate": 0.01,
            "date": "2026-11-22",
            **changes,
        }
    )


def test_what_is_saved_is_found_again(tmp_path):
    path = tmp_path / "cache" / "calibration.json"
    assert load_calibration(path) == Calibration()
    save_calibration(Calibration((measured(),)), path)
    speed = find_speed(load_calibration(path).backends, BACKEND, conditions())
    assert (speed.setup_s, speed.rate) == (0.5, 0.01)
    assert speed.measured == "measured here on 2026-11-22"


@pytest.mark.parametrize(
    "changed",
    [
        {"plugin": PluginRecord("me", "loaded", "allin1-mine", "1.1")},
        {"ready": Ready("cuda:1", READY.detail)},
        {"ready": Ready("cuda:0", "Some GPU, Library 2.1")},
        {"model": "all-in-one, 1"},
        {"threads": 2},
        {"options": {"batch": 4}},
        {"backend": Backend("mine", "nn", "nowhere:create", needs=Needs(("packaging>=1",)))},
        {"backend": Backend("other", "nn", "nowhere:create", needs=BACKEND.needs)},
        {"backend": Backend("mine", "functional", "nowhere:create", needs=BACKEND.needs)},
    ],
)
def test_it_does_not_hold_under_other_conditions(changed):
    backend = changed.get("backend", BACKEND)
    assert find_speed([measured()], backend, conditions(**changed)) is None


def test_the_conditions_name_machine_and_versions(monkeypatch):
    told = conditions()
    assert "allin1-mine 1.0" in told["versions"]
    assert "allin1-core " in told["versions"]
    assert "numpy " in told["versions"]
    assert "cores" in told["machine"]
    # Only the network depends on the model.
    assert conditions(Backend("mine", "functional", "nowhere:create"))["model"] == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"beats_per_bar": (3, 4, 5)},
        {"min_bpm": 30.0},
        {"max_bpm": 230.0},
        {"num_tempi": None},
    ],
)
def test_the_metre_decoder_alone_depends_on_the_number_of_its_states(changed):
    other = replace(DEFAULT_METRE, **changed)
    decoder = Backend("mine", "metrical_dbn", "nowhere:create")
    fused = Backend("m", "nn", "nowhere:create", spans=("nn", "metrical_prep", "metrical_dbn"))
    for backend in (decoder, fused):
        assert conditions(backend, metre=other) != conditions(backend)
    assert conditions(metre=other) == conditions()
    # What changes no state is no condition.
    same = replace(DEFAULT_METRE, threshold=0.5, correct=False)
    assert conditions(decoder, metre=same) == conditions(decoder)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "htdemucs_ft"},
        {"shifts": 4},
        {"overlap": 0.5},
        {"segment_s": 5.0},
        {"precision": "float32"},
        {"batch_size": 2},
    ],
)
def test_separation_alone_depends_on_what_makes_its_work(changed):
    other = replace(DEFAULT_DEMIX, **changed)
    separator = Backend("mine", "demix", "nowhere:create")
    assert conditions(separator, demix=other) != conditions(separator)
    assert conditions(demix=other) == conditions()
    same = replace(DEFAULT_DEMIX, seed=9, weights="/elsewhere")
    assert conditions(separator, demix=same) == conditions(separator)


def test_a_newer_measurement_replaces_only_the_older_one(tmp_path):
    path = tmp_path / "calibration.json"
    elsewhere = measured(conditions={**conditions(), "machine": "another"})
    save_calibration(Calibration((measured(), elsewhere)), path)
    upgraded = {**conditions(), "versions": "allin1-mine 2.0"}
    save_calibration(Calibration((measured(conditions=upgraded, rate=0.5),)), path)
    found = load_calibration(path).backends
    assert sorted((one.conditions["machine"] == "another", one.rate) for one in found) == [
        (False, 0.5),
        (True, 0.01),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"schema": 9}',
        '{"schema": 1, "measurements": [{"stage": "nn"}]}',
        '{"schema": 1, "measurements": [{"stage": "nn", "backend": "b", "conditions": {"device": "cpu"},'
        ' "setup_s": -1, "rate": 1, "date": "x"}]}',
    ],
)
def test_a_file_that_cannot_be_understood_counts_as_none(tmp_path, caplog, content):
    path = tmp_path / "calibration.json"
    path.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert load_calibration(path) == Calibration()
    assert "allin1 bench --save" in caplog.text
    save_calibration(Calibration((measured(),)), path)
    assert len(load_calibration(path).backends) == 1


def test_it_lies_in_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ALLIN1_CACHE_DIR", str(tmp_path))
    assert calibration_path() == tmp_path / "calibration.json"
