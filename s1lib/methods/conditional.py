"""Conditional control: a suffix of the question says how long to think (paper, appendix E.1).

| method | the suffix names | the model was trained |
|---|---|---|
| token-conditional | an upper bound in tokens | on traces up to the next power of two |
| step-conditional | an upper bound in steps | on traces that count their steps down |
| class-conditional | short or long | on nothing of the kind |

Each generation's `asked` is what was asked for (`128`, `short`), its `method` is named as in
Table 3. Training texts are made by `s1lib.selection`, with the same suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd
from transformers import PreTrainedTokenizerBase

from s1lib import selection
from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem, problems
from s1lib.decoding import Forcing, Generation, cells
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.record import grade_record
from s1lib.evaluation import examine
from s1lib.selection import suffix

TOKEN, STEP, CLASS = "token-conditional", "step-conditional", "class-conditional"
FORCED = " + forcing"
CLASSES = {
    "short": "\n\nAnswer after a short amount of thinking.",
    "long": "\n\nAnswer after a long amount of thinking.",
}


def control_sets(
    table: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> dict[str, pd.DataFrame]:
    """The training sets `token` and `step` (id, budget, text) from the rows of s1K.

    A trace has as many tokens as the decoder will count: the newlines at both its ends are
    thinking, too. Texts of more than `max_length` tokens are left out rather than cut, since a
    cut loses the answer; headers make traces of many short steps much longer.
    """
    traces = [one[0].strip() for one in table["thinking_trajectories"]]
    texts = [f"\n{trace}\n" for trace in traces]
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    rows = table.assign(thinking=traces, thinking_tokens=lengths)
    found = {}
    makers = {"token": selection.token_conditional, "step": selection.step_conditional}
    for name, make in makers.items():
        part = make(rows, tokenizer)
        texts = tokenizer(part["text"].tolist(), add_special_tokens=False, verbose=False)
        fits = [len(ids) <= max_length for ids in texts["input_ids"]]
        if not any(fits):
            raise RunError(f"no text fits in {max_length} tokens: raise training.max_length")
        found[name] = part[fits].reset_index(drop=True)
    return found


def ask_tokens(decoder: Decoder, tests: pd.DataFrame, bound: int) -> list[Generation]:
    """All problems with `bound` tokens asked for, without forcing and then with it.

    Both come from one trunk: the forced run is the other one, cut at the bound.
    """
    exam = problems(tests, decoder.tokenizer, suffix(bound, "tokens"))
    swept = decoder.sweep(exam, cells([bound]), asked=str(bound))
    named = [replace(one, method=TOKEN + FORCED * (one.budget is not None)) for one in swept]
    return grade_record(named, exam)


def ask_steps(decoder: Decoder, tests: pd.DataFrame, bound: int) -> list[Generation]:
    """All problems with `bound` steps asked for, without forcing and then with it.

    Forcing ends thinking where the countdown reaches 0; without it the model goes on from there.
    """
    exam = problems(tests, decoder.tokenizer, suffix(bound, "steps"))
    forced = run_steps(decoder, exam, str(bound))
    free = [replace(one, method=STEP) for one in go_on(decoder, forced)]
    return grade_record(free + [replace(one, method=STEP + FORCED) for one in forced], exam)


def ask_class(decoder: Decoder, tests: pd.DataFrame, name: str) -> list[Generation]:
    """All problems with the prompt `CLASSES[name]`; there is nothing to force (Table 14)."""
    exam = problems(tests, decoder.tokenizer, CLASSES[name])
    return examine(decoder, exam, Forcing(), method=CLASS, asked=name)


def run_steps(decoder: Decoder, exam: Sequence[Problem], asked: str = "") -> list[Generation]:
    """Greedy runs in the step format, ended at the header `0 steps left`."""
    return decoder.generate(exam, Forcing(steps=True), asked=asked)


def go_on(decoder: Decoder, runs: list[Generation]) -> list[Generation]:
    """The same runs without forcing: those that were ended at 0 go on to their own end.

    The forced run is a prefix of the free one, so only what follows is decoded. A trace that
    fills the window is closed there, as with every method.
    """
    found = list(runs)
    while open_ := [place for place, one in enumerate(found) if one.thinking_end == "steps"]:
        begun = [found[place] for place in open_]
        rest = run_steps(decoder, [Problem(o.id, o.prompt + o.opening + o.thinking) for o in begun])
        for place, more in zip(open_, rest, strict=True):
            found[place] = _joined(found[place], more)
    return found


def _joined(one: Generation, more: Generation) -> Generation:
    """`one` without its forced end, and `more`, which went on from there.

    Tokens that the free run pays for: the thinking of `one`, the turn start at which it ended,
    and all of `more`; the answer that `one` was forced to give is not part of it.
    """
    before, opening = len(one.opening) + len(one.thinking), len(more.opening)
    kept = tuple(place for place in one.forced if place < before)
    return replace(
        one,
        thinking=one.thinking + more.opening + more.thinking,
        closing=more.closing,
        answer=more.answer,
        forced=kept + tuple(before + place for place in more.forced if place >= opening),
        thinking_end=more.thinking_end,
        answer_end=more.answer_end,
        sampled=one.thinking_tokens + 1 + more.sampled,
        text=more.text,
    )


def step_counter(tokenizer: PreTrainedTokenizerBase) -> Callable[[Generation], int]:
    """Counts the steps of a generation in the step format: its headers.

    The turn start of the first is the opening, so it counts although it is not in the trace.
    """
    (start,) = tokenizer.encode("<|im_start|>", add_special_tokens=False)
    return lambda one: len(one.opening) + one.thinking.count(start)
