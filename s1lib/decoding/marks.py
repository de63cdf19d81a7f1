"""From strings to ids, once: everything that budget forcing inserts or looks for.

Text is never re-encoded while decoding, so a string that the tokenizer would split differently
in its context would make the model see what training never showed it. That is an error here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError
from s1lib.chat import S1, Delimiters
from s1lib.decoding.forcing import Forcing, Marks

ZERO_STEPS = "0"  # the countdown's last header is `<|im_start|>0 steps left`


def marks(
    tokenizer: PreTrainedTokenizerBase,
    forcing: Forcing | None,
    ends: Iterable[int] = (),
    strings: Delimiters = S1,
) -> Marks:
    """The ids for `forcing`; `ends` are further ids that end a sequence (the model's own).

    `strings` are the delimiters (a decoder's own: `Decoder.delimiters`).

    A delimiter that begins with a special token is recognised by that token alone, as in the
    reference (`until_thinking`); otherwise by its whole sequence of ids. Raises `RunError` for a
    tokenizer without the delimiters, for a string that does not survive encoding, and for a
    delimiter that is encoded differently in context.
    """
    all_ends = sequence_ends(tokenizer) | set(ends)
    if forcing is None:
        return Marks((), (), (), (), (), (), frozenset(all_ends), lambda _: False)
    opening, closing = encode(tokenizer, strings.think), encode(tokenizer, strings.answer)
    final = encode(tokenizer, f"{strings.answer}\n{strings.final}")
    if not closing:
        raise RunError("the end-of-thinking delimiter is empty: give Delimiters(answer=...)")
    _same_in_context(tokenizer, strings.think, opening)
    _same_in_context(tokenizer, strings.answer, closing)
    if final[: len(closing)] != closing:
        raise RunError(f"{strings.answer!r} and {strings.final!r} merge: choose another final")
    single = closing[0] in special_ids(tokenizer)
    stops = [closing[:1] if single else closing]
    if forcing.steps:
        if not (opening and single):
            raise RunError("steps=True needs delimiters that begin with a special token")
        stops = [closing, closing[:1] + encode(tokenizer, ZERO_STEPS)]
        opening = opening[:1]
    return Marks(
        opening,
        encode(tokenizer, "\n"),
        closing,
        final,
        encode(tokenizer, forcing.wait) if forcing.wait else (),
        tuple(stops),
        frozenset(all_ends - {stop[-1] for stop in stops}),
        cache(lambda token: str(tokenizer.decode([token])).endswith("\n")),
    )


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Ids of `text`. Raises `RunError` if a tag or any other part is not in the vocabulary."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    tag = re.match(r"<\|[^|>]+\|>", text)
    if tag and tokenizer.encode(tag[0], add_special_tokens=False) != ids[:1]:
        raise RunError(f"the tokenizer has no token {tag[0]}: choose a model with ChatML tokens")
    if tokenizer.decode(ids) != text:
        raise RunError(f"{text!r} is not in the tokenizer's vocabulary: choose another string")
    return tuple(ids)


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of added tokens: these never come about by merging or splitting text."""
    return set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)


def sequence_ends(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokenizer's end of sequence, and ChatML's two where they are in the vocabulary."""
    own, added = tokenizer.eos_token_id, tokenizer.get_added_vocab()
    ends = {added[text] for text in ("<|im_end|>", "<|endoftext|>") if text in added}
    return ends if own is None else ends | {own}


def _same_in_context(tokenizer: PreTrainedTokenizerBase, text: str, ids: tuple[int, ...]) -> None:
    around = tokenizer.encode(f"x=1.\n{text}\nx", add_special_tokens=False)
    if text and not any(tuple(around[i : i + len(ids)]) == ids for i in range(len(around))):
        raise RunError(
            f"the delimiter {text!r} is encoded differently in context: choose one that begins "
            "with a special token"
        )
