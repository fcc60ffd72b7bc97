"""Saves something again and again, each time with a fault at the next system call, and looks at what is left.

``LD_PRELOAD=calls.so python driver.py SCENARIO MODE FOLDER`` prints a line for each fault that broke a promise, and at the end
how many system calls there were. The promises:

- what was there before is there afterwards, whole, or what was to be written is, whole;
- an error that is reported leaves what was there before; no error is reported as success;
- no other exception is raised than this package's own;
- at the next start nothing is left over.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from allin1_core.contracts.audio import Stems
from allin1_core.contracts.demix import DemixParameters
from allin1_core.contracts.result import AnalysisResult
from allin1_core.errors import Allin1Error
from allin1_core.io import leftovers
from allin1_core.io.kept_stems import stems_to_keep
from allin1_core.io.results import ACTIVATIONS, check_destination, load_result, save_result
from allin1_core.io.stems import read_stems

MODES = {"error": 1, "late error": 2, "errors from then on": 3, "kill": 4}

CALLS = ctypes.CDLL(None)
CALLS.last_call.restype = ctypes.c_char_p

DONE, REFUSED, CRASHED, KILLED = 0, 6, 99, 77


class Results:
    """A result with embeddings takes the place of one that has activations too, or one with both that of none."""

    def __init__(self, folder: Path, *, has_earlier: bool) -> None:
        self.folder = folder / "struct"
        self.has_earlier = has_earlier

    def has_activations(self, number: int) -> bool:
        return number == 1 or not self.has_earlier

    def result(self, number: int) -> AnalysisResult:
        arrays = {key: np.full((10, 5), number, np.float32) for key in ACTIVATIONS}
        return AnalysisResult(
            *(Path("song.wav"), number, [1.0], [], [1], []),
            activations=arrays if self.has_activations(number) else None,
            embeddings=np.full((4, 5, 24), number, np.float32),
        )

    def prepare(self) -> None:
        if self.has_earlier:
            save_result(self.result(1), self.folder, "song")

    def save(self) -> None:
        check_destination(self.folder, "song", "song.wav")
        save_result(self.result(2), self.folder, "song")

    def state(self) -> Any:
        """Tell which result there is after the next start: 1, 2, None, or a text that says what is wrong."""
        check_destination(self.folder, "song", "song.wav")
        names = {path.name for path in self.folder.iterdir()} if self.folder.exists() else set()
        if not names:
            return None
        loaded = load_result(self.folder / "song.json")
        number = loaded.bpm
        arrays = [loaded.embeddings]
        wanted = {"song.json", "song.embed.npy"}
        if self.has_activations(number):
            arrays += (loaded.activations or {}).values()
            wanted.add("song.activ.npz")
        if names != wanted:
            return f"result {number} beside {sorted(names)}"
        if any(array is None or (array != number).any() for array in arrays):
            return f"result {number} with other arrays"
        return number


class KeptStems:
    """Stems take the place of those made with other parameters, or of none."""

    def __init__(self, folder: Path, *, has_earlier: bool) -> None:
        self.folder = folder
        self.has_earlier = has_earlier

    def kept(self, number: int) -> Any:
        return stems_to_keep(
            self.folder / "demix", "song", self.folder / "song.wav", DemixParameters(seed=number)
        )

    def write(self, number: int) -> None:
        kept = self.kept(number)
        kept.check()
        with kept.writing(lambda: 200, ("one",)) as take:
            for _ in range(2):
                take(Stems(np.full((4, 2, 100), number / 4, np.float32)))
        if kept.problem is not None:
            raise kept.problem

    def prepare(self) -> None:
        self.folder.mkdir()
        (self.folder / "song.wav").write_bytes(b"a song")
        os.utime(self.folder / "song.wav", (1, 1))
        if self.has_earlier:
            self.write(1)

    def save(self) -> None:
        self.write(2)

    def state(self) -> Any:
        found = [number for number in (1, 2) if self.kept(number).find()]
        folder = self.kept(1).folder
        if folder.parent.exists():
            names = [path.name for path in folder.parent.iterdir()]
            if names not in ([], ["song"]):
                return f"{names} left over"
        if not found:
            return f"{folder} without stems" if folder.exists() else None
        (number,) = found
        stems, _, _ = read_stems(self.kept(number).find())
        if stems.samples.shape != (4, 2, 200) or (stems.samples != number / 4).any():
            return f"stems {number} with other samples"
        return number


def run_with_fault(save: Callable[[], None], mode: int, which: int) -> tuple[int, bool, str]:
    """Save in a process of its own; give its status, whether the fault came, and the name of the call."""
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        status = DONE
        CALLS.arm(mode, which)
        try:
            save()
        except Allin1Error:
            status = REFUSED
        except BaseException:
            CALLS.disarm()
            traceback.print_exc()
            status = CRASHED
        calls = CALLS.disarm()
        os.write(writer, f"{int(calls >= which)} {CALLS.last_call().decode()}".encode())
        os._exit(status)
    os.close(writer)
    told = os.read(reader, 100).decode().split() or ["1", "a call"]
    os.close(reader)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), told[0] == "1", told[-1]


def main(scenario: str, mode: str, folder: Path) -> None:
    kind, _, earlier = scenario.partition(" ")
    make = {"results": Results, "stems": KeptStems}[kind]
    before = 1 if earlier else None
    # What is imported when it is needed is imported now.
    rehearsal = make(folder / "rehearsal", has_earlier=True)
    rehearsal.prepare()
    rehearsal.save()
    if rehearsal.state() != 2:
        sys.exit("saving does not even work without faults")
    which = 0
    while True:
        which += 1
        place = folder / str(which)
        one = make(place, has_earlier=bool(earlier))
        one.prepare()
        leftovers._tidied.clear()
        status, has_come, call = run_with_fault(one.save, MODES[mode], which)
        leftovers._tidied.clear()
        allowed = {DONE: {2}, REFUSED: {before}, KILLED: {before, 2}}.get(status, set())
        if mode == "errors from then on" and status == REFUSED:
            allowed = {before, 2}
        try:
            state = one.state()
        except Exception as error:
            state = f"{type(error).__name__}: {error}"
        if state not in allowed:
            print(f"BROKEN at call {which} ({call}): status {status}, then {state}")
        shutil.rmtree(place, ignore_errors=True)
        if not has_come:
            print(f"{which - 1} calls")
            return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
