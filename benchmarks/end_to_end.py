"""From files of stems to a JSON file, each side in a separate process: time, and peak memory.

The parent process tells the sides in turn to analyse the song again, so that a busy machine slows down all of them. All
keep their model between songs; models that all-in-one-infer would load for every call are passed to it instead.

`bench_stages.py` uses this; run as a program, it is the process of one side.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

SIDES = ("auto", "reference", "all-in-one-infer")


@dataclass
class Side:
    """The outcome of a side.

    Attributes
    ----------
    name
        One of :data:`SIDES`.
    how
        Description of what ran.
    setup_s
        Time for importing libraries and loading the model.
    first_s
        Time for the first song, including set-up of backends, compilation and warm-up.
    seconds
        Time for each later song.
    setup_bytes, peak_bytes
        Peak of the process' resident memory before the first song, and in all.
    device_bytes
        Peak memory that PyTorch allocated on the GPU; 0 on a CPU.
    result
        The file that was written.
    trouble
        Why it could not be measured.
    """

    name: str
    how: str = ""
    setup_s: float = 0.0
    first_s: float = 0.0
    seconds: list[float] = field(default_factory=list)
    setup_bytes: int = 0
    peak_bytes: int = 0
    device_bytes: int = 0
    result: str = ""
    trouble: str = ""


def measure(
    names: Sequence[str],
    stems: Path,
    model: str,
    device: str,
    threads: int | None,
    repeats: int,
    budget_s: float,
    folder: Path,
) -> list[Side]:
    """Analyse the song of `stems` by each side, `repeats` times after a first one, taking turns.

    A side is not called again when the songs after its first took `budget_s` in total.
    """
    with contextlib.ExitStack() as stack:
        children = []
        for name in names:
            out = folder / name
            child = stack.enter_context(_Child(name, stems, out, model, device, threads))
            children.append(child)
            # Before the next one starts, so that set-ups do not overlap.
            child.set_up()
            child.analyse()
        for _ in range(repeats):
            for child in children:
                if sum(child.side.seconds) < budget_s:
                    child.analyse()
        return [child.side for child in children]


class _Child:
    """A process that analyses the song whenever it is sent a line."""

    def __init__(
        self, name: str, stems: Path, out: Path, model: str, device: str, threads: int | None
    ) -> None:
        self.side = Side(name)
        self._stderr: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed on exit
        command = [sys.executable, __file__, name, str(stems), str(out), model, device]
        command += [] if threads is None else ["--threads", str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True
        )

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._stderr.close()

    def set_up(self) -> None:
        told = self._read()
        if told:
            self.side.how = told["how"]
            self.side.setup_s = told["seconds"]
            self.side.setup_bytes = told["peak_bytes"]

    def analyse(self) -> None:
        if self.side.trouble:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        told = self._read()
        if not told:
            return
        if self.side.first_s:
            self.side.seconds.append(told["seconds"])
        else:
            self.side.first_s = told["seconds"]
        self.side.peak_bytes = told["peak_bytes"]
        self.side.device_bytes = told["device_bytes"]
        self.side.result = told["result"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            told: dict[str, Any] = json.loads(line)
            return told
        self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read().strip().splitlines()
        self.side.trouble = said[-1] if said else f"it ended with {self._process.returncode}"
        return {}


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # On Linux, getrusage() of a child includes the memory of its parent at the start, unlike this file.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _device_bytes() -> int:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.max_memory_allocated())


def _ours(
    name: str, stems: Path, out: Path, model: str, device: str, threads: int | None
) -> tuple[str, Callable[[], Path]]:
    from allin1_core.contracts.stages import STAGES
    from allin1_core.runtime.batch import run_batch
    from allin1_core.runtime.session import Session
    from allin1_core.runtime.track import make_tracks

    named = {} if name == "auto" else dict.fromkeys(STAGES[1:], name)
    session = Session(model, device="cpu" if named else device, threads=threads, backends=named)
    session.model()
    tracks = make_tracks(stems_dirs=[stems])

    def analyse() -> Path:
        (outcome,) = run_batch(session, tracks, out_dir=out, overwrite=True)
        if outcome.written is None:
            raise RuntimeError(f"{outcome.error}")
        return outcome.written

    decision = session.explain(tracks[0])
    return str(decision.chosen), analyse


def _all_in_one_infer(
    stems: Path, out: Path, model: str, device: str
) -> tuple[str, Callable[[], Path]]:
    from importlib.metadata import version

    import peers

    from allin1_core.runtime.session import Session

    networks = peers.all_in_one_infer_networks(Session(model).model(), device)
    import allin1_infer
    from allin1_infer.models.dinat import NA_BACKEND

    # The name is taken by the function of the same name.
    module = sys.modules["allin1_infer.analyze"]
    module.load_pretrained_model = lambda **_: networks  # type: ignore[attr-defined]
    song = allin1_infer.create_stems_input_from_directory(stems)

    def analyse() -> Path:
        # A single process: its default, a pool of processes for one song, would be slower.
        allin1_infer.analyze(
            song,
            out_dir=out,
            model=model,
            device=device,
            demix_dir=out / "demix",
            spec_dir=out / "spec",
            overwrite=True,
            multiprocess=False,
        )
        (path,) = out.glob("*.json")
        return path

    return f"version {version('all-in-one-infer')}, attention by {NA_BACKEND}", analyse


def main() -> None:
    began = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("stems", type=Path, help="folder with bass.wav, drums.wav …")
    parser.add_argument("out", type=Path, help="folder for the result")
    parser.add_argument("model")
    parser.add_argument("device")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    tell = sys.stdout
    place = (options.stems, options.out, options.model, options.device)
    with contextlib.redirect_stdout(sys.stderr):
        if options.side == "all-in-one-infer":
            if options.threads:
                import torch

                torch.set_num_threads(options.threads)
            how, analyse = _all_in_one_infer(*place)
        else:
            how, analyse = _ours(options.side, *place, options.threads)
        seconds = time.perf_counter() - began
        print(
            json.dumps({"how": how, "seconds": seconds, "peak_bytes": peak_bytes()}),
            file=tell,
            flush=True,
        )
        for _ in sys.stdin:
            began = time.perf_counter()
            path = analyse()
            seconds = time.perf_counter() - began
            told = {
                "seconds": seconds,
                "peak_bytes": peak_bytes(),
                "device_bytes": _device_bytes(),
                "result": str(path),
            }
            print(json.dumps(told), file=tell, flush=True)


if __name__ == "__main__":
    main()
