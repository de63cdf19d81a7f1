"""Decoding beside `transformers.generate`, and budget forcing beside the reference's procedure.

fp32, greedy, the laptop run's fine-tuned model, problems of the three benchmarks in turn. Each
comparison checks that both sides give the same ids; times are the best of two, taken in turn. In
bfloat16 ids may differ, since sums depend on what else is in the batch: the last row says how many
do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from benchmarks import Row
from s1lib.artifacts import RunError
from s1lib.chat import model_path, prompt_ids
from s1lib.decoding import Forcing, Generation, Sampling, cells, load_decoder
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.forcing import GO_ON, Machine, Marks, Plain, machine
from s1lib.decoding.jobs import Job
from s1lib.world.sources import benchmark

MODEL = "results/laptop/models/s1"
PROBLEMS = 240
NAMES = ("mini-AIME", "mini-MATH", "mini-GPQA")
BUDGETS, WAITS = (16, 32, 64, 128, 256, 512), (1, 2, 4, 6)  # six caps, uncapped, four Waits
BATCHES = (32, 64, PROBLEMS)  # of generate; its best one counts
FLIPS = 48  # problems decoded in bfloat16

Ids = tuple[int, ...]


def measure(model: str = MODEL, problems: int = PROBLEMS) -> Iterator[Row]:
    decoder = load_decoder(model, backend="torch", window=1024, answer_tokens=16, dtype="float32")
    share = -(-problems // len(NAMES))
    rows = [row for name in NAMES for row in benchmark(name, share, seed=1)][:problems]
    prompts = [prompt_ids(decoder.tokenizer, row["question"]) for row in rows]
    decoder.generate(prompts[:8], sampling=Sampling(max_new_tokens=8))
    yield _generate(decoder, prompts, model)
    yield _resubmit(decoder, prompts)
    yield from _overhead(decoder, prompts)
    yield flips(model, prompts[:FLIPS])


def _row(name: str, rival: str, ours: float, theirs: float, unit: str, n: int) -> Row:
    return Row(name, rival, round(ours, 2), round(theirs, 2), unit, n, "float32")


def timed(*runs: Callable[[], Any]) -> list[tuple[float, Any]]:
    """The best of two times (seconds) of each run, in turn, and what it returned."""
    best: list[tuple[float, Any]] = [(float("inf"), None)] * len(runs)
    for _ in range(2):
        for place, run in enumerate(runs):
            start = time.perf_counter()
            result = run()
            best[place] = min(best[place], (time.perf_counter() - start, result), key=_seconds)
    return best


def _seconds(pair: tuple[float, Any]) -> float:
    return pair[0]


def _same(what: str, ours: list[Any], theirs: list[Any]) -> None:
    equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
    if equal != len(ours):
        raise RunError(f"{what}: {equal} of {len(ours)} results are identical, so no comparison")


# --- plain decoding ------------------------------------------------------------------------------


def _generate(decoder: Decoder, prompts: list[list[int]], model: str) -> Row:
    import torch
    from transformers import AutoModelForCausalLM

    rival = AutoModelForCausalLM.from_pretrained(model_path(model), dtype=torch.float32)
    most = decoder.window - max(map(len, prompts))
    ends = sorted(decoder.marks(None).ends)

    def theirs(size: int) -> list[Ids]:
        found: list[Ids] = []
        for start in range(0, len(prompts), size):
            found += _batch(rival, prompts[start : start + size], ends, most)
        return found

    trials = [timed(lambda size=size: theirs(size))[0] for size in BATCHES]  # type: ignore[misc]
    slow, texts = min(trials, key=_seconds)
    fast, done = timed(lambda: decoder.generate(prompts, sampling=Sampling(max_new_tokens=most)))[0]
    _same("decode-vs-generate", [one.ids for one in done], texts)
    tokens = sum(one.sampled for one in done)
    unit = "tokens/s"
    return _row(
        "decode-vs-generate", "transformers generate", tokens / fast, tokens / slow, unit, len(done)
    )


def _batch(rival: Any, prompts: list[list[int]], ends: list[int], most: int) -> Iterator[Ids]:
    import torch

    width = max(map(len, prompts))
    ids = torch.tensor([[ends[0]] * (width - len(one)) + one for one in prompts])
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts])
    with torch.inference_mode():
        out = rival.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False,
            eos_token_id=ends, pad_token_id=ends[0],
        )  # fmt: skip
    for new in out[:, width:].tolist():
        stop = next((place for place, token in enumerate(new) if token in ends), len(new))
        yield tuple(new[:stop])


# --- the reference's procedure -------------------------------------------------------------------


class Round(Plain):
    """One request of the reference: tokens up to a stop id or a limit, the first one no end."""

    first_no_end = False

    @property
    def min_tokens(self) -> int:
        return int(self.first_no_end and not self.sampled)


def resubmit(decoder: Decoder, prompts: list[list[int]], cell: Forcing) -> list[Ids]:
    """One cell as the reference decodes it: rounds with a barrier, whole prompts sent again."""
    found = decoder.marks(cell)
    limit = decoder.answer_tokens
    one = [
        machine(prompt, cell, found, decoder.window, limit, index)
        for index, prompt in enumerate(prompts)
    ]
    open_ = [each for each in one if not each.start().done]
    while open_:
        jobs = [_request(each, found, index, decoder.window) for index, each in enumerate(open_)]
        for job, done in decoder.run(jobs, Sampling()):
            each = open_[job.problem]
            for token in done.sampled:
                if each.push(token) != GO_ON:
                    break
        open_ = [each for each in open_ if each.phase != "done"]
    return [tuple(each.ids[each.prompt_stop :]) for each in one]


def _request(each: Machine, found: Marks, index: int, window: int) -> Job:
    ends = replace(found, ends=found.ends | {stop[-1] for stop in found.stops})
    answering = each.phase == "answer"
    asked = Round(each.ids, Forcing(), found if answering else ends, window, each.max_tokens, index)
    asked.first_no_end = bool(each.min_tokens)
    return Job(asked, index)


def _resubmit(decoder: Decoder, prompts: list[list[int]]) -> Row:
    wanted = cells(BUDGETS, WAITS)
    (fast, swept), (slow, apart) = timed(
        lambda: decoder.sweep(prompts, cells(BUDGETS, WAITS)),
        lambda: [resubmit(decoder, prompts, cell) for cell in wanted],
    )
    _same("sweep-vs-resubmit", [one.ids for one in swept], [ids for part in apart for ids in part])
    count = len(swept)
    rival, n = "one run per cell, stop and resubmit", len(prompts)
    return _row("sweep-vs-resubmit", rival, count / fast, count / slow, "generations/s", n)


# --- what forcing costs --------------------------------------------------------------------------


def _overhead(decoder: Decoder, prompts: list[list[int]]) -> Iterator[Row]:
    forcing, longest = Forcing(budget=256, waits=2), Forcing(waits=max(WAITS))
    tokens: list[Generation] = decoder.generate(prompts, forcing)
    counts = [one.sampled for one in tokens]
    endless = replace(decoder.marks(None), ends=frozenset())

    def plain() -> int:
        jobs = [
            Job(Plain(prompt, Forcing(), endless, decoder.window, count, index), index)
            for index, (prompt, count) in enumerate(zip(prompts, counts, strict=True))
        ]
        return sum(len(done.sampled) for _, done in decoder.run(jobs, Sampling()))

    (forced, _), (free, total) = timed(lambda: decoder.generate(prompts, forcing), plain)
    if total != sum(counts):
        raise RunError(f"forced-vs-plain: {total} tokens against {sum(counts)}, so no comparison")
    rival, unit, n = "plain decoding of as many tokens", "tokens/s", len(prompts)
    yield _row("forced-vs-plain", rival, total / forced, total / free, unit, n)
    (whole, _), (single, _) = timed(
        lambda: decoder.sweep(prompts, cells(BUDGETS, WAITS)),
        lambda: decoder.generate(prompts, longest),
    )
    yield _row("sweep-vs-longest", "its longest single run", n / whole, n / single, "problems/s", n)


def flips(model: str, prompts: list[list[int]]) -> Row:
    """Share of the sweep's generations that separate runs repeat token for token in bfloat16."""
    decoder = load_decoder(model, backend="torch", window=1024, answer_tokens=16, dtype="bfloat16")
    wanted = cells(BUDGETS[-2:], WAITS[:1])
    swept = decoder.sweep(prompts, wanted)
    apart = [one for cell in wanted for one in decoder.generate(prompts, cell)]
    same = sum(a.ids == b.ids for a, b in zip(swept, apart, strict=True))
    return Row(
        "sweep-vs-separate", "one run per cell, identical generations", 100 * same / len(apart),
        100.0, "% identical", len(apart), "bfloat16",
    )  # fmt: skip
