"""Trains one member for a number of steps or minutes, resumable, with a log.

``OUT/NAME.npz`` contains the moving average of the weights, ``OUT/NAME.json`` the log, ``OUT/NAME.state.npz`` the state that
a later run needs to resume.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from allin1_train.export import load_weights, save_weights
from allin1_train.files import atomically
from allin1_train.network import DEPTH, LABELS, Net
from allin1_train.objective import PARTS, weights_of_labels
from allin1_train.optimiser import Optimiser
from allin1_train.parameters import Layout
from allin1_train.songs_in_memory import FPS, Song, SongRing, read_song
from allin1_train.step import Accelerated, Network, PlainNet, Step, captured, check_fast
from allin1_train.supply import Supply, shards
from allin1_train.validate import validate

FRAME_BYTES = 661  # size of a frame in memory


def described(default: Any, text: str) -> Any:
    """Return a dataclass field with its help text as metadata."""
    return field(default=default, metadata={"help": text})


@dataclass
class Options:
    """Options of a run of the trainer."""

    songs: Sequence[str]
    held: Sequence[str] = ()
    out: str = described(".", "folder for weights, log and state")
    name: str = described("member", "name of the member's files")
    seed: int = described(0, "seed of weights, crops and augmentation")
    steps: int = described(0, "length of the training in steps, over all runs")
    minutes: float = described(
        0.0, "length of the training in minutes, without the last validation"
    )
    batch: int = described(16, "short crops per step")
    frames: int = described(4800, "length of short crops in frames of 10 ms")
    long_batch: int = described(6, "long crops per step")
    long_frames: int = described(12800, "length of long crops in frames of 10 ms")
    rate: float = described(4e-3, "highest learning rate")
    average: float = described(0.001, "weight of a step in the moving average")
    depth: int = described(DEPTH, "pairs of layers; the core supports only 11")
    init: str = described("", "weights to start from, .npz")
    resume: bool = described(False, "resume from the state in OUT, if there is one")
    device: str = described("auto", "cpu or cuda")
    memory_gb: float = described(
        20.0, "memory for songs on the device; new ones replace the oldest"
    )
    watch: bool = described(False, "also use songs that are added to the folders during training")
    first_songs: int = described(1, "songs to wait for before the first step")
    leave_out: str = described("", "K/N: leave out songs whose number modulo N is K")
    every: float = described(3.0, "minutes between checks")
    held_songs: int = described(32, "number of songs of each folder for validation")
    path: str = described("auto", "auto (fast on CUDA if it computes the same), fast or plain")


def schedule(done: float, step: int, rate: float) -> float:
    """Learning rate: a short warm-up, then cosine decay; `done` is the completed fraction of the training."""
    rise = min(1.0, (step + 1) / 200)
    return rate * rise * (0.5 * (1 + math.cos(math.pi * min(1.0, done))) + 0.002)


def sha256(path: Path | str) -> str:
    """Digest of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Training:
    """The training of one member.

    Parameters
    ----------
    options : Options

    Raises
    ------
    ValueError
        The initial weights are those of another network.
    """

    def __init__(self, options: Options) -> None:
        self.options = o = options
        self.born = time.time()
        name = o.device if o.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(name)
        self.gpu = self.device.type == "cuda"
        if self.gpu and self.device.index is not None:
            # Triton's kernels, streams and graphs are made for the current GPU, whichever that of their arrays is.
            torch.cuda.set_device(self.device)
        self.low = torch.bfloat16 if self.gpu else torch.float32
        torch.set_float32_matmul_precision("high")
        torch.manual_seed(o.seed)
        self.out = Path(o.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.net = Net(o.depth).to(self.device)
        self.layout = Layout(self.net)
        state = load_weights(o.init) if o.init else self.net.state_dict()
        weights = self.layout.pack(state, self.device).requires_grad_()
        self.optimiser = Optimiser(weights, self.layout.decayed(self.device))
        self.step, self.seconds = 0, 0.0
        self.log: list[dict[str, Any]] = []
        self.sums, self.counted = np.zeros(len(PARTS)), 0
        if o.resume and self.state_path.exists():
            self.restore()
        self.ring = SongRing(self.device, int(o.memory_gb * 1e9 / FRAME_BYTES))
        rest, _, of = o.leave_out.partition("/")
        leave_out = (int(rest), int(of)) if of else None
        self.supply = Supply([Path(p) for p in o.songs], leave_out, o.watch, pinned=self.gpu)
        self.held: dict[str, list[Song]] = {
            Path(p).name: [read_song(s) for s in shards(Path(p))[: o.held_songs]] for p in o.held
        }

    @property
    def state_path(self) -> Path:
        """File of the state."""
        return self.out / f"{self.options.name}.state.npz"

    def say(self, *words: object) -> None:
        """Print a line of progress."""
        print(f"[{self.options.name} {time.time() - self.born:6.0f}s]", *words, flush=True)

    def restore(self) -> None:
        """Resume from the state of an earlier run."""
        with np.load(self.state_path) as z:
            self.optimiser.restore({n: torch.from_numpy(z[n]) for n in z.files if n != "progress"})
            progress = json.loads(str(z["progress"]))
        self.step, self.seconds, self.log = progress["step"], progress["seconds"], progress["log"]
        torch.manual_seed(self.options.seed + 1000003 * (self.step + 1))
        self.say(f"resuming at step {self.step}, after {self.seconds / 60:.1f} minutes")

    def save(self) -> None:
        """Write weights, log and state."""
        o, state = self.options, self.optimiser.state()
        weights = self.out / f"{o.name}.npz"
        atomically(lambda f: save_weights(self.layout.views(state["average"]), f), weights)
        record = {"options": asdict(o), "sha256": sha256(weights), "log": self.log}
        if o.init:
            record["init_sha256"] = sha256(o.init)
        text = json.dumps(record, indent=1).encode()
        atomically(lambda f: f.write(text), self.out / f"{o.name}.json")
        progress = json.dumps({"step": self.step, "seconds": self.seconds, "log": self.log})
        arrays: dict[str, Any] = {n: v.numpy() for n, v in state.items()}
        atomically(lambda f: np.savez(f, progress=np.array(progress), **arrays), self.state_path)

    def network(self) -> Network:
        """Choose the plain or the fast network."""
        o = self.options
        plain = PlainNet(self.net, self.layout, self.low)
        if o.path == "plain" or not self.gpu:
            return plain
        wrong = check_fast(self.device, o.depth) if o.path == "auto" else []
        if wrong:
            self.say(
                "the fast network computes different values, so the plain one is used:", *wrong
            )
            return plain
        return Accelerated(self.layout, o.depth, self.low)

    def make_steps(self, network: Network) -> list[tuple[Callable[[], None], Step]]:
        """Return functions for a step on short and on long crops; on a GPU, replays of a CUDA graph."""
        o = self.options
        counts = torch.bincount(
            self.ring.labels[: self.ring.head].long().clamp(min=0), minlength=10
        )
        shares = (counts / counts.sum()).tolist()
        self.say("labels", {k: round(v, 3) for k, v in zip(LABELS, shares, strict=True)})
        label_weights = weights_of_labels(counts)
        made: list[tuple[Callable[[], None], Step]] = []
        pool = None
        for batch, frames in ((o.batch, o.frames), (o.long_batch, o.long_frames)):
            step = Step(network, self.ring, self.optimiser, label_weights, batch, frames)
            run: Callable[[], None] = step
            if isinstance(network, Accelerated):
                # The steps before the capture must not have an effect.
                before = self.optimiser.state()
                run, pool = captured(step, pool)
                self.optimiser.restore(before)
                step.sums.zero_()
            made.append((run, step))
        return made

    def done(self) -> float:
        """Completed fraction of the training, from 0 to 1."""
        o, parts = self.options, [0.0]
        if o.minutes:
            parts.append(self.seconds / 60 / o.minutes)
        if o.steps:
            parts.append(self.step / o.steps)
        return max(parts)

    def check(self, network: Network) -> None:
        """Validate, log, save."""
        average = self.optimiser.average
        means = self.sums / max(1, self.counted)
        row: dict[str, Any] = {
            "minutes": round(self.seconds / 60, 2),
            "step": self.step,
            "songs": self.ring.added,
            "hours_held": round(self.ring.hours(), 1),
            "loss": {k: round(float(v), 4) for k, v in zip(PARTS, means, strict=True)},
        }
        row["held"] = {
            name: validate(lambda x: network(average, x), songs, self.device)
            for name, songs in self.held.items()
            if songs
        }
        self.sums, self.counted = np.zeros(len(PARTS)), 0
        self.log.append(row)
        self.say(json.dumps(row))
        self.save()

    def fill(self) -> None:
        """Read all songs, or, if folders are watched, enough to start."""
        o = self.options
        while self.supply.busy() and not (o.watch and len(self.ring.held) >= o.first_songs):
            self.ring.add(self.supply.take(16))
            time.sleep(0.01)
        if len(self.ring.held) < o.first_songs:
            raise SystemExit(f"There are fewer than {o.first_songs} songs in {', '.join(o.songs)}.")
        self.say(f"{len(self.ring.held)} songs, {self.ring.hours():.2f} h on {self.device}")

    def run(self) -> None:
        """Train to the end of this run."""
        o, optimiser = self.options, self.optimiser
        try:
            self.fill()
            network = self.network()
            short, long = self.make_steps(network)
            chance = random.Random(f"{o.seed} {self.step}")
            begin, before, checked, heard = time.time(), self.seconds, self.seconds, 0
            while (done := self.done()) < 1:
                optimiser.rate.fill_(schedule(done, self.step, o.rate))
                average = max(o.average, 4 / (self.step + 1)) if self.step > 20 else 1.0
                optimiser.average_rate.fill_(average)
                # Long crops are for what needs context: labels, and the beat in ambiguous passages.
                run, step = long if chance.random() < 0.4 + 0.4 * done else short
                run()
                heard += step.batch * step.frames
                self.step, self.counted = self.step + 1, self.counted + 1
                if self.step % 10 == 0:
                    self.ring.add(self.supply.take(12))
                if self.step % 20 == 0 or not self.gpu:
                    for _, step in (short, long):
                        self.sums += step.sums.cpu().numpy()
                        step.sums.zero_()
                    self.seconds = before + time.time() - begin
                if self.step in (20, 100) or self.step % 1000 == 0:
                    speed = heard / FPS / (time.time() - begin)
                    losses = (self.sums / self.counted).round(4).tolist()
                    self.say(f"step {self.step}, {speed:.0f}x real time, losses {losses}")
                if self.seconds - checked > 60 * o.every:
                    self.check(network)
                    checked = self.seconds = before + time.time() - begin
            self.check(network)
        finally:
            self.supply.close()


def parse(arguments: Sequence[str] | None) -> Options:
    """Parse the command line."""
    p = argparse.ArgumentParser(prog="allin1-train train", description=__doc__)
    p.add_argument("songs", nargs="+", help="folders of shards")
    p.add_argument("--held", nargs="*", default=[], help="folders of shards for validation only")
    for f in fields(Options):
        flag, text = "--" + f.name.replace("_", "-"), f.metadata.get("help")
        if text is None:
            continue
        if isinstance(f.default, bool):
            p.add_argument(flag, action="store_true", help=text)
        else:
            p.add_argument(
                flag, type=type(f.default), default=f.default, help=f"{text} (%(default)s)"
            )
    options = Options(**vars(p.parse_args(arguments)))
    if not (options.steps or options.minutes):
        p.error("give the length of the training: --steps or --minutes")
    if options.path not in ("auto", "fast", "plain"):
        p.error("--path is auto, fast or plain")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; uses the plain network if the fast one fails."""
    options = parse(arguments)
    try:
        Training(options).run()
    except (RuntimeError, ImportError) as error:
        if options.path != "auto" or options.device == "cpu" or not torch.cuda.is_available():
            raise
        # After a failed capture, this process cannot use the device any more.
        print(
            f"The fast network failed, so the plain one is used: {error!r}",
            file=sys.stderr,
            flush=True,
        )
        words = list(arguments if arguments is not None else sys.argv[1:])
        command = [sys.executable, "-m", "allin1_train.trainer", *words, "--path", "plain"]
        os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
