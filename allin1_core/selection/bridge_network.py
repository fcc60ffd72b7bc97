"""Paths from one space to another over one or several bridges."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable

from allin1_core.contracts.space import Bridge, Space
from allin1_core.errors import BackendError


class BridgeNetwork:
    """Finds the bridges that lead from one space to another."""

    def __init__(self, bridges: Iterable[Bridge]) -> None:
        self._from: dict[Space, list[Bridge]] = {}
        for bridge in sorted(bridges, key=lambda b: (b.destination, b.target)):
            self._from.setdefault(bridge.source, []).append(bridge)
        self._known: dict[tuple[Space, Space], tuple[Bridge, ...] | None] = {}

    def between(self, source: Space, destination: Space) -> tuple[Bridge, ...] | None:
        """Return the bridges that lead there in order, the cheapest for a megabyte; None if there is no path."""
        key = (source, destination)
        if key not in self._known:
            self._known[key] = self._search(source, destination)
        return self._known[key]

    def way(self, source: Space, destination: Space) -> tuple[Bridge, ...]:
        """Like :meth:`between`, but a missing path is an error.

        Raises
        ------
        BackendError
            No bridges lead there.
        """
        bridges = self.between(source, destination)
        if bridges is None:
            raise BackendError(f"No bridge leads from {source} to {destination}.")
        return bridges

    def _search(self, source: Space, destination: Space) -> tuple[Bridge, ...] | None:
        count = itertools.count()
        queue: list[tuple[float, int, Space, tuple[Bridge, ...]]] = [(0.0, next(count), source, ())]
        done: set[Space] = set()
        while queue:
            price, _, space, way = heapq.heappop(queue)
            if space == destination:
                return way
            if space in done:
                continue
            done.add(space)
            for bridge in self._from.get(space, ()):
                # A tiny price per bridge, so that free bridges are still counted.
                more = bridge.latency_s + 1e6 / bridge.bytes_per_second + 1e-9
                heapq.heappush(
                    queue, (price + more, next(count), bridge.destination, (*way, bridge))
                )
        return None
