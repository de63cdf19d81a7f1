"""The torch backend against `transformers`, token for token in fp32, and against itself."""

from __future__ import annotations

import pytest
import torch

from s1lib.chat import prompt_ids
from s1lib.decoding.engine import TorchDecoder
from s1lib.decoding.forcing import Forcing, machine
from s1lib.decoding.marks import marks


@pytest.fixture(scope="session")
def prompts(tiny_tokenizer) -> list[list[int]]:
    texts = [f"Find {n} and {n * 7}" + " or more" * (n % 5) for n in range(24)]
    return [prompt_ids(tiny_tokenizer, text) for text in texts]


@pytest.fixture(scope="session")
def decoder(tiny_model, tiny_tokenizer) -> TorchDecoder:
    return TorchDecoder(tiny_model, tiny_tokenizer, window=400, answer_tokens=12, rows=7)


@torch.no_grad()
def reference(model, tokenizer, prompt, forcing, window=400, answer_tokens=12):
    """The slow way: the whole sequence through `transformers` for every token."""
    found = marks(tokenizer, forcing, [model.config.eos_token_id])
    one = machine(prompt, forcing, found, window, answer_tokens)
    move = one.start()
    while not move.done:
        logits = model(torch.tensor([one.ids]), use_cache=False).logits[0, -1, : len(tokenizer)]
        if one.ban:
            logits[sorted(found.banned)] = float("-inf")
        move = one.push(int(logits.argmax()))
    return one


SETTINGS = [
    None,
    Forcing(),
    Forcing(budget=0),
    Forcing(budget=9),
    Forcing(budget=40, waits=2),
    Forcing(waits=3),
    Forcing(waits=2, wait=""),
    Forcing(minimum=30),
    Forcing(budget=20, waits=2, protocol="harness"),
]


@pytest.mark.parametrize("forcing", SETTINGS, ids=str)
def test_greedy_ids_are_those_of_transformers(decoder, tiny_model, tiny_tokenizer, prompts, forcing):
    some = prompts[:10]
    for prompt, ours in zip(some, decoder.generate(some, forcing, max_new_tokens=12), strict=True):
        theirs = reference(tiny_model, tiny_tokenizer, prompt, forcing)
        assert list(ours.prompt + ours.ids) == theirs.ids
        assert ours.answer_end == theirs.answer_end and ours.thinking_end == theirs.thinking_end
