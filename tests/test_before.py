"""The ledger and every table of numbers, computed from frozen facts, are what they always were.

`tests/before` holds the facts of one run of the laptop profile, and the ledger and CSV files that
were first made from them. They are never made anew: whoever rebuilds the way from facts to tables
finds out here that a number has changed on it. Where a shape has changed, what was said in
sentences is told to the types that came after (`convert`), and what a table holds more of is taken
away.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from convert import typed

from s1lib import claims, figures
from s1lib.exhibits import EXHIBITS, make
from s1lib.results import check

BEFORE = Path(__file__).parent / "before"
TABLES = sorted(path.stem for path in (BEFORE / "figures").glob("*.csv"))
SINCE = {"rivals"}
TWICE_ROUNDED = {  # means of rounded numbers, which are now the numbers themselves
    "full minus s1K, mean of benchmarks": (2.18, 2.19),
    "share of the gain of 5,853 examples that 1,000 bring (%), mini-AIME": (121.6, 121.54),
}
REWORDED = {  # a fourth benchmark counts as well
    "on all benchmarks, three at least": "on all three benchmarks",
}


def as_before(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """What a table of today showed when it knew the paper's three benchmarks only."""
    if name == "figure_4a":
        return table[table["benchmark"].str.contains("AIME")]
    if name == "figure_4b":
        table = table[table["benchmark"].str.contains("GPQA")]
    if name in ("figure_4b", "figure_6", "figure_7", "table_3"):
        return table.drop(columns="benchmark")
    if name in ("table_12", "table_13"):
        table = table[table["origin"] == "measured"]  # they had no published half
        table = table.drop(columns="benchmark").rename(columns={"accuracy": "AIME24"})
        counted = sorted(set(table) - {"origin", "method", "AIME24"})
        return table[["origin", "method", *counted, "AIME24"]]
    if name == "table_14":
        printed = table["origin"] == "published"  # their lengths had a decimal
        for column in (name for name in table if name.endswith("tokens")):
            table.loc[printed, column] += ".0"
    return table


@pytest.fixture(scope="module")
def facts() -> dict[str, dict]:
    figures.style()
    files = sorted((BEFORE / "facts").glob("*.json"))
    return typed({file.stem: json.loads(file.read_text()) for file in files})


def test_every_fact_has_a_type(facts):
    for chapter, content in facts.items():
        check(chapter, content)


def test_the_ledger_says_what_it_said(facts):
    before = json.loads((BEFORE / "claims.json").read_text())
    now = json.loads(json.dumps(claims.ledger(facts)))
    for old, new in zip(before, now, strict=True):
        pairs = [(old, new), *zip(old.pop("evidence"), new.pop("evidence"), strict=True)]
        for was, found in pairs:
            for key, value in was.items():
                if key == "measured" and found["what"] in TWICE_ROUNDED:
                    assert (value, found[key]) == TWICE_ROUNDED[found["what"]]
                elif key == "rule":
                    for text, first in REWORDED.items():
                        found[key] = found[key].replace(text, first)
                    assert found[key] == value
                elif isinstance(value, float):
                    places = 1 if old["id"] == "C11" and key == "measured" else 2
                    assert round(found[key], places) == round(value, places)
                else:
                    assert found[key] == value


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_numbers_is_the_same_to_the_byte(name, facts, tmp_path):
    make(name, facts, tmp_path)
    made = (tmp_path / "figures" / f"{name}.csv").read_text()
    table = pd.read_csv(io.StringIO(made), dtype=object, keep_default_na=False)
    made = as_before(name, table).to_csv(index=False, lineterminator="\n")
    assert made == (BEFORE / "figures" / f"{name}.csv").read_text()


def test_no_figure_or_table_is_left_out():
    assert set(TABLES) | SINCE == set(EXHIBITS)
