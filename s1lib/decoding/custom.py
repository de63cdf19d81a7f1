"""Budget forcing inside any `model.generate` of transformers, through its public hook.

out = model.generate(**inputs, custom_generate=budget_forcing(max_tokens=512, ignore_end=2))
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import LongTensor, Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase
from transformers.generation.stopping_criteria import StoppingCriteriaList, StopStringCriteria
from transformers.generation.utils import GenerateDecoderOnlyOutput

from s1lib.artifacts import RunError
from s1lib.chat import Delimiters, load_tokenizer
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.hooks import Hooks
from s1lib.decoding.jobs import end_ids
from s1lib.decoding.load import window_of
from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.sampling import Sampling

# logits processors that `Sampling` knows: class, its attribute, our name for it
_KNOWN = {
    "TemperatureLogitsWarper": ("temperature", "temperature"),
    "TopKLogitsWarper": ("top_k", "top_k"),
    "TopPLogitsWarper": ("top_p", "top_p"),
    "MinPLogitsWarper": ("min_p", "min_p"),
    "RepetitionPenaltyLogitsProcessor": ("penalty", "repetition_penalty"),
}
# arguments of `generate` that decode in another way, with the value that asks for nothing
_OTHERS = {
    "num_beams": 1, "num_beam_groups": 1, "penalty_alpha": None, "prompt_lookup_num_tokens": None,
    "dola_layers": None, "constraints": None, "force_words_ids": None, "guidance_scale": None,
    "output_scores": False, "output_logits": False, "output_attentions": False,
    "output_hidden_states": False,
}  # fmt: skip
_UNUSED = {"attention_mask", "position_ids", "cache_position", "past_key_values", "use_cache"}
_UNUSED |= {"logits_to_keep", "token_type_ids", "tokenizer", "synced_gpus"}
_OURS = {"MaxLengthCriteria", "EosTokenCriteria"}  # criteria that the state machine stands for


def budget_forcing(
    max_tokens: int | None = None,
    ignore_end: int = 0,
    string: str = "Wait",
    min_tokens: int = 0,
    *,
    delimiters: Delimiters | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    stop_strings: Sequence[str] = (),
    rows: int = 64,
) -> Callable[..., LongTensor | GenerateDecoderOnlyOutput]:
    """A value for `custom_generate`: at most `max_tokens` of thinking, `ignore_end` ends ignored.

    `max_new_tokens` of the call bounds the answer alone, `max_length` a prompt and all that follows
    (a quarter of what it leaves is kept for the answer). Returns, like `generate`, the prompts and
    what follows, padded on the right, int64 of shape (batch, longest); left padding is left out of
    the computation. Logits processors, stopping criteria, `max_time`, `eos_token_id`, streamers and
    `num_return_sequences` mean what they mean in `generate`, but `stop_strings` are given here:
    transformers 5.19 loses the tokenizer on its way to a callable.

    Without a `tokenizer` the model's own is loaded, without `delimiters` its own are used. Raises
    `RunError` naming an argument that asks for another way of decoding, such as beams.
    """
    forcing = Forcing(max_tokens, ignore_end, string, min_tokens)

    def generate(
        model: Any,
        input_ids: LongTensor,
        logits_processor: Any = (),
        stopping_criteria: Any = (),
        generation_config: Any = None,
        **rest: Any,
    ) -> LongTensor | GenerateDecoderOnlyOutput:
        called = sys._getframe(1).f_locals  # transformers 5.19 keeps two arguments to itself
        streamer = called.get("streamer")
        _refuse(generation_config, rest, called.get("assistant_model"))
        words = tokenizer or load_tokenizer(model.name_or_path)
        criteria = StoppingCriteriaList(
            one for one in stopping_criteria if type(one).__name__ not in _OURS
        )
        if stop_strings:
            criteria.append(StopStringCriteria(words, list(stop_strings)))
        sampling, hooks = _sampling(generation_config, logits_processor, criteria, input_ids)
        window = _window(model, generation_config, input_ids.shape[1])
        decoder = TorchDecoder(
            model,
            words,
            window=window,
            answer_tokens=max(1, min(256, (window - input_ids.shape[1]) // 4)),
            rows=rows,
            delimiters=delimiters,
            hooks=hooks,
        )
        decoder.ends = tuple(end_ids(generation_config))
        mask = rest.get("attention_mask")
        keep = torch.ones_like(input_ids) if mask is None else mask
        prompts = [ids[real.bool()].tolist() for ids, real in zip(input_ids, keep, strict=True)]
        if streamer is not None:
            said = [_streamed(decoder.stream(prompts[0], forcing, sampling), streamer)]
        else:
            said = [one.ids for one in decoder.generate(prompts, forcing, sampling)]
        found = [torch.tensor(ids, dtype=torch.int64) for ids in said]
        pad = words.pad_token_id or 0
        new = pad_sequence(found, batch_first=True, padding_value=pad)
        whole: Any = torch.cat((input_ids, new.to(input_ids.device)), 1)
        as_dict = generation_config.return_dict_in_generate
        return GenerateDecoderOnlyOutput(sequences=whole) if as_dict else whole

    return generate


def _refuse(config: Any, rest: dict[str, Any], assistant: Any) -> None:
    for name, nothing in _OTHERS.items():
        asked = getattr(config, name, nothing)
        if asked not in (nothing, None):
            raise RunError(f"budget forcing cannot decode with {name}={asked}: leave it out")
    if assistant is not None:
        raise RunError("budget forcing cannot decode with an assistant_model: leave it out")
    other = [name for name in rest if name not in _UNUSED and rest[name] is not None]
    if other:
        raise RunError(f"budget forcing reads input_ids alone: leave out {', '.join(other)}")


def _window(model: Any, config: Any, prompt: int) -> int:
    """The model's, or `max_length` where the caller gave one (and not transformers' default)."""
    window, most = window_of(model.config), config.max_length
    given = config.max_new_tokens is None and most is not None and most != prompt + 20
    return min(window, most) if given else window


def _sampling(
    config: Any, processors: Any, criteria: StoppingCriteriaList, input_ids: Tensor
) -> tuple[Sampling, Hooks]:
    """Settings of our own where they say it all, and the caller's own objects for the rest."""
    known = {type(one).__name__: one for one in processors}
    limit = {"max_new_tokens": config.max_new_tokens}
    settings: dict[str, Any] = {"temperature": 1.0, "seed": int(torch.randint(2**31, ()))}
    settings = settings if config.do_sample else {}

    def row(problem: int, new: Sequence[int]) -> Tensor:
        tail = torch.tensor([list(new)], dtype=torch.int64, device=input_ids.device)
        return torch.cat((input_ids[problem : problem + 1], tail), 1)

    def process(problem: int, new: Sequence[int], logits: Tensor) -> Tensor:
        return processors(row(problem, new).to(logits.device), logits)

    def stop(problem: int, new: Sequence[int]) -> bool:
        return bool(criteria(row(problem, new), None))

    ask = stop if criteria else None
    penalty = known.get("RepetitionPenaltyLogitsProcessor")
    own = bool(getattr(penalty, "prompt_ignore_length", None))  # ours counts the prompt, too
    if len(known) < len(processors) or known.keys() - _KNOWN or own:
        return Sampling(**settings, **limit), Hooks(process, ask)
    for kind, one in known.items():
        theirs, ours = _KNOWN[kind]
        settings[ours] = getattr(one, theirs)
    return Sampling(**settings, **limit), Hooks(stop=ask)


def _streamed(tokens: Iterable[tuple[int, bool]], streamer: Any) -> tuple[int, ...]:
    said = []
    try:
        for token, _ in tokens:
            streamer.put(torch.tensor([token]))
            said.append(token)
    finally:  # whoever listens must not wait for ever
        streamer.end()
    return tuple(said)
