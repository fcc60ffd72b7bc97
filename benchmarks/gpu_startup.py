"""The first song from the command line on CUDA, with warm caches: how long it takes, and what it waits for."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

TIMELINE = Path(__file__).with_name("stack_timeline.py")


def write_separator(folder: Path, seed: int) -> int:
    """Write a separator with random weights as it is published, in half precision; return the size of the file."""
    import torch
    from allin1_backend_torch.demix_models import load_bag
    from safetensors.torch import save_file

    from allin1_core.contracts.demix import DemixParameters

    model = load_bag(DemixParameters(weights=f"random:{seed}")).models[0]
    args, kwargs = model._init_args_kwargs
    kwargs = {
        key: {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
        if isinstance(value, Fraction)
        else value
        for key, value in kwargs.items()
    }
    klass = f"{type(model).__module__}.{type(model).__qualname__}"
    metadata = {"klass": klass, "args": json.dumps(args), "kwargs": json.dumps(kwargs)}
    state = {
        name: value.to(torch.float16).contiguous() for name, value in model.state_dict().items()
    }
    path = folder / "955717e8.safetensors"
    save_file(state, path, metadata)
    return path.stat().st_size


def once(song: Path, options: Sequence[str], start: Sequence[str], label: str) -> dict[str, Any]:
    """Analyse a song in a new process, and tell when what was done, in seconds since it was started."""
    with tempfile.TemporaryDirectory() as folder:
        timings = Path(folder) / "timings.jsonl"
        command = [*start, "analyze", str(song), "-q", "--no-cache", "-o", f"{folder}/struct"]
        command += ["--timings-path", str(timings), *options]
        began, monotonic = time.time(), time.monotonic()
        ran = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "STACK_TIMELINE_SINCE": str(monotonic)},
        )
        ended = time.monotonic() - monotonic
        errors = ran.stderr.splitlines()
        if any(line.startswith("import time:") for line in errors):
            print(f"== {label}: imports", *imports(errors), sep="\n", file=sys.stderr)
            errors = [line for line in errors if not line.startswith("import time:")]
        print(f"== {label}", *errors[-400:], sep="\n", file=sys.stderr, flush=True)
        if ran.returncode:
            return {"failed": ran.stderr[-500:]}
        rows = [json.loads(line) for line in timings.read_text().splitlines()]
    told: dict[str, Any] = {
        f"{row['stage']} on {row['device']}": [
            round(row["start"] - began, 3),
            round(row["end"] - began, 3),
        ]
        for row in rows
    }
    done = max(row["end"] for row in rows) - began
    return {"song s": round(done, 3), "command s": round(ended, 3), "from to s": told}


def imports(errors: Sequence[str], most: int = 40) -> list[str]:
    """The imports that took longest, with what they import, then those that themselves did."""
    found = []
    for line in errors:
        match = re.match(r"import time:\s+(\d+) \|\s+(\d+) \|( *)(\S+)", line)
        if match:
            found.append((int(match[2]), int(match[1]), match[4]))
    by_all = sorted(found, reverse=True)[:most]
    by_self = sorted(found, key=lambda each: -each[1])[: most // 2]
    total = sum(own for _, own, _ in found) / 1e3
    return [
        f"{len(found)} modules, {total:.0f} ms in all; with what they import, and by themselves:",
        *(f"{whole / 1e3:8.1f} {own / 1e3:8.1f} {name}" for whole, own, name in by_all),
        "by themselves:",
        *(f"{whole / 1e3:8.1f} {own / 1e3:8.1f} {name}" for whole, own, name in by_self),
    ]


def bytecode() -> dict[str, Any]:
    """Whether the libraries' bytecode is cached, without which an import takes a multiple."""
    told: dict[str, Any] = {
        "python writes it": not sys.dont_write_bytecode,
        "folder": sys.pycache_prefix,
    }
    for name in ("torch", "numpy", "demucs", "triton", "allin1_core", "allin1_backend_torch"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            cached = importlib.util.cache_from_source(spec.origin)
            told[name] = "cached" if Path(cached).is_file() else f"not cached: {spec.origin}"
    return told


def startup(song: Path, folder: Path, seed: int, within_s: float) -> dict[str, Any]:
    """The model that takes the mix, and the one that takes stems from a separator's file; by PyTorch and by Triton.

    Those that count come first: of each way the first, which fills the caches of bytecode, of Triton and of the disk, and
    two with these.
    """
    end = time.monotonic() + within_s
    told: dict[str, Any] = {"separator bytes": write_separator(folder, seed)}
    stems = ["-m", "harmonix-all", "--demucs-weights", str(folder), "--device", "cuda"]
    ways = {
        "builtin": ["-m", "builtin", "--device", "cuda"],
        "separation": [*stems, "-b", "demix=torch-cuda", "-b", "nn=torch-cuda"],
        "separation by kernels": [
            *stems,
            *("-b", "demix=torch-cuda-triton", "-b", "nn=torch-cuda-triton"),
        ],
    }
    plain = [sys.executable, "-c", "from allin1_core.cli.main import main; main()"]
    sampled = [sys.executable, str(TIMELINE)]
    timed = [sys.executable, "-X", "importtime", *plain[1:]]
    counted = {"first": plain, "warm": plain, "warm again": plain}
    runs = [(name, kind, start) for name in ways for kind, start in counted.items()]
    runs += [(name, "sampled", sampled) for name in ways]
    runs += [("separation by kernels", "imports timed", timed)]
    for name, kind, start in runs:
        if time.monotonic() > end:
            told.setdefault("left out", []).append(f"{name}, {kind}")
            continue
        if kind == "warm":
            told.setdefault("bytecode before warm runs", {})[name] = bytecode()
        found = once(song, ways[name], start, f"{name}, {kind}")
        told.setdefault(name, {})[kind] = found
        print(name, kind, json.dumps(found), file=sys.stderr, flush=True)
    return told
