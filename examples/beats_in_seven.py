"""Keep a session, and stop at the beats: python beats_in_seven.py demo/stems

The metre may be 3, 4, 5 or 7 here, and the tempo 60 to 180; the stage that finds sections is not run.
"""

from __future__ import annotations

import sys

import allin1_core as allin1
from allin1_core.io.stems import find_stems


def main(stems_dir: str) -> None:
    metre = allin1.MetreParameters(beats_per_bar=(3, 4, 5, 7), min_bpm=60, max_bpm=180)
    with allin1.Session("harmonix-fold0", metre=metre) as session:
        run = session.run(find_stems(stems_dir), outputs=["beats"])
    beats = run.products.metre
    for time, position in zip(beats.beat_times_s[:12], beats.beat_positions[:12], strict=True):
        print(f"{time:7.2f} {'|' if position == 1 else ' '} {position}")


if __name__ == "__main__":
    main(sys.argv[1])
