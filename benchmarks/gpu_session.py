"""The steps of ``gpu_session.sh``, each in a process of its own, with a limit, so that none can take the others' time.

Old and new run in turns in one process; the median of each counts. Shares of kernels come from PyTorch's profiler, in
milliseconds of a song. All figures go into one JSON file, which is written anew after every step.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

#: Seconds that a step may take, in the order in which they run: those that matter most come first.
LIMITS = {
    "startup": 120,
    "builtin": 80,
    "tests": 180,
    "batch": 130,
    "separation": 120,
    "network": 40,
    "several": 30,
    "two-gpus": 170,
    "options": 60,
    "cores": 110,
}

#: Seconds for all of them: the last ones get what is left.
WITHIN = 530

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 180
RANDOM = "random:1234"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--alone", action="store_true", help="run the one step here, and print it")
    parser.add_argument("steps", nargs="*", help=", ".join(LIMITS))
    arguments = parser.parse_args()
    if unknown := [step for step in arguments.steps if step not in LIMITS]:
        parser.error(f"no step: {', '.join(unknown)}")
    if arguments.alone:
        print(json.dumps(STEPS[arguments.steps[0]]()))
        return
    told: dict[str, Any] = {"machine": machine()}
    with (arguments.out / "session.log").open("w", encoding="utf-8") as log:
        end = time.monotonic() + WITHIN
        for step in arguments.steps or LIMITS:
            began = time.monotonic()
            left = end - began
            if left < 1:
                told[step] = {"failed": f"no time was left within {WITHIN} s"}
            else:
                told[step] = run_apart(step, log, min(LIMITS[step], left))
            told[step]["took_s"] = round(time.monotonic() - began, 1)
            print(step, json.dumps(told[step])[:2000], flush=True)
            (arguments.out / "session.json").write_text(
                json.dumps(told, indent=1), encoding="utf-8"
            )


def run_apart(step: str, log: Any, limit_s: float) -> dict[str, Any]:
    """Run a step in a process; give what it tells, or how it failed."""
    command = [sys.executable, __file__, "--alone", step]
    try:
        ran = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not finished after {limit_s:.0f} s"}
    log.write(ran.stdout)
    log.flush()
    lines = ran.stdout.splitlines()
    if ran.returncode or not lines:
        return {"failed": f"status {ran.returncode}; see session.log"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def machine() -> dict[str, Any]:
    """What it ran on."""
    import torch
    import triton

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    versions = {"torch": torch.__version__, "triton": triton.__version__}
    return {"gpus": gpus, "cores": os.cpu_count(), **versions}


def in_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds until the device has finished: the median and the least of several rounds, in turns."""
    import torch

    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name, call in calls.items():
            torch.cuda.synchronize()
            began = time.perf_counter()
            call()
            torch.cuda.synchronize()
            if number:  # the first is to warm up
                taken[name].append(1e3 * (time.perf_counter() - began))
    return {
        name: {"median_ms": round(statistics.median(each), 3), "least_ms": round(min(each), 3)}
        for name, each in taken.items()
    }


def kernels(call: Callable[[], object], most: int = 40) -> dict[str, Any]:
    """Milliseconds of the device by kernel, of one call, and how often each was launched."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    call()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        call()
        torch.cuda.synchronize()
    found = [
        (each.self_device_time_total / 1e3, each.count, each.key[:90])
        for each in profiler.key_averages()
        if each.self_device_time_total
    ]
    found.sort(reverse=True)
    total = sum(ms for ms, _, _ in found)
    listed = [[round(ms, 3), count, name] for ms, count, name in found[:most]]
    return {
        "device_ms": round(total, 2),
        "launches": sum(c for _, c, _ in found),
        "kernels": listed,
    }


def separation() -> dict[str, Any]:
    """Separation by PyTorch's operations and by kernels: times, shares, distance, memory, and tiles to choose from."""
    import torch
    from allin1_backend_torch.demix import Separation
    from allin1_backend_torch.demix_error import signal_to_error_db
    from allin1_backend_torch.demix_models import load_bag
    from allin1_backend_torch.triton_demix import backend
    from bench_demix import make_residuals_matter, synthetic_stems

    from allin1_core.contracts.audio import Mix
    from allin1_core.contracts.demix import DemixParameters
    from allin1_core.contracts.stages import Task

    device = torch.device("cuda:0")
    parameters = DemixParameters(weights=RANDOM)
    bag = load_bag(parameters)
    make_residuals_matter(bag, 0.1)
    mix = Mix(synthetic_stems(SECONDS).sum(0).to(device))
    told: dict[str, Any] = {}
    calls: dict[str, Callable[[], torch.Tensor]] = {}

    def add(name: str, precision: Any, operations: Any, batch: int = 32) -> None:
        own = Separation(
            bag, parameters, device, precision, True, batch, operations=operations
        )  # fmt: skip
        began = time.perf_counter()
        try:
            own.members(precision)
            calls[name] = lambda: own(mix, Task()).samples
            calls[name]()
        except Exception as error:
            calls.pop(name, None)
            told[f"{name} failed"] = repr(error)[:1500]
        torch.cuda.synchronize()
        told[f"{name} set-up and first song s"] = round(time.perf_counter() - began, 2)

    add("plain float16", "float16", None)
    add("kernels float16", "float16", backend.operations)
    told["in turns"] = in_turns(calls, 9)
    print(json.dumps(told), file=sys.stderr)
    for name, call in list(calls.items()):
        torch.cuda.reset_peak_memory_stats()
        told[f"{name} kernels"] = kernels(call)
        told[f"{name} peak GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    add("plain float32", "float32", None)
    exact = calls.pop("plain float32")()
    told["decibels"] = {name: signal_to_error_db(exact, call()) for name, call in calls.items()}
    if "kernels float16" in calls:
        for batch in (8, 16):
            add(f"plain float16 by {batch}", "float16", None, batch)
            add(f"kernels float16 by {batch}", "float16", backend.operations, batch)
        add("plain tf32", "tf32", None)
        add("kernels tf32", "tf32", backend.operations)
        told["in turns, others"] = in_turns(calls, 3)
        print(json.dumps(told), file=sys.stderr)
        told["tiles"] = tiles(bag, parameters, mix)
    return told


def tiles(bag: Any, parameters: Any, mix: Any) -> dict[str, Any]:
    """The network alone with other tiles of the residual layers, and with each kernel replaced by PyTorch's operations."""
    from dataclasses import replace

    import torch
    from allin1_backend_torch.demix_network import Network
    from allin1_backend_torch.demix_operations import PlainOperations
    from allin1_backend_torch.demix_parameters import lay_out
    from allin1_backend_torch.demix_precision import computing
    from allin1_backend_torch.triton_compiling import without_warp_group_products
    from allin1_backend_torch.triton_demix import activations, backend, lengthening, residuals

    own = lay_out(bag.models[0], torch.float16, mix.samples.device)
    length = own.transform.samples
    segments = mix.samples[:, : 20 * length].unfold(1, length, length).transpose(0, 1).contiguous()
    segments = segments / segments.std()
    calls: dict[str, Callable[[], object]] = {}

    def network(name: str, operations: Any, *settings: tuple[Any, str, int]) -> None:
        before = [getattr(module, key) for module, key, _ in settings]
        run = Network(own, operations)

        def call() -> None:
            for module, key, value in settings:
                setattr(module, key, value)
            with computing("float16"):
                run(segments)
            for (module, key, _), value in zip(settings, before, strict=True):
                setattr(module, key, value)

        try:
            with without_warp_group_products():
                call()
            calls[name] = call
        except Exception as error:
            print(name, repr(error), file=sys.stderr)

    fused, plain = backend.operations(own, "float16"), PlainOperations()
    network("plain", plain)
    network("kernels", fused)
    for tile, warps in ((64, 2), (64, 4), (128, 8)):
        settings = (residuals, "TILE", tile), (residuals, "WARPS", warps)
        network(f"residual layers by {tile} frames, {warps} warps", fused, *settings)
    for tile, warps in ((32, 2), (32, 4), (64, 8), (128, 8)):
        settings = (residuals, "WIDEN_TILE", tile), (residuals, "WIDEN_WARPS", warps)
        network(f"their last kernel by {tile} frames, {warps} warps", fused, *settings)
    for block in (512, 2048):
        settings = (activations, "BLOCK", block), (lengthening, "BLOCK", block)
        network(f"activations by {block}", fused, *settings)

    for name in (
        *("channels", "shorten", "residual", "gated_product", "gated_convolution", "lengthen"),
        *("waves", "sum_and_norm", "norm_of_sum"),
    ):
        other = replace(fused)
        object.__setattr__(other, name, getattr(plain, name))
        network(f"plain {name}", other)
    return in_turns(calls, 5)


def network() -> dict[str, Any]:
    """The network in Triton, as exact as float32 and in half precision: times, shares, distance."""
    import torch
    from allin1_backend_torch import network as plain
    from allin1_backend_torch.triton_network import backend

    from allin1_core.contracts.spectrogram import LogSpectrogram
    from allin1_core.contracts.stages import Setup, Task
    from allin1_core.testing.signals import random_spectrogram
    from allin1_core.testing.weights import random_model

    setup = Setup("cuda:0", random_model(1, members=8))
    frames = torch.from_numpy(random_spectrogram(100 * SECONDS).frames).to("cuda:0")
    told: dict[str, Any] = {}
    calls: dict[str, Callable[[], Any]] = {}
    for name, create in (("exact", backend.create), ("half", backend.create_float16)):
        began = time.perf_counter()
        call = create(setup)
        told[f"{name} set-up s"] = round(time.perf_counter() - began, 2)
        calls[name] = lambda call=call: call(LogSpectrogram(frames), Task())
    told["in turns"] = in_turns(calls, 15)
    wanted = plain.create(setup)(LogSpectrogram(frames), Task())
    for name, call in calls.items():
        told[f"{name} kernels"] = kernels(call)
        told[f"{name} differs"] = float((call().function - wanted.function).abs().max())
    return told


def options() -> dict[str, Any]:
    """Each kernel of the network in plain Triton with other numbers of warps and registers: milliseconds of a launch, the best first."""
    from dataclasses import replace

    import torch
    from allin1_backend_torch.triton_compiling import current, without_warp_group_products
    from allin1_backend_torch.triton_launching import Launch
    from allin1_backend_torch.triton_network.ensemble import launches, ready
    from allin1_backend_torch.triton_network.workspace import workspace

    from allin1_core.testing.signals import random_spectrogram
    from allin1_core.testing.weights import random_model

    device, length = torch.device("cuda:0"), 100 * SECONDS
    own = ready(random_model(1, members=8).members, device, True)
    space = workspace(length, 8, True, device)
    logits = torch.empty(8, 13, length, device=device)
    frames = torch.from_numpy(random_spectrogram(length).frames).to(device)
    every = {each.kernel: each for each in launches(frames, own.weights, space, logits, True)}
    for launch in launches(frames, own.weights, space, logits, True):
        launch.run()

    def compiled(launch: Launch) -> Launch | None:
        try:
            with current(device):
                launch.compile()
        except Exception:  # too few registers, or too much shared memory
            return None
        return launch

    tried = []
    for launch in every.values():
        without = {key: value for key, value in launch.options.items() if key != "maxnreg"}
        tried.append(launch)
        for warps in (2, 4, 8):
            for registers in (None, 96, 128, 168, 224):
                more = {} if registers is None else {"maxnreg": registers}
                tried.append(replace(launch, options={**without, "num_warps": warps, **more}))
    with without_warp_group_products(), ThreadPoolExecutor(16) as pool:
        ready_ones = [launch for launch in pool.map(compiled, tried) if launch is not None]
    told: dict[str, list[Any]] = defaultdict(list)
    for launch in ready_ones:
        try:
            found = in_turns({"ms": launch.run}, 5)["ms"]["median_ms"]
        except RuntimeError as error:
            found = repr(error)[:80]
        chosen = {k: v for k, v in launch.options.items() if k in ("num_warps", "maxnreg")}
        is_now = launch is every[launch.kernel]
        told[launch.kernel.__name__].append([found, chosen, "now" if is_now else ""])
    return {name: sorted(each, key=lambda one: str(one[0]).zfill(9)) for name, each in told.items()}


#: Files of tests of allin1-torch with the seconds that each may take: first what measures memory, and the kernels; then
#: the most important ones. What is not named here comes last.
TESTS = {
    "test_bridges": 30,
    "test_cuda": 30,
    "test_network": 60,
    "test_mix_spectrogram": 40,
    "test_conformance": 60,
    "test_demix": 60,
    "test_demix_conformance": 60,
    "test_triton_demix": 60,
    "test_triton_network": 60,
    "test_triton_hopper": 60,
}
OTHER_TESTS = 40

#: Files whose tests measure memory, or take less time than to start several processes.
ALONE = {"test_bridges", "test_cuda"}


def tests() -> dict[str, Any]:
    """Tests of allin1-torch on the GPU, file by file, each with its own limit; of each its outcome and its time."""
    folder = ROOT / "plugins/allin1-torch"
    others = sorted(path.stem for path in (folder / "tests").glob("test_*.py"))
    limits = TESTS | {name: OTHER_TESTS for name in others if name not in TESTS}
    told: dict[str, Any] = {}
    end = time.monotonic() + LIMITS["tests"] - 5
    for name, limit in limits.items():
        began = time.monotonic()
        left = end - began
        if left < 5:
            told[name] = {"failed": "no time was left"}
            continue
        told[name] = _tested(folder, name, min(limit, left))
        told[name]["took_s"] = round(time.monotonic() - began, 1)
        print(name, json.dumps(told[name]), file=sys.stderr, flush=True)
    return told


def _tested(folder: Path, name: str, limit_s: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    # Where pytest-benchmark is installed, its warning about xdist would be an error.
    command += ["-p", "no:benchmark", *([] if name in ALONE else ["-n", "14"])]
    # Into a file, which has what was printed until the limit, and which a worker that remains does not keep open.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, f"tests/{name}.py"],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read()
    print(text[-8000:], file=sys.stderr, flush=True)
    lines = text.splitlines()
    failed = [line[:300] for line in lines if line.startswith(("FAILED", "ERROR"))]
    status = process.returncode
    outcome = f"not finished after {limit_s:.0f} s" if status == -signal.SIGKILL else status
    return {"status": outcome, "summary": lines[-1:], "failed": failed[:20]}


def song(seconds: float, seed: int) -> Any:
    """Noise in the rhythm of beats: float64 ``[samples, 2]``."""
    import numpy as np

    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * 44_100)) / 44_100
    beats = np.exp(-8 * (time_s * (1.8 + 0.05 * seed) % 1))
    return (0.2 * beats[:, None] * rng.standard_normal((len(time_s), 2))).clip(-1, 1)


def write_song(path: Path, seconds: float, seed: int) -> None:
    """Write a song as an MP3 or WAV file."""
    import soundfile

    kind = {"format": "MP3"} if path.suffix == ".mp3" else {}
    soundfile.write(path, song(seconds, seed), 44_100, **kind)


def write_songs(folder: Path, count: int, seconds: float, suffix: str, copies: int = 1) -> Path:
    """Write songs, several at once, into a new folder; each `copies` times, since writing them takes long."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number:03}{suffix}" for number in range(count)]
    with ProcessPoolExecutor(8) as pool:
        list(pool.map(write_song, paths, [seconds] * count, range(count)))
    for number in range(count, count * copies):
        shutil.copyfile(paths[number % count], folder / f"{number:03}{suffix}")
    return folder


#: The command line, reading by threads rather than by processes.
BY_THREADS = """
from allin1_core.runtime import batch
batch.FEWEST_FOR_PROCESSES = 1 << 30
from allin1_core.cli.main import main
main()
"""


def analyzed(songs: Path, *options: str, program: Sequence[str] = ("allin1",)) -> dict[str, Any]:
    """Analyse songs from the command line; tell how long songs and stages took, without the first two songs."""
    with tempfile.TemporaryDirectory() as folder:
        return _analyzed(songs, Path(folder), *options, program=program)


def _analyzed(songs: Path, folder: Path, *options: str, program: Sequence[str]) -> dict[str, Any]:
    timings = folder / "timings.jsonl"
    command = [*program, "analyze", str(songs), "-q", "--no-cache"]
    command += ["-o", str(folder / "struct"), "--timings-path", str(timings), *options]
    began = time.time()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.time() - began
    print(ran.stdout[-3000:], ran.stderr[-3000:], file=sys.stderr, flush=True)
    if ran.returncode:
        return {"failed": ran.stderr[-800:]}
    rows = [json.loads(line) for line in timings.read_text().splitlines()]
    order = sorted({row["track"] for row in rows})
    counted = set(order[2:])
    stages: dict[str, float] = defaultdict(float)
    for row in rows:
        if row["track"] in counted:
            stages[f"{row['stage']} on {row['device']}"] += row["duration"]
    begin = max(row["end"] for row in rows if row["track"] in order[:2])
    wall = max(row["end"] for row in rows) - begin
    # Of the second half, without the start of the second process on another GPU.
    ends = sorted(row["end"] for row in rows if row["stage"] == "functional")
    half = len(ends) // 2
    return {
        "command s": round(took, 2),
        "first song s": round(max(r["end"] for r in rows if r["track"] == order[0]) - began, 2),
        "wall ms a song": round(1e3 * wall / len(counted), 2),
        "of the second half": round(1e3 * (ends[-1] - ends[half - 1]) / (len(ends) - half), 2),
        "stages ms a song": {k: round(1e3 * v / len(counted), 2) for k, v in stages.items()},
        "wall over slowest stage": round(wall / max(stages.values()), 3),
    }


def demucs_options() -> list[str]:
    """Options for a separation with random weights; and the trained network where it was brought along."""
    return ["-m", "harmonix-all", "--demucs-weights", RANDOM, "--device", "cuda"]


def startup() -> dict[str, Any]:
    """The first song from the command line, with warm caches, and what it waits for."""
    from gpu_startup import startup as measured

    with tempfile.TemporaryDirectory() as name:
        songs = write_songs(Path(name) / "songs", 1, SECONDS, ".mp3")
        # The last run that begins within this time must still be able to finish.
        return measured(songs / "00.mp3", Path(name), 1234, LIMITS["startup"] - 30)


def batch() -> dict[str, Any]:
    """A batch of MP3 songs through separation and network, and one of short songs, each read by processes and by threads."""
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        songs = write_songs(Path(name) / "songs", 8, SECONDS, ".mp3", copies=8)
        short = write_songs(Path(name) / "short", 16, 30.0, ".mp3", copies=12)
        for which, where in (("songs", songs), ("short songs", short)):
            told[which] = analyzed(where, *demucs_options())
            by_threads = [sys.executable, "-c", BY_THREADS]
            told[f"{which}, read by threads"] = analyzed(
                where, *demucs_options(), program=by_threads
            )
            print(json.dumps(told), file=sys.stderr)
    return told


def builtin() -> dict[str, Any]:
    """The model that takes the mix: device and wall time of each stage for 180 s, copies of the mix, and a batch."""
    from gpu_builtin import stages

    told = stages(song(SECONDS, 0), in_turns, kernels)
    print(json.dumps(told), file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        songs = write_songs(Path(name) / "songs", 8, SECONDS, ".wav")
        options = ["-m", "builtin", "--device", "cuda"]
        told["batch, auto"] = analyzed(songs, *options)
        told["batch, kernels"] = analyzed(songs, *options, "-b", "nn=torch-cuda-triton")
    return told


def several() -> dict[str, Any]:
    """Short songs one by one, and several at once."""
    import torch
    from allin1_backend_torch.demix import Separation
    from allin1_backend_torch.demix_models import load_bag
    from allin1_backend_torch.triton_demix import backend

    from allin1_core.contracts.audio import Mix
    from allin1_core.contracts.demix import DemixParameters
    from allin1_core.contracts.stages import Task

    device, parameters = torch.device("cuda:0"), DemixParameters(weights=RANDOM)
    mixes = [Mix(0.1 * torch.randn(2, 30 * 44_100, device=device)) for _ in range(8)]
    calls: dict[str, Callable[[], object]] = {}
    for name, operations in (("plain", None), ("kernels", backend.operations)):
        own = Separation(
            load_bag(parameters), parameters, device, "float16", True, 32, operations=operations
        )  # fmt: skip
        calls[f"{name}, one by one"] = lambda own=own: [own(mix, Task()) for mix in mixes]
        calls[f"{name}, together"] = lambda own=own: own.batch(mixes, Task())
    return in_turns(calls, 4)


def two_gpus() -> dict[str, Any]:
    """A batch on all GPUs, and on one."""
    import torch

    if torch.cuda.device_count() < 2:
        return {"skipped": "there is one GPU"}
    told = {}
    with tempfile.TemporaryDirectory() as name:
        songs = write_songs(Path(name) / "songs", 8, SECONDS, ".mp3", copies=25)
        for model, options in (
            ("harmonix-all", demucs_options()[:-2]),
            ("builtin", ["-m", "builtin"]),
        ):
            for device in ("cuda:all", "cuda:0"):
                told[f"{model}, {device}"] = analyzed(songs, *options, "--device", device)
                print(json.dumps(told), file=sys.stderr)
    return told


def cores() -> dict[str, Any]:
    """Separation on the CPU by number of threads, compared with Demucs."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "cores.json"
        script = Path(__file__).with_name("bench_cores.py")
        command = [sys.executable, str(script), "--json", str(path)]
        subprocess.run(command, stdout=sys.stderr, check=True)
        return {"rows": json.loads(path.read_text(encoding="utf-8"))}


STEPS: dict[str, Callable[[], dict[str, Any]]] = {
    "startup": startup,
    "builtin": builtin,
    "tests": tests,
    "batch": batch,
    "separation": separation,
    "network": network,
    "several": several,
    "two-gpus": two_gpus,
    "options": options,
    "cores": cores,
}

if __name__ == "__main__":
    main()
