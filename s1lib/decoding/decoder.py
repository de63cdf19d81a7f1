"""What the rest of the book sees of decoding, whichever backend runs: generate and sweep."""

from __future__ import annotations

import contextlib
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError, fingerprint
from s1lib.benchmarks import Problem
from s1lib.chat import Delimiters, delimiters_of, prompt_ids
from s1lib.decoding.draw import key
from s1lib.decoding.forcing import Forcing, Machine, Marks, Plain, auto_budget, machine, opens
from s1lib.decoding.jobs import Done, Job
from s1lib.decoding.kept import Kept, Order
from s1lib.decoding.marks import encode, marks
from s1lib.decoding.record import ROLES, Generation
from s1lib.decoding.sampling import GREEDY, Sampling
from s1lib.decoding.sweep import Branches, Cell, alike, trunks
from s1lib.progress import bar

Prompt = Sequence[int] | str | Sequence[Mapping[str, str]]  # token ids, a question, messages
Problems = Sequence[Problem | Prompt]
TAIL = 16  # tokens at the end of a prompt, where a template may close thinking
_ALIVE: WeakSet[Decoder] = WeakSet()


def give_back() -> None:
    """Close all decoders of this process: whoever comes next finds the memory free."""
    for decoder in list(_ALIVE):
        decoder.close()


class DecodeError(RunError):
    """Decoding failed half way. `finished` holds the generations that were complete."""

    def __init__(self, message: str, finished: list[Generation]) -> None:
        super().__init__(message)
        self.finished = finished


class Decoder(ABC):
    """A model with its tokenizer. Backends implement `run`.

    `delimiters` say how its thinking opens and ends, for every call; None finds those that the
    tokenizer has tokens for (`s1lib.chat.delimiters_of`). `ends` are the model's own ends of
    sequence, beside the tokenizer's. `window` is the context length in tokens, `answer_tokens` the
    answer's limit where a call gives none, `rows` how many run side by side at most. After a call,
    `paid` is the number of tokens that it sampled (shared ones once), `speed` how many of them a
    second. With a folder in `keep` generations are kept there as they end (`s1lib.decoding.kept`),
    and the same call again decodes only what is missing; `weights` says which weights they are
    from.
    """

    keep: Path | None = None
    weights = ""

    def __init__(
        self,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        window: int,
        answer_tokens: int,
        rows: int = 64,
        ends: Sequence[int] = (),
        delimiters: Delimiters | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.tokenizer = name, tokenizer
        self.window, self.answer_tokens, self.rows = window, answer_tokens, rows
        self.ends, self.config = tuple(ends), config or {}
        self.delimiters = delimiters or delimiters_of(tokenizer)
        self.speed, self.paid = 0.0, 0
        _ALIVE.add(self)

    def close(self) -> None:  # noqa: B027
        """Give back the memory that decoding takes, as the end of a `with` block does.

        A decoder that is used again takes it anew.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def run(self, jobs: list[Job], sampling: Sampling) -> Iterator[Done]:
        """Decode all jobs; yield each finished machine (a branch's with the trunk's job)."""

    def stepwise(
        self, roots: Iterable[Machine], live: int, sampling: Sampling
    ) -> Callable[[list[Job]], Iterator[Done]]:
        """A `run` for machines that pause and go on, in many calls with `live` jobs at most.

        `roots` are the machines that they begin with.
        """
        return lambda jobs: self.run(jobs, sampling)

    def stream(
        self, prompt: Prompt, forcing: Forcing | None = None, sampling: Sampling = GREEDY
    ) -> Iterator[tuple[int, bool]]:
        """Tokens of one generation as they come, each with whether it was forced.

        Equal to `generate([prompt], forcing, sampling)`; here they come all at its end.
        """
        (one,) = self.generate([prompt], forcing, replace(sampling, samples=1))
        yield from zip(one.ids, one.mask, strict=True)

    def generate(
        self,
        problems: Problems,
        forcing: Forcing | None = None,
        sampling: Sampling = GREEDY,
        *,
        stop: Sequence[int] = (),
        each: Callable[[Generation], object] | None = None,
        **tags: Any,
    ) -> list[Generation]:
        """Decode each problem `sampling.samples` times, in the order of problems.

        A bare prompt is a problem called by its place: a sequence of token ids, a question (one
        turn of a user), or messages. `forcing=None` is plain decoding until an end of sequence or
        one of the `stop` ids. `each` gets every generation as it ends. `tags` are further fields
        of `Generation`, such as `method`. Raises `RunError` for bad settings and prompts, before
        anything is decoded, and `DecodeError` (with what is finished) if the backend fails.
        """
        exam = self.exam(problems)
        forcing = self.bounded(forcing, exam)
        jobs = self.jobs(exam, forcing, sampling, stop)
        fields = {**self.fields(forcing, sampling), **tags}
        return self._collect(exam, jobs, sampling, [fields], [sorted(stop)], each)

    def sweep(
        self,
        problems: Problems,
        cells: Sequence[Cell],
        sampling: Sampling = GREEDY,
        **tags: Any,
    ) -> list[Generation]:
        """All `cells` (see `s1lib.decoding.sweep.cells`) from one trunk per problem and sample.

        Returns one generation per cell, problem and sample, cell by cell, each the same as
        `generate` gives with that cell. Raises `RunError` if there are none, or if they differ in
        more than budget, waits and wait.
        """
        exam = self.exam(problems)
        wanted = [self.bounded(cell, exam) or cell for cell in alike(cells)]
        jobs = []
        for trunk, places in trunks(wanted):
            branches = [(place, wanted[place]) for place in places]
            jobs += self.jobs(exam, trunk, sampling, branches=branches)
        fields = [{**self.fields(cell, sampling), **tags} for cell in cells]
        return self._collect(exam, jobs, sampling, fields)

    # --- what a method needs that decodes in a way of its own (tree search) ---------------------

    def marks(self, forcing: Forcing | None, stop: Sequence[int] = ()) -> Marks:
        """All ids that are forced or end a phase."""
        return marks(self.tokenizer, forcing, (*self.ends, *stop), self.delimiters)

    def exam(self, problems: Problems) -> list[Problem]:
        """Bare prompts as problems, too, in token ids. Raises `RunError` for an empty prompt."""
        found = []
        for place, one in enumerate(problems):
            if not isinstance(one, Problem):
                spoken = isinstance(one, str) or (len(one) and isinstance(one[0], Mapping))
                ids = prompt_ids(self.tokenizer, one) if spoken else one  # type: ignore[arg-type]
                one = Problem(str(place), tuple(ids))  # type: ignore[arg-type]
            if not len(one.prompt):
                raise RunError(f"the prompt of problem {one.id} is empty: give at least one token")
            found.append(one)
        return found

    def jobs(
        self,
        exam: list[Problem],
        forcing: Forcing | None,
        sampling: Sampling,
        stop: Sequence[int] = (),
        branches: Sequence[tuple[int, Cell]] = (),
    ) -> list[Job]:
        """A job for each sample of each problem, as a trunk of `branches` if there are any."""
        runs = [forcing, *(cell for _, cell in branches)]
        ids = {one and one.wait: self.marks(one, stop) for one in runs}
        limit = self.limit(forcing, sampling)
        self._still_open(exam, forcing)
        jobs = []
        for index, one in enumerate(exam):

            def new(run: Forcing | None, prompt=one.prompt, index=index) -> Machine:
                string = run and run.wait
                return machine(prompt, run, ids[string], self.window, limit, index)

            for sample in range(sampling.samples):
                job = Job(new(forcing), index, sample, key(sampling.seed, one.id, sample))
                job.branches = Branches(new, branches) if branches else None
                jobs.append(job)
        return jobs

    def bounded(self, forcing: Forcing | None, exam: list[Problem]) -> Forcing | None:
        """In the harness's protocol, no budget means the automatic one (quirk 7)."""
        if forcing is None or forcing.protocol == "paper" or forcing.budget is not None:
            return forcing
        prompts = [one.prompt for one in exam]
        return replace(forcing, budget=auto_budget(prompts, self.marks(forcing), self.window))

    def limit(self, forcing: Forcing | None, sampling: Sampling) -> int:
        """The most tokens of an answer after thinking, or without forcing of all."""
        return sampling.max_new_tokens or (self.answer_tokens if forcing else self.window)

    def fields(self, forcing: Forcing | None, sampling: Sampling) -> dict[str, Any]:
        """Fields of `Generation` that follow from the settings of a call."""
        asked = {
            "model": self.name,
            "window": self.window,
            "limit": self.limit(forcing, sampling),
            "forcing": asdict(forcing) if forcing else None,
            "delimiters": asdict(self.delimiters),
            "sampling": asdict(replace(sampling, samples=1, max_new_tokens=None)),
            **self.config,
        }
        tags: dict[str, Any] = {"model": self.name, "config": fingerprint(asked)}
        tags |= {"temperature": sampling.temperature, "seed": sampling.seed}
        if forcing is None:
            return {**tags, "method": "plain", "protocol": ""}
        tags |= {name: getattr(forcing, name) for name in ("protocol", "budget", "waits")}
        tags["wait"] = forcing.wait if forcing.waits else ""
        return {**tags, "method": "budget forcing"}

    def generation(
        self, done: Machine, name: str, sample: int, fields: dict[str, Any]
    ) -> Generation:
        """The record's row of a finished machine."""
        start, stop, answer = done.thinking_start, done.thinking_stop, done.answer_start
        parts = [done.prompt_stop, start, stop, answer, len(done.ids)]
        if isinstance(done, Plain):
            parts = self._split(done.ids, done.prompt_stop)
        spans = (tuple(done.ids[a:b]) for a, b in itertools.pairwise([0, *parts]))
        roles: dict[str, Any] = dict(zip(ROLES, spans, strict=True))
        forced_end = done.thinking_end in ("budget", "window")
        spoken = done.marks.final[len(done.marks.closing) :] if forced_end else ()
        said = self.tokenizer.decode([*spoken, *roles["answer"]], skip_special_tokens=True)
        return Generation(
            name,
            **roles,
            forced=tuple(place - done.prompt_stop for place in done.forced),
            ignored=tuple(done.ignored),
            thinking_end=done.thinking_end,
            answer_end=done.answer_end,
            sampled=len(done.sampled),
            text=str(said).strip(),
            sample=sample,
            **fields,
        )

    # --- shared by both -------------------------------------------------------------------------

    def _collect(
        self,
        exam: list[Problem],
        jobs: list[Job],
        sampling: Sampling,
        fields: list[dict[str, Any]],
        asked: Sequence[Any] = (),
        each: Callable[[Generation], object] | None = None,
    ) -> list[Generation]:
        """Run the jobs that are not kept. `fields` are those of each cell (of one, without a
        sweep); with them, `asked` is what else the call depends on."""
        with self._kept(exam, [sampling.samples, *fields, *asked]) as kept:
            known = kept.read() if kept else {}
            found = list(known.items())
            start, self.paid = time.perf_counter(), 0
            shown = bar("decode", len(jobs), unit="run")
            left = [job for job in jobs if not all(place in known for place in _places(job))]
            shown.update(len(jobs) - len(left))
            try:
                for job, done in self.run(left, sampling) if left else ():
                    rows = self._rows(exam[job.problem], job, done, fields)
                    new = [(place, row) for place, row in rows if place not in known]
                    if each:
                        for _, row in new:
                            each(row)
                    if kept:
                        kept.add(new)
                    found += new
                    shown.update(bool(new))
                    self.speed = self.paid / (time.perf_counter() - start)
                    shown.set_postfix_str(f"{self.speed:,.0f} tokens/s", refresh=False)
            except Exception as error:  # out of memory, an engine that died: keep what is done
                why = str(error) if isinstance(error, RunError) else f"decoding failed: {error!r}"
                raise DecodeError(why, _in_order(found)) from error
            finally:
                shown.close()
            return _in_order(found)

    def _kept(
        self, exam: list[Problem], settings: list[Any]
    ) -> contextlib.AbstractContextManager[Kept | None]:
        """Where this call keeps its generations, if it is to; named by all that it asks for."""
        if not self.keep:
            return contextlib.nullcontext()
        prompts = [list(map(int, one.prompt)) for one in exam]
        names = [[one.benchmark, one.id] for one in exam]
        return Kept(self.keep, [self.weights, prompts, names, *settings])

    def _rows(
        self, problem: Problem, job: Job, done: Machine, fields: list[dict[str, Any]]
    ) -> Iterator[tuple[Order, Generation]]:
        """What a finished machine completes: its generation, or with branches all or none."""
        for cell, one in job.branches.finish() if job.branches else [(0, done)]:
            own = {"benchmark": problem.benchmark, **fields[cell]}
            row = self.generation(one, problem.id, job.sample, own)
            yield (cell, job.problem, job.sample), row

    def _still_open(self, exam: list[Problem], forcing: Forcing | None) -> None:
        """Raise `RunError` for a prompt whose template has ended thinking before it began."""
        close = self.delimiters.answer
        for one in exam:
            tail = str(self.tokenizer.decode(list(one.prompt[-TAIL:]))) if forcing else ""
            if tail.rstrip().endswith(close):
                raise RunError(
                    f"the prompt of problem {one.id} ends in {close!r}, so that nothing is left to "
                    "think: leave it out (enable_thinking=True in some chat templates)"
                )

    def _split(self, ids: list[int], start: int) -> list[int]:
        """Where roles begin in what a model wrote without forcing, delimiters if it wrote any."""
        opening, closing, newline = self._delimiters
        thinking = start + len(opening)
        if closing and opening and opens(ids[:start], opening, newline):
            thinking = start  # the prompt has opened it
        elif not closing or tuple(ids[start:thinking]) != opening:
            return [start, start, start, start, len(ids)]
        for stop in range(thinking, len(ids) - len(closing) + 1):
            if tuple(ids[stop : stop + len(closing)]) == closing:
                return [start, thinking, stop, stop + len(closing), len(ids)]
        return [start, thinking, len(ids), len(ids), len(ids)]

    @cached_property
    def _delimiters(self) -> list[tuple[int, ...]]:
        """What opens and closes thinking, and a newline; empty where the tokenizer has no such."""
        try:
            strings = (self.delimiters.think, self.delimiters.answer, "\n")
            return [encode(self.tokenizer, string) for string in strings]
        except RunError:
            return [(), (), ()]


def _places(job: Job) -> list[Order]:
    """Where the generations of a job stand in its call."""
    cells = job.branches.places if job.branches else [0]
    return [(cell, job.problem, job.sample) for cell in cells]


def _in_order(found: list[tuple[Order, Generation]]) -> list[Generation]:
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]
