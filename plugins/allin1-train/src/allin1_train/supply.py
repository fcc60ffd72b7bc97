"""Shards from folders, read ahead by threads; shards may be added during training."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from allin1_train.songs_in_memory import Song, read_song


def shards(folder: Path) -> list[Path]:
    """Complete shards of a folder, sorted by name; incomplete ones start with a dot."""
    return sorted(p for p in folder.glob("*.npz") if not p.name.startswith("."))


class Supply:
    """Songs of folders, each once.

    Parameters
    ----------
    folders : sequence of Path
    leave_out : (int, int)
        Songs whose number modulo the second equals the first are left out, so that members are trained on different songs.
    watch : bool
        Whether to search for new shards until `close`.
    threads : int
    pinned : bool
        Whether to return arrays as tensors in pinned memory.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        leave_out: tuple[int, int] | None = None,
        watch: bool = False,
        threads: int = 4,
        pinned: bool = False,
    ) -> None:
        self.folders, self.leave_out, self.watch, self.pinned = folders, leave_out, watch, pinned
        self.paths: queue.Queue[Path] = queue.Queue()
        self.ready: queue.Queue[Song | None] = queue.Queue(32)
        self.stop = threading.Event()
        self.seen: set[Path] = set()
        self.look()
        self.workers = [threading.Thread(target=self.work, daemon=True) for _ in range(threads)]
        for worker in self.workers:
            worker.start()
        if watch:
            threading.Thread(target=self.keep_looking, daemon=True).start()

    def wanted(self, path: Path) -> bool:
        """Whether this member is trained on the song."""
        return not (
            self.leave_out
            and path.stem.isdigit()
            and int(path.stem) % self.leave_out[1] == self.leave_out[0]
        )

    def look(self) -> None:
        """Queue new shards, alternating between folders."""
        fresh = [[p for p in shards(f) if p not in self.seen] for f in self.folders]
        for found in fresh:
            self.seen.update(found)
        order = sorted((i / len(found), p) for found in fresh for i, p in enumerate(found))
        for _, path in order:
            if self.wanted(path):
                self.paths.put(path)

    def keep_looking(self) -> None:
        """Search for new shards every two seconds."""
        while not self.stop.wait(2):
            self.look()

    def work(self) -> None:
        """Read songs until told to stop."""
        while not self.stop.is_set():
            try:
                path = self.paths.get(timeout=0.5)
            except queue.Empty:
                continue
            try:
                song = read_song(path)
                if self.pinned:
                    song |= {
                        k: torch.from_numpy(song[k]).pin_memory() for k in ("x", "near", "labels")
                    }
            except FileNotFoundError:  # removed by its writer
                song = None
            except Exception as error:
                print(f"{path} cannot be read and is left out: {error!r}", flush=True)
                song = None
            while not self.stop.is_set():
                try:
                    self.ready.put(song, timeout=0.5)
                    break
                except queue.Full:
                    continue
            self.paths.task_done()

    def take(self, most: int) -> list[Song]:
        """Return at most `most` songs that are ready, without waiting."""
        songs: list[Song] = []
        while len(songs) < most:
            try:
                song = self.ready.get_nowait()
            except queue.Empty:
                break
            if song is not None:
                songs.append(song)
        return songs

    def busy(self) -> bool:
        """Whether more songs may become ready; always True while folders are watched."""
        return self.watch or bool(self.paths.unfinished_tasks) or not self.ready.empty()

    def close(self) -> None:
        """Stop all threads."""
        self.stop.set()
