"""Fixtures for all tests: a tiny tokenizer and a tiny random-weight Qwen2, made in a second."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# One thread, whatever the user's environment says: tests compare ids that were sampled in different
# batches, token for token, and with two threads some were not the same (test_sweep). Besides, a
# busy neighbour makes two threads very slow. Tests that are about threads set their own number.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from browser import Browser
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_pad|>")
TEXTS = (
    "Find the smallest positive integer x such that 7x leaves remainder 3 when divided by 16.",
    "x=5:7*5=35,35-32=3 yes.\n\nWait, check x=1:7 no. Hmm, the remainder is 7.\n\n",
    "Alternatively think again. 12 steps left\nFinal Answer: 5\nAnswer: \\boxed{1/2}\n",
)
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """Byte-level BPE of about 320 ids with ChatML special tokens and chat template."""
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(
        TEXTS * 4, 360, new_special_tokens=list(SPECIAL[1:])
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|fim_pad|>"
    return tokenizer


def make_tiny(tokenizer: PreTrainedTokenizerBase, heads: int = 4) -> Qwen2ForCausalLM:
    """Two layers, hidden size 64, one key-value head, fp32, 11 ids beyond the tokenizer's.

    Weights are large, so that greedy text varies, and the rows of the end tokens in the output
    layer are enlarged, so that a thinking trace ends after some tens of tokens.
    """
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 11,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=0.3,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|fim_pad|>"),
    )
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        for layer in model.model.layers:
            for part in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
                part.bias.normal_(0, 0.3)
        ends = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
        model.lm_head.weight[ends] *= 1.3
    return model


@pytest.fixture(scope="session")
def tiny_model(tiny_tokenizer: PreTrainedTokenizerBase) -> Qwen2ForCausalLM:
    return make_tiny(tiny_tokenizer)


@pytest.fixture(scope="session")
def tiny_model_path(
    tiny_tokenizer: PreTrainedTokenizerBase,
    tiny_model: Qwen2ForCausalLM,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with model and tokenizer, as `s1lib.chat.load_tokenizer` expects them."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()
