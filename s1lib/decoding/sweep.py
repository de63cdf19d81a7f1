"""One trunk for all cells: every budget and every number of ignored ends from one trace.

For a given problem (and sample) the run with budget b and n ignored ends thinks a prefix of
what the run with more of both thinks. So the largest run is decoded once, and each cell's own
state machine replays it until it stops thinking; what remains is the cell's answer. Cells that
stop at the same place in the same way share one answer. Runs that append another string than
`Wait` are the same up to their first ignored end: there a trunk of their own leaves the first one.

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
    if len({replace(cell, budget=None, waits=0, wait="") for cell in wanted}) > 1:
        raise RunError(
            "cells of a sweep differ in budget, waits and wait alone: sweep the others apart"
        )
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
        part = [wanted[place] for place in places]
        own = _largest([part[i] for i in _by_string(part)[0]])
        found.append((replace(own, budget=_largest(part).budget), places))
    return found


def _largest(some: Sequence[Cell]) -> Forcing:
    """The run that contains those of all cells, if they append one string."""
    budgets = [cell.budget for cell in some]
    budget = None if None in budgets else max(b for b in budgets if b is not None)
    return replace(max(some, key=lambda cell: cell.waits), budget=budget)


def _by_string(some: Sequence[Cell]) -> list[list[int]]:
    """Places of the cells of each appended string, the one of most cells first, and with it those
    that append nothing because they ignore no end."""
    parts: dict[str, list[int]] = {}
    for place, cell in enumerate(some):
        if cell.waits:
            parts.setdefault(cell.wait, []).append(place)
    _, *others = sorted(parts.values(), key=len, reverse=True) or [[]]
    apart = {place for part in others for place in part}
    return [[place for place in range(len(some)) if place not in apart], *others]


class Branches:
    """The cells of one trunk: their answers once it has stopped thinking, and their results.

    `new` makes the machine of a cell; `wanted` pairs each cell with its place in the sweep.
    """

    def __init__(self, new: Callable[[Cell], Machine], wanted: Sequence[tuple[int, Cell]]) -> None:
        self._new, self._wanted = new, wanted
        self._parts = _by_string([cell for _, cell in wanted])
        self._trunks: list[Machine] = []  # one for each part, the first of which is given
        self._machines: dict[int, Machine] = {}
        self._forks: dict[int, tuple[int, tuple[int, ...]]] = {}  # of each machine, its leaf
        self._leaves: dict[tuple[int, tuple[int, ...]], tuple[Machine, int]] = {}
        self._open = 0

    def __len__(self) -> int:
        return len(self._wanted)

    @property
    def places(self) -> list[int]:
        """The places of its cells in the sweep."""
        return [place for place, _ in self._wanted]

    def __call__(self, trunk: Machine) -> list[Machine]:
        """What is left to decode once a trunk has stopped thinking: its cells' distinct answers,
        each a machine in its answer phase, and after the first trunk all others, which think on."""
        if self._trunks:
            (part,) = (i for i, one in enumerate(self._trunks) if one is trunk)
            found = self._answers(part)
            self._open += len(found) - 1
            return found
        self._trunks = [trunk]
        found = self._answers(0)
        for part in range(1, len(self._parts)):
            other = self._replayed(_largest(self._cells(part)), trunk, parting=True)
            self._trunks.append(other)
            found += [other] if other.phase == "thinking" else self._answers(part)
        self._open = len(found)
        return found

    def stopped(self, machine: Machine) -> bool:
        """Whether `machine` is a trunk that thinks no more."""
        trunk = not self._trunks or any(machine is one for one in self._trunks)
        return trunk and machine.phase != "thinking"

    def finish(self) -> list[tuple[int, Machine]]:
        """To be called as each answer is done; after the last one, all cells, completed."""
        self._open -= 1
        if self._open:
            return []
        for place, machine in self._machines.items():
            leaf, start = self._leaves[self._forks[place]]
            if machine is not leaf:
                for token in leaf.sampled[start:]:
                    machine.push(token)
        return [(self._wanted[i][0], self._machines[i]) for i in range(len(self._wanted))]

    def _cells(self, part: int) -> list[Cell]:
        return [self._wanted[i][1] for i in self._parts[part]]

    def _answers(self, part: int) -> list[Machine]:
        """The distinct answers of the cells of a part, whose trunk has stopped thinking."""
        found = []
        for i in self._parts[part]:
            machine = self._replayed(self._wanted[i][1], self._trunks[part])
            fork = part, tuple(machine.ids)
            if fork not in self._leaves:
                self._leaves[fork] = machine, len(machine.sampled)
                found.append(machine)
            self._machines[i], self._forks[i] = machine, fork
        return found

    def _replayed(self, cell: Cell, trunk: Machine, parting: bool = False) -> Machine:
        machine = self._new(cell)
        machine.start()
        machine.replay(trunk.sampled, parting)
        return machine
