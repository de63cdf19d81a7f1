"""Sample files of lm-evaluation-harness (`--log_samples`), read and written.

So the authors' published per-sample logs (dataset simplescaling/results on the hub) can be graded
again and drawn by whoever has them, and records of ours can be read by tools for such logs.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError, write_text
from s1lib.benchmarks import Problem
from s1lib.chat import S1, Delimiters
from s1lib.decoding.record import Generation


def read_samples(
    path: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    delimiters: Delimiters = S1,
    benchmark: str = "",
) -> tuple[list[Generation], list[Problem]]:
    """The generations of a `samples_<task>_<date>.jsonl`, and its problems (without prompts).

    Several responses of one document become samples 0, 1, ... The harness writes a document once
    for each of its filters, which look at the same responses; those of the first are read. Such
    files hold text, so ids are encoded anew and may differ from what was sampled; which tokens
    were forced is not in them. A problem's id is the key of its question (`s1lib.questions`), or
    of its document's number. Raises `RunError` naming the line that is no sample of text.
    """
    path = Path(path)
    task = benchmark or re.sub(r"^samples_|_\d{4}-\d\d-\d\d.*$", "", path.stem)
    found: list[Generation] = []
    problems: dict[str, Problem] = {}
    samples: Counter[str] = Counter()
    tags: dict[str, Any] = {"benchmark": task, "method": "lm-eval", "protocol": "harness"}
    first: Any = None  # the filter that is read, in a tuple since it may be None
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            first = first or (row.get("filter"),)
            if first != (row.get("filter"),):
                continue
            name, target, texts = _name(task, row), _target(row["target"]), _texts(row)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            reason = error.args[0] if type(error) is ValueError else "is no sample of lm-eval"
            raise RunError(f"{path.name}, line {number} {reason}: cut it") from None
        key = sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
        problem = Problem(key, (), task, name, target, _kind(target))
        if problems.setdefault(key, problem).answer != target:
            raise RunError(
                f"{path.name}, line {number} has another target than an earlier line with the same"
                " question: keep one of the two"
            )
        for text in texts:
            parts = _parts(text, delimiters)
            ids: dict[str, Any] = {
                role: tuple(tokenizer.encode(part, add_special_tokens=False))
                for role, part in parts.items()
            }
            said = parts["answer"].strip()
            found.append(Generation(key, (), text=said, sample=samples[key], **ids, **tags))
            samples[key] += 1
    if not found:
        raise RunError(f"{path.name} holds no sample: was the run that wrote it stopped?")
    return found, list(problems.values())


def _lines(path: Path) -> list[str]:
    """A line ends in `\\n` and nowhere else; what `str.splitlines` takes for an end is text."""
    if not path.is_file():
        raise RunError(f"{path} is missing: give a samples_*.jsonl written with --log_samples")
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise RunError(f"{path.name} is not UTF-8 (byte {error.start}): convert it") from None


def _name(task: str, row: dict[str, Any]) -> str:
    """The question, or task and number of a document that has none."""
    doc = row["doc"]
    asked = [doc[k] for k in ("problem", "Question", "question") if isinstance(doc.get(k), str)]
    return asked[0] if asked else f"{task}/{row['doc_id']}"


def _target(target: Any) -> str:
    if not isinstance(target, str | int | float):
        raise ValueError("has no single target")
    return str(target)


def _texts(row: dict[str, Any]) -> list[str]:
    """The responses of a document. A task that generates makes one request for it."""
    responses = row["resps"] or [[]]
    if isinstance(responses[0], list):
        responses = responses[0] if len(responses) == 1 else []
    asked = row.get("arguments")
    pairs = [one for one in asked if isinstance(one, list)] if isinstance(asked, list) else []
    scored = any(isinstance(part, str) for one in pairs for part in one[1:2])
    scored |= len(responses) == 2 and responses[1] in ("True", "False")
    if scored or not responses or not all(isinstance(text, str) for text in responses):
        raise ValueError("holds no text, as a task of log-likelihoods has none")
    return list(responses)


def _parts(text: str, delimiters: Delimiters) -> dict[str, str]:
    """A response by role."""
    # half a surrogate pair is no text to a tokenizer
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    before, closing, answer = text.rpartition(delimiters.answer)
    opening = delimiters.think if closing and before.startswith(delimiters.think) else ""
    thinking = before.removeprefix(opening)
    return {"opening": opening, "thinking": thinking, "closing": closing, "answer": answer}


def _kind(target: str) -> str:
    if re.fullmatch(r"\(?[A-J]\)?", target.strip()):
        return "choice"
    return "integer" if re.fullmatch(r"-?\d+", target.strip()) else "text"


def write_samples(
    path: str | Path,
    generations: Iterable[Generation],
    tokenizer: PreTrainedTokenizerBase,
    problems: Iterable[Problem],
) -> Path:
    """Write generations of one setting, one line per problem with all its samples.

    Thinking and answer are written as the reference's harness logs them: text from the opening
    delimiter to the end of the answer.
    """
    known = {one.id: one for one in problems}
    rows: dict[str, dict[str, Any]] = {}
    for one in generations:
        if (problem := known.get(one.id)) is None:
            raise RunError(
                f"no question for problem {one.id}: are record and benchmark of one run?"
            )
        said: list[str] = []
        new = {
            "doc_id": len(rows),
            "doc": {"question": problem.question},
            "target": problem.answer,
            "arguments": [[str(tokenizer.decode(list(one.prompt))), {}]],
            "resps": [said],
            "filtered_resps": said,
            "exact_match": int(one.verdict == "correct"),
        }
        row = rows.setdefault(one.id, new)
        row["filtered_resps"].append(str(tokenizer.decode(list(one.ids))))
    return write_text(path, "".join(json.dumps(row) + "\n" for row in rows.values()))
