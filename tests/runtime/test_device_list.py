"""Lists of devices, and the number of CUDA devices."""

from __future__ import annotations

import ctypes

import pytest

from allin1_core.errors import SettingsError
from allin1_core.runtime.device_list import parse_devices


class Driver:
    """NVIDIA's driver, as far as it counts devices."""

    def __init__(self, count, fails=0):
        self.count, self.fails = count, fails

    def cuInit(self, flags):
        return self.fails

    def cuDeviceGetCount(self, found):
        found._obj.value = self.count
        return 0


@pytest.fixture
def driver(monkeypatch):
    """Let the machine have this driver, or raise on loading it."""

    def install(driver):
        def load(name):
            if isinstance(driver, Exception):
                raise driver
            assert "cuda" in name
            return driver

        monkeypatch.setattr(ctypes, "CDLL", load)

    return install


def test_devices_are_listed_by_number():
    assert parse_devices("cuda:0,1") == ("cuda:0", "cuda:1")
    assert parse_devices("cuda:1,cuda:0,1") == ("cuda:1", "cuda:0")
    assert parse_devices("cpu") == ("cpu",)
    for wrong in ("cuda:0,x", "cuda,1", "cuda:all,1", "cuda:0,all"):
        with pytest.raises(SettingsError, match="cuda:0,1"):
            parse_devices(wrong)


def test_all_means_each_device_that_the_driver_counts(driver):
    driver(Driver(3))
    assert parse_devices("cuda:all") == ("cuda:0", "cuda:1", "cuda:2")


@pytest.mark.parametrize("found", [Driver(0), Driver(2, fails=100), OSError("not found"), object()])
def test_all_of_no_devices_is_an_error_that_says_where_to_look(driver, found):
    driver(found)
    with pytest.raises(SettingsError, match="CUDA_VISIBLE_DEVICES"):
        parse_devices("cuda:all")


def test_devices_that_cannot_be_counted_are_to_be_listed():
    with pytest.raises(SettingsError, match="xpu:0,1"):
        parse_devices("xpu:all")
