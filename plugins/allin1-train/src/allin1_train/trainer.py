"""Trains one member: legs of steps or minutes, resumable, with a log.

``OUT/NAME.npz`` holds the moving average of the weights, ``OUT/NAME.json`` the log, ``OUT/NAME.state.npz`` what a
later run needs to go on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from .export import load_weights, save_weights
from .network import DEPTH, LABELS, Net
from .objective import PARTS, weights_of_labels
from .optimiser import Optimiser
from .parameters import Layout
from .songs_in_memory import FPS, SongRing, read_song
from .step import Accelerated, PlainNet, Step, captured, check_fast
from .supply import Supply, shards
from .validate import validate


@dataclass
class Options:
    """What one run of the trainer does."""

    songs: list[str]
    held: list[str] = field(default_factory=list)
    out: str = "."
    name: str = "member"
    seed: int = 0
    steps: int = 0
    minutes: float = 0.0
    until: str = ""
    batch: int = 16
    frames: int = 4800
    long_batch: int = 6
    long_frames: int = 12800
    rate: float = 4e-3
    average: float = 0.001
    depth: int = DEPTH
    init: str = ""
    resume: bool = False
    device: str = "auto"
    memory_gb: float = 20.0
    watch: bool = False
    leave_out: str = ""
    every: float = 3.0
    held_songs: int = 32
    path: str = "auto"
    first_songs: int = 1


def atomically(write, path: Path) -> None:
    """Let `write` make a file beside `path`, and move it there."""
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "wb") as f:
        write(f)
    os.replace(temporary, path)


def schedule(done: float, step: int, rate: float) -> float:
    """Learning rate: a short rise, then down along a cosine; `done` is the part of the training behind it."""
    rise = min(1.0, (step + 1) / 200)
    return rate * rise * (0.5 * (1 + math.cos(math.pi * min(1.0, done))) + 0.002)


class Training:
    """One member in the making."""

    def __init__(self, options: Options):
        self.options = o = options
        self.born = time.time()
        name = o.device if o.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self.device = device = torch.device(name)
        torch.set_float32_matmul_precision("high")
        torch.manual_seed(o.seed)
        self.out = Path(o.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.net = Net(o.depth).to(device)
        if o.init:
            self.net.load_state_dict(load_weights(o.init))
        self.layout = Layout(self.net)
        weights = self.layout.pack(self.net.state_dict(), device).requires_grad_()
        self.optimiser = Optimiser(weights, self.layout.decayed(device))
        self.step = 0
        self.seconds = 0.0
        self.log: list[dict] = []
        if o.resume and self.state_path.exists():
            self.restore()
        self.gpu = device.type == "cuda"
        self.low = torch.bfloat16 if self.gpu else torch.float32
        self.ring = SongRing(device, int(o.memory_gb * 1e9 / 661))
        leave_out = tuple(map(int, o.leave_out.split("/"))) if o.leave_out else None
        self.supply = Supply([Path(p) for p in o.songs], leave_out, o.watch, pinned=self.gpu)
        self.held = {
            Path(p).name: [read_song(s) for s in shards(Path(p))[: o.held_songs]] for p in o.held
        }

    @property
    def state_path(self) -> Path:
        return self.out / f"{self.options.name}.state.npz"

    def say(self, *words) -> None:
        """Print a line of progress."""
        print(f"[{self.options.name} {time.time() - self.born:6.0f}s]", *words, flush=True)

    def restore(self) -> None:
        """Go on from the state of an earlier run."""
        with np.load(self.state_path) as z:
            self.optimiser.restore({n: torch.from_numpy(z[n]) for n in z.files if n != "progress"})
            progress = json.loads(str(z["progress"]))
        self.step, self.seconds, self.log = progress["step"], progress["seconds"], progress["log"]
        torch.manual_seed(self.options.seed + 1000003 * (self.step + 1))
        self.say(f"resumed at step {self.step}, {self.seconds / 60:.1f} minutes")

    def save(self) -> None:
        """Write weights, log and state."""
        o, state = self.options, self.optimiser.state()
        average = self.layout.views(state["average"])
        atomically(lambda f: save_weights(average, f), self.out / f"{o.name}.npz")
        sha = hashlib.sha256((self.out / f"{o.name}.npz").read_bytes()).hexdigest()
        record = dict(options=asdict(o), sha256=sha, log=self.log)
        if o.init:
            record["init_sha256"] = hashlib.sha256(Path(o.init).read_bytes()).hexdigest()
        atomically(lambda f: f.write(json.dumps(record, indent=1).encode()), self.out / f"{o.name}.json")
        progress = json.dumps(dict(step=self.step, seconds=self.seconds, log=self.log))
        arrays = {n: v.numpy() for n, v in state.items()}
        atomically(lambda f: np.savez(f, progress=progress, **arrays), self.state_path)

    def network(self):
        """Choose the way to compute."""
        o = self.options
        plain = PlainNet(self.net, self.layout, self.low)
        if o.path == "plain" or not self.gpu:
            return plain
        wrong = check_fast(self.device, o.depth) if o.path == "auto" else []
        if wrong:
            self.say("the fast way is wrong, going on plainly:", "; ".join(wrong))
            return plain
        return Accelerated(self.layout, o.depth, self.low)

    def steps(self, network, label_weights):
        """Give two steps, on short and on long crops, and their crops' frames."""
        o = self.options
        made, pool = [], None
        for batch, frames in ((o.batch, o.frames), (o.long_batch, o.long_frames)):
            step = Step(network, self.ring, self.optimiser, label_weights, batch, frames)
            run = step
            if network.name == "fast" and o.path != "uncaptured":
                # The three steps before the capture change nothing.
                self.optimiser.rate.fill_(0)
                self.optimiser.average_rate.fill_(0)
                before = self.optimiser.state()
                run, pool = captured(step, pool)
                self.optimiser.restore(before)
                self.say(f"captured {batch} x {frames}")
            step.sums.zero_()
            made.append((run, step, batch * frames / FPS))
        return made

    def prepared(self):
        """Network, and steps on short and on long crops."""
        counts = torch.bincount(self.ring.labels[: self.ring.head].long(), minlength=10)
        shares = (counts / counts.sum()).tolist()
        self.say("labels", {k: round(v, 3) for k, v in zip(LABELS, shares, strict=True)})
        network = self.network()
        return network, self.steps(network, weights_of_labels(counts))

    def done(self) -> float:
        """Part of the training that is behind, from 0 to 1."""
        o, parts = self.options, [0.0]
        if o.minutes:
            parts.append(self.seconds / 60 / o.minutes)
        if o.steps:
            parts.append(self.step / o.steps)
        if o.until:
            left = float(Path(o.until).read_text()) - time.time()
            parts.append(self.seconds / (self.seconds + left) if left > 0 else 1.0)
        return max(parts)

    def check(self, whole, sums, steps, begin) -> None:
        """Validate, log, save."""
        average = self.optimiser.average
        row = dict(
            minutes=round(self.seconds / 60, 2),
            step=self.step,
            songs=self.ring.added,
            hours_held=round(self.ring.hours(), 1),
            loss={k: round(v / max(1, steps), 4) for k, v in zip(PARTS, sums, strict=True)},
        )
        for folder, songs in self.held.items():
            row[folder] = validate(lambda x: whole(average, x), songs, self.device)
        self.log.append(row)
        self.say(json.dumps(row))
        self.save()

    def run(self) -> None:
        """Train to the end of the leg."""
        o = self.options
        while self.supply.busy() and not (o.watch and len(self.ring.held) >= o.first_songs):
            self.ring.add(self.supply.take(16))
            time.sleep(0.01)
        if len(self.ring.held) < o.first_songs:
            raise SystemExit(f"fewer than {o.first_songs} songs in {', '.join(o.songs)}")
        self.say(f"{len(self.ring.held)} songs, {self.ring.hours():.2f} h on {self.device}")
        whole, (short, long) = self.prepared()
        chance = random.Random(f"{o.seed} {self.step}")
        optimiser = self.optimiser
        begin, before, checked = time.time(), self.seconds, self.seconds
        heard, totals, counted = 0.0, np.zeros(len(PARTS)), 0
        while True:
            done = self.done()
            if done >= 1:
                break
            optimiser.rate.fill_(schedule(done, self.step, o.rate))
            optimiser.average_rate.fill_(max(o.average, 4 / (self.step + 1)) if self.step > 20 else 1.0)
            run, _, seconds = long if chance.random() < 0.25 + 0.35 * done else short
            run()
            self.step, heard, counted = self.step + 1, heard + seconds, counted + 1
            if self.step % 10 == 0:
                self.ring.add(self.supply.take(12))
            if self.step % 20 == 0 or not self.gpu:
                for _, step, _ in (short, long):
                    totals += step.sums.cpu().numpy()
                    step.sums.zero_()
                self.seconds = before + time.time() - begin
            if self.step in (20, 100) or self.step % 1000 == 0:
                speed = heard / (time.time() - begin)
                self.say(f"step {self.step}, {speed:.0f}x real time, {self.ring.hours():.0f} h held, loss", (totals / counted).round(4).tolist())
            if self.seconds - checked > 60 * o.every:
                self.check(whole, totals, counted, begin)
                totals, counted = np.zeros(len(PARTS)), 0
                checked = self.seconds = before + time.time() - begin
        self.check(whole, totals, counted, begin)
        self.supply.close()


def main(arguments: list[str] | None = None) -> None:
    """Train from the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("songs", nargs="+", help="folders of shards")
    p.add_argument("--held", nargs="*", default=[], help="folders of shards for validation alone")
    for name, value in asdict(Options([])).items():
        if name in ("songs", "held"):
            continue
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            p.add_argument(flag, action="store_true")
        else:
            p.add_argument(flag, type=type(value), default=value)
    options = Options(**vars(p.parse_args(arguments)))
    if not (options.steps or options.minutes or options.until):
        p.error("say how long: --steps or --minutes")
    Training(options).run()


if __name__ == "__main__":
    main()
