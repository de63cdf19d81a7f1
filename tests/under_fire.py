"""Calls under fire: the real clients against the wire server, faults mixed in, SIGKILL at random.

A quarter of the questions travels in batches, which come back in another order, short, and once
without the keys of the questions; and for a while the account is empty.

`python tests/under_fire.py` runs the full version (5,000 requests, ten kills) and puts its row into
the benchmarks; `tests/test_calls.py` runs a small one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from benchmarks import RESULTS, merge  # noqa: E402
from wire import Wire  # noqa: E402

from s1lib.artifacts import RunError  # noqa: E402
from s1lib.providers.calls import Calls  # noqa: E402
from s1lib.providers.clients import claude, gemini  # noqa: E402
from s1lib.providers.protocol import Provider, Request  # noqa: E402
from s1lib.providers.store import Store  # noqa: E402

STOPPED = 3  # exit code of a child that stopped with a sentence
MODELS = ("gemini-2.5-flash", "claude-haiku-4-5")
MAX_TOKENS = 256


def questions(n: int) -> list[tuple[bool, list[Request]]]:
    """Lists of requests per model, `n` in all, and whether they travel in batches."""
    asked = [
        [Request(model, f"{model}, question {i}", MAX_TOKENS) for i in range(part, n, len(MODELS))]
        for part, model in enumerate(MODELS)
    ]
    cut = 3 * n // (4 * len(MODELS))
    return [
        (batch, part[cut:] if batch else part[:cut]) for batch in (False, True) for part in asked
    ]


def ended(store: Path) -> list[tuple[str, str]]:
    """Key and outcome of each call that a store knows; `in flight` has none yet."""
    query = "SELECT key, coalesce(outcome, 'in flight') FROM calls"
    with closing(sqlite3.connect(store)) as database:
        return database.execute(query).fetchall()


def say(prompt: str, attempt: int) -> str:
    """An answer that tells which question it belongs to, sometimes with half a surrogate pair."""
    return f"Answer to {prompt}" + "\ud83d" * prompt.endswith("3")


def child(store: str, url: str, n: int, concurrency: int, cap: float) -> int:
    """Ask everything; this is the process that gets killed."""
    providers: tuple[Provider, ...] = (gemini.Client(url), claude.Client(url))
    for (batch, requests), provider in zip(questions(n), providers * 2, strict=True):
        calls = Calls(
            *(Path(store), provider, cap, concurrency),
            **{"batch": batch, "tries": 8, "timeout": 20.0, "backoff": 0.02, "poll": 0.05},
        )
        try:
            calls.map(requests)
        except RunError as error:
            print(error)
            return STOPPED
    return 0


def under_fire(folder: Path, n: int, kills: int, concurrency: int, seed: int = 0) -> dict[str, Any]:
    """Run children until all is answered, killing `kills` of them; returns both sides' books.

    The first cap is too low, so that a run ends at it as well; after every child the bill of the
    server is compared with the books and with the cap. An answer is paid again (`paid_again`)
    when it was served once more than calls of its question were lost in flight; a pause that was
    lost in flight cannot be kept either. A `wrong_pair` is an answer that is stored under another
    question.
    """
    rng = random.Random(seed)
    marks = sorted(rng.sample(range(concurrency, n - concurrency), kills))
    store = folder / "calls.sqlite"
    secrets = dict.fromkeys(("GEMINI_API_KEY", "ANTHROPIC_API_KEY"), "a-key-for-the-test")
    env = {**os.environ, **secrets, "TQDM_DISABLE": "1"}
    cap, capped, killed, over_cap, emptied = n * 1e-4, 0, 0, 0, False
    in_flight: list[int] = []
    requests = [request for _, part in questions(n) for request in part]
    wire = Wire(
        **{"faults": 0.3, "refused": 0.02, "empty": 0.02, "latency": 0.02, "seed": seed},
        **{"rare": {"hang": 0.05}, "say": say, "shuffled": True, "short": True, "nameless": True},
        expire={request.prompt for request in requests if rng.random() < 0.05},
    )
    with wire:
        while True:
            dry = killed > 0 and not emptied  # once, the account is empty for a child's lifetime
            wire.situation, emptied = "account" if dry else "", emptied or dry
            command = [sys.executable, __file__, "child", str(store), wire.url, str(n)]
            with open(folder / "log.txt", "a", encoding="utf-8") as log:
                process = subprocess.Popen(
                    [*command, str(concurrency), str(cap)], env=env, stdout=log, stderr=log
                )
            mark = marks[killed] if killed < kills else n * 9
            while process.poll() is None and sum(wire.served.values()) < mark:
                time.sleep(0.005)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed += 1
            code = process.wait()
            wire.nameless = wire.nameless and not wire.unkeyed
            over_cap += wire.billed > cap
            with Store(store) as books:
                over_cap += books.spent > cap or wire.billed > books.spent
                in_flight.append(books.lost.calls)
            if code == STOPPED:
                capped, cap = capped + (not dry), cap * (1 if dry else 4)
            elif code == 0:
                break
            elif code != -signal.SIGKILL:
                raise RuntimeError((folder / "log.txt").read_text(encoding="utf-8")[-2000:])
    with Store(store) as books:
        answers = books.get(request.key for request in requests)
        calls = ended(store)
        lost = Counter(key for key, outcome in calls if outcome == "killed")
        keys = [(request.prompt, request.key) for request in requests]
        again = [wire.served[p] - 1 - lost[k] for p, k in keys]
        pairs = [(answers[k]["text"], say(p, 1).replace("\ud83d", "\ufffd")) for p, k in keys]
        return {
            "questions": n,
            "stored": len(answers),
            "wrong_pairs": sum(text not in ("", right) for text, right in pairs),
            "without_key": wire.unkeyed.total(),
            "kills": killed,
            "capped": capped,
            "over_cap": over_cap,
            "concurrency": concurrency,
            "in_flight_at_kills": [calls for calls in in_flight if calls],
            "answers_served": sum(wire.served.values()),
            "never_served": sum(not wire.served[request.prompt] for request in requests),
            "served_again": sum(wire.served.values()) - len(wire.served),
            "paid_again": sum(max(0, extra) for extra in again),
            "requests": sum(wire.attempts.values()),
            "before_retry_after": sum(max(0, wire.early[p] - lost[k]) for p, k in keys),
            "faults": dict(wire.seen),
            "billed": round(wire.billed, 6),
            "on_the_books": round(books.spent, 6),
            "cap": cap,
            "outcomes": Counter(outcome for _, outcome in calls),
        }


def row(n: int = 5000, kills: int = 10, concurrency: int = 32) -> dict[str, Any]:
    """The benchmark row `calls-under-fire`; a ratio of 1 means that nothing was paid for twice."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        books = under_fire(Path(folder), n, kills, concurrency)
    return {
        "name": "calls-under-fire",
        "rival": "every answer paid for exactly once",
        "ratio": n / (n + books["paid_again"]),
        "ours": n + books["paid_again"],
        "theirs": n,
        "unit": "answers paid for (but for those in flight at a kill)",
        "n": n,
        "seconds": round(time.monotonic() - start, 1),
        "books": books,
        "command": "python tests/under_fire.py",
        "device": "cpu",
        "dtype": "none",
        "date": date.today().isoformat(),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        where, address, *numbers = sys.argv[2:]
        sys.exit(child(where, address, int(numbers[0]), int(numbers[1]), float(numbers[2])))
    record = row(*map(int, sys.argv[1:]))
    merge(record, ROOT / RESULTS)
    print(json.dumps(record, indent=1))
