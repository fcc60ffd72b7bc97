from __future__ import annotations

import threading

import mlx.core as mx
import numpy as np
import pytest
from allin1_core.contracts.logits import Activations
from allin1_core.contracts.spectrogram import LogSpectrogram
from allin1_core.contracts.stages import Setup, Task
from allin1_core.testing import signals
from allin1_core.testing.weights import random_model

from allin1_backend_mlx import network
from allin1_backend_mlx.computing import OnDevice, compiled


def test_the_value_of_a_stage_is_already_computed():
    # Only the thread that asked for a value can compute it: another one sees whether it has been.
    def lazy(data, task):
        return Activations(data * 2)

    values = OnDevice(lazy, "cpu")(mx.ones(3), Task()).values
    seen = []
    thread = threading.Thread(target=lambda: seen.append(np.asarray(values).tolist()))
    thread.start()
    thread.join()
    assert seen == [[2, 2, 2]]


def test_the_default_device_of_the_program_is_unchanged(device, put):
    default = mx.default_device()
    inside = []

    def stage(data, task):
        inside.append(mx.default_device())
        return Activations(data)

    call = OnDevice(stage, device)
    call(put(np.ones((3, 2), np.float32)), Task())
    call.synchronize()
    assert mx.default_device() == default
    assert inside[0].type == mx.Device(getattr(mx, device)).type

    def fail(data, task):
        raise KeyError

    with pytest.raises(KeyError):
        OnDevice(fail, device)(None, Task())
    assert mx.default_device() == default


def test_a_stage_made_in_one_thread_runs_in_another(device, put):
    call = network.create(Setup(device, random_model(1)))
    data = LogSpectrogram(put(signals.random_spectrogram(12).frames))
    here = np.asarray(call(data, Task()).beat)
    there = []
    thread = threading.Thread(target=lambda: there.append(np.asarray(call(data, Task()).beat)))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(here, there[0])


def test_closing_a_stage_closes_its_function():
    class Held:
        closed = False

        def __call__(self, data, task):
            return data

        def close(self):
            self.closed = True

    held = Held()
    OnDevice(held, "cpu").close()
    assert held.closed
    OnDevice(lambda data, task: data, "cpu").close()


def test_nothing_is_compiled_on_a_cpu():
    def function(x):
        return x

    assert compiled(function, "cpu") is function
    assert compiled(function, "gpu") is not function
