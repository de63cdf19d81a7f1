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

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from s1lib.artifacts import RunError
from s1lib.decoding.forcing import Forcing, Machine

Cell = Forcing
Part = Sequence[tuple[int, Cell]]  # cells, and their places in the sweep
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
        part = [(place, wanted[place]) for place in places]
        own, *_ = _by_string(part)
        found.append((replace(_largest(own), budget=_largest(part).budget), places))
    return found


def _largest(part: Part) -> Forcing:
    """The run that contains those of all cells, if they append one string."""
    budgets = [cell.budget for _, cell in part]
    budget = None if None in budgets else max(b for b in budgets if b is not None)
    return replace(max((cell for _, cell in part), key=lambda cell: cell.waits), budget=budget)


def _by_string(wanted: Part) -> list[Part]:
    """The cells of each appended string, the one of most cells first, and with it those that append
    nothing because they ignore no end."""
    strings = Counter(cell.wait for _, cell in wanted if cell.waits)
    first, *others = [string for string, _ in strings.most_common()] or [""]
    own = [one for one in wanted if not one[1].waits or one[1].wait == first]
    apart = [[one for one in wanted if one[1].waits and one[1].wait == other] for other in others]
    return [own, *apart]


class Branches:
    """The cells of one trunk: their answers once it has stopped thinking, and their results.

    `new` makes the machine of a cell; `wanted` pairs each cell with its place in the sweep.
    """

    def __init__(self, new: Callable[[Cell], Machine], wanted: Part) -> None:
        self._new = new
        self.places = [place for place, _ in wanted]
        self._own, *self._others = _by_string(wanted)
        self._trunks: list[tuple[Machine, Part]] = []  # of the other strings
        self._machines: dict[int, Machine] = {}
        self._alike: list[tuple[list[Machine], int]] = []  # with one answer, from that sample on
        self._open = 1

    def __len__(self) -> int:
        return len(self.places)

    def __call__(self, trunk: Machine) -> list[Machine]:
        """What is left to decode once a trunk has stopped thinking: its cells' distinct answers,
        each a machine in its answer phase, and after the first trunk all others, which think on."""
        stopped = [(one, part) for one, part in self._trunks if one is trunk]
        found: list[Machine] = []
        if not self._machines:
            self._trunks = [
                (self._replayed(_largest(part), trunk, parting=True), part) for part in self._others
            ]
            found = [one for one, _ in self._trunks if one.phase == "thinking"]
            over = [(one, part) for one, part in self._trunks if one.phase != "thinking"]
            stopped = [(trunk, self._own), *over]
        found += [answer for one, part in stopped for answer in self._answers(one, part)]
        self._open += len(found) - 1
        return found

    def finish(self) -> list[tuple[int, Machine]]:
        """To be called as each answer is done; after the last one, all cells, completed."""
        self._open -= 1
        if self._open:
            return []
        for (leaf, *others), start in self._alike:
            for machine in others:
                for token in leaf.sampled[start:]:
                    machine.push(token)
        return [(place, self._machines[place]) for place in self.places]

    def _answers(self, trunk: Machine, part: Part) -> list[Machine]:
        """The distinct answers of the cells of a trunk that has stopped thinking."""
        alike: dict[tuple[int, ...], list[Machine]] = {}
        for place, cell in part:
            machine = self._machines[place] = self._replayed(cell, trunk)
            alike.setdefault(tuple(machine.ids), []).append(machine)
        self._alike += [(same, len(same[0].sampled)) for same in alike.values()]
        return [same[0] for same in alike.values()]

    def _replayed(self, cell: Cell, trunk: Machine, parting: bool = False) -> Machine:
        machine = self._new(cell)
        machine.start()
        machine.replay(trunk.sampled, parting)
        return machine
