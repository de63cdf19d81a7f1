"""One set of sampling settings for all backends, held against `transformers`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_engine import decoder, prompts
from transformers import GenerationConfig
from transformers.generation import logits_process

from s1lib.artifacts import RunError
from s1lib.decoding.draw import draw
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.sampling import GREEDY, Sampling

__all__ = ["decoder", "prompts"]


@pytest.mark.parametrize(
    "settings",
    [{"top_k": 5}, {"top_p": 0.6}, {"min_p": 0.2}, {"top_k": 20, "top_p": 0.8, "min_p": 0.05},
     {"repetition_penalty": 1.6}],
    ids=str,
)  # fmt: skip
def test_the_chances_are_those_of_transformers(settings):
    """Drawn at evenly spread chances, tokens come as often as `transformers` says."""
    torch.manual_seed(0)
    logits, said = 2 * torch.randn(1, 40), [3, 7, 7, 12]
    sampling = Sampling(temperature=0.7, **settings)
    seen = torch.zeros(1, 40, dtype=torch.bool)
    seen[0, said] = True
    n = 20_000
    chosen, _ = draw(logits.expand(n, -1), sampling, (np.arange(n) + 0.5) / n, seen.expand(n, -1))
    ours = torch.bincount(chosen, minlength=40) / n
    names = {"repetition_penalty": "RepetitionPenaltyLogitsProcessor", "top_k": "TopKLogitsWarper",
             "top_p": "TopPLogitsWarper", "min_p": "MinPLogitsWarper"}  # fmt: skip
    scores = logits
    for name in ("repetition_penalty", "temperature", "top_k", "top_p", "min_p"):
        if name == "temperature":
            scores = scores / 0.7
        elif name in settings:
            filter_ = getattr(logits_process, names[name])(settings[name])
            scores = filter_(torch.tensor([said]), scores)
    assert torch.allclose(ours, scores.softmax(1)[0], atol=1e-4)


def test_a_repetition_penalty_decodes_what_transformers_decodes(
    decoder, tiny_model, tiny_tokenizer, prompts
):
    config = GenerationConfig(
        max_new_tokens=25, do_sample=False, repetition_penalty=1.3, pad_token_id=0,
        eos_token_id=sorted(decoder.ends), suppress_tokens=list(
            range(len(tiny_tokenizer), tiny_model.config.vocab_size)),
    )  # fmt: skip
    penal = Sampling(repetition_penalty=1.3, max_new_tokens=25)
    found = decoder.generate(prompts[:9], None, penal)
    assert found != decoder.generate(prompts[:9], None, Sampling(max_new_tokens=25))
    for prompt, one in zip(prompts, found, strict=False):
        ids = torch.tensor([prompt])
        out = tiny_model.generate(ids, config, attention_mask=torch.ones_like(ids))
        assert tuple(out[0, len(prompt) :].tolist())[: len(one.ids)] == one.ids


def test_the_settings_narrow_what_is_drawn_and_are_part_of_the_record(decoder, prompts):
    narrow = Sampling(temperature=1.0, top_k=1)
    greedy = decoder.generate(prompts[:4], Forcing(budget=20))
    found = decoder.generate(prompts[:4], Forcing(budget=20), narrow)
    assert [one.ids for one in found] == [one.ids for one in greedy]
    wide = decoder.generate(prompts[:4], Forcing(budget=20), Sampling(temperature=1.0))
    assert [one.ids for one in wide] != [one.ids for one in greedy]
    assert len({one.config for one in (found[0], greedy[0], wide[0])}) == 3


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}, {"min_p": 2},
     {"repetition_penalty": 0}, {"samples": 0}, {"max_new_tokens": 0}],
    ids=str,
)  # fmt: skip
def test_a_setting_that_no_backend_takes_is_named(wrong):
    with pytest.raises(RunError, match=f"^{next(iter(wrong))}=.*: use "):
        Sampling(**wrong)


def test_nothing_said_is_greedy():
    assert Sampling() == GREEDY and GREEDY.temperature == 0
