"""The chat format: delimiters, prompts and training texts, on token ids.

s1 adds no vocabulary. Inside the assistant turn of a ChatML conversation, `<|im_start|>think`
opens the thinking trace and `<|im_start|>answer` ends it (reference: data/tokenization.py,
eval/lm-evaluation-harness/lm_eval/models/vllm_causallms.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, Qwen2Tokenizer

from s1lib.artifacts import RunError

THINK = "<|im_start|>think"
ANSWER = "<|im_start|>answer"
END = "<|im_end|>"
FINAL = "Final Answer:"
ASSISTANT = "<|im_start|>assistant\n"


@dataclass(frozen=True)
class Delimiters:
    """The strings that open and close the phases of a generation."""

    think: str = THINK
    answer: str = ANSWER
    final: str = FINAL


S1 = Delimiters()
THINK_TAGS = Delimiters(think="<think>", answer="</think>")  # DeepSeek R1, Qwen3


def delimiters_of(tokenizer: PreTrainedTokenizerBase) -> Delimiters:
    """The tags of R1 and Qwen3 if the tokenizer has tokens for them, else s1's."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    return THINK_TAGS if {THINK_TAGS.think, THINK_TAGS.answer} <= added else S1


def model_path(name: str) -> str:
    """Where a model is: `world:small` and `world:base` ship with the package, all else is as is.

    Raises `RunError` if a model of ours, or a local folder, is missing.
    """
    if name.startswith("world:"):
        folder = Path(str(resources.files("s1lib") / "world" / "weights" / name[6:]))
        if not (folder / "model.safetensors").is_file():
            raise RunError(f"{folder} has no model. Train it with: python -m s1lib pretrain")
        return str(folder)
    here = name.startswith((".", "/", "results"))
    if here and not any((*Path(name).glob("config.json"), *Path(name).glob("*.gguf"))):
        raise RunError(f"{name} has no model. Train it with: python -m s1lib run --only 05")
    return name


def load_tokenizer(name: str, **options: Any) -> PreTrainedTokenizerBase:
    """The tokenizer of a model; `name` as in `model_path`. `options` go to `from_pretrained`."""
    if name.startswith("world:"):
        return Qwen2Tokenizer.from_pretrained(model_path(name))
    from transformers import AutoTokenizer  # brings torch along: four seconds, where text is all

    return AutoTokenizer.from_pretrained(model_path(name), **options)


Messages = Sequence[Mapping[str, str]]


def prompt_ids(tokenizer: PreTrainedTokenizerBase, question: str | Messages) -> list[int]:
    """Ids of a single user turn (or of `Messages`) with the assistant header.

    Raises `RunError` if the tokenizer has no chat template.
    """
    turns: Any = question
    if isinstance(question, str):
        turns = [{"role": "user", "content": question}]
    if tokenizer.chat_template is None:
        raise RunError("the tokenizer has no chat template: give prompts as token ids")
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return tokenizer.encode(text, add_special_tokens=False)


def thinking_text(trace: str, attempt: str) -> str:
    """The assistant turn of a training text: trace and answer between the delimiters.

    The answer gets the prefix `Answer: ` unless it has one (reference: data/tokenization.py).
    """
    attempt = attempt.strip()
    answer = attempt if "Answer:" in attempt else f"Answer: {attempt}"
    return f"{THINK}\n{trace.strip()}\n{ANSWER}\n{answer}"


def training_text(
    tokenizer: PreTrainedTokenizerBase, question: str, trace: str, attempt: str
) -> str:
    """The whole training text of one sample, from the system (or user) header to the end.

    Raises `RunError` for a chat template that does not write the assistant's turn as it is, right
    after the header that it writes for a prompt: what was trained would not be what is asked for.
    """
    user = {"role": "user", "content": question}
    said = {"role": "assistant", "content": thinking_text(trace, attempt)}
    text = str(tokenizer.apply_chat_template([user, said], tokenize=False))
    prompt = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
    if not text.startswith(f"{prompt}{said['content']}"):
        raise RunError(
            "the chat template changes the assistant's turn (some add an empty thinking block, or "
            "cut a trace at </think>): train with a template that leaves it as it is"
        )
    return text
