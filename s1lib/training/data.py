"""Training samples: ids and labels, with a loss on everything after the assistant header.

As in the reference (train/sft.py), labels are -100 up to and including `<|im_start|>assistant\\n`
and the ids themselves after it: thinking trace, answer, `<|im_end|>` and the newline that the
chat template puts after it. Unlike there, a sample without anything to train on is an error.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError, read_table
from s1lib.chat import ASSISTANT, END, prompt_ids

if TYPE_CHECKING:
    from datasets import Dataset

IGNORED = -100


def header_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of `<|im_start|>assistant\\n`.

    Raises `RunError` if the tokenizer lacks the delimiters or its chat template is not ChatML.
    """
    header = tokenizer.encode(ASSISTANT, add_special_tokens=False)
    for delimiter in ("<|im_start|>", END):
        if len(tokenizer.encode(delimiter, add_special_tokens=False)) != 1:
            raise RunError(
                f"the tokenizer of {tokenizer.name_or_path} has no token {delimiter}: "
                "fine-tune a model with ChatML delimiters, such as the Qwen2.5 models"
            )
    if prompt_ids(tokenizer, "1+1?")[-len(header) :] != header:
        raise RunError(
            f"the chat template of {tokenizer.name_or_path} does not open the assistant's turn "
            f"with {ASSISTANT!r}: use a ChatML template"
        )
    return header


def trained_from(ids: Sequence[int], header: Sequence[int], row: str = "this text") -> int:
    """Position of the first trained token. Raises `RunError` unless there is one header."""
    size = len(header)
    stops = range(size, len(ids) + 1)
    found = [stop for stop in stops if list(ids[stop - size : stop]) == list(header)]
    if len(found) != 1:
        raise RunError(
            f"{row} has {len(found)} assistant headers instead of one: make its `text` with "
            "s1lib.chat.training_text from a question without chat delimiters"
        )
    return found[0]


def encode(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    row: str = "this text",
    max_length: int | None = None,
    cut: bool = False,
    header: Sequence[int] = (),
) -> tuple[list[int], list[int]]:
    """Ids and labels of one training text, equally long.

    Raises `RunError` naming `row` if the text is longer than `max_length` and not to be `cut`, or
    if nothing is left to train on.
    """
    ids = tokenizer.encode(text, add_special_tokens=False)
    start = trained_from(ids, header or header_ids(tokenizer), row)
    if max_length is not None and len(ids) > max_length:
        if not cut and start < max_length:
            raise RunError(
                f"{row} has {len(ids)} tokens, more than max_length {max_length}: raise "
                "training.max_length, or cut traces on purpose with training.overlong = 'cut'"
            )
        ids = ids[:max_length]
    if start >= len(ids):
        raise RunError(
            f"the prompt of {row} has {start} tokens and leaves nothing to train on in "
            f"{len(ids)}: raise training.max_length or drop the row"
        )
    return ids, [IGNORED] * start + ids[start:]


def load_samples(
    path: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None = None,
    cut: bool = False,
) -> Dataset:
    """Samples of a Parquet file with a column `text` (and, for messages, `id`).

    Columns `id` (str), `input_ids` and `labels` (lists of int). Errors as in `encode`.
    """
    from datasets import Dataset

    table = read_table(path, made_by="04", columns=("text",))
    if table.empty:
        raise RunError(f"{path} has no rows: make it again with: python -m s1lib run --from 04")
    names = table["id"] if "id" in table.columns else pd.Series(table.index.astype(str))
    header = header_ids(tokenizer)
    rows = []
    for number, (name, text) in enumerate(zip(names, table["text"], strict=True)):
        row = f"row {number} ({name}) of {Path(path).name}"
        if not isinstance(text, str) or not text:
            raise RunError(f"{row} has no text: make it again with: python -m s1lib run --from 04")
        ids, labels = encode(tokenizer, text, row, max_length, cut, header)
        rows.append({"id": str(name), "input_ids": ids, "labels": labels})
    return Dataset.from_list(rows)


def cuts(lengths: Sequence[int], limits: Sequence[int]) -> pd.DataFrame:
    """What each sequence length would cut: samples (%) and tokens (%), as in Table 8."""
    sizes = pd.Series(list(lengths), dtype=float)
    return pd.DataFrame(
        {
            "max_length": list(limits),
            "samples cut (%)": [100 * float((sizes > limit).mean()) for limit in limits],
            "tokens cut (%)": [
                100 * float((sizes - limit).clip(lower=0).sum() / sizes.sum()) for limit in limits
            ],
        }
    )


def mask_pairs(tokenizer: PreTrainedTokenizerBase, text: str) -> list[tuple[str, bool]]:
    """(token, trained?) for each token of a training text; the tokens join to the text."""
    _, labels = encode(tokenizer, text)
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    pairs, done = [], 0
    for (start, end), label in zip(spans["offset_mapping"], labels, strict=True):
        # A character of several bytes can be several tokens: show it with the first of them.
        pairs.append((text[max(start, done) : end], label != IGNORED))
        done = max(done, end)
    return pairs


def mask_html(pairs: Sequence[tuple[str, bool]]) -> str:
    """The pairs as HTML: trained tokens marked, masked ones grey; the text stays readable."""

    def cell(token: str, trained: bool) -> str:
        shown = html.escape(token).replace("\n", "↵\n")
        return f"<mark>{shown}</mark>" if trained else f"<span class='masked'>{shown}</span>"

    style = (
        "<style>.mask mark{background:#cde5f7;color:inherit;border-right:1px solid #fff}"
        ".mask .masked{color:#6b6b6b}</style>"
    )
    body = "".join(cell(*pair) for pair in pairs)
    return f"{style}<pre class='mask' style='white-space:pre-wrap'>{body}</pre>"
