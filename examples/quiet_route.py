"""A plugin within a program: it reports each stage, and analyses short songs on the CPU.

python quiet_route.py demo/stems
"""

from __future__ import annotations

import sys

import allin1_core as allin1
from allin1_core.io.stems import find_stems
from allin1_core.plugins.loading import load_plugins


class Quiet:
    @allin1.hookimpl
    def allin1_select_route(self, request, routes):
        on_cpu = [r for r in routes if all(s.backend.device == "cpu" for s in r.steps)]
        return on_cpu[0] if on_cpu and request.audio_s < 120 else None

    @allin1.hookimpl
    def allin1_stage_finished(self, track, record):
        print(f"{'+'.join(record.stages):<14} {record.backend:<12} {record.seconds:.3f} s")


def main(stems_dir: str) -> None:
    plugins = load_plugins(extra={"quiet": Quiet()})
    with allin1.Session("harmonix-fold0", plugins=plugins) as session:
        session.run(find_stems(stems_dir))


if __name__ == "__main__":
    main(sys.argv[1])
