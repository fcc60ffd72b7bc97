"""Candidates for the kernels of the network: each against the present kernel on the same input, and timed in turns.

    python benchmarks/network_variants.py --out FOLDER

writes ``variants.json``. Candidates run in a process of their own, which is started again without the one that ended it.
Where Triton interprets kernels (``TRITON_INTERPRET=1``), they are checked on the CPU at 40 frames.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

#: Seconds for everything, and for one process.
WITHIN, ONE_PROCESS = 100, 75
BLOCK = 5
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@dataclass
class Candidate:
    """Launches in place of those of a stage, or what prevented them."""

    name: str
    stage: str
    make: Callable[[Any], list[Any]]
    wgmma: bool = False
    gluon: bool = False


@dataclass
class Ground:
    """What all candidates share."""

    device: Any
    weights: Any
    space: Any
    spectrogram: Any
    present: dict[str, Any]
    sms: int


def ground() -> Ground:
    """An ensemble of eight on three minutes; run up to the middle, so that inputs are real."""
    import torch
    from allin1_backend_torch.triton_compiling import compile_kernels
    from allin1_backend_torch.triton_network.ensemble import launches
    from allin1_backend_torch.triton_network.packing import pack
    from allin1_backend_torch.triton_network.workspace import workspace

    from allin1_core.testing.signals import random_spectrogram
    from allin1_core.testing.weights import random_model

    device = torch.device("cpu" if INTERPRETED else "cuda:0")
    frames, members = (40, 1) if INTERPRETED else (18_000, 8)
    weights = pack(random_model(1, members=members).members, device)
    space = workspace(frames, members, True, device)
    spectrogram = torch.from_numpy(random_spectrogram(frames).frames).to(device)
    logits = torch.empty(members, 13, frames, device=device)
    every = list(launches(spectrogram, weights, space, logits, True))
    if not INTERPRETED:
        compile_kernels(every, device, "the network")
    first = 3 + 3 * BLOCK
    present = {
        "first": every[0],
        "second": every[1],
        "third": every[2],
        "attention": every[first],
        "mlp": every[first + 1],
        "instruments": every[first + 2],
    }
    for launch in every[: first + (1 if INTERPRETED else 3)]:
        launch.run()
    sms = 1 if INTERPRETED else torch.cuda.get_device_properties(device).multi_processor_count
    return Ground(device, weights, space, spectrogram, present, sms)


def outputs(stage: str, space: Any) -> list[Any]:
    """What a stage writes."""
    written: dict[str, list[Any]] = {
        "first": [space.first],
        "second": [space.second],
        "third": [space.x, space.time_planes],
        "attention": [space.contexts],
        "mlp": [space.x, space.instrument_planes],
        "layer": [space.x, space.instrument_planes],
        "instruments": [space.x, space.time_planes],
    }
    return written[stage]


def whole(values: Any) -> Any:
    """Values themselves, or the sums of their high and low halves."""
    return values if values.element_size() == 4 else values.float().sum(0)


def present_launches(own: Ground, stage: str) -> list[Any]:
    """The present kernels of a stage; `layer` is attention and what follows."""
    names = ["attention", "mlp"] if stage == "layer" else [stage]
    return [own.present[name] for name in names]


def option(stage: str, **options: Any) -> Candidate:
    """The present kernel with other options; a `TILE` changes its grid."""

    def make(own: Ground) -> list[Any]:
        return [with_options(own.present[stage], options)]

    return Candidate(f"{stage} {told(options)}", stage, make)


def told(options: dict[str, Any]) -> str:
    short = {
        "num_warps": "warps",
        "maxnreg": "registers",
        "num_stages": "stages",
        "TILE": "tile",
        "MODE": "mode",
    }
    return " ".join(f"{short.get(key, key)} {value}" for key, value in options.items())


def with_options(launch: Any, options: dict[str, Any], kernel: Any = None) -> Any:
    """A launch with other options, and maybe another kernel of the same arguments."""
    tile, own = launch.options["TILE"], {**launch.options, **options}
    own = {key: value for key, value in own.items() if value is not None}
    # The number of programs for a tile that is a multiple, or a part: rounded up from what the present tiles cover.
    programs = -(-launch.grid[0] * tile // own["TILE"])
    grid = (programs, *launch.grid[1:])
    return replace(launch, kernel=kernel or launch.kernel, grid=grid, options=own)


def gelu(stage: str, module: str, kernel: str, wgmma: bool = False, **options: Any) -> Candidate:
    """The kernel with another GELU, and maybe other options."""

    def make(own: Ground) -> list[Any]:
        from network_variants_kernels import with_fast_gelu

        return [with_options(own.present[stage], options, getattr(with_fast_gelu(module), kernel))]

    more = "wgmma " if wgmma else ""
    return Candidate(f"{stage} gelu {more}{told(options)}", stage, make, wgmma=wgmma)


def mlp_gelu(wgmma: bool = False, **options: Any) -> Candidate:
    return gelu("mlp", "time_mlp", "_time_mlp", wgmma, **options)


def instruments_gelu(wgmma: bool = False, **options: Any) -> Candidate:
    return gelu("instruments", "instruments", "_instrument_layer", wgmma, **options)


def kernels_in_gluon() -> Any:
    """The module of kernels in Gluon, or what it is where kernels are interpreted."""
    if INTERPRETED:
        import network_variants_emulated

        return network_variants_emulated.load()
    import network_variants_gluon

    return network_variants_gluon


def hopper(stage: str, kernel: str, each_sm: float, **options: Any) -> Candidate:
    """A kernel in Gluon, with a number of programs for each multiprocessor in all."""

    def make(own: Ground) -> list[Any]:
        launch = own.present["mlp" if stage == "layer" else stage]
        members = own.space.members
        programs = max(1, int(own.sms * each_sm) // members)
        chosen = dict(options)
        if INTERPRETED:  # so that there are several tiles, and programs of several
            programs, chosen["TILE"] = 2, 16
        arguments = launch.arguments
        if stage == "layer":
            before = own.present["attention"].arguments
            arguments = (arguments[0], before[0], *arguments[2:6], before[2], *before[3:6])
        return [
            replace(
                launch,
                kernel=getattr(kernels_in_gluon(), kernel),
                grid=(programs, members),
                arguments=arguments,
                options=chosen,
            )
        ]

    name = f"{stage} hopper {each_sm:g} a multiprocessor {told(options)}"
    return Candidate(name, stage, make, gluon=True)


def mlp_hopper(each_sm: float, mode: int, **options: Any) -> Candidate:
    return hopper("mlp", "time_mlp_hopper", each_sm, MODE=mode, **options)


def layer_hopper(each_sm: float, mode: int, **options: Any) -> Candidate:
    return hopper("layer", "time_layer_hopper", each_sm, MODE=mode, **options)


def instruments_hopper(each_sm: float, mode: int, **options: Any) -> Candidate:
    return hopper("instruments", "instruments_hopper", each_sm, MODE=mode, LAST=False, **options)


def attention_by_head(warps: int, **options: Any) -> Candidate:
    """Attention with a head of a frame in a thread."""

    def make(own: Ground) -> list[Any]:
        launch, tile = own.present["attention"], 16 * warps
        return [
            replace(
                launch,
                kernel=kernels_in_gluon().time_attention_by_head,
                grid=(-(-own.space.frames // tile), *launch.grid[1:]),
                options={"TILE": tile, "num_warps": warps, **options},
            )
        ]

    name = f"attention by head {told({'num_warps': warps, **options})}"
    return Candidate(name, "attention", make, gluon=True)


CANDIDATES: list[Candidate] = [
    # Attention and what follows in one: contexts do not go through memory. 0.60 -> 0.25 ms expected.
    layer_hopper(2, 0, TILE=64, num_warps=4),
    layer_hopper(2, 1, TILE=64, num_warps=4),
    layer_hopper(2, 2, TILE=64, num_warps=4),
    layer_hopper(2, 0, TILE=128, num_warps=8, maxnreg=128),
    layer_hopper(2, 2, TILE=128, num_warps=8, maxnreg=128),
    layer_hopper(1, 0, TILE=128, num_warps=8),
    layer_hopper(4, 0, TILE=64, num_warps=4),
    # Weights stay in shared memory, products from registers: 0.42 -> 0.18 ms expected.
    mlp_hopper(2, 0, TILE=64, num_warps=4),
    mlp_hopper(2, 1, TILE=64, num_warps=4),
    mlp_hopper(2, 2, TILE=64, num_warps=4),
    mlp_hopper(2, 0, TILE=128, num_warps=8, maxnreg=128),
    mlp_hopper(2, 2, TILE=128, num_warps=8, maxnreg=128),
    mlp_hopper(1, 0, TILE=128, num_warps=8),
    mlp_hopper(4, 0, TILE=64, num_warps=4),
    # The same for the instrument layer, and a head of a frame in a thread: 0.39 -> 0.20 ms expected.
    instruments_hopper(2, 0, TILE=64, num_warps=4),
    instruments_hopper(2, 1, TILE=64, num_warps=4),
    instruments_hopper(2, 2, TILE=64, num_warps=4),
    instruments_hopper(4, 0, TILE=64, num_warps=4),
    instruments_hopper(1, 0, TILE=128, num_warps=8),
    # Windows read once for three positions: 1.24 -> 0.45 ms expected.
    hopper("second", "second_convolution_hopper", 2, TILE=64, num_warps=4),
    hopper("second", "second_convolution_hopper", 3, TILE=64, num_warps=4, maxnreg=168),
    hopper("second", "second_convolution_hopper", 3, TILE=64, num_warps=4, maxnreg=152),
    hopper("second", "second_convolution_hopper", 2, TILE=128, num_warps=8, maxnreg=128),
    hopper("second", "second_convolution_hopper", 1, TILE=128, num_warps=8),
    # A head of a frame in a thread: 0.17 -> 0.11 ms expected.
    attention_by_head(1),
    attention_by_head(2),
    attention_by_head(4),
    attention_by_head(8),
    attention_by_head(4, maxnreg=64),
    attention_by_head(4, maxnreg=128),
    # Without a division: 7 of 22 instructions of GELU fewer, 5 to 10 % of the launch expected.
    mlp_gelu(maxnreg=168),
    mlp_gelu(maxnreg=144),
    mlp_gelu(maxnreg=128),
    mlp_gelu(maxnreg=None),
    # Half the weights from L2 for each row; more registers.
    mlp_gelu(TILE=128, num_warps=4, maxnreg=None),
    mlp_gelu(TILE=128, num_warps=8, maxnreg=128),
    mlp_gelu(TILE=128, num_warps=8, maxnreg=168),
    mlp_gelu(TILE=32, num_warps=2, maxnreg=None),
    instruments_gelu(),
    instruments_gelu(maxnreg=112),
    instruments_gelu(maxnreg=168),
    instruments_gelu(TILE=32, num_warps=8),
    instruments_gelu(TILE=32, num_warps=4, maxnreg=None),
    option("attention", TILE=32, maxnreg=128),
    option("attention", TILE=16, num_warps=4),
    option("attention", TILE=16, num_warps=2),
    option("attention", TILE=64, num_warps=8),
    option("attention", TILE=64, num_warps=4),
    option("second", TILE=32, num_warps=1),
    option("second", TILE=32, num_warps=2),
    option("second", TILE=128, num_warps=4),
    option("second", TILE=64, num_warps=2, num_stages=2),
    option("third", num_warps=2, maxnreg=168),
    option("third", TILE=32, num_warps=2, maxnreg=128),
    option("third", TILE=128, num_warps=4, maxnreg=None),
    option("first", TILE=64, num_warps=2),
    option("first", TILE=256, num_warps=8),
    option("first", TILE=128, num_warps=4, num_stages=1),
    mlp_gelu(wgmma=True, maxnreg=None),
    instruments_gelu(wgmma=True, maxnreg=None),
]


def child(done: set[str], serial: bool) -> None:
    """Compile, check and time the candidates that are not done; a line of JSON for every event."""
    import torch
    from allin1_backend_torch.triton_compiling import current, without_warp_group_products

    def tell(**event: Any) -> None:
        print(json.dumps(event), flush=True)

    began = time.monotonic()
    own = ground()
    tell(event="ready", s=round(time.monotonic() - began, 1))
    todo = [each for each in CANDIDATES if each.name not in done]
    if INTERPRETED:
        todo = [each for each in todo if not each.wgmma and "mode 2" not in each.name]
    made: dict[str, list[Any]] = {}

    def compiled(launches: list[Any]) -> None:
        with current(own.device):
            for launch in launches if not INTERPRETED else ():
                launch.compile()

    def compile_all(some: list[Candidate]) -> None:
        launches: dict[str, list[Any]] = {}
        for each in some:  # one by one, for this imports modules
            try:
                launches[each.name] = each.make(own)
            except Exception as error:
                tell(event="failed", name=each.name, why="not made: " + repr(error)[-700:])
        with ThreadPoolExecutor(16) as pool:
            waiting = {pool.submit(compiled, each): name for name, each in launches.items()}
            for future in as_completed(waiting):
                name = waiting[future]
                try:
                    future.result()
                    made[name] = launches[name]
                except Exception as error:
                    tell(event="failed", name=name, why="not compiled: " + repr(error)[-700:])

    def compile_for(some: list[Candidate]) -> None:
        with_wgmma = [each for each in some if each.wgmma]
        with without_warp_group_products():
            compile_all([each for each in some if not each.wgmma and "mode 2" not in each.name])
        if with_wgmma:
            os.environ.pop("DISABLE_MMA_V3", None)
            compile_all(with_wgmma)

    if not serial:
        tell(event="compiling")
        compile_for(todo)
        tell(event="compiled", s=round(time.monotonic() - began, 1))

    # Those most likely to end the process come last.
    stages = list(dict.fromkeys((each.wgmma, each.stage) for each in CANDIDATES))
    for wgmma, stage in sorted(stages, key=lambda each: each[0]):
        own_candidates = [each for each in todo if (each.wgmma, each.stage) == (wgmma, stage)]
        if not own_candidates:
            continue
        written = outputs(stage, own.space)
        before = own.space.x.clone()
        kept = [each.clone() for each in written]
        for launch in present_launches(own, stage):
            launch.run()
        wanted = [each.clone() for each in written]
        timed = {f"{stage} now": present_launches(own, stage)}
        for candidate in own_candidates:
            tell(event="begins", name=candidate.name)
            if serial:
                compile_for([candidate])
            if candidate.name not in made:
                continue
            for each in written:
                each.fill_(float("nan"))
            own.space.x.copy_(before)
            try:
                for launch in made[candidate.name]:
                    launch.run()
                differs = [
                    float((whole(a) - whole(b)).abs().max() / whole(b).abs().max())
                    for a, b in zip(written, wanted, strict=True)
                ]
            except Exception as error:
                tell(event="failed", name=candidate.name, why=repr(error)[:500])
                if "CUDA" in repr(error):
                    sys.exit(3)
                continue
            if INTERPRETED or all(each < 1e-4 for each in differs):
                timed[candidate.name] = made[candidate.name]
            tell(
                event="checked", name=candidate.name, differs=differs, **resources(made, candidate)
            )
        for each, value in zip(written, kept, strict=True):
            each.copy_(value)
        if not INTERPRETED:
            for name, taken in times(timed, own, before).items():
                tell(event="timed", name=name, ms=taken)
        own.space.x.copy_(before)
    del torch
    tell(event="all")


def resources(made: dict[str, list[Any]], candidate: Candidate) -> dict[str, Any]:
    """Registers, spilled bytes and shared memory of a candidate's kernels."""
    found = []
    for launch in made[candidate.name] if not INTERPRETED else ():
        try:
            kernel = launch.kernel.warmup(*launch.arguments, grid=launch.grid, **launch.options)
            kernel._init_handles()
            found.append([kernel.n_regs, kernel.n_spills, kernel.metadata.shared])
        except Exception as error:
            found.append([repr(error)[:100]])
    return {"registers_spills_shared": found}


def times(
    timed: dict[str, list[Any]], own: Ground, before: Any, rounds: int = 9
) -> dict[str, float]:
    """Median milliseconds of each, in turns."""
    import torch

    taken: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, launches in timed.items():
            own.space.x.copy_(before)
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            for launch in launches:
                launch.run()
            end.record()
            torch.cuda.synchronize()
            if number:
                taken[name].append(begin.elapsed_time(end))
    return {name: round(statistics.median(each), 4) for name, each in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--child", action="store_true", help="run candidates here")
    parser.add_argument("--serial", action="store_true", help="compile each only before it runs")
    parser.add_argument("--done", default="[]", help="names to leave out, as JSON")
    parser.add_argument("--profile", action="store_true", help="run some once, for ncu")
    arguments = parser.parse_args()
    if arguments.profile:
        profile()
    elif arguments.child:
        child(set(json.loads(arguments.done)), arguments.serial)
    else:
        supervise(arguments.out)


def supervise(out: Path) -> None:
    """Run processes until all candidates are done."""
    end = time.monotonic() + (600 if INTERPRETED else WITHIN)
    found: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    serial, finished = False, False
    log = (out / "variants.log").open("w", encoding="utf-8")
    while not finished and time.monotonic() < end - 8:
        command = [sys.executable, __file__, "--child", "--done"]
        command.append(
            json.dumps([name for name, one in found.items() if {"ms", "why"} & set(one)])
        )
        command += ["--serial"] if serial else []
        lines_path = out / "variants.lines"
        with lines_path.open("w", encoding="utf-8") as lines:
            limit = end - time.monotonic()
            limit = limit if INTERPRETED else min(ONE_PROCESS, limit)
            process = subprocess.Popen(command, stdout=lines, stderr=log)
            try:
                status: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = None
        current_one, compiling = None, False
        for line in lines_path.read_text(encoding="utf-8").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            kind, name = event.pop("event"), event.pop("name", None)
            if name is None:
                notes.append(f"{kind} {event.get('s', '')}".strip())
                finished = finished or kind == "all"
                compiling = kind == "compiling"
            elif kind == "begins":
                current_one = name
            else:
                found.setdefault(name, {}).update(event)
                current_one = None if kind in ("checked", "failed") else current_one
        if not finished:
            notes.append(f"process ended with {status}, in {current_one}")
            if compiling:
                serial = True
            elif current_one is not None:
                found.setdefault(current_one, {})["why"] = f"ended its process: {status}"
            elif status not in (None, 0) and "ready" not in " ".join(notes):
                break
    told_all = {"notes": notes, "candidates": summary(found)}
    (out / "variants.json").write_text(json.dumps(told_all, indent=1), encoding="utf-8")
    print(json.dumps(told_all, indent=1))


def summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """By stage, the fastest first; failures last."""
    by_stage: dict[str, list[Any]] = {}
    for name, facts in found.items():
        by_stage.setdefault(name.split()[0], []).append([facts.get("ms"), name, facts])
    for each in by_stage.values():
        each.sort(key=lambda one: (one[0] is None, one[0] or 0.0))
    return {
        stage: [
            {"ms": ms, "name": name, **{key: v for key, v in facts.items() if key != "ms"}}
            for ms, name, facts in each
        ]
        for stage, each in by_stage.items()
    }


#: For ``ncu``: one of each kernel.
PROFILED = (
    "layer hopper 2 a multiprocessor mode 0 tile 64 warps 4",
    "mlp hopper 2 a multiprocessor mode 0 tile 64 warps 4",
    "instruments hopper 2 a multiprocessor mode 0 LAST False tile 64 warps 4",
    "second hopper 2 a multiprocessor tile 64 warps 4",
    "attention by head warps 4",
)


def profile() -> None:
    """Run the present kernels of all stages, and some candidates, once."""
    import torch
    from allin1_backend_torch.triton_compiling import without_warp_group_products

    own = ground()
    chosen = [each for each in CANDIDATES if each.name in PROFILED]
    with without_warp_group_products():
        for candidate in chosen:
            for launch in candidate.make(own):
                launch.run()
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
