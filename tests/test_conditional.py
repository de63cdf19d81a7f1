"""Conditional control: prompts that agree with training, and forcing as a prefix of freedom."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from test_engine import decoder
from test_pool import TESTS

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem
from s1lib.chat import ANSWER, ASSISTANT, THINK, prompt_ids
from s1lib.decoding import Forcing
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.forcing import Machine
from s1lib.decoding.jobs import Job
from s1lib.decoding.sampling import Sampling
from s1lib.methods import conditional
from s1lib.methods.conditional import (
    CLASSES,
    ask_class,
    ask_steps,
    ask_tokens,
    control_sets,
    step_counter,
    suffix,
)

__all__ = ["decoder"]

TRACES = [
    "x=1:7 no.\n\nx=2:14 yes.\n\nWait, check. So 2.",
    *(" ".join("7" for _ in range(n)) for n in (15, 16, 30, 31, 32, 33, 64)),
]
TABLE = pd.DataFrame(
    {
        "id": [str(i) for i in range(len(TRACES))],
        "question": [f"Find {i}" for i in range(len(TRACES))],
        "attempt": "Final Answer: 2",
        "thinking_trajectories": [[trace] for trace in TRACES],
    }
)


class ByHeart(Decoder):
    """A backend whose model knows one text after each prompt by heart, then ends its turn."""

    def __init__(self, tokenizer, text: str, prompt: list[int], window: int = 160) -> None:
        super().__init__("by heart", tokenizer, window, answer_tokens=12)
        self.known = [*prompt, *tokenizer.encode(text)]

    def run(self, jobs: list[Job], sampling: Sampling) -> Iterator[tuple[Job, Machine]]:
        for job in jobs:
            move = job.machine.start()
            while not move.done:
                place = len(job.machine.ids)
                known = place < len(self.known)
                move = job.machine.push(self.known[place] if known else self.tokenizer.eos_token_id)
            yield job, job.machine


def by_heart(tokenizer, text: str, window: int = 160):
    """Prompt and decoder of a model that answers `Find 1` in 2 steps with `text`."""
    prompt = prompt_ids(tokenizer, TESTS["question"][0] + suffix(2, "steps"))
    return ByHeart(tokenizer, text, prompt, window)


ONE_TEST = TESTS.head(1)
OVERRUN = "\n".join(f"<|im_start|>{k} steps left\nx={k}" for k in (2, 1, 0, 0, 1))


def free_and_forced(decoder):
    free, forced = ask_steps(decoder, ONE_TEST, 2)
    assert (free.method, forced.method) == ("step-conditional", "step-conditional + forcing")
    return free, forced


@pytest.mark.parametrize(("kind", "unit"), [("token", "tokens"), ("step", "steps")])
def test_a_prompt_is_what_training_showed_token_for_token(tiny_tokenizer, kind, unit):
    made = control_sets(TABLE, tiny_tokenizer, 512)[kind]
    for row, question in zip(made.itertuples(), TABLE["question"], strict=True):
        prompt = prompt_ids(tiny_tokenizer, question + suffix(row.budget, unit))
        trained = tiny_tokenizer.encode(row.text, add_special_tokens=False)
        assert trained[: len(prompt)] == prompt


def test_the_bound_in_training_is_the_next_power_of_two_of_what_the_decoder_counts(tiny_tokenizer):
    for row in control_sets(TABLE, tiny_tokenizer, 512)["token"].itertuples():
        thinking = row.text.partition(THINK)[2].partition(ANSWER)[0]
        counted = len(tiny_tokenizer.encode(thinking, add_special_tokens=False))
        assert counted <= row.budget < 2 * counted


def test_texts_that_training_would_have_to_cut_are_left_out(tiny_tokenizer):
    whole = control_sets(TABLE, tiny_tokenizer, 512)["step"]
    lengths = [len(tiny_tokenizer.encode(text)) for text in whole["text"]]
    limit = sorted(lengths)[2]
    kept = control_sets(TABLE, tiny_tokenizer, limit)["step"]
    assert kept["text"].tolist() == [
        text for text, length in zip(whole["text"], lengths, strict=True) if length <= limit
    ]
    with pytest.raises(RunError, match="no text fits in 5 tokens"):
        control_sets(TABLE, tiny_tokenizer, 5)


def test_the_step_format_opens_as_the_forced_run_does(tiny_tokenizer, decoder):
    text = control_sets(TABLE, tiny_tokenizer, 512)["step"]["text"][0]
    assistant = tiny_tokenizer.encode(text.partition(ASSISTANT)[2], add_special_tokens=False)
    (one,) = decoder.generate([[5, 6]], Forcing(steps=True))
    assert tuple(assistant[:1]) == one.opening


def test_class_prompts_ask_for_nothing_that_can_be_counted():
    assert set(CLASSES) == {"short", "long"}
    assert not [text for text in CLASSES.values() if any(c.isdigit() for c in text)]


def test_forced_tokens_are_a_prefix_of_the_free_run_and_keep_the_bound(decoder):
    found = ask_tokens(decoder, TESTS, 8)
    free = [one for one in found if one.method == "token-conditional"]
    forced = [one for one in found if one.method == "token-conditional + forcing"]
    assert len(free) == len(forced) == len(TESTS)
    assert {one.asked for one in found} == {"8"}
    for long, short in zip(free, forced, strict=True):
        assert short.thinking_tokens <= 8
        assert long.thinking[: short.thinking_tokens] == short.thinking
    assert any(long.thinking_tokens > 8 for long in free)


def test_forcing_stops_at_0_and_freedom_goes_on(tiny_tokenizer):
    text = f"{OVERRUN}\n{ANSWER}\nFinal Answer: 1<|im_end|>"
    free, forced = free_and_forced(by_heart(tiny_tokenizer, text))
    assert (forced.thinking_end, free.thinking_end) == ("steps", "delimiter")
    said = f"<|im_start|>{tiny_tokenizer.decode(free.thinking)}"
    assert said == f"{OVERRUN}\n"
    assert tiny_tokenizer.decode(forced.thinking).endswith("x=1\n")
    assert free.thinking[: forced.thinking_tokens] == forced.thinking
    assert free.text == "Final Answer: 1" and free.verdict == "correct"


def test_a_joined_run_knows_which_tokens_were_forced(tiny_tokenizer):
    text = f"{OVERRUN}\n{ANSWER}\nFinal Answer: 1<|im_end|>"
    free, _ = free_and_forced(by_heart(tiny_tokenizer, text))
    forced = [token for token, mask in zip(free.ids, free.mask, strict=True) if mask]
    assert forced == [*free.opening, *free.closing]
    ends = len(free.closing) + 1  # the model wrote both the header and the end of its turn
    assert free.sampled == free.thinking_tokens + len(free.answer) + ends


def test_steps_are_counted_by_their_headers(tiny_tokenizer):
    text = f"{OVERRUN}\n{ANSWER}\nFinal Answer: 1<|im_end|>"
    free, forced = free_and_forced(by_heart(tiny_tokenizer, text))
    count = step_counter(tiny_tokenizer)
    assert (count(forced), count(free)) == (2, 5)


def test_whoever_answers_in_time_is_not_forced(tiny_tokenizer):
    text = f"<|im_start|>2 steps left\nx=1\n{ANSWER}\nFinal Answer: 1<|im_end|>"
    free, forced = free_and_forced(by_heart(tiny_tokenizer, text))
    assert forced.thinking_end == "delimiter"
    assert free.ids == forced.ids


def test_a_countdown_that_never_ends_is_closed_by_the_window(tiny_tokenizer):
    endless = "\n".join("<|im_start|>0 steps left\nx" for _ in range(200))
    free, forced = free_and_forced(by_heart(tiny_tokenizer, endless, window=200))
    assert (forced.thinking_end, free.thinking_end) == ("steps", "window")
    assert free.text.startswith("Final Answer:")


def test_free_steps_are_what_the_model_writes_when_nobody_interferes(decoder):
    """Up to its own end of thinking, a free run is plain decoding after the opening."""
    for one in [one for one in ask_steps(decoder, TESTS, 4) if one.method == conditional.STEP]:
        (plain,) = decoder.generate([[*one.prompt, *one.opening]])
        size = one.thinking_tokens if one.thinking_end != "window" else 20
        assert plain.ids[:size] == one.thinking[:size]


def test_class_prompts_change_the_prompt_only(decoder):
    found = ask_class(decoder, TESTS, "short")
    prompt = prompt_ids(decoder.tokenizer, TESTS["question"][0] + CLASSES["short"])
    again = decoder.generate([Problem("a", tuple(prompt))], Forcing())[0]
    assert (found[0].ids, found[0].method) == (again.ids, "class-conditional")
    assert {one.asked for one in found} == {"short"}
