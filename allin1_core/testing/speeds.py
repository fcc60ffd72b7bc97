"""Plausibility check of the speeds that a backend declares."""

from __future__ import annotations

from typing import Any

from allin1_core.contracts.backend import Backend

#: Implausible set-up time in seconds, and time per second of audio; they were probably given in milliseconds.
MOST_SETUP_S, MOST_RATE = 600.0, 60.0


def find_speed_faults(record: Backend[Any]) -> list[str]:
    """Return a sentence for each fault of the declared speeds.

    >>> from allin1_core.contracts.speed import Speed
    >>> speed = (Speed("cpu", 0.0, 250.0, "my laptop"),)
    >>> find_speed_faults(Backend("mine", "nn", "mine:create", speed=speed))
    ['Its speed on cpu is 250 s for a second of audio: give seconds, not milliseconds.']
    """
    faults = []
    devices = [speed.device for speed in record.speed]
    for speed in record.speed:
        of = f"Its speed on {speed.device}"
        if not speed.measured:
            faults.append(f"{of} does not say where it was measured: name machine and date.")
        if speed.rate > MOST_RATE:
            faults.append(
                f"{of} is {speed.rate:g} s for a second of audio: give seconds, not milliseconds."
            )
        if speed.setup_s > MOST_SETUP_S:
            faults.append(
                f"{of} has a set-up of {speed.setup_s:g} s: give seconds, not milliseconds."
            )
        if speed.rate == 0 and speed.setup_s == 0:
            faults.append(f"{of} is nothing at all: measure it by 'allin1 bench'.")
    repeated = sorted({device for device in devices if devices.count(device) > 1})
    faults += [f"It has several speeds on {device}: give one." for device in repeated]
    if devices and not any(device.startswith(record.device) for device in devices):
        faults.append(
            f"It runs on {record.device}, and has speeds on {', '.join(devices)} alone: give its own."
        )
    return faults
