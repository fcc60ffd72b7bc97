"""Run a command of allin1, and print what each thread was doing, and when.

    python benchmarks/stack_timeline.py analyze song.mp3 -m builtin -o folder

A daemon thread looks at all stacks every 10 ms. What one thread does for a while becomes one line: when it began and how
long it took, in milliseconds since the start (see :data:`SINCE`), where in allin1 it was, what that called, and the innermost
functions with their shares. Time in which the sampling thread itself could not run (the interpreter's lock was held) is
counted for what is seen after it; such gaps are listed too, since they hold up every other thread.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from types import FrameType

#: Seconds between two looks; the shortest time and share of a line's innermost functions that are printed.
EVERY, LEAST, LEAST_SHARE = 0.01, 0.02, 0.15

#: Start of the names of the project's own modules.
OWN = ("allin1_core", "allin1_backend_", "allin1_")

#: Environment variable with the time by ``time.monotonic`` from which times are counted; otherwise, when this began.
SINCE = "STACK_TIMELINE_SINCE"

#: A thread, and what it was doing.
Key = tuple[str, tuple[str, ...]]


def described(frame: FrameType) -> str:
    """Module and function of a frame, with its line."""
    code = frame.f_code
    module = str(frame.f_globals.get("__name__", "?"))
    return f"{module}.{code.co_name}:{frame.f_lineno}"


def place(frame: FrameType | None) -> tuple[tuple[str, ...], str]:
    """The innermost functions of allin1 with what they called, and the innermost function of all."""
    stack = []
    while frame is not None:
        stack.append(frame)
        frame = frame.f_back
    visible = [f for f in stack if not f.f_code.co_filename.startswith("<frozen importlib")]
    visible = visible or stack
    names = [str(f.f_globals.get("__name__", "?")) for f in visible]
    inner = next((n for n, name in enumerate(names) if name.startswith(OWN)), len(names) - 1)
    chain = visible[max(0, inner - 2) : inner + 2][::-1]
    return tuple(described(f) for f in chain), described(visible[0])


class Timeline:
    """Samples of all threads, added up where one thread goes on with the same."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.rows: list[tuple[float, float, Key, Counter[str]]] = []
        self.gaps: list[tuple[float, float, tuple[str, ...]]] = []
        self._open: dict[int, tuple[float, Key, Counter[str]]] = {}
        self._last = time.monotonic()

    def look(self, own: int) -> None:
        """Take one sample."""
        now = time.monotonic()
        took, self._last = now - self._last, now
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        stacks = {ident: f for ident, f in sys._current_frames().items() if ident != own}
        main = threading.main_thread().ident
        if took > 5 * EVERY:
            seen = place(stacks[main])[0] if main in stacks else ()
            self.gaps.append((now - took, took, seen))
        for ident in [ident for ident in self._open if ident not in stacks]:
            self._close(ident, now - took)
        for ident, frame in stacks.items():
            chain, leaf = place(frame)
            # The line numbers of the outer ones change within a loop: only functions tell activities apart.
            key = (names.get(ident, "?"), tuple(one.rpartition(":")[0] for one in chain))
            if ident in self._open and self._open[ident][1] != key:
                self._close(ident, now - took)
            if ident not in self._open:
                self._open[ident] = now - took, key, Counter()
            self._open[ident][2][leaf] += round(1e6 * took)

    def _close(self, ident: int, end: float) -> None:
        began, key, leaves = self._open.pop(ident)
        is_idle = all(function.startswith("threading.") for function in key[1])
        if end - began >= LEAST and not is_idle:
            self.rows.append((began, end - began, key, leaves))

    def report(self) -> str:
        """All lines in the order in which they began, then the gaps."""
        for ident in list(self._open):
            self._close(ident, self._last)
        lines = []
        for began, took, (thread, chain), leaves in sorted(self.rows, key=lambda row: row[0]):
            total = sum(leaves.values()) or 1
            most = [
                f"{leaf} {us / 1e3:.0f}"
                for leaf, us in leaves.most_common(3)
                if us >= LEAST_SHARE * total
            ]
            lines.append(
                f"{1e3 * (began - self.since):7.0f} +{1e3 * took:5.0f} [{thread}] {' > '.join(chain)} | {', '.join(most)}"
            )
        lines += [
            f"gap {1e3 * (at - self.since):7.0f} +{1e3 * took:5.0f} main thread then in {' > '.join(chain[-2:])}"
            for at, took, chain in self.gaps
        ]
        return "\n".join(lines)


def main() -> None:
    since = float(os.environ.get(SINCE) or time.monotonic())
    timeline, done = Timeline(since), threading.Event()

    def sample() -> None:
        own = threading.get_ident()
        while not done.wait(EVERY):
            timeline.look(own)

    sampler = threading.Thread(target=sample, name="sampler", daemon=True)
    sampler.start()
    sys.argv = ["allin1", *sys.argv[1:]]
    try:
        from allin1_core.cli.main import main as command

        command()
    finally:
        done.set()
        sampler.join()
        print(timeline.report(), file=sys.stderr)
        ended = 1e3 * (time.monotonic() - since)
        print(f"the command ended after {ended:.0f} ms", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
