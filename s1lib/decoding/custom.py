"""Budget forcing inside any `model.generate` of transformers, through its public hook.

out = model.generate(**inputs, custom_generate=budget_forcing(max_tokens=512, ignore_end=2))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import LongTensor
from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError
from s1lib.chat import S1, Delimiters, load_tokenizer
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.sampling import GREEDY, Sampling

_HEEDED = {"TemperatureLogitsWarper"}


def budget_forcing(
    max_tokens: int | None = None,
    ignore_end: int = 0,
    string: str = "Wait",
    min_tokens: int = 0,
    delimiters: Delimiters = S1,
    tokenizer: PreTrainedTokenizerBase | None = None,
    rows: int = 64,
) -> Callable[..., LongTensor]:
    """A value for `custom_generate`: at most `max_tokens` of thinking, `ignore_end` ends ignored.

    `max_new_tokens` of the call bounds the answer alone. Returns, like `generate`, the prompts
    and what follows, padded on the right, int64 of shape (batch, longest). Left padding is left
    out of the computation. Without a `tokenizer` the model's own is loaded. Raises `RunError`
    for logits processors other than temperature: sampling takes `top_k=0, top_p=1.0`.
    """
    forcing = Forcing(max_tokens, ignore_end, string, min_tokens, delimiters=delimiters)

    def generate(
        model: Any,
        input_ids: LongTensor,
        logits_processor: Any = (),
        stopping_criteria: Any = None,
        generation_config: Any = None,
        **rest: Any,
    ) -> LongTensor:
        from s1lib.decoding.engine import TorchDecoder

        unheeded = {type(one).__name__ for one in logits_processor} - _HEEDED
        if unheeded:
            raise RunError(f"budget forcing samples by temperature alone: switch off {unheeded}")
        decoder = TorchDecoder(
            model,
            tokenizer or load_tokenizer(model.name_or_path),
            window=model.config.max_position_embeddings,
            answer_tokens=generation_config.max_new_tokens or 256,
            rows=rows,
            delimiters=delimiters,
        )
        mask = rest.get("attention_mask")
        keep = torch.ones_like(input_ids) if mask is None else mask
        prompts = [ids[real.bool()].tolist() for ids, real in zip(input_ids, keep, strict=True)]
        sampling = GREEDY
        if generation_config.do_sample:
            seed = int(torch.randint(2**31, ()))
            sampling = Sampling(generation_config.temperature, seed=seed)
        done = decoder.generate(prompts, forcing, sampling)
        new = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(one.ids, dtype=torch.int64) for one in done],
            batch_first=True,
            padding_value=decoder.tokenizer.pad_token_id or 0,
        )
        return torch.cat((input_ids, new.to(input_ids.device)), 1)  # type: ignore[return-value]

    return generate
