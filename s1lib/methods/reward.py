"""Process reward models at work: how promising is a trace after each of its steps?

`RewardModel` is the one that `s1lib.training.reward` trains; it reads only what is new of a trace.
`HubReward` reads a published one as the reference does. Both are called with whole sequences of
ids (prompt and trace so far) and give one number each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DynamicCache,
    PreTrainedTokenizerBase,
)

from s1lib.artifacts import RunError
from s1lib.chat import ASSISTANT, END, THINK
from s1lib.decoding.checked import Unknown
from s1lib.decoding.fast import Fast
from s1lib.decoding.local import fitting
from s1lib.decoding.network import Chunk
from s1lib.decoding.prefixes import Prefixes, shared
from s1lib.metrics import Estimate, estimate, resampled_means

_USER = "<|im_start|>user\n"
_BREAK = re.compile(r"\n\n|<\|im_start\|>(?:\d+ steps left|answer)?")
_SHARE = {"cuda": 0.3, "cpu": 0.9}  # of the free memory
_UNKNOWN: Estimate = {"value": None, "n": 0, "ci95": None}

Floats = NDArray[np.float64]
Sequences = Sequence[Sequence[int]]
Reward = Callable[[Sequences], Floats]  # rewards, shape [traces]; higher is more promising


class RewardModel:
    """Probability that a trace ends in the right answer, shape [traces].

    `kept` caches of traces are kept, so that a trace that goes on from one scored before costs its
    new tokens only; fewer where memory is short, of which a decoder wants its part, too. Traces are
    at most `longest` tokens long. Raises `RunError` if the folder holds no reward model.
    """

    def __init__(
        self, folder: str | Path, *, longest: int = 1024, rows: int = 64, kept: int = 256
    ) -> None:
        if not (Path(folder) / "config.json").is_file():
            raise RunError(f"{folder} has no reward model. Train it with: python -m s1lib run")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        judge: Any = AutoModelForSequenceClassification.from_pretrained(
            str(folder), dtype=torch.float32
        ).to(device)
        try:
            self.network = Fast(judge.eval().model, judge.score, 1)
        except Unknown as what:
            raise RunError(f"{folder} is no Qwen2 or Llama as trained here ({what})") from None
        most = fitting(self.network, longest, rows + kept, _SHARE[device.type])
        self.rows = rows if most == rows + kept else -(-most // 4)
        self.network.reserve(most, longest)
        self.prefixes = Prefixes(self.network, self.rows, most - self.rows)
        self.ends: set[int] = set()  # ids that traces ended in when they were scored

    def __call__(self, traces: Sequences) -> Floats:
        names = [tuple(trace) for trace in traces]
        found: dict[tuple[int, ...], float] = {}
        order = sorted(set(names), key=lambda name: (-len(name), name))  # siblings may be equal
        for start in range(0, len(order), self.rows):
            part = order[start : start + self.rows]
            found |= dict(zip(part, self._score([list(name) for name in part]), strict=True))
        return np.array([found[name] for name in names])

    def _score(self, traces: list[list[int]]) -> Floats:
        chunks = []
        for row, trace in enumerate(traces):
            known = self._known(trace, row)
            if known < len(trace) - 1:
                chunks.append(Chunk(row, known, trace[known:-1]))
        tokens, places = np.array([[trace[-1], len(trace) - 1] for trace in traces]).T
        logits = self.network.step(tokens, places, chunks)
        for row, trace in enumerate(traces):
            self.prefixes.put(trace, row, len(trace))
            self.ends.add(trace[-1])
        return torch.sigmoid(logits[:, 0].double()).cpu().numpy()

    def _known(self, trace: list[int], row: int) -> int:
        """Take the longest beginning of the trace that was scored before."""
        for stop in range(len(trace) - 1, 0, -1):
            if trace[stop - 1] in self.ends and (known := self.prefixes.take(trace[:stop], row)):
                return known
        return 0


class HubReward:
    """A process reward model of the hub, read as the reference does (`eval/rebase`).

    The text becomes `Step i: ... ки` lines, and the reward is the logit with number `token` after
    the last line. `tokenizer` is that of the decoder, whose ids are turned into text.

    One cache is kept, that of the last trace read (those of a whole frontier would fill a GPU:
    200 kB for each token of Llemma 34B). Traces are read in the order of their ids, so that those
    that share most are neighbours, and each costs what it does not share with the one before.
    `fed` counts the tokens that were read.
    """

    def __init__(self, name: str, tokenizer: PreTrainedTokenizerBase, token: int = 8094) -> None:
        self.theirs, self.token = tokenizer, token
        self.tokenizer = AutoTokenizer.from_pretrained(name)
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            name, dtype=torch.bfloat16, device_map="auto"
        )
        self.read: list[int] = []
        self.fed = 0

    def __call__(self, traces: Sequences) -> Floats:
        texts = [step_lines(str(self.theirs.decode(list(trace)))) for trace in traces]
        ids = [self.tokenizer(text)["input_ids"] for text in texts]
        rewards = np.empty(len(ids))
        for place in sorted(range(len(ids)), key=ids.__getitem__):
            rewards[place] = self._score(ids[place])
        return rewards

    def _score(self, ids: list[int]) -> float:
        before, self.read = self.read, []  # in case this one comes to no end
        if not before:
            self.cache = DynamicCache()
        known = min(shared(before, ids), len(ids) - 1)  # its last token is read in any case
        if known < len(before):
            self.cache.crop(known - len(before))
        new = torch.tensor([ids[known:]], device=self.model.device)
        with torch.inference_mode():
            seen = self.model(new, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.read = ids
        self.fed += len(ids) - known
        return float(seen.logits[0, -1, self.token])


def step_lines(chat: str) -> str:
    """A conversation so far, in the form that Llemma's reward model reads.

    The question is the user's turn, whatever the system was told; steps are parted by blank lines
    or by headers.
    """
    prompt, _, trace = chat.partition(ASSISTANT)
    question = prompt.rpartition(_USER)[2].partition(END)[0].strip()
    trace = trace.removeprefix(THINK).partition(END)[0]
    steps = [part.strip() for part in _BREAK.split(trace) if part.strip()]
    lines = [f"Step {number}: {step} ки" for number, step in enumerate(steps, start=1)]
    return "\n".join([question, *lines])


def auc(scores: ArrayLike, right: ArrayLike, problems: ArrayLike, seed: int = 0) -> Estimate:
    """Area under the ROC curve, in percent, with a bootstrap over problems.

    How often a right trace scores above a wrong one (ties count half). All arrays have shape
    [scored traces]; `n` is the number of problems. `value` is None if one label is missing.
    """
    values, labels = np.asarray(scores, float), np.asarray(right, bool)
    if labels.all() or not labels.any():
        return dict(_UNKNOWN)
    names, where = np.unique(np.asarray(problems), return_inverse=True)
    draws = np.random.default_rng(seed).integers(0, len(names), (1000, len(names)))
    found = []
    for draw in draws:
        weight = np.bincount(draw, minlength=len(names))[where]
        rows = np.repeat(np.arange(len(values)), weight)
        if labels[rows].any() and not labels[rows].all():
            found.append(_area(values[rows], labels[rows]))
    return estimate(_area(values, labels), len(names), np.array(found))


def auc_within(scores: ArrayLike, right: ArrayLike, problems: ArrayLike, seed: int = 0) -> Estimate:
    """The same among traces of one problem only: what a search can use, averaged over pairs.

    `n` counts the problems with both right and wrong traces; without any, `value` is None.
    """
    values, labels, names = np.asarray(scores, float), np.asarray(right, bool), np.asarray(problems)
    pairs, won = [], []
    for name in np.unique(names):
        good, bad = (values[(names == name) & (labels == truth)] for truth in (True, False))
        if len(good) and len(bad):
            gap = good[:, None] - bad[None, :]
            pairs.append(gap.size)
            won.append((gap > 0).sum() + 0.5 * (gap == 0).sum())
    if not pairs:
        return dict(_UNKNOWN)
    means = resampled_means([won, pairs], seed=seed)
    return estimate(float(100 * sum(won) / sum(pairs)), len(pairs), 100 * means[:, 0] / means[:, 1])


def _area(values: Floats, labels: NDArray[np.bool_]) -> float:
    ranks, good = rankdata(values), int(labels.sum())
    above = ranks[labels].sum() - good * (good + 1) / 2
    return float(100 * above / (good * (len(values) - good)))
