"""Budget forcing as a state machine: plain Python, one instance per sequence, token ids only.

A backend feeds `ids` to the model, samples a token, and pushes it. The machine answers with a
`Move`: go on, feed these forced ids next, or done. Whatever the backend (a tensor loop, vLLM, a
server, `transformers.generate`), what is thought, ignored, forced and counted is decided here.

    thinking --(end ignored: "Wait")--> thinking --(natural or forced end)--> answer --> done

Sources: paper section 3.1 and figure 3; reference `eval/lm-evaluation-harness/lm_eval/models/
vllm_causallms.py`. Where the two differ, `protocol` chooses:

`paper` (our reading of section 3.1)
    The budget counts all thinking tokens, forced strings too, and always wins. So the run with
    budget b and n ignored ends is a prefix of the run with more of both.
`harness` (re-enacts the published runs, quirks included)
    1. every round, from one ignored end to the next, has the whole budget again;
    2. what exceeds the budget in the end is cut away, unseen by the model's answer, yet
    3. a trace cut in this way still counts as ended naturally: no `Final Answer:` is forced;
    4. whether a newline is forced is decided on the last token *before* that cut;
    5. with ends to ignore, the first token of each round cannot be an end, the first round's too;
    6. a minimum in tokens holds in each round anew;
    7. without a budget, all requests get one that the longest prompt leaves (`auto_budget`).
    Its crashes are not re-enacted: budget 0, empty traces and rounds that all end are defined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from s1lib.artifacts import RunError

RESERVE = 100  # positions kept for the answer when thinking would fill the window (reference)


@dataclass(frozen=True)
class Forcing:
    """What to do with one generation's thinking. `budget=None` thinks until a natural end.

    `waits` ends of thinking are ignored and `wait` (may be empty) is appended instead; no end
    is allowed before `minimum` thinking tokens. `steps=True` is the step-conditional format:
    thinking opens with a bare turn start and ends at the header `0 steps left` (appendix E.1).
    How thinking opens and ends otherwise is the decoder's to know (`Decoder.delimiters`).
    """

    budget: int | None = None
    waits: int = 0
    wait: str = "Wait"
    minimum: int = 0
    protocol: Literal["paper", "harness"] = "paper"
    steps: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in ("paper", "harness"):
            raise RunError(f"no protocol {self.protocol!r}: use 'paper' or 'harness'")
        for name in ("budget", "waits", "minimum"):
            if (getattr(self, name) or 0) < 0:
                raise RunError(f"{name}={getattr(self, name)} is below zero: use 0 or more")
        if self.budget is not None and self.minimum > self.budget:
            raise RunError(f"minimum={self.minimum} exceeds budget={self.budget}: lower it")
        if self.steps and (self.waits or self.minimum):
            raise RunError("steps=True takes neither waits nor a minimum: set both to 0")


@dataclass(frozen=True)
class Marks:
    """The ids of all that is forced or ends a phase (made by `s1lib.decoding.marks`)."""

    opening: tuple[int, ...]
    newline: tuple[int, ...]
    closing: tuple[int, ...]
    final: tuple[int, ...]
    wait: tuple[int, ...]
    stops: tuple[tuple[int, ...], ...]
    ends: frozenset[int]
    ends_line: Callable[[int], bool]

    @property
    def stop_token_ids(self) -> frozenset[int]:
        """Ids at which a machine must be asked; all others it takes in bulk (`extend`)."""
        return self.ends | {stop[-1] for stop in self.stops}

    @property
    def banned_token_ids(self) -> frozenset[int]:
        """Ids that may not be sampled while `Machine.min_tokens` is above zero."""
        return self.ends | {stop[0] for stop in self.stops}


def opens(prompt: Sequence[int], opening: Sequence[int], newline: Sequence[int]) -> bool:
    """Whether `prompt` ends in `opening` (not empty), with or without `newline`, as that of a
    template which opens thinking."""
    ends = [list(opening), [*opening, *newline]]
    return len(opening) > 0 and any(list(prompt[-len(end) :]) == end for end in ends)


class Move(NamedTuple):
    """What follows a token: ids that are forced next, or the end, or neither (go on)."""

    force: tuple[int, ...] = ()
    done: bool = False


GO_ON = Move()
DONE = Move(done=True)


class Machine:
    """Thinking under `forcing`, then an answer of at most `answer_tokens` tokens.

    `ids` is the whole sequence. A token that ends a phase is taken off again, so after a move
    the backend keeps its cache up to `len(ids) - len(move.force)` and feeds the rest.
    A prompt that opens thinking itself is not given a second opening.
    Raises `RunError` naming prompt number `index` if the window has no room for an answer.
    """

    paused = False  # whether it is done for now and may go on (tree search)

    def __init__(
        self,
        prompt: Sequence[int],
        forcing: Forcing,
        marks: Marks,
        window: int,
        answer_tokens: int,
        index: int = 0,
    ) -> None:
        self.ids = list(prompt)
        self.forcing, self.marks = forcing, marks
        self.window, self.answer_tokens = window, answer_tokens
        self.phase: Literal["thinking", "answer", "done"] = "thinking"
        self.sampled: list[int] = []
        self.forced: list[int] = []
        self.ignored: list[int] = []
        self.thinking_end = self.answer_end = ""
        self.prompt_stop = len(prompt)
        opened = not forcing.steps and opens(prompt, marks.opening, marks.newline)
        self.opening = () if opened else marks.opening
        self.thinking_start = self.thinking_stop = self.prompt_stop + len(self.opening)
        self.answer_start = -1
        self._fresh = self._round = self.thinking_start
        self._room = self._room_for_thinking(index)
        budget = forcing.budget
        self._most = self._room if budget is None else min(budget, self._room)

    def _room_for_thinking(self, index: int) -> int:
        around = self.thinking_start + len(self.marks.newline) + len(self.marks.final)
        room = self.window - around - min(RESERVE, self.answer_tokens)
        if room < 0:
            raise RunError(
                f"prompt {index} has {self.prompt_stop} tokens, {-room} more than the window of "
                f"{self.window} leaves beside the answer: shorten it or enlarge the window"
            )
        return room

    def start(self) -> Move:
        """The ids forced before anything is sampled."""
        self._force(self.opening)
        self._fresh = self._round = len(self.ids)
        opening = Move(self.opening)
        return opening if self.max_tokens else self._close(self._limit, opening.force)

    def push(self, token: int) -> Move:
        """Take one sampled token."""
        self.sampled.append(token)
        self.ids.append(token)
        return self._think(token) if self.phase == "thinking" else self._answer(token)

    def halt(self, token: int) -> Move:
        """Take one last sampled token: the caller's own criteria end the sequence with it."""
        self.sampled.append(token)
        self.ids.append(token)
        if self.phase == "thinking":
            self.thinking_end, self.thinking_stop = "stopped", len(self.ids)
            self.answer_start = len(self.ids)
        self.answer_end, self.phase = "stopped", "done"
        return DONE

    def extend(self, tokens: Sequence[int]) -> None:
        """Take sampled tokens that cannot matter: fewer than `max_tokens`, no stop token."""
        if len(tokens) >= self.max_tokens:
            raise ValueError(f"{len(tokens)} tokens at once, but max_tokens is {self.max_tokens}")
        self.sampled += tokens
        self.ids += tokens

    def replay(self, sampled: Sequence[int], parting: bool = False) -> None:
        """Push the tokens of a longer run until thinking ends here too.

        `parting`: or until the first end is ignored, where a run with another string goes its own
        way.
        """
        stops, start = self.marks.stop_token_ids, 0
        events = [i for i, token in enumerate(sampled) if token in stops]
        for event in [*events, len(sampled) - 1]:
            while start <= event and self.phase == "thinking":
                if parting and self.ignored:
                    return
                quiet = min(event - start, self.max_tokens - 1)
                self.extend(sampled[start : start + quiet])
                self.push(sampled[start + quiet])
                start += quiet + 1

    @property
    def thought(self) -> int:
        """Thinking tokens so far, forced strings included."""
        stop = len(self.ids) if self.phase == "thinking" else self.thinking_stop
        return stop - self.thinking_start

    @property
    def max_tokens(self) -> int:
        """How many tokens, no stop token among them, can be sampled up to the next count's end."""
        if self.phase == "thinking":
            return self._most - self.thought
        return min(self.answer_tokens, self.window - self.answer_start) - (
            len(self.ids) - self.answer_start
        )

    @property
    def longest_stop(self) -> int:
        """How many tokens at most are taken off again as an end of thinking."""
        return max(map(len, self.marks.stops), default=1)

    @property
    def longest(self) -> int:
        """An upper bound of `len(ids)`, for whoever allocates memory."""
        around = self.thinking_start + len(self.marks.newline) + len(self.marks.final)
        return min(self.window, around + self._most + self.answer_tokens)

    @property
    def min_tokens(self) -> int:
        """How many of the next tokens may not be an end (`marks.banned_token_ids`)."""
        if self.phase != "thinking":
            return 0
        held = bool(self.ignored) and len(self.ids) == self._round
        return max(int(held), self.forcing.minimum - self.thought, 0)

    @property
    def _limit(self) -> str:
        budget = self.forcing.budget
        return "window" if budget is None or budget > self._room else "budget"

    def _think(self, token: int) -> Move:
        stop = self._stop(token)
        if stop:
            del self.ids[-len(stop) :]
            if len(self.ignored) < self.forcing.waits:
                return self._ignore()
            if token in self.marks.ends:
                return self._close("eos")
            return self._close("steps" if stop in self.marks.stops[1:] else "delimiter")
        return GO_ON if self.max_tokens else self._close(self._limit)

    def _stop(self, token: int) -> tuple[int, ...]:
        """The ids at the end of the sequence, sampled since the last forced one, that end it."""
        if token in self.marks.ends:
            return (token,)
        for stop in self.marks.stops:
            tail = len(self.ids) - len(stop)
            if token == stop[-1] and tail >= self._fresh and tuple(self.ids[tail:]) == stop:
                return stop
        return ()

    @property
    def _space(self) -> int:
        """How much of a string may be appended."""
        return self.max_tokens

    def _ignore(self) -> Move:
        self.ignored.append(self.thought)
        string = self.marks.wait[: self._space]
        self._force(string)
        self._fresh = self._round = len(self.ids)
        return Move(string) if self.max_tokens else self._close(self._limit, string)

    def _close(self, why: str, before: tuple[int, ...] = ()) -> Move:
        """End thinking and force the way into the answer; `before` was forced just now."""
        self.thinking_end, self.thinking_stop = why, len(self.ids)
        return self._answer_from(why, before, self.ids[self.thinking_start :])

    def _answer_from(self, why: str, before: tuple[int, ...], trace: list[int]) -> Move:
        closing = self.marks.closing
        if why in ("budget", "window"):
            newline = () if trace and self.marks.ends_line(trace[-1]) else self.marks.newline
            closing = newline + self.marks.final
        self._force(closing)
        self.answer_start, self.phase = len(self.ids), "answer"
        if self.max_tokens > 0:
            return Move(before + closing)
        self._finish()
        return Move(before + closing, done=True)

    def _answer(self, token: int) -> Move:
        if token in self.marks.ends:
            self.ids.pop()
            self.answer_end, self.phase = "eos", "done"
            return DONE
        if self.max_tokens:
            return GO_ON
        self._finish()
        return DONE

    def _finish(self) -> None:
        spent = len(self.ids) - self.answer_start >= self.answer_tokens
        self.answer_end, self.phase = "length" if spent else "window", "done"

    def _force(self, ids: tuple[int, ...]) -> None:
        self.forced += range(len(self.ids), len(self.ids) + len(ids))
        self.ids += ids


class HarnessMachine(Machine):
    """The reference harness's rounds (the quirks are numbered at the top of this module)."""

    @property
    def longest(self) -> int:
        return self.window

    @property
    def max_tokens(self) -> int:
        if self.phase != "thinking":
            return super().max_tokens
        budget, room = self.forcing.budget, self._room - self.thought
        return room if budget is None else min(budget - (len(self.ids) - self._round), room)

    @property
    def min_tokens(self) -> int:
        if self.phase != "thinking":
            return 0
        minimum = max(self.forcing.minimum, int(self.forcing.waits > 0))
        return max(minimum - (len(self.ids) - self._round), 0)

    @property
    def _space(self) -> int:
        return self._room - self.thought

    def _close(self, why: str, before: tuple[int, ...] = ()) -> Move:
        trace = self.ids[self.thinking_start :]
        keep = len(trace) if self.forcing.budget is None else self.forcing.budget
        del self.ids[self.thinking_start + keep :]
        self.forced = [place for place in self.forced if place < len(self.ids)]
        self.thinking_end, self.thinking_stop = why, len(self.ids)
        cut = max(len(trace) - keep, 0)
        return self._answer_from(why, before[: max(len(before) - cut, 0)], trace)

    @property
    def _limit(self) -> str:
        return "window" if self.thought >= self._room else "budget"


class Plain(Machine):
    """No forcing at all: sample until an end of sequence or the limit."""

    def _room_for_thinking(self, index: int) -> int:
        self.thinking_start = self.thinking_stop = self.prompt_stop
        if self.prompt_stop >= self.window:
            raise RunError(
                f"prompt {index} has {self.prompt_stop} tokens, as many as the window of "
                f"{self.window} or more: shorten it or enlarge the window"
            )
        return 0

    def start(self) -> Move:
        self.answer_start, self.phase = len(self.ids), "answer"
        return GO_ON


def machine(
    prompt: Sequence[int],
    forcing: Forcing | None,
    marks: Marks,
    window: int,
    answer_tokens: int,
    index: int = 0,
) -> Machine:
    """The machine for one sequence. `forcing=None` means plain decoding."""
    kinds = {"": Plain, "paper": Machine, "harness": HarnessMachine}
    kind = kinds[forcing.protocol if forcing else ""]
    return kind(prompt, forcing or Forcing(), marks, window, answer_tokens, index)


def auto_budget(prompts: Sequence[Sequence[int]], marks: Marks, window: int) -> int:
    """The harness's budget when none is given: what its longest prompt leaves of the window.

    It depends on all prompts of the call, so results depend on the batch (quirk 7).
    Raises `RunError` naming that prompt if nothing is left.
    """
    if not prompts:
        return window
    longest = max(range(len(prompts)), key=lambda index: len(prompts[index]))
    around = len(marks.opening) + len(marks.final)
    budget = window - len(prompts[longest]) - around - RESERVE
    if budget < 0:
        raise RunError(
            f"prompt {longest} leaves {budget} thinking tokens in a window of {window}: "
            "shorten it or enlarge the window"
        )
    return budget
