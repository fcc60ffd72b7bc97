"""Analyse a folder of stems and print its structure: python analyze_stems.py demo/stems"""

from __future__ import annotations

import sys

import allin1_core as allin1


def main(stems_dir: str) -> None:
    result = allin1.analyze(stems_dir=stems_dir, model="harmonix-fold0")
    print(f"{result.bpm} bpm, {len(result.beats)} beats, {len(result.downbeats)} downbeats")
    for segment in result.segments:
        print(f"{segment.start:8.2f} {segment.end:8.2f}  {segment.label}")
    if result.provenance is not None:
        for stage in result.provenance.stages:
            print(f"{'+'.join(stage.stages)} by {stage.backend}: {stage.seconds:.3f} s")


if __name__ == "__main__":
    main(sys.argv[1])
