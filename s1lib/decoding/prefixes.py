"""A prefix cache: key-value caches of sequences that paused, for those that go on from them."""

from __future__ import annotations

from collections.abc import Sequence

from s1lib.decoding.network import Network


class Prefixes:
    """Caches of prefixes, in `size` rows of the network from `first` on; the oldest leave."""

    def __init__(self, network: Network, first: int, size: int) -> None:
        self.network = network
        self.free = list(range(first, first + size))
        self.places: dict[tuple[int, ...], tuple[int, int]] = {}  # row and length, oldest first

    def put(self, ids: Sequence[int], row: int, length: int) -> None:
        """Keep the first `length` positions of `row`, which belong to `ids`."""
        if not (self.free or self.places):
            return
        name = tuple(ids)
        place = self.places.pop(name, None)
        if place is None and not self.free:
            place = self.places.pop(next(iter(self.places)))
        kept = place[0] if place else self.free.pop()
        self.network.copy(row, kept, length)
        self.places[name] = (kept, length)

    def take(self, ids: Sequence[int], row: int) -> int:
        """Copy what is kept of `ids` into `row`; returns its length, 0 if there is nothing."""
        kept, length = self.places.get(tuple(ids), (row, 0))
        if length:
            self.network.copy(kept, row, length)
        return length


def shared(first: list[int], second: list[int]) -> int:
    """Length of the common prefix."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
