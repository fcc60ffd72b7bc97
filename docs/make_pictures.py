"""Make the pictures of the documentation by the project's own commands, on the demo song.

    python docs/make_pictures.py

in an environment with allin1-core[viz], the compiled plugins, allin1-torch, Playwright and Chromium. Look at the pictures
before you commit them. ``--without-browser`` leaves out those of the page, and ``--out FOLDER`` writes elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PICTURES = Path(__file__).parent / "pictures"
ALLIN1 = (sys.executable, "-m", "allin1_core")

#: Of audio, for the picture of a decision.
SECONDS = 180


def main() -> None:
    """Make every picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=PICTURES)
    parser.add_argument("--without-browser", action="store_true")
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        # As on a machine without weights of All-In-One, which the demo does not need.
        os.environ.update(ALLIN1_CACHE_DIR=str(work / "cache"), ALLIN1_CONFIG="", MPLBACKEND="Agg")
        os.environ.pop("ALLIN1_WEIGHTS_DIR", None)
        allin1("demo", "demo", cwd=work)
        allin1("analyze", "demo/song.wav", "-a", "-q", cwd=work)
        allin1("visualize", "struct/song.json", "--format", "png", cwd=work)
        shutil.move(work / "viz" / "song.png", out / "demo.png")
        decision = json.loads(allin1("explain", "--seconds", str(SECONDS), "--json", cwd=work))
        draw_decision(decision, out / "decision.png")
        if not given.without_browser:
            allin1("view", "struct/song.json", "--out", "song.html", cwd=work)
            photograph(work / "song.html", out)
    for picture in sorted(out.glob("*.png")):
        reduce_colours(picture)
        print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


def allin1(*arguments: str, cwd: Path) -> str:
    """Run the command, and return what it printed."""
    done = subprocess.run(
        [*ALLIN1, *arguments], cwd=cwd, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def draw_decision(decision: dict[str, Any], path: Path) -> None:
    """Draw the candidates of each stage, with their costs, and which of them make the route."""
    import matplotlib.pyplot as plt

    stages = {
        stage: [one for one in candidates if one["eligible"]]
        for stage, candidates in decision["stages"].items()
    }
    heights = [len(candidates) + 0.6 for candidates in stages.values()]
    figure, axes = plt.subplots(
        len(stages),
        1,
        figsize=(9, 0.32 * sum(heights)),
        sharex=True,
        gridspec_kw={"height_ratios": heights, "hspace": 0.12},
    )
    for axis, (stage, candidates) in zip(axes, stages.items(), strict=True):
        candidates = sorted(candidates, key=lambda one: -one["cost_s"])
        for row, one in enumerate(candidates):
            colour = "#2a6f97" if one["chosen"] else "#d5dfe6"
            axis.barh(row, one["cost_s"], color=colour, height=0.72)
            text = f"{one['cost_s']:.3g} s, {one['parity']}"
            axis.text(one["cost_s"] * 1.15, row, text, va="center", fontsize=8.5)
        axis.set_yticks(range(len(candidates)), [one["name"] for one in candidates], fontsize=9)
        axis.set_ylim(-0.6, len(candidates) - 0.4)
        axis.text(-0.3, 0.5, stage, transform=axis.transAxes, va="center", weight="bold")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_xscale("log")
    axes[0].set_xlim(1e-3, 2e3)
    axes[-1].set_xlabel(
        f"estimated time for {decision['audio_s']:g} s of audio; filled: the route,"
        f" {decision['cost_s']:.2f} s in all"
    )
    figure.savefig(path, dpi=130, bbox_inches="tight")


def photograph(page: Path, out: Path) -> None:
    """Take a picture of the page of a result, in light and dark."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for scheme in ("light", "dark"):
            tab = browser.new_page(
                viewport={"width": 1200, "height": 800},
                color_scheme=scheme,  # type: ignore[arg-type]
            )
            tab.goto(page.as_uri())
            tab.wait_for_timeout(4000)
            tab.screenshot(path=out / f"view-{scheme}.png")
        browser.close()


def reduce_colours(path: Path) -> None:
    """Keep 128 colours of a picture, which makes the file a third."""
    from PIL import Image

    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


if __name__ == "__main__":
    main()
