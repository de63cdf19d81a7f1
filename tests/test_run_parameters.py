"""Parameters are checked before anything runs."""

import pytest
from toybook import make, notebook

from s1lib.artifacts import RunError
from s1lib.run.graph import read_graph
from s1lib.run.parameters import declared, parse

CELL = """seed = 0  # any whole number
rate = None  # float, per step
budgets = None  # list of int, tokens
names = ["a"]  # which
fast = False
wait = None  # str
count = None  # int, numbers"""


@pytest.fixture
def chapters(tmp_path):
    root = make(tmp_path)
    notebook(root / "notebooks" / "02_second.ipynb", "1", parameters=CELL)
    return read_graph(root)


def test_a_type_begins_the_comment_or_is_that_of_the_default(chapters):
    assert declared(chapters[1].notebook) == {
        "profile": "str",
        "run": "str",
        "seed": "int",
        "rate": "float",
        "budgets": "list[int]",
        "names": "list[str]",
        "fast": "bool",
        "wait": "str",
        "count": "int",
    }


def test_a_parameter_that_shows_no_type_is_an_error(chapters):
    notebook(chapters[0].notebook, "1", parameters="pool = None  # questions")
    with pytest.raises(RunError, match="parameter pool shows no type"):
        declared(chapters[0].notebook)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed=7", 7),
        ("rate=1e-5", 1e-5),
        ("rate=2", 2.0),
        ("budgets=16,32", [16, 32]),
        ("budgets=[16]", [16]),
        ("names=x,y", ["x", "y"]),
        ("fast=True", True),
        ("wait=Hmm, wait", "Hmm, wait"),
    ],
)
def test_values_are_read_by_their_type(chapters, setting, value):
    name = setting.split("=")[0]
    assert parse([setting], chapters)["02"] == {name: value}


def test_a_parameter_goes_to_every_chapter_that_declares_it_and_to_no_other(chapters):
    given = parse(["count=4", "seed=1"], chapters)
    assert given == {"01": {"count": 4}, "02": {"count": 4, "seed": 1}, "03": {}}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sed=7", "-p sed: no such parameter; there are budgets, count, fast"),
        ("seed=7.5", "seed must be of type int"),
        ("seed=", "seed must be of type int"),
        ("budgets=16,x", r"budgets must be of type list\[int\]"),
        ("fast=maybe", "fast must be of type bool"),
        ("seed", "write name=value"),
        ("run=here", "--run"),
    ],
)
def test_an_unknown_or_ill_typed_parameter_is_one_sentence(chapters, setting, message):
    with pytest.raises(RunError, match=message):
        parse([setting], chapters)
