"""Every stage with every backend that can run here, and with the peers that pip installs, on the same audio and weights.

Prints a table for each part: best and median time of each side, the ratios to the peers, and the difference of outputs;
for the network also its fraction of the speed of a plain product and a copy on this machine; finally, the whole analysis
from files of stems to a JSON file, with the peak memory of each side::

    python benchmarks/bench_stages.py --seconds 60 --threads 2
    python benchmarks/bench_stages.py --seconds 180 --device cuda --skip reference --skip torch-cpu --json stages.json

Sides take turns within a round and the best round of each counts: a busy machine slows down all of them, and makes none
faster. The first call of each is not counted. Timing starts with the input in the space of the side, and ends when the
output is complete; device transfers between the stages of one side are included. The input of a part is the output of the
cheapest backend of the previous part. Our backends and the peers read the same stems, which are written as 16-bit WAV.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import end_to_end
import numpy as np
import peers
import roofline
import soundfile
from sides import Row, Side, compare, fused, our_sides, peer_sides, take_turns

from allin1_core.calibration.conditions import machine
from allin1_core.contracts.audio import SAMPLE_RATE, STEMS, Stems
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.model import Model
from allin1_core.contracts.sections import Sections
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.stages import Stage
from allin1_core.demo import write_demo
from allin1_core.io.results import load_result
from allin1_core.io.stems import find_stems, read_stems
from allin1_core.runtime.difference import measure
from allin1_core.runtime.session import Session

#: Stages that are measured together.
_PARTS: tuple[tuple[Stage, ...], ...] = (
    ("spectrogram",),
    ("nn",),
    ("metrical_prep", "metrical_dbn"),
    ("metrical_dbn",),
    ("functional",),
)

_END_TO_END = "end-to-end"

#: Length of 44 bars in seconds, after which the demo song can be repeated.
_DEMO_S = 88


def main() -> None:
    options = _options()
    if options.threads and os.environ.get("OMP_NUM_THREADS") != str(options.threads):
        # Libraries of linear algebra read this when they are loaded, which has already happened here.
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(options.threads))}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)
    with tempfile.TemporaryDirectory() as folder:
        report = bench(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(_finite(report), indent=2) + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of audio")
    parser.add_argument("--stems-dir", type=Path, help="four stems, instead of a synthetic song")
    parser.add_argument("--model", default="harmonix-all")
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="cuda measures the GPU besides the CPU",
    )
    parser.add_argument(
        "--threads", type=int, help="number of CPU threads, instead of each library's default"
    )
    parser.add_argument("--repeats", type=_positive, default=3, help="rounds that count")
    parser.add_argument(
        "--budget", type=float, default=60.0, help="seconds after which a side is not called again"
    )
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--part",
        action="append",
        help=f"only this part, may be repeated: {', '.join(map('+'.join, _PARTS))}, {_END_TO_END}",
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        help="a backend or a peer to leave out, may be repeated",
    )
    parser.add_argument("--json", type=Path, help="file to write everything to")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def bench(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure and print; return everything for JSON."""
    session = Session(
        options.model, device="cpu" if options.device == "cpu" else None, threads=options.threads
    )
    model = session.model()
    torch = _torch()
    if options.threads and torch:
        torch.set_num_threads(options.threads)
    stems_dir = folder / "stems"
    stems = _write_stems(options.stems_dir, options.seconds, stems_dir)
    found: list[peers.Peer] = []
    missing: dict[str, str] = {}
    if options.peers:
        found, missing = peers.find_peers(model, session.engine.backends.metre, options.device)
        found = [peer for peer in found if peer.name not in options.skip]
    report: dict[str, Any] = {
        "machine": _versions(session, options, torch),
        "audio_s": stems.duration_s,
        "audio": f"{options.stems_dir or 'synthesis, seed 0'}, {stems.samples.shape[1]} channel(s) a stem",
        "model": f"{session.card.name}, {len(model.members)} network(s)",
        "peers": {peer.name: peer.version for peer in reversed(found)},
        "missing": missing,
    }
    _print_head(report)
    parts = [*_PARTS, *(stages for stages in fused(session) if stages not in _PARTS)]
    known = [*map("+".join, parts), _END_TO_END]
    wanted = options.part or known
    if not set(wanted) <= set(known):
        raise SystemExit(f"The parts are {', '.join(known)}.")
    report.update(_bench_parts(session, model, parts, wanted, stems, found, options))
    session.close()
    if _END_TO_END in wanted:
        names = [side for side in end_to_end.SIDES if side not in options.skip]
        if "all-in-one-infer" in names and "all-in-one-infer" not in report["peers"]:
            names.remove("all-in-one-infer")
        report[_END_TO_END] = _bench_end_to_end(names, stems_dir, stems.duration_s, options, folder)
    return report


def _bench_parts(
    session: Session,
    model: Model,
    parts: Sequence[tuple[Stage, ...]],
    wanted: Sequence[str],
    stems: Stems,
    found: Sequence[peers.Peer],
    options: argparse.Namespace,
) -> dict[str, Any]:
    report: dict[str, Any] = {}
    inputs: dict[Stage, tuple[Any, Space]] = {"spectrogram": (stems, HOST)}
    last = max((parts.index(part) for part in parts if "+".join(part) in wanted), default=-1)
    for stages in parts[: last + 1]:
        name = "+".join(stages)
        data, space = inputs[stages[0]]
        ours = our_sides(session, stages, data, space, options.skip)
        if name in wanted:
            sides = [*ours, *peer_sides(found, stages, data)]
            ceilings = _ceilings(sides, {}) if stages == ("nn",) else {}
            take_turns(sides, options.repeats, options.budget)
            rows = compare(sides)
            report[name] = [asdict(row) for row in rows]
            _print_part(name, rows, stems.duration_s)
            if ceilings:
                ceilings = _ceilings(sides, ceilings)
                frames = data.frames.shape[1] * len(model.members)
                report["roofline"] = _print_roofline(rows, ceilings, frames)
        elif stages in (("spectrogram",), ("nn",)):
            take_turns(ours[:1], 0, options.budget)
        if stages == ("spectrogram",):
            inputs["nn"] = _product(name, ours)
        elif stages == ("nn",):
            inputs["metrical_prep"] = inputs["functional"] = _product(name, ours)
            run = session.run(inputs["functional"][0], outputs=["activations"])
            inputs["metrical_dbn"] = run.products.activations, HOST
    return report


def _product(name: str, ours: Sequence[Side]) -> tuple[Any, Space]:
    """Output of the first of our sides that ran, in NumPy arrays, and its original space."""
    for side in ours:
        if side.row.seconds:
            return side.record(side.output), side.ends_at
    raise SystemExit(f"No backend could run {name}: {[side.row.trouble for side in ours]}")


def _write_stems(source: Path | None, seconds: float, folder: Path) -> Stems:
    """Write the first `seconds` of four stems to `folder` as 16-bit WAV, and read them again."""
    count = round(seconds * SAMPLE_RATE)
    if source is None:
        write_demo(folder.parent / "demo")
        samples = read_stems(find_stems(folder.parent / "demo" / "stems"))[0].samples
        period = samples[..., : _DEMO_S * SAMPLE_RATE]
        samples = np.concatenate([period] * math.ceil(seconds / _DEMO_S), axis=-1)
    else:
        samples = read_stems(find_stems(source))[0].samples
    folder.mkdir()
    for name, stem in zip(STEMS, samples[..., :count], strict=True):
        values = np.round(np.clip(stem.T, -1, 1) * 32767).astype(np.int16)
        soundfile.write(folder / f"{name}.wav", values, SAMPLE_RATE, "PCM_16")
    return read_stems(find_stems(folder))[0]


def _torch() -> ModuleType | None:
    try:
        import torch
    except ImportError:
        return None
    return torch


def _versions(session: Session, options: argparse.Namespace, torch: ModuleType | None) -> str:
    words = [machine(), f"threads {options.threads or 'as each library likes'}"]
    words += [f"{r.distribution} {r.version}" for r in session.plugins.records if r.distribution]
    words.append(f"numpy {np.__version__}")
    if torch is not None:
        words.append(f"torch {torch.__version__}")
        if options.device == "cuda":
            words.append(torch.cuda.get_device_name())
    return ", ".join(dict.fromkeys(words))


def _print_head(report: Mapping[str, Any]) -> None:
    print(report["machine"])
    print(f"{report['audio_s']:g} s of audio ({report['audio']}), {report['model']}")
    for name, version in report["peers"].items():
        print(f"peer {name}: {version}")
    for name, how in report["missing"].items():
        print(f"peer {name} is not installed: {how}")


def _print_part(name: str, rows: Sequence[Row], audio_s: float) -> None:
    names = [row.side for row in rows if row.is_peer and row.seconds]
    base = next((row.side for row in rows if row.seconds and row.differs is None), "")
    ratios = "".join(f"{'x ' + peer:>19}" for peer in names)
    print(f"\n{name}; differs: from {base}")
    print(
        f"  {'side':<18}{'device':<8}{'best':>12}{'median':>12}{'calls':>6}{'ms/s':>10}{ratios}   differs"
    )
    for row in rows:
        start = f"  {row.side:<18}{row.device:<8}"
        if row.trouble:
            print(f"{start} {row.trouble}")
            continue
        ratios = "".join(f"{row.ratios[peer]:>18.2f}x" for peer in names)
        differs = "" if row.differs is None else f"{row.differs:.1e}"
        print(
            f"{start}{1e3 * row.best_s:9.2f} ms{1e3 * row.median_s:9.2f} ms{len(row.seconds):>6}"
            f"{1e3 * row.best_s / audio_s:10.4f}{ratios}   {differs}",
            flush=True,
        )


def _ceilings(
    sides: Sequence[Side], earlier: Mapping[str, roofline.Ceilings]
) -> dict[str, roofline.Ceilings]:
    """Measure the ceilings of each kind of device in use; earlier values count if they are higher."""
    found = {}
    for kind in sorted({_kind(side.row) for side in sides}):
        now = roofline.measure_ceilings(kind)
        found[kind] = now.or_better(earlier.get(kind, now))
    return found


def _kind(row: Row) -> str:
    return row.device.partition(":")[0]


def _print_roofline(
    rows: Sequence[Row], ceilings: Mapping[str, roofline.Ceilings], frames: int
) -> dict[str, Any]:
    """Print the network's fraction of the ceilings; `frames` is the total over all members."""
    flop, moved = roofline.flop_per_frame() * frames, roofline.bytes_per_frame() * frames
    print(
        f"\nroofline of nn: {roofline.flop_per_frame() / 1e6:.3f} MFLOP and {roofline.bytes_per_frame() / 1e3:.1f} kB"
        f" a frame and network (see roofline.py), {flop / 1e9:.1f} GFLOP and {moved / 1e9:.2f} GB in all"
    )
    for kind, ceiling in ceilings.items():
        print(
            f"  {kind}: float32 product {ceiling.gflop_per_s:.0f} GFLOP/s, copy {ceiling.gbyte_per_s:.1f} GB/s;"
            f" not under {1e3 * ceiling.floor_s(flop, moved):.2f} ms"
        )
    print(
        f"  {'side':<18}{'device':<8}{'GFLOP/s':>10}{'of product':>12}{'GB/s':>10}{'of copy':>10}"
    )
    shares = []
    for row in rows:
        if not row.seconds:
            continue
        ceiling = ceilings[_kind(row)]
        gflop, gbyte = flop / row.best_s / 1e9, moved / row.best_s / 1e9
        print(
            f"  {row.side:<18}{row.device:<8}{gflop:>10.1f}{gflop / ceiling.gflop_per_s:>12.1%}"
            f"{gbyte:>10.2f}{gbyte / ceiling.gbyte_per_s:>10.1%}"
        )
        shares.append({"side": row.side, "gflop_per_s": gflop, "gbyte_per_s": gbyte})
    return {
        "flop": flop,
        "bytes": moved,
        "ceilings": {kind: asdict(ceiling) for kind, ceiling in ceilings.items()},
        "sides": shares,
    }


def _bench_end_to_end(
    names: Sequence[str], stems_dir: Path, audio_s: float, options: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    print(
        "\nfrom stems to JSON, a process each; differs: from the last side, in seconds", flush=True
    )
    sides = end_to_end.measure(
        names,
        stems_dir,
        options.model,
        options.device,
        options.threads,
        options.repeats,
        options.budget,
        folder,
    )
    done = [side for side in sides if not side.trouble]
    print(
        f"  {'side':<18}{'set-up':>9}{'first':>9}{'best':>9}{'median':>9}{'calls':>6}{'ms/s':>9}{'ratio':>9}"
        f"{'memory':>11}{'of which set-up':>17}{'GPU':>10}   beats, sections differ"
    )
    report = []
    for side in sides:
        if side.trouble:
            print(f"  {side.name:<18} {side.trouble}")
            report.append(asdict(side))
            continue
        best_s, median_s = min(side.seconds), float(np.median(side.seconds))
        ratio = min(done[-1].seconds) / best_s
        differs = [measure(a, b) for a, b in zip(_found(done[-1]), _found(side), strict=True)]
        print(
            f"  {side.name:<18}{side.setup_s:7.2f} s{side.first_s:7.2f} s{best_s:7.2f} s{median_s:7.2f} s"
            f"{len(side.seconds):>6}{1e3 * best_s / audio_s:9.2f}{ratio:>8.2f}x{side.peak_bytes / 2**20:>7.0f} MiB"
            f"{side.setup_bytes / 2**20:>13.0f} MiB{side.device_bytes / 2**20:>6.0f} MiB   {differs[0]:g}, {differs[1]:g}"
        )
        beats, sections = differs
        report.append(
            asdict(side) | {"ratio": ratio, "beats_differ": beats, "sections_differ": sections}
        )
    for side in done:
        print(f"  {side.name}: {side.how}")
    return report


def _found(side: end_to_end.Side) -> tuple[Metre, Sections]:
    result = load_result(side.result)
    beats = np.array(result.beats), np.array(result.beat_positions, np.int64)
    return Metre(*beats), Sections(tuple(result.segments))


def _finite(value: Any) -> Any:
    """Replace infinite numbers, which JSON cannot represent, by strings."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return "infinite" if value == math.inf else value


if __name__ == "__main__":
    main()
