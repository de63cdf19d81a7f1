"""One trunk for all cells: every budget and every number of ignored ends from one trace.

For a given problem (and sample) the run with budget b and n ignored ends thinks a prefix of
what the run with more of both thinks. So the largest run is decoded once, and each cell's own
state machine replays it until it stops thinking; what remains is the cell's answer. Cells that
stop at the same place in the same way share one answer.

The idea of reading several budgets off one trace is not new (AnytimeReasoner, arXiv 2505.13438;
Dynasor, arXiv 2412.20993); here it holds for ignored ends too, and token for token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from s1lib.artifacts import RunError
from s1lib.decoding.forcing import Forcing, Machine

Cell = Forcing
NATURAL = Forcing()


def cells(
    budgets: Sequence[int | None],
    waits: Sequence[int] = (),
    forcing: Forcing = NATURAL,
) -> list[Cell]:
    """The paper's sweep: each budget without ignoring, the natural length, each number of waits.

    All else is as in `forcing`. Order: budgets ascending, then the natural length, then waits
    ascending.
    """
    capped = sorted({budget for budget in budgets if budget is not None})
    found = [replace(forcing, budget=budget, waits=0) for budget in capped]
    return found + [replace(forcing, budget=None, waits=n) for n in sorted({*waits, 0})]


def alike(wanted: Sequence[Cell]) -> Sequence[Cell]:
    """`wanted`, or `RunError` if no trunk holds them all."""
    if not wanted:
        raise RunError("nothing to sweep: give at least one cell")
    if len({replace(cell, budget=None, waits=0) for cell in wanted}) > 1:
        raise RunError("cells of a sweep differ in budget and waits alone: sweep the others apart")
    return wanted


def trunks(wanted: Sequence[Cell]) -> list[tuple[Forcing, list[int]]]:
    """The runs that contain all cells, each with the positions of its cells.

    One, in the paper's protocol. The harness bans an end as first token only where ends are
    ignored (its quirk 5), so there the cells without ignored ends have a trunk of their own.
    """
    parts: dict[bool, list[int]] = {}
    for place, cell in enumerate(wanted):
        parts.setdefault(cell.protocol == "harness" and cell.waits == 0, []).append(place)
    found = []
    for places in parts.values():
        budgets = [wanted[place].budget for place in places]
        budget = None if None in budgets else max(b for b in budgets if b is not None)
        waits = max(wanted[place].waits for place in places)
        found.append((replace(wanted[places[0]], budget=budget, waits=waits), places))
    return found


class Branches:
    """The cells of one trunk: their answers once it has stopped thinking, and their results.

    `new` makes the machine of a cell; `wanted` pairs each cell with its place in the sweep.
    """

    def __init__(self, new: Callable[[Cell], Machine], wanted: Sequence[tuple[int, Cell]]) -> None:
        self._new, self._wanted = new, wanted
        self._machines: list[Machine] = []
        self._leaves: dict[tuple[int, ...], tuple[Machine, int]] = {}
        self._open = 0

    def __len__(self) -> int:
        return len(self._wanted)

    @property
    def places(self) -> list[int]:
        """The places of its cells in the sweep."""
        return [place for place, _ in self._wanted]

    def __call__(self, trunk: Machine) -> list[Machine]:
        """The distinct answers still to be decoded, each a machine in its answer phase."""
        for _, cell in self._wanted:
            machine = self._new(cell)
            machine.start()
            machine.replay(trunk.sampled)
            self._machines.append(machine)
            self._leaves.setdefault(tuple(machine.ids), (machine, len(machine.sampled)))
        self._forks = [tuple(machine.ids) for machine in self._machines]
        self._open = len(self._leaves)
        return [leaf for leaf, _ in self._leaves.values()]

    def finish(self) -> list[tuple[int, Machine]]:
        """To be called as each answer is done; after the last one, all cells, completed."""
        self._open -= 1
        if self._open:
            return []
        for machine, fork in zip(self._machines, self._forks, strict=True):
            leaf, start = self._leaves[fork]
            if machine is not leaf:
                for token in leaf.sampled[start:]:
                    machine.push(token)
        return list(zip(self.places, self._machines, strict=True))
