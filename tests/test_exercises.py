"""Exercises: every solution runs after its chapter, and the checks say what is wrong."""

from __future__ import annotations

import ast
import contextlib
import itertools
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell
from test_notebooks import BOOK, code, every_notebook, prose, read
from toybook import ROOT
from wire import Wire

from s1lib.run.execute import ThisPython


def solutions(chapter) -> list[str]:
    """The code of all folded solutions, in order."""
    text = "\n\n".join(cell.source for cell in prose(read(chapter.notebook)))
    folded = re.findall(r"^:::\{dropdown\} Solution\n(.*?)^:::$", text, re.M | re.S)
    return [block for fold in folded for block in re.findall(r"```python\n(.*?)```", fold, re.S)]


@every_notebook
def test_every_solution_runs_after_its_chapter(chapter, smoke_run, tmp_path, monkeypatch):
    """Claude, where a solution asks for it, is the local server: the client is the real one."""
    run = tmp_path / "run"
    shutil.copytree(smoke_run, run, ignore=shutil.ignore_patterns(".s*", "site"))
    notebook = read(chapter.notebook)
    notebook.cells += [new_code_cell(block) for block in solutions(chapter)]
    nbformat.write(notebook, tmp_path / "solved.ipynb")
    with Wire(say=lambda prompt, attempt: "Yes") as wire:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", wire.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a key")
        papermill.execute_notebook(
            tmp_path / "solved.ipynb",
            tmp_path / "done.ipynb",
            {"profile": "smoke", "run": str(run)},
            kernel_name="python3",
            language="python",
            kernel_manager_class=ThisPython,
            progress_bar=False,
            start_timeout=300,
            cwd=str(ROOT),
        )
    said = [
        cell.outputs for cell in code(read(tmp_path / "done.ipynb"))[-len(solutions(chapter)) :]
    ]
    building = sum("check_" in block for block in solutions(chapter))
    assert sum(str(outputs).count("right\\n") for outputs in said) == building


def defined(number: str) -> dict[str, Any]:
    """What a chapter imports and defines, without running it."""
    (chapter,) = (one for one in BOOK if one.number == number)
    space: dict[str, Any] = {}
    for cell in code(read(chapter.notebook)):
        for node in ast.parse(cell.source).body:
            if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef)):
                with contextlib.suppress(NameError):  # a default that only a run knows
                    exec(compile(ast.Module([node], []), chapter.notebook.name, "exec"), space)
    return space


KEYS = ("input_ids", "labels", "attention_mask")


def forgets_settings(call, path: Path):
    known: dict[str, str] = {}

    def ask(prompt: str, **settings: float) -> str:
        if prompt not in known:
            known[prompt] = call(prompt)
        return known[prompt]

    return ask


def remembers_only(call, path: Path):
    known: dict[str, str] = {}

    def ask(prompt: str, **settings: float) -> str:
        asked = f"{prompt}{settings}"
        if asked not in known:
            known[asked] = call(prompt, **settings)
        return known[asked]

    return ask


def spoils_the_pool(pool, size: int) -> list[str]:
    pool.sort_values("thinking_tokens", inplace=True)
    return pool["id"].head(size).tolist()


def _filled(batch, fill: int, label, at_end: bool = True) -> dict[str, list]:
    longest = max(len(sample["labels"]) for sample in batch)
    rows: dict[str, list] = {key: [] for key in KEYS}
    for sample in batch:
        n = len(sample["labels"])
        parts = [[fill] * (longest - n), [label(fill)] * (longest - n), [0] * (longest - n)]
        own = [sample["input_ids"], sample["labels"], [1] * n]
        for key, mine, more in zip(KEYS, own, parts, strict=True):
            rows[key].append([*mine, *more] if at_end else [*more, *mine])
    return rows


def masks_what_looks_like_filling(batch, fill: int) -> dict[str, list]:
    rows = _filled(batch, fill, lambda fill: -100)
    short = [-100 if label == fill else label for label in rows["labels"][1]]
    return {**rows, "labels": [rows["labels"][0], short]}


def trains_the_filling(batch, fill: int) -> dict[str, list]:
    return _filled(batch, fill, lambda fill: fill)


def fills_at_the_start(batch, fill: int) -> dict[str, list]:
    return _filled(batch, fill, lambda fill: -100, at_end=False)


def longest_first_alone(jobs, workers: int) -> list[list[float]]:
    rows: list[list[float]] = [[] for _ in range(workers)]
    for job in sorted(jobs, reverse=True):
        min(rows, key=sum).append(job)
    return rows


def letters_and_digits(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def without_marks(text: str) -> list[str]:
    return re.sub("[^a-z0-9 ]", "", text.lower()).split()


def marks_at_the_ends(text: str) -> list[str]:
    return [word.strip(",.()") for word in text.lower().split()]


def no_filling(batch, fill: int) -> dict[str, list]:
    ids, labels = ([sample[key] for sample in batch] for key in KEYS[:2])
    return {"input_ids": ids, "labels": labels, "attention_mask": [[1] * len(row) for row in ids]}


def heard_until(answers, certain) -> int:
    """How many answers are heard until `certain(best, second, left)`."""
    count: Counter = Counter()
    for heard, answer in enumerate(answers, start=1):
        count.update([answer] if answer is not None else [])
        best, second = [*sorted(count.values(), reverse=True), 0, 0][:2]
        if certain(best, second, len(answers) - heard):
            return heard
    return len(answers)


def hears_to_a_draw(answers) -> int:
    return heard_until(answers, lambda best, second, left: best - second >= left)


def forgets_the_second(answers) -> int:
    return heard_until(answers, lambda best, second, left: best > left)


def stops_at_the_first_lead(answers) -> int:
    return heard_until(answers, lambda best, second, left: best >= 3 and best > second)


def counts_silence_against(answers) -> int:
    return heard_until(answers, lambda best, second, left: 2 * best > len(answers))


def counts_silence(answers) -> int:
    said = ["" if answer is None else answer for answer in answers]
    return heard_until(said, lambda best, second, left: best - second > left)


def ends_at_once(said, ends, least, wait) -> list[int]:
    return list(itertools.takewhile(lambda token: token not in ends, said))


def never_ends(said, ends, least, wait) -> list[int]:
    return [t for token in said for t in (wait if token in ends else [token])]


def sent_back_while(short):
    """Ends become `wait` as long as `short(trace, said, least)`; `said` are the model's own."""

    def hold(said, ends, least, wait) -> list[int]:
        trace, own = [], []
        for token in said:
            if token not in ends:
                trace.append(token)
                own.append(token)
            elif short(trace, own, least):
                trace.extend(wait)
            else:
                break
        return trace

    return hold


def knows_one_end(said, ends, least, wait) -> list[int]:
    return sent_back_while(lambda trace, own, least: len(trace) < least)(said, {0}, least, wait)


def eats_what_was_said(said, ends, least, wait) -> list[int]:
    trace = []
    while said and (said[0] not in ends or len(trace) < least):
        token = said.pop(0)
        trace += wait if token in ends else [token]
    return trace


def counted_down(number, parts=lambda trace: [p for p in trace.split("\n\n") if p], by=-1):
    """A countdown from `number(steps)` over `parts` of a trace."""

    def headed(trace: str) -> tuple[int, str]:
        steps = parts(trace.strip())
        most = number(len(steps))
        heads = (f"<|im_start|>{most + by * i} steps left" for i in range(len(steps)))
        return most, "\n".join(f"{h}\n{step}" for h, step in zip(heads, steps, strict=True))

    return headed


def next_power(n: int) -> int:
    return 1 << (n - 1).bit_length()


class Times:
    """A family as it should be (but not enrolled as one)."""

    msc, rule = "05", "Add one number as often as the other says, or multiply."

    def draw(self, rng, n):
        return {"n": n, "d": rng.randint(2, 9)}

    def ask(self, p):
        return f"What are {p['n']} times {p['d']}?"

    def slow(self, p, pen):
        total = 0
        for _ in range(p["n"]):
            total = pen(f"{total} + {p['d']}", total + p["d"])
        return total

    def fast(self, p, pen):
        return pen.product(p["n"], p["d"])


def times(**changed) -> type:
    return type("Changed", (Times,), changed)


def shared(rewards, width: int, order, parts: int) -> list[int]:
    """The width in `parts` nearly equal parts, the first to those that come first in `order`."""
    found = [0] * len(rewards)
    for place, trace in enumerate(order):
        found[trace] = width // parts + (place < width % parts)
    return found


def best_first(rewards, keep: int, key=lambda reward: reward) -> list[int]:
    return sorted(range(len(rewards)), key=lambda i: -key(rewards[i]))[:keep]


def loses_what_is_left_over(rewards, width: int, keep: int) -> list[int]:
    return [width // keep * (i in best_first(rewards, keep)) for i in range(len(rewards))]


def prefers_the_last(rewards, width: int, keep: int) -> list[int]:
    order = sorted(range(len(rewards)), key=lambda i: (rewards[i], i))[::-1][:keep]
    return shared(rewards, width, order, len(order))


def keeps_room_for_nobody(rewards, width: int, keep: int) -> list[int]:
    return shared(rewards, width, best_first(rewards, keep), keep)


def drops_nobody_kept(rewards, width: int, keep: int) -> list[int]:
    order = best_first(rewards, keep)
    found = shared(rewards, width, order, len(order))
    return [max(n, i in order) for i, n in enumerate(found)]


def by_size(rewards, width: int, keep: int) -> list[int]:
    order = best_first(rewards, keep, key=abs)
    return shared(rewards, width, order, len(order))


def sorts_the_rewards(rewards, width: int, keep: int) -> list[int]:
    rewards.sort()
    return shared(rewards, width, range(keep), keep)


def nearest(lengths, wanted, near=lambda gap: abs(gap), last: bool = False) -> list[int]:
    """Twins, by a notion of their own of what is near."""
    left, found = dict(enumerate(lengths)), []
    for length in wanted:
        gaps = {i: near(own - length) for i, own in left.items()}
        place = min(gaps, key=lambda i: (gaps[i], -i if last else i))
        found.append(place)
        del left[place]
    return found


def takes_again(lengths, wanted) -> list[int]:
    return [min(range(len(lengths)), key=lambda i: abs(lengths[i] - n)) for n in wanted]


def only_shorter(lengths, wanted) -> list[int]:
    return nearest(lengths, wanted, lambda gap: abs(gap) if gap <= 0 else 1000 + gap)


def only_longer(lengths, wanted) -> list[int]:
    return nearest(lengths, wanted, lambda gap: gap if gap >= 0 else 1000 - gap)


def finds_by_value(lengths, wanted) -> list[int]:
    return [lengths.index(lengths[i]) for i in nearest(lengths, wanted)]


def uses_lengths_up(lengths, wanted) -> list[int]:
    found = nearest(lengths, wanted)
    del lengths[found[0]]
    return found


def ruled(intervals, need: str, above=lambda low, high: low > 0, missing: str = "") -> str:
    """A verdict by a notion of its own of what lies above zero, and of what is missing."""
    known = [above(*one) for one in intervals if one is not None]
    if missing and (not known or len(known) < len(intervals)):
        return missing
    held = all(known) if need == "every" else any(known)
    return "replicated" if held else "not replicated"


def either_side(intervals, need: str) -> str:
    return ruled(intervals, need, lambda low, high: low > 0 or high < 0)


def up_to_zero(intervals, need: str) -> str:
    return ruled(intervals, need, lambda low, high: low >= 0)


def looks_at_what_is_there(intervals, need: str) -> str:
    return ruled(intervals, need, missing="" if intervals else "not testable here")


def waits_for_all(intervals, need: str) -> str:
    return ruled(intervals, need, missing="not testable here")


def waits_for_some(intervals, need: str) -> str:
    settled = need == "every" and ruled(intervals, need) == "not replicated"
    return ruled(intervals, need, missing="" if settled else "not testable here")


def misses_what_could_come(intervals, need: str) -> str:
    said = ruled(intervals, need)
    open_ = need == "every" and said == "replicated" and None in intervals
    return "not testable here" if open_ or not intervals else said


WRONG = [
    ("01", 4, lambda text: text, "give a list of words, not str"),
    ("01", 4, lambda text: text.split(), "capitals"),
    ("01", 4, lambda text: text.lower().split(), "a comma"),
    ("01", 4, lambda text: text.lower().replace(",", "").split(), "brackets"),
    ("01", 4, lambda text: letters_and_digits(text)[::-1], "their order"),
    ("01", 4, without_marks, "2.5 and 25"),
    ("01", 4, marks_at_the_ends, "alone is no word"),
    ("02", 4, lambda call, path: lambda prompt, **settings: "no", "not passed on"),
    ("02", 4, lambda call, path: call, "paid for twice"),
    ("02", 4, forgets_settings, "settings are no part"),
    ("02", 4, remembers_only, "a new process"),
    ("03", 5, lambda attempt, answer: "yes", "the plainest case"),
    ("03", 5, lambda a, b: "correct" if a.endswith(b) else "wrong", "17 ends in a 7"),
    ("03", 5, lambda a, b: "correct" if a.split()[-1] == b else "wrong", "a decimal and a"),
    ("04", 4, lambda pool, size: pool["id"].tolist(), "8 questions were asked for as 5"),
    ("04", 4, lambda pool, size: ["a"] * size, "taken twice"),
    ("04", 4, lambda pool, size: pool["id"].head(size).tolist(), "the first round"),
    ("04", 4, lambda pool, size: ["a", "g", "h", "c", "f"], "its longest trace"),
    ("04", 4, lambda pool, size: ["b", "g", "h", "d", "f"], "the smaller id"),
    ("04", 4, lambda pool, size: ["b", "g", "h", "c", "f"], "not reached"),
    ("04", 4, spoils_the_pool, "was changed"),
    ("05", 4, no_filling, "not all rows"),
    ("05", 4, masks_what_looks_like_filling, "the real end is masked"),
    ("05", 4, trains_the_filling, "the filling is trained"),
    ("05", 4, fills_at_the_start, "filled up at the end"),
    ("06", 4, ends_at_once, "an early end becomes"),
    ("06", 4, never_ends, "an end after `least` tokens"),
    ("06", 4, sent_back_while(lambda trace, own, least: len(own) < least), "in its place counts"),
    ("06", 4, sent_back_while(lambda trace, own, least: len(trace) < max(least, 1)), "least=0"),
    ("06", 4, eats_what_was_said, "was changed"),
    ("06", 4, knows_one_end, "several ends"),
    ("07", 5, lambda trace: trace, "give two things"),
    ("07", 5, counted_down(lambda n: n), "asked for as 4, and counted from there"),
    ("07", 5, counted_down(lambda n: 1 << n.bit_length()), "four steps are asked for as 4"),
    ("07", 5, counted_down(next_power, by=1), "four steps"),
    ("07", 5, counted_down(next_power, lambda t: t.split("\n\n")), "what is empty is no step"),
    ("07", 5, counted_down(next_power, str.split), "several lines"),
    ("08", 6, lambda rewards, width, keep: shared(rewards, width, range(4), 4), "the best two"),
    ("08", 6, loses_what_is_left_over, "what is left over"),
    ("08", 6, prefers_the_last, "of equal rewards the first"),
    ("08", 6, keeps_room_for_nobody, "fewer traces than may be kept"),
    ("08", 6, drops_nobody_kept, "a small width"),
    ("08", 6, by_size, "may be negative"),
    ("08", 6, sorts_the_rewards, "were changed"),
    ("09", 5, lambda lengths, wanted: nearest(lengths, sorted(wanted)), "in the order of what"),
    ("09", 5, only_longer, "may be shorter"),
    ("09", 5, only_shorter, "may be longer"),
    ("09", 5, lambda lengths, wanted: nearest(lengths, wanted, last=True), "lengths the first"),
    ("09", 5, takes_again, "what is taken is gone"),
    ("09", 5, finds_by_value, "equal lengths are two places"),
    ("09", 5, uses_lengths_up, "were changed"),
    ("10", 5, lambda intervals, need: "replicated", "one interval holds zero"),
    ("10", 5, lambda intervals, need: ruled(intervals, "every"), "one above zero is some"),
    ("10", 5, either_side, "below zero is the wrong side"),
    ("10", 5, up_to_zero, "ends at zero"),
    ("10", 5, ruled, "nothing was measured"),
    ("10", 5, looks_at_what_is_there, "[(1, 5), None] with the need of every"),
    ("10", 5, waits_for_all, "one has failed"),
    ("10", 5, waits_for_some, "one has held"),
    ("10", 5, misses_what_could_come, "[(-2, 3), None] with the need of some"),
    ("11", 4, len, "all agree"),
    ("11", 4, hears_to_a_draw, "can still draw level"),
    ("11", 4, forgets_the_second, "a tie is never certain"),
    ("11", 4, stops_at_the_first_lead, "3 to 2 with two to come"),
    ("11", 4, counts_silence_against, "cannot win or draw level"),
    ("11", 4, counts_silence, "silence elects nobody"),
    ("A1", 3, times(msc=""), "two digits"),
    ("A1", 3, times(rule="Multiply."), "say in `rule`"),
    ("A1", 3, times(fast=lambda self, p, pen: pen("1 + 1", 2)), "slowly it is"),
    ("A1", 3, times(draw=lambda self, rng, n: {"n": n, "d": 999}), "is not from 0 to 999"),
    ("A1", 3, times(ask=lambda self, p: f"How much is {p['n']}?"), "does not name d"),
    ("A1", 3, times(fast=lambda self, p, pen: p["n"] * p["d"]), "writes no line"),
    ("A1", 3, times(draw=lambda self, rng, n: {"n": 4, "d": 3}), "for n = 16 the slow way"),
    ("A1", 3, times(fast=Times.slow), "the shortcut has"),
    ("A2", 3, lambda jobs, workers: [], "lists for"),
    ("A2", 3, lambda jobs, workers: [[] for _ in range(workers)], "the jobs"),
    ("A2", 3, lambda jobs, workers: [jobs] + [[]] * (workers - 1), "longest first has"),
    ("A2", 3, longest_first_alone, "is possible, not"),
]


@pytest.mark.parametrize(("chapter", "number", "answer", "said"), WRONG)
def test_a_check_says_what_is_wrong(chapter, number, answer, said):
    with pytest.raises(AssertionError, match=re.escape(said)):
        defined(chapter)[f"check_{number}"](answer)


def test_every_check_has_wrong_answers_here():
    checks = {
        (chapter.number, int(number))
        for chapter in BOOK
        for cell in code(read(chapter.notebook))
        for number in re.findall(r"^def check_(\d+)\(", cell.source, re.M)
    }
    assert checks == {(chapter, number) for chapter, number, *_ in WRONG}
