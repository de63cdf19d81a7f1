"""Who plays whom: the teacher, the students, the grader and the classifier of a profile.

Each function returns a callable that takes a table of questions and gives one result per row, in
order. All are resumable: what was answered once is stored in the run folder and not asked again.
This is the only file that reaches the providers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pandas as pd

from s1lib import domains
from s1lib.artifacts import RunError, digest
from s1lib.benchmarks import Problem
from s1lib.chat import model_path, prompt_ids
from s1lib.grading import Verdict, extract, grade
from s1lib.profile import PROVIDERS, Profile
from s1lib.progress import progress
from s1lib.providers.calls import Calls, Estimate
from s1lib.providers.faults import explain
from s1lib.providers.protocol import BatchProvider, Provider, Reply, Request
from s1lib.providers.store import Store
from s1lib.questions import collection
from s1lib.questions.schema import question_id

if TYPE_CHECKING:
    from s1lib.decoding.decoder import Decoder
    from s1lib.decoding.record import Generation

T = TypeVar("T")

GRADE = """\
You check a student's answer to a problem against the reference answer. What counts is the final
result: the same number, expression or choice is correct however it is written, and anything else,
or no clear final result, is not. Where the reference is a proof or an explanation, judge whether
the student's reasoning establishes the same. Give your reason in a few sentences. Then end with a
line that holds nothing but Yes (correct) or No."""

# Tokens of an answer to expect (published means where known); the most stand in the profile.
_EXPECT = {"teacher": 3_600 + 600, "grader": 250, "classifier": 80}
ASKS = 3  # how often a reply that cannot be read is asked again, the first time included


@dataclass(frozen=True)
class Trace:
    """A teacher's answer. `status` is that of `s1lib.providers.calls.Reply`, or `no thinking`."""

    thinking: str
    attempt: str
    teacher: str
    status: str


def teacher(book: Profile) -> Callable[[pd.DataFrame], list[Trace]]:
    """Writes thinking traces. Needs the columns question and metadata."""
    if book.roles.teacher == "published":
        known = collection.traces(book)
        return lambda rows: [
            _published(book, known.get(key)) for key in rows["question"].map(question_id)
        ]
    if book.roles.teacher == "scripted":
        return lambda rows: [_scripted(book, row) for row in progress(_records(rows), "traces")]

    def think(rows: pd.DataFrame) -> list[Trace]:
        replies = _hire(book, "teacher", rows).map(_requests(book, "teacher", rows), "traces")
        return [_trace(reply, book.models.teacher) for reply in replies]

    return think


def student(
    book: Profile, name: str, shard: tuple[int, int] = (1, 1)
) -> Callable[[pd.DataFrame], list[str | None]]:
    """Attempts without thinking, by the model `name`. Needs the column question.

    `shard=(2, 6)` attempts the second sixth only (by hash, so that machines agree) into a store
    of its own; the other attempts are those that any shard has stored, or None.
    """
    world = book.questions.origin == "world"
    # On the hub the reference's temperature for Qwen (bulk_inference.py).
    settings = {"max_new_tokens": book.models.limits.student, "temperature": 0.0 if world else 0.05}
    folder = book.run / "store"

    def attempt(rows: pd.DataFrame) -> list[str | None]:
        who = digest(model_path(name)) if Path(model_path(name)).is_dir() else name
        keys = [_key(who, question, settings, book.seed) for question in rows["question"]]
        found: dict[str, str] = {}
        for path in sorted(folder.glob("students-*.sqlite")):
            with Store(path, write=False) as store:
                found |= store.get(key for key in keys if key not in found)
        part, parts = shard
        todo = {
            key: question
            for key, question in zip(keys, rows["question"], strict=True)
            if key not in found and int(key[:8], 16) % parts == part - 1
        }
        if todo:
            from s1lib.decoding.load import load_decoder

            with Store(folder / f"students-{part}-of-{parts}.sqlite") as store:
                found |= _attempts(load_decoder(name, book), todo, book, settings, store)
        return [found.get(key) for key in keys]

    return attempt


def grader(book: Profile) -> Callable[[pd.DataFrame], list[Verdict]]:
    """Compares attempts with references. Needs question, solution, answer and attempt.

    A row without an attempt, or with neither solution nor answer, is `undecided`, and so is a
    reply that says neither yes nor no three times.
    """
    if book.roles.grader == "local":
        return lambda rows: [_grade(row) for row in progress(_records(rows), "grades")]

    def judge(rows: pd.DataFrame) -> list[Verdict]:
        requests = [_to_grade(book, row) for row in _records(rows)]
        asked = [request for request in requests if request]
        found = _ask(_hire(book, "grader", rows), asked, _verdict, "grades")
        verdicts = iter(cast(list[Verdict | None], found))  # mypy takes literals for any text
        graded = [next(verdicts) if request else None for request in requests]
        return [verdict or "undecided" for verdict in graded]

    return judge


def classifier(book: Profile) -> Callable[[pd.DataFrame], list[str | None]]:
    """Names the MSC area of each question: one of the 61 codes, or None after three tries."""
    if book.roles.classifier == "local":
        local = domains.local_classifier(*_labelled(book), book.seed)
        return lambda rows: local.predict(rows["question"]).tolist()

    if book.roles.classifier == "student":
        return lambda rows: _filed(book, rows)

    def classify(rows: pd.DataFrame) -> list[str | None]:
        requests = _requests(book, "classifier", rows)
        return _ask(_hire(book, "classifier", rows), requests, domains.parse, "domains")

    return classify


def estimate(book: Profile, role: str, rows: pd.DataFrame) -> Estimate:
    """What a role (`teacher`, `grader`, `classifier`) will cost in this run for these rows.

    Expected and worst case of what is not stored yet; makes no call and needs no key. A role that
    is played on this machine costs nothing. The grader of rows without attempts is taken to read
    three of each question (the teacher's and two students'), as long as the answer of a trace.
    """
    if getattr(book.roles, role) not in PROVIDERS:
        return Estimate()
    return _calls(book, role).estimate(_requests(book, role, rows), _EXPECT[role])


def dry_run(book: Profile, rows: pd.DataFrame) -> pd.DataFrame:
    """What the paid roles would cost for these questions, before any call.

    One row per role: role, model, calls, input_tokens, output_tokens, dollars, dollars_batch,
    at_most. A role that is played on this machine costs nothing and has no row.
    """
    found = []
    for role in _EXPECT:
        if getattr(book.roles, role) not in PROVIDERS:
            continue
        asked, calls = _requests(book, role, rows), _calls(book, role)
        direct = replace(calls, batch=False).estimate(asked, _EXPECT[role])
        batch = calls.estimate(asked, _EXPECT[role]) if calls.batch else direct
        also = {"role": role, "model": getattr(book.models, role), "dollars_batch": batch.dollars}
        found.append(also | vars(direct))
    columns = ["role", "model", "calls", "input_tokens", "output_tokens"]
    return pd.DataFrame(found, columns=[*columns, "dollars", "dollars_batch", "at_most"])


def stand_ins(n: int) -> pd.DataFrame:
    """Questions to price a pool with that is not there: 90 tokens each, and 400 per solution."""
    questions = [f"{i:04d}" + "word " * 71 for i in range(n)]
    return pd.DataFrame({"question": questions, "solution": "word " * 320, "answer": "7"})


def trial(book: Profile, role: str) -> str:
    """What stands against calls of a hired role, in one sentence; empty if nothing does.

    Looks whether the provider lists the model today, and then asks it for one word, which costs
    less than a hundredth of a cent and is not stored.
    """
    model = getattr(book.models, role)

    async def ask() -> None:
        async with _provider(book, role) as provider:
            served = await provider.served()
            if model not in served:
                raise RunError(
                    f"{provider.name} does not serve {model} today: name another in models.{role} "
                    f"({', '.join(sorted(set(served))) or 'it lists none'})"
                )
            await provider.send(Request(model, "Say yes.", 16))

    try:  # in a thread, since a notebook has an event loop of its own
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, ask()).result()
    except RunError as error:
        return str(error)
    except Exception as error:
        if not (failure := explain(error)):
            raise
        return f"{model} does not answer ({failure.why}): mend key, account or address"
    return ""


# Providers


def _requests(book: Profile, role: str, rows: pd.DataFrame) -> list[Request]:
    """What a paid role is asked about these rows."""
    if role == "teacher":
        model, limit = book.models.teacher, book.models.limits.teacher
        return [Request(model, question, limit) for question in rows["question"]]
    if role == "classifier":
        return [_to_classify(book, question) for question in rows["question"]]
    records = list(_records(rows))
    if "attempt" not in rows:
        text = "x" * 4 * (_EXPECT["teacher"] - 3_600)
        records = [{**row, "attempt": f"{text}{who}"} for row in records for who in "abc"]
    return [request for row in records if (request := _to_grade(book, row))]


def _hire(book: Profile, role: str, rows: pd.DataFrame) -> Calls:
    """The provider of a role, once its price is said and known to fit under the cap."""
    price = estimate(book, role, rows)
    if price.calls:
        print(f"{role}: {price}")
        price.afford()
    return _calls(book, role)


def _calls(book: Profile, role: str) -> Calls:
    """The provider of a role behind the run's store; all roles share one cap."""
    provider = _provider(book, role)
    return Calls(
        store=book.run / "store" / "calls.sqlite",
        provider=provider,
        cap=book.calls.max_dollars,
        concurrency=book.calls.concurrency,
        batch=book.calls.batch_api and isinstance(provider, BatchProvider),
        again=book.calls.again,
    )


def _provider(book: Profile, role: str) -> Provider:
    """The client of a hired role."""
    return import_module(f"s1lib.providers.clients.{getattr(book.roles, role)}").Client()


def _ask(
    calls: Calls, requests: Sequence[Request], parse: Callable[[str], T | None], what: str
) -> list[T | None]:
    """Parsed replies; one that cannot be parsed is asked again, as a new question each time."""
    found: list[T | None] = [None] * len(requests)
    todo = list(range(len(requests)))
    for ask in range(ASKS):
        replies = calls.map([replace(requests[i], ask=ask) for i in todo], what)
        for i, reply in zip(todo, replies, strict=True):
            found[i] = parse(reply.text) if reply.status == "ok" else None
        todo = [
            i
            for i, reply in zip(todo, replies, strict=True)
            if found[i] is None and reply.status not in ("invalid", "unclaimed", "failed")
        ]
        if not todo:
            break
    return found


# Teacher


def _scripted(book: Profile, row: dict[str, Any]) -> Trace:
    from s1lib.world.teacher import think

    try:
        thinking, attempt = think(row["question"], row["metadata"], book.seed)
    except (ValueError, KeyError, TypeError):
        raise RunError(
            f"the scripted teacher cannot think about question {row.get('id', '')!r}, which is "
            f"not of the laptop world: set roles.teacher to gemini or openai"
        ) from None
    return Trace(thinking, attempt, "scripted", "ok")


def _published(book: Profile, known: tuple[str, str] | None) -> Trace:
    if known is None:
        return Trace("", "", book.models.teacher, "not published")
    return Trace(*known, book.models.teacher, "ok")


def _trace(reply: Reply, model: str) -> Trace:
    status = "no thinking" if reply.status == "ok" and not reply.thinking else reply.status
    return Trace(reply.thinking, reply.text, reply.model or model, status)


# Students


def _key(who: str, question: str, settings: dict[str, Any], seed: int) -> str:
    text = json.dumps([who, question, settings, seed])
    return hashlib.sha256(text.encode()).hexdigest()


def _attempts(
    playing: Decoder,
    questions: dict[str, str],
    book: Profile,
    settings: dict[str, Any],
    store: Store,
) -> dict[str, str]:
    """Attempts by key; a question that fills the whole window gets an empty one.

    They are decoded in one stream, so that none waits for a long one, and stored each second and
    at the end, since the store waits for the disk.
    """
    from s1lib.decoding.sampling import Sampling

    playing.keep = None  # a file of the whole call would be of no use to the next one
    prompts = {key: prompt_ids(playing.tokenizer, text) for key, text in questions.items()}
    fits = {key: tuple(ids) for key, ids in prompts.items() if len(ids) < playing.window}
    found = dict.fromkeys(prompts.keys() - fits.keys(), "")
    unstored, last = dict(found), time.monotonic()

    def keep(one: Generation) -> None:
        nonlocal unstored, last
        found[one.id] = unstored[one.id] = one.text
        if time.monotonic() > last + 1:
            store.put(unstored)
            unstored, last = {}, time.monotonic()

    try:
        problems = [Problem(key, ids) for key, ids in fits.items()]
        playing.generate(problems, None, Sampling(seed=book.seed, **settings), each=keep)
    finally:
        store.put(unstored)
    return found


# Grader


def _grade(row: dict[str, Any]) -> Verdict:
    answer = row["answer"] or extract(row.get("solution") or "")
    if not answer or not row["attempt"]:
        return "undecided"
    choice = re.fullmatch(r"\(?[A-Z]\)?", answer.strip())  # metadata may hold options or not
    kind = row.get("answer_type") or ("choice" if choice else "text")
    return grade(row["attempt"], answer, kind)


def _to_grade(book: Profile, row: dict[str, Any]) -> Request | None:
    reference = row["solution"] or row["answer"]
    if not reference or not row["attempt"]:
        return None
    parts = {"Problem": row["question"], "Attempt": row["attempt"], "Reference": reference}
    text = "\n\n".join(f"# {title}\n\n{part}" for title, part in parts.items())
    return Request(book.models.grader, text, book.models.limits.grader, system=GRADE)


def _verdict(text: str) -> Verdict | None:
    """The verdict on the last line of a reply, or None if it says neither yes nor no."""
    lines = text.strip().splitlines()
    last = lines[-1].strip(" *.`").lower() if lines else ""
    return "correct" if last == "yes" else "wrong" if last == "no" else None


# Classifier


def _to_classify(book: Profile, question: str) -> Request:
    system, text = domains.prompt(question)
    return Request(book.models.classifier, text, book.models.limits.classifier, system=system)


def _filed(book: Profile, rows: pd.DataFrame) -> list[str | None]:
    """The areas that a model on this machine names; asked once, since it would say the same."""
    from s1lib.decoding import Sampling, load_decoder

    prompts = [domains.prompt(question) for question in rows["question"]]
    turns = [
        [{"role": "system", "content": system}, {"role": "user", "content": text}]
        for system, text in prompts
    ]
    sampling = Sampling(max_new_tokens=book.models.limits.classifier)
    found = load_decoder(book.models.classifier, book).generate(turns, None, sampling)
    areas = [domains.parse(one.text) for one in found]
    if found and not any(areas):
        raise RunError(
            f"{book.models.classifier} has named the area of none of {len(found)} questions (of "
            f"one it said {found[0].text[-40:]!r}): name another model in models.classifier"
        )
    return areas


def _labelled(book: Profile) -> tuple[list[str], list[str]]:
    """Labelled questions of the world, drawn apart from the pool."""
    from s1lib.world.sources import SOURCES, rows

    if book.questions.origin != "world":
        raise RunError(
            "the local classifier knows the laptop world: set roles.classifier to claude or student"
        )
    drawn = [row for name in SOURCES for row in rows(name, 150, book.seed + 10_007)]
    return [row["question"] for row in drawn], [json.loads(row["metadata"])["msc"] for row in drawn]


def _records(rows: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Rows as dictionaries, with None for what is missing."""
    table = rows.astype(object)
    return table.where(table.notna(), None).to_dict("records")
