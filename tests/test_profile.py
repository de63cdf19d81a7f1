"""Profiles: everything checked before anything runs, every mistake one sentence."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from s1lib.artifacts import RunError
from s1lib.profile import NAMES, load_profile

SMOKE = Path(__file__).parents[1] / "s1lib" / "profiles" / "smoke.yaml"


@pytest.mark.parametrize("name", NAMES)
def test_the_profiles_of_the_package_are_valid(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.run == Path("results") / name


def test_a_knob_that_is_none_leaves_the_value_of_the_profile():
    plain = load_profile("smoke")
    assert load_profile("smoke", selection__size=None) == plain
    assert load_profile("smoke", selection__size=32).selection.size == 32
    assert load_profile("smoke", seed=7).seed == 7


def test_a_profile_cannot_change_after_it_was_loaded():
    with pytest.raises(ValidationError):
        load_profile("smoke").selection.size = 5


def test_a_profile_may_be_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.yaml").write_text(SMOKE.read_text())
    mine = load_profile(str(tmp_path / "mine.yaml"), tmp_path / "here")
    assert (mine.name, mine.run) == ("mine", tmp_path / "here")


def test_an_unknown_profile_names_those_that_there_are():
    with pytest.raises(RunError, match="use one of smoke, laptop, gpu, paper"):
        load_profile("huge")


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("questions__pol", 100, "questions.pol"),
        ("questions__pool", "many", "questions.pool"),
        ("questions__pool", 400.5, "questions.pool"),
        ("questions__pool", 3, "questions.pool"),
        ("questions__origin", "moon", "questions.origin"),
        ("roles__decoder", "abacus", "roles.decoder"),
        ("roles__teacher", "abacus", "roles.teacher: Input should be 'scripted', 'published'"),
        ("models__students", ["one"], "models.students"),
        ("calls__max_dollars", -1.0, "calls.max_dollars"),
        ("selection__mode", "best", "selection.mode"),
        ("training__epochs", 0, "training.epochs"),
        ("training__warmup", 2.0, "training.warmup"),
        ("evaluation__budgets", [128, 32], "budgets must ascend"),
        ("evaluation__budgets", ["32"], "evaluation.budgets"),
        ("evaluation__dtype", "int8", "evaluation.dtype"),
        ("colour", "red", "colour"),
    ],
)
def test_a_wrong_key_or_value_is_one_sentence_that_names_it(key, value, where):
    with pytest.raises(RunError) as raised:
        load_profile("smoke", **{key: value})
    message = str(raised.value)
    assert "smoke.yaml" in message and where in message
    assert "\n" not in message


def test_a_profile_that_extends_another_holds_only_what_is_different(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: smoke\nselection: {size: 32}\nmodels: {limits: {student: 8}}\n")
    profile, smoke = load_profile(str(mine)), load_profile("smoke")
    assert profile.name == "mine"
    assert profile.selection == smoke.selection.model_copy(update={"size": 32})
    assert (profile.models.limits.student, profile.models.base) == (8, smoke.models.base)
    mine.write_text("extends: mine\n")
    with pytest.raises(RunError, match=r"mine\.yaml: extends is 'mine': use one of smoke, laptop"):
        load_profile(str(mine))


def test_a_section_that_is_no_section_is_one_sentence_in_an_extension_too(tmp_path):
    """It had been an `AttributeError`."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: smoke\nselection: 5\n")
    with pytest.raises(RunError, match=r"mine\.yaml: selection: "):
        load_profile(str(mine))


def test_the_paper_of_today_differs_from_the_papers_record_in_who_is_asked_only():
    paper, today = load_profile("paper"), load_profile("paper-today", load_profile("paper").run)
    assert today.models.students == paper.models.students
    same = paper.model_dump(exclude={"name", "roles", "models"})
    assert today.model_dump(exclude={"name", "roles", "models"}) == same


@pytest.mark.parametrize("text", ["a:\n\tb: 1", "- a\n- b", "just words"])
def test_a_file_that_is_no_profile_is_one_sentence_that_names_it(text, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(RunError, match=r"mine\.yaml") as raised:
        load_profile(str(tmp_path / "mine.yaml"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("section", sorted(yaml.safe_load(SMOKE.read_text())))
def test_a_missing_section_is_one_sentence_that_names_it(section, tmp_path):
    data = yaml.safe_load(SMOKE.read_text())
    del data[section]
    (tmp_path / "smoke.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(RunError, match=section):
        load_profile(str(tmp_path / "smoke.yaml"))
