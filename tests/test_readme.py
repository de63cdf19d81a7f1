"""The README agrees with the committed reference run, and only its marked parts are rewritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from s1lib.__main__ import main
from s1lib.artifacts import RunError, read_json
from s1lib.claims import REPLICATED
from s1lib.readme import README, filled

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "laptop"


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A copy of what the command reads and writes, as the working folder."""
    (tmp_path / "jupyter_book").mkdir()
    for name in ("README.md", "results/benchmarks.json", "jupyter_book/figure_1.svg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_shows_the_committed_ledger_rates_and_picture(book):
    if not (REFERENCE / "claims.json").is_file():
        pytest.skip("no reference run is committed, so there is no ledger to compare")
    assert main(["readme", str(REFERENCE)]) == 0
    assert README.read_text() == (ROOT / "README.md").read_text()
    assert "figure_1.svg" in README.read_text()
    drawn = (book / "jupyter_book" / "figure_1.svg").read_bytes()
    assert drawn == (ROOT / "jupyter_book" / "figure_1.svg").read_bytes()


def test_the_readme_counts_the_claims_that_hold():
    held = [row for row in read_json(REFERENCE / "claims.json") if row["verdict"] == REPLICATED]
    words = ["None", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f" {words[len(held)]} hold here." in text


def test_a_run_without_a_ledger_leaves_the_readme_alone(book, capsys):
    before = README.read_text()
    assert main(["readme", "nowhere"]) == 1
    assert "claims.json is missing" in capsys.readouterr().err
    assert README.read_text() == before


def test_only_what_stands_between_the_markers_changes():
    text = "a <!-- x: start -->\nold<!-- x: stop --> b <!-- y: start --><!-- y: stop -->"
    once = filled(text, {"x": "new\n"})
    assert once == "a <!-- x: start -->\nnew\n<!-- x: stop --> b <!-- y: start --><!-- y: stop -->"
    assert filled(once, {"x": "new\n"}) == once
    with pytest.raises(RunError, match="z: start"):
        filled(text, {"z": ""})
