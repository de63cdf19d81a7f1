"""The ledger and every table of numbers, computed from frozen facts, are what they always were.

`tests/before` holds the facts of one run of the laptop profile, and the ledger and CSV files that
were first made from them. They are never made anew: whoever rebuilds the way from facts to tables
finds out here that a number has changed on it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s1lib import claims, figures

BEFORE = Path(__file__).parent / "before"
TABLES = sorted(path.stem for path in (BEFORE / "figures").glob("*.csv"))


@pytest.fixture(scope="module")
def facts() -> dict[str, dict]:
    figures.style()
    return figures.read_all(BEFORE)


def test_the_ledger_says_what_it_said(facts):
    assert claims.ledger(facts) == json.loads((BEFORE / "claims.json").read_text())


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_numbers_is_the_same_to_the_byte(name, facts, tmp_path):
    figures.make(name, facts, tmp_path)
    made = tmp_path / "figures" / f"{name}.csv"
    assert made.read_bytes() == (BEFORE / "figures" / f"{name}.csv").read_bytes()


def test_no_figure_or_table_is_left_out():
    assert set(TABLES) == set(figures.EXHIBITS)
