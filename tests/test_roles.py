"""Who plays whom: teachers, students that resume, graders and classifiers that parse."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from rehearsal import models
from wire import Wire

from s1lib import roles
from s1lib.artifacts import RunError
from s1lib.decoding.decoder import DecodeError
from s1lib.decoding.local import TorchDecoder
from s1lib.domains import AREAS
from s1lib.profile import Profile, load_profile
from s1lib.providers.store import Store
from s1lib.world.sources import rows as world_rows


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "a-key-for-the-test")


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch):
    with Wire() as server:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        yield server


@pytest.fixture
def world() -> pd.DataFrame:
    table = pd.DataFrame(world_rows("MATH", 12, 0))
    return table.assign(id=[f"q{i}" for i in range(len(table))])


def laptop(run: Path, **changes) -> Profile:
    return load_profile("smoke", run=run, **changes)


def paper(run: Path, **changes) -> Profile:
    return load_profile("paper", run=run, **{"calls__batch_api": False, **changes})


# Teacher


def test_the_scripted_teacher_thinks_about_every_question_in_order(tmp_path, world):
    traces = roles.teacher(laptop(tmp_path))(world)
    again = roles.teacher(laptop(tmp_path))(world.iloc[::-1])
    assert {trace.status for trace in traces} == {"ok"}
    assert all("Answer:" in trace.attempt and trace.thinking for trace in traces)
    assert traces == again[::-1]


def test_the_scripted_teacher_refuses_a_question_of_another_world(tmp_path, world):
    with pytest.raises(RunError, match="question 'q0', which is not of the laptop world"):
        roles.teacher(laptop(tmp_path))(world.assign(metadata="{}"))


@pytest.mark.parametrize(
    "name, model", [("gemini", "gemini-2.5-flash"), ("openai", "deepseek-reasoner")]
)
def test_a_hired_teacher_thinks_apart_from_its_answer(tmp_path, wire, world, name, model):
    book = paper(tmp_path, roles__teacher=name, models__teacher=model)
    first, *_ = roles.teacher(book)(world)
    assert first.thinking == f"I think about {world.question[0]}"
    assert first.attempt == f"Answer: {len(world.question[0])}"
    assert first.teacher == model


def test_an_r1_style_teacher_may_think_between_tags(tmp_path, wire, world):
    wire.think = lambda prompt: ""
    wire.say = lambda prompt, attempt: "<think>\nHmm.\n</think>\n\nAnswer: 7"
    book = paper(tmp_path, roles__teacher="openai", models__teacher="deepseek-reasoner")
    first, *_ = roles.teacher(book)(world)
    assert (first.thinking, first.attempt, first.status) == ("Hmm.", "Answer: 7", "ok")


def test_an_answer_without_thinking_is_told_apart(tmp_path, wire, world):
    wire.think = lambda prompt: ""
    book = paper(tmp_path, models__teacher="gemini-2.5-flash")
    assert {trace.status for trace in roles.teacher(book)(world)} == {"no thinking"}


# Students


def test_attempts_resume_at_the_sample(tmp_path, tiny_model_path, world):
    book = laptop(tmp_path / "run")
    play = roles.student(book, str(tiny_model_path))
    first = play(world.head(5))
    stored = {key: f"stored {text}" for key, text in _stored(book).items()}
    (tmp_path / "run/store/students-1-of-1.sqlite").unlink()
    with Store(tmp_path / "run/store/students-1-of-1.sqlite") as store:
        store.put(stored)
    assert play(world)[:5] == [f"stored {text}" for text in first]
    assert len(_stored(book)) == 12


def test_attempts_are_one_stream_and_stored_as_they_end(
    tmp_path, tiny_model_path, world, monkeypatch
):
    """They were decoded 512 at a time, and each block waited for its longest."""
    whole = roles.student(laptop(tmp_path / "one"), str(tiny_model_path))(world)
    calls, run = [], TorchDecoder.run

    def dies(self, jobs, sampling):
        calls.append(len(jobs))
        for number, done in enumerate(run(self, jobs, sampling)):
            if len(calls) == 1 and number == 5:
                raise RuntimeError("out of memory")
            yield done

    monkeypatch.setattr(TorchDecoder, "run", dies)
    book = laptop(tmp_path / "two")
    with pytest.raises(DecodeError, match="out of memory"):
        roles.student(book, str(tiny_model_path))(world)
    assert len(_stored(book)) == 5
    assert roles.student(book, str(tiny_model_path))(world) == whole
    assert calls == [12, 7]


def test_shards_share_the_work_and_add_up(tmp_path, tiny_model_path, world):
    whole = roles.student(laptop(tmp_path / "one"), str(tiny_model_path))(world)
    book = laptop(tmp_path / "two")
    part = roles.student(book, str(tiny_model_path), shard=(1, 2))(world)
    both = roles.student(book, str(tiny_model_path), shard=(2, 2))(world)
    assert 0 < sum(text is not None for text in part) < 12
    assert both == whole


def test_a_question_that_fills_the_window_gets_an_empty_attempt(tmp_path, tiny_model_path, world):
    long = world.head(2).assign(question=["x y " * 5000, world.question[0]])
    empty, attempt = roles.student(laptop(tmp_path), str(tiny_model_path))(long)
    assert empty == ""
    assert attempt is not None


def _stored(book: Profile) -> dict[str, str]:
    with Store(book.run / "store/students-1-of-1.sqlite", write=False) as store:
        rows = store._db.execute("SELECT key, reply FROM answers").fetchall()
    return {key: json.loads(reply) for key, reply in rows}


# Grader


@pytest.fixture
def attempts(world: pd.DataFrame) -> pd.DataFrame:
    table = world.head(4).assign(attempt="Answer: 1")
    table.loc[1, ["solution", "answer"]] = None
    table.loc[2, "attempt"] = None
    return table


def test_claude_says_yes_or_no_on_its_last_line(tmp_path, wire, attempts):
    wire.say = lambda prompt, attempt: "It differs, yes.\n\n**No**"
    verdicts = roles.grader(paper(tmp_path))(attempts)
    assert verdicts == ["wrong", "undecided", "undecided", "wrong"]
    assert len(wire.attempts) == 2  # nothing is asked without a reference or an attempt
    body = wire.requests[0]
    assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert "# Reference\n\nThe answer is" in body["messages"][0]["content"]


def test_a_grade_that_says_neither_is_asked_again_three_times_at_most(tmp_path, wire, attempts):
    wire.say = lambda prompt, attempt: "Perhaps."
    assert set(roles.grader(paper(tmp_path))(attempts)) == {"undecided"}
    assert set(wire.attempts.values()) == {3}
    wire.say = lambda prompt, attempt: "Yes" if attempt > 1 else "Perhaps."
    wire.attempts.clear()
    verdicts = roles.grader(paper(tmp_path / "other"))(attempts)
    assert verdicts == ["correct", "undecided", "undecided", "correct"]
    assert set(wire.attempts.values()) == {2}


def test_the_local_grader_compares_answers(tmp_path, world):
    right = world.assign(attempt="Answer: " + world.answer)
    wrong = world.assign(attempt="Answer: no")
    grade = roles.grader(laptop(tmp_path))
    assert set(grade(right)) == {"correct"}
    assert "correct" not in grade(wrong)
    assert set(grade(world.assign(attempt=None))) == {"undecided"}


@pytest.mark.parametrize(
    "reference, metadata, said, verdict",
    [
        ("B", {}, "Answer: (B)", "correct"),  # GPQA has no `options`
        ("(B)", {}, "Answer: B) 42", "correct"),
        ("12", {"options": None}, "Answer: 12", "correct"),  # AGIEval has an empty one
        ("12", {"options": None}, "Answer: 13", "wrong"),
    ],
)
def test_a_letter_is_a_choice_whatever_the_metadata_say(
    tmp_path, world, reference, metadata, said, verdict
):
    row = world.head(1).assign(answer=reference, metadata=json.dumps(metadata), attempt=said)
    assert roles.grader(laptop(tmp_path))(row) == [verdict]


def test_the_local_grader_finds_the_answer_in_a_worked_solution(tmp_path, world):
    rows = world.assign(
        attempt="Answer: " + world.answer,
        solution="So it is \\boxed{" + world.answer + "}.",
        answer=None,
    )
    assert set(roles.grader(laptop(tmp_path))(rows)) == {"correct"}
    assert set(roles.grader(laptop(tmp_path))(rows.assign(solution="By symmetry."))) == {
        "undecided"
    }


# Classifier


def test_a_code_that_does_not_exist_is_asked_again_and_never_taken(tmp_path, wire, world):
    wire.say = lambda prompt, attempt: "Number theory.\n11" if attempt > 2 else "Something.\n50"
    assert set(roles.classifier(paper(tmp_path))(world)) == {"11"}
    assert set(wire.attempts.values()) == {3}
    wire.say = lambda prompt, attempt: "I cannot say."
    assert set(roles.classifier(paper(tmp_path / "other"))(world)) == {None}


def test_a_model_that_files_nothing_is_no_classifier(tmp_path, world):
    """Chapter 04 once went on without a single area and ended in an IndexError."""
    model = models.parrot(models.tokenizer(), tmp_path / "model", "none")
    played = {"roles__classifier": "student", "models__classifier": model}
    book = laptop(tmp_path / "run", **played, evaluation__window=4096)
    with pytest.raises(RunError, match=r"of none of 2 questions \(of one it said 'none'\): name"):
        roles.classifier(book)(world.head(2))


def test_the_local_classifier_names_real_areas(tmp_path, world):
    codes = roles.classifier(laptop(tmp_path))(world)
    truth = [json.loads(text)["msc"] for text in world.metadata]
    assert set(codes) <= set(AREAS)
    assert sum(a == b for a, b in zip(codes, truth, strict=True)) >= 10


# Money


def test_a_dry_run_prices_every_hired_role_and_calls_nobody(tmp_path, wire, world):
    table = roles.dry_run(paper(tmp_path, calls__batch_api=True), world).set_index("role")
    assert list(table.calls) == [12, 36, 12]
    assert (table.dollars_batch <= table.dollars).all()
    assert (table.dollars < table.at_most).all()
    assert not wire.attempts
    assert roles.dry_run(laptop(tmp_path), world).empty


def test_a_chapter_is_priced_on_its_own_profile_and_rows(tmp_path, wire, world, monkeypatch):
    monkeypatch.delenv("GEMINI_API_KEY")  # nobody is called
    book = paper(tmp_path, models__teacher="gemini-2.5-flash")
    all_of_it = roles.estimate(book, "teacher", world)
    half = roles.estimate(book, "teacher", world.head(6))
    assert (all_of_it.calls, half.calls) == (12, 6)
    assert half.dollars < all_of_it.dollars < all_of_it.at_most
    assert str(all_of_it).endswith("$0.00 of $2,000.00 spent")
    tried = world.assign(attempt="Answer: 1")
    assert roles.estimate(book, "grader", world).calls == 36
    assert roles.estimate(book, "grader", tried).calls == 12
    by_batch = paper(tmp_path, models__teacher="gemini-2.5-flash", calls__batch_api=True)
    assert roles.estimate(by_batch, "teacher", world).dollars == all_of_it.dollars / 2
    assert str(roles.estimate(laptop(tmp_path), "teacher", world)) == "no call to make"


def test_a_price_is_said_before_the_first_call_and_again_for_what_is_left(
    tmp_path, wire, world, capsys
):
    book = paper(tmp_path, models__teacher="gemini-2.5-flash")
    roles.teacher(book)(world.head(5))
    assert capsys.readouterr().out.startswith("teacher: 5 calls to make, 0 stored;")
    roles.teacher(book)(world)
    assert capsys.readouterr().out.startswith("teacher: 7 calls to make, 5 stored;")


@pytest.mark.parametrize("name", ["teacher", "grader", "classifier"])
def test_a_role_that_costs_more_than_the_cap_leaves_is_not_begun(tmp_path, wire, world, name):
    book = paper(tmp_path, models__teacher="gemini-2.5-flash", calls__max_dollars=0.001)
    with pytest.raises(RunError, match=r"12 calls would cost about .*raise calls\.max_dollars"):
        getattr(roles, name)(book)(world.assign(attempt="Answer: 1"))
    assert not wire.attempts


def test_what_was_rejected_is_asked_again_when_the_profile_says_so(tmp_path, wire, world):
    wrong = world.question[3]
    wire.wrong = lambda prompt: "prompt" if prompt == wrong else ""
    book = paper(tmp_path, models__teacher="gemini-2.5-flash")
    assert roles.teacher(book)(world)[3].status == "invalid"
    wire.wrong = lambda prompt: ""
    assert roles.teacher(book)(world)[3].status == "invalid"
    again = paper(tmp_path, models__teacher="gemini-2.5-flash", calls__again="invalid")
    assert {trace.status for trace in roles.teacher(again)(world)} == {"ok"}
    assert set(wire.served.values()) == {1}


def test_all_roles_share_one_cap(tmp_path, wire, world, attempts):
    book = paper(tmp_path, calls__max_dollars=0.02)
    wire.say = lambda prompt, attempt: "Yes"
    roles.grader(book)(attempts)
    with pytest.raises(RunError, match=r"the cap of \$0\.02"):
        roles.teacher(book)(world)
