"""REBASE: tree search whose width follows a process reward (Wu et al. 2024, arXiv 2408.00724).

All traces make one step; a reward model scores them; then those that are not finished share the
width that is left, in proportion to softmax(reward / balance), and each goes on as often as its
share says, or not at all. When all are finished, their answers vote. With equal rewards every
trace goes on once, and REBASE is majority voting, token for token (up to rounding: a sampled token
may flip where two backends or batch sizes add in another order).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.record import Generation
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.tree import BLANK_LINE, Stepper, Steps
from s1lib.methods.majority import vote
from s1lib.methods.reward import Reward
from s1lib.progress import progress
from s1lib.results import REBASE

TEMPERED = Sampling(temperature=0.5)  # the reference's


@dataclass(eq=False)
class Node:
    """A trace after one more step. `number` names its stream of random numbers.

    `tokens` were sampled in this step, `children` is how often the trace goes on from here (0
    where it is finished or dropped).
    """

    trace: Stepper
    number: int
    parent: Node | None = None
    tokens: int = 0
    reward: float = 0.0
    children: int = 0
    depth: int = 0

    @property
    def finished(self) -> bool:
        return not self.trace.paused

    @property
    def scored(self) -> list[int]:
        """The ids that the reward model reads: prompt and trace, without the answer."""
        return self.trace.ids[: self.trace.thinking_stop]


@dataclass
class Tree:
    """The search for one problem; `nodes` in the order in which they were made."""

    problem: int
    nodes: list[Node] = field(default_factory=list)
    streams: int = 0

    @property
    def leaves(self) -> list[Node]:
        return [node for node in self.nodes if node.finished]

    @property
    def paid(self) -> int:
        """Tokens sampled, those of dropped traces too; a shared beginning counts once."""
        return sum(node.tokens for node in self.nodes)

    def stream(self) -> int:
        self.streams += 1
        return self.streams - 1


def shares(rewards: Sequence[float], width: int, balance: float = 0.2) -> list[int]:
    """How often each trace goes on, `width` in all (`select_softmax` of the reference).

    From the best reward down, each gets its share of the width that is left, by softmax(reward /
    balance) among those whose turn has not come, rounded up; of equal rewards the first goes first.
    """
    values = np.asarray(rewards, dtype=float) / balance
    weights = np.exp(values - values.max(initial=-np.inf))
    order = np.argsort(-values, kind="stable")
    coming = np.cumsum(weights[order][::-1])[::-1]  # its own weight and all that come after
    found, left = [0] * len(rewards), width
    for index, total in zip(order, coming, strict=True):
        if left:  # without, even the weights may be none
            found[index] = math.ceil(round(left * weights[index] / total, 9))
            left -= found[index]
    return found


@dataclass(frozen=True)
class Search:
    """How many traces a search has, how sharply that width follows rewards, and what ends a step.

    About `live` traces are decoded side by side; results do not depend on it.
    """

    width: int = 16
    balance: float = 0.2
    step: str = BLANK_LINE
    live: int = 128

    def __post_init__(self) -> None:
        if self.width < 1:
            raise RunError(f"width={self.width} leaves no trace to search with: use 1 or more")


def rebase(
    decoder: Decoder,
    problems: Sequence[Problem],
    reward: Reward,
    search: Search,
    sampling: Sampling = TEMPERED,
    forcing: Forcing | None = None,
) -> Iterator[tuple[Tree, list[Generation]]]:
    """Search each problem; yields its tree and `width` generations, problem by problem.

    Every trace is under `forcing`, as a single run would be: it is made to answer at a budget, or
    ignores its first ends; without one it thinks up to its natural end or the window. The whole
    bill of a search is on its first generation (`sampled` of the others is 0), and `reward` is
    what each was judged to be worth.
    """
    size = max(1, search.live // search.width)
    live = search.width * size
    steps = Steps(
        decoder, problems, forcing or Forcing(), sampling, search.step, live=live, method=REBASE
    )
    grown: dict[int, Tree] = {}
    following = 0
    growing = _grow(steps, reward, size, search.width, search.balance)
    for done in progress(growing, REBASE, total=len(problems)):
        grown[done.problem] = done
        while following in grown:
            tree = grown.pop(following)
            yield tree, _generations(steps, tree)
            following += 1


def _grow(steps: Steps, reward: Reward, size: int, width: int, balance: float) -> Iterator[Tree]:
    """Trees as they are done, `size` at a time: where one is done, the next problem's begins."""
    coming = deque(Tree(problem) for problem in range(len(steps.problems)))
    growing: list[Tree] = []
    frontier: list[tuple[Tree, Node]] = []
    while coming or growing:
        while coming and len(growing) < size:
            tree = coming.popleft()
            growing.append(tree)
            frontier += [
                (tree, Node(steps.root(tree.problem), tree.stream())) for _ in range(width)
            ]
        asked = [(tree.problem, node.number, node.trace) for tree, node in frontier]
        for place, trace in steps.advance(asked):
            frontier[place][1].tokens = len(trace.sampled)
        scores = reward([node.scored for _, node in frontier])
        for (tree, node), score in zip(frontier, scores, strict=True):
            node.reward = float(score)
            tree.nodes.append(node)
        frontier = [(tree, child) for tree in growing for child in _expand(tree, width, balance)]
        alive = {tree.problem for tree, _ in frontier}
        yield from (tree for tree in growing if tree.problem not in alive)
        growing = [tree for tree in growing if tree.problem in alive]


def _expand(tree: Tree, width: int, balance: float) -> list[Node]:
    """The next traces: the first child of a node goes on with its parent's random numbers."""
    deepest = max(node.depth for node in tree.nodes)
    paused = [node for node in tree.nodes if node.depth == deepest and not node.finished]
    left = width - len(tree.leaves)
    if not paused:
        return []
    found = []
    for node, count in zip(paused, shares([n.reward for n in paused], left, balance), strict=True):
        node.children = count
        for child in range(count):
            number = tree.stream() if child else node.number
            found.append(Node(node.trace.fork(), number, node, depth=node.depth + 1))
    return found


def _generations(steps: Steps, tree: Tree) -> list[Generation]:
    found = []
    for sample, node in enumerate(sorted(tree.leaves, key=lambda node: node.number)):
        row = steps.generation(node.trace, tree.problem, sample)
        bill = 0 if sample else tree.paid
        found.append(replace(row, sampled=bill, reward=round(node.reward, 6)))
    return found


def votes(record: pd.DataFrame, weighted: bool = False, logits: bool = False) -> pd.DataFrame:
    """The vote of each search of one benchmark: id, right (0 to 1), tokens paid.

    `record` holds the graded generations; `weighted=True` weighs an answer by its reward, which
    is a probability, or with `logits=True` becomes one.
    """
    rows = []
    for name, part in record.groupby("id", sort=False):
        rewards = part["reward"].tolist()
        weights = [1 / (1 + math.exp(-value)) for value in rewards] if logits else rewards
        said = part["raw"].tolist(), part["verdict"].tolist()
        right = vote(*said, weights if weighted else None)
        rows.append({"id": name, "right": right, "tokens": int(part["sampled"].sum())})
    return pd.DataFrame(rows)
