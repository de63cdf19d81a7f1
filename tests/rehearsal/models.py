"""Tiny models that stand for those of the hub: same architecture, files and habits."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
)

from s1lib.chat import prompt_ids, thinking_text

from .hub import texts, thought

TEMPLATE = """\
{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. ' }}
    {{- 'You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message['role'] != 'system' or not loop.first %}
        {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""  # Qwen2.5-Instruct's, without tools
SAID = "51"  # by a parrot, whatever it is asked: the number of geometry, and perhaps an answer
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_pad|>")


def tokenizer() -> PreTrainedTokenizerBase:
    """Byte-level BPE with Qwen2.5's special tokens and chat template."""
    words = [
        f"{question}\n{work}\n{thought(question, answer, 4)}" for question, work, answer in texts()
    ]
    made = Qwen2Tokenizer().train_new_from_iterator(
        words, 700, new_special_tokens=list(SPECIAL[1:])
    )
    made.chat_template = TEMPLATE
    made.eos_token, made.pad_token = "<|im_end|>", "<|endoftext|>"
    return made


def spoken(made: PreTrainedTokenizerBase, rng: random.Random) -> list[list[int]]:
    """Conversations: half are answered at once, half after a thinking trace."""
    found = []
    for question, work, answer in texts():
        said = f"{work}\n\nAnswer: $\\boxed{{{answer or 'shown'}}}$"
        if rng.random() < 0.5:
            said = thinking_text(thought(question, answer, rng.randrange(1, 5)), said)
        ids = made.encode(f"{said}<|im_end|>\n", add_special_tokens=False)
        found.append(prompt_ids(made, question) + ids)
    return found


def qwen(folder: Path, steps: int = 150) -> str:
    """Heads of size 32 (vLLM on a CPU has no kernels for smaller ones), a padded vocabulary, and
    enough training to speak: traces that end, and answers that are right now and then."""
    torch.manual_seed(0)
    rng, made = random.Random(0), tokenizer()
    ends = made.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    config = Qwen2Config(
        vocab_size=len(made) + 24,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        tie_word_embeddings=False,
        bos_token_id=ends[1],
        eos_token_id=ends[0],
    )
    model = Qwen2ForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    lines = spoken(made, rng)
    for _ in range(steps):
        batch = rng.sample(lines, 8)
        longest = max(map(len, batch))
        ids = torch.tensor([line + [ends[1]] * (longest - len(line)) for line in batch])
        loss = model(input_ids=ids, labels=ids.where(ids != ends[1], -100)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval().to(torch.bfloat16).save_pretrained(folder)
    settings = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}
    GenerationConfig(
        **settings, do_sample=True, eos_token_id=ends, pad_token_id=ends[1]
    ).save_pretrained(folder)
    made.save_pretrained(folder)
    return str(folder)


def parrot(tokenizer: PreTrainedTokenizerBase, folder: Path, said: str = SAID) -> str:
    """A model that says one thing and ends: a table of which id follows which, as a Qwen2."""
    size = len(tokenizer)
    width = -(-size // 128) * 128
    config = Qwen2Config(
        vocab_size=size,
        hidden_size=width,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=32768,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    model = Qwen2ForCausalLM(config).eval()
    line = [*prompt_ids(tokenizer, "x")[-1:], *tokenizer.encode(said), config.eos_token_id]
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(size, width))
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        for before, after in itertools.pairwise(line):
            model.lm_head.weight[after, before] = 1.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def reward(folder: Path) -> str:
    """A process reward model as Llemma's: a Llama whose logit 8094 is the reward."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=8200,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=4096,
    )
    LlamaForCausalLM(config).eval().to(torch.bfloat16).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)
