"""Sample files of lm-evaluation-harness (`--log_samples`), read and written.

So the authors' published per-sample logs (dataset simplescaling/results on the hub) can be graded
again and drawn by whoever has them, and records of ours can be read by tools for such logs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError, write_text
from s1lib.chat import S1, Delimiters
from s1lib.decoding.record import Generation

Answers = dict[str, tuple[str, str]]


def read_samples(
    path: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    delimiters: Delimiters = S1,
    benchmark: str = "",
) -> tuple[list[Generation], Answers]:
    """The generations of a `samples_<task>_<date>.jsonl`, and the references by problem.

    Several responses of one document become samples 0, 1, ... Such files hold text, so ids are
    encoded anew and may differ from what was sampled; which tokens were forced is not in them.
    A problem's id is the key of its question (`s1lib.questions`), or of its document's number.
    A task with several filters has a line for each; the first filter's are read. Raises `RunError`
    naming the line that is no sample, or that holds log-likelihoods in place of text.
    """
    path = Path(path)
    task = benchmark or re.sub(r"^samples_|_\d{4}-\d\d-\d\d.*$", "", path.stem)
    found: list[Generation] = []
    answers: Answers = {}
    if not path.is_file():
        raise RunError(f"{path} is missing: give a samples_*.jsonl written with --log_samples")
    kept = ""  # the filter whose lines are read
    # JSON may hold U+2028 and the like as they are, so that only "\n" ends a line
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            doc, target, responses = row["doc"], str(row["target"]), row["resps"]
            question = next((doc[k] for k in ("problem", "Question", "question") if k in doc), None)
            name = str(question) if question is not None else f"{task}/{row['doc_id']}"
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{path.name}, line {number} is no sample of lm-eval: cut it") from None
        kept = kept or str(row.get("filter", ""))
        if row.get("filter", kept) != kept:
            continue
        key = sha256(name.encode()).hexdigest()[:16]
        answers[key] = (target, _kind(target))
        texts = responses[0] if responses and isinstance(responses[0], list) else responses
        if any(_is_likelihood(one) for one in (texts, *texts)):
            raise RunError(
                f"{path.name}, line {number} holds log-likelihoods: it answers no question"
            )
        for sample, text in enumerate(texts):
            found.append(_generation(key, str(text), tokenizer, delimiters, task, sample))
    return found, answers


def _generation(
    key: str,
    text: str,
    tokenizer: PreTrainedTokenizerBase,
    delimiters: Delimiters,
    task: str,
    sample: int,
) -> Generation:
    def ids(part: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(part, add_special_tokens=False))

    before, closing, after = text.rpartition(delimiters.answer)
    opening = delimiters.think if closing and before.startswith(delimiters.think) else ""
    return Generation(
        id=key,
        prompt=(),
        opening=ids(opening),
        thinking=ids(before.removeprefix(opening)),
        closing=ids(closing),
        answer=ids(after),
        text=after.strip(),
        benchmark=task,
        method="lm-eval",
        protocol="harness",
        sample=sample,
    )


def _is_likelihood(response: Any) -> bool:
    """Whether a response is the pair of a loglikelihood request, such as ["-3.1", "False"]."""
    pair = isinstance(response, list) and len(response) == 2
    return pair and str(response[1]) in ("True", "False")


def _kind(target: str) -> str:
    if re.fullmatch(r"\(?[A-J]\)?", target.strip()):
        return "choice"
    return "integer" if re.fullmatch(r"-?\d+", target.strip()) else "text"


def write_samples(
    path: str | Path,
    generations: Iterable[Generation],
    tokenizer: PreTrainedTokenizerBase,
    problems: Mapping[str, tuple[str, str]],
) -> Path:
    """Write generations of one setting, one line per problem with all its samples.

    `problems` maps a problem's id to (question, answer). Thinking and answer are written as the
    reference's harness logs them: text from the opening delimiter to the end of the answer.
    """
    rows: dict[str, dict[str, Any]] = {}
    for one in generations:
        if one.id not in problems:
            raise RunError(
                f"no question for problem {one.id}: are record and benchmark of one run?"
            )
        question, answer = problems[one.id]
        row = rows.setdefault(
            one.id,
            {
                "doc_id": len(rows),
                "doc": {"question": question},
                "target": answer,
                "arguments": [[str(tokenizer.decode(list(one.prompt))), {}]],
                "resps": [[]],
                "filtered_resps": [],
                "exact_match": int(one.verdict == "correct"),
            },
        )
        text = str(tokenizer.decode(list(one.ids)))
        row["resps"][0].append(text)
        row["filtered_resps"].append(text)
    return write_text(path, "".join(json.dumps(row) + "\n" for row in rows.values()))
