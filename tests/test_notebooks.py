"""Every notebook of the book: its shape as it stands, and its results on the smoke profile."""

import json
import re

import nbformat
import pytest
from toybook import ROOT

from s1lib.artifacts import read_json
from s1lib.claims import NOT_TESTABLE, ledger
from s1lib.results import check, read_all
from s1lib.run.graph import read_graph
from s1lib.run.parameters import declared

BOOK = read_graph(ROOT)
every_notebook = pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.number)


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


@every_notebook
def test_a_notebook_is_valid_has_ids_and_the_plain_kernel(chapter):
    notebook = read(chapter.notebook)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"


@every_notebook
def test_a_notebook_is_stored_without_results(chapter):
    cells = code(read(chapter.notebook))
    assert not [cell.source for cell in cells if cell.outputs or cell.execution_count]
    assert "papermill" not in chapter.notebook.read_text(encoding="utf-8").split('"source"')[0]


@every_notebook
def test_a_notebook_opens_with_its_number_its_promise_and_its_parameters(chapter):
    title, parameters, *_ = read(chapter.notebook).cells
    assert title.cell_type == "markdown"
    assert title.source.startswith(f"# {chapter.number}. ")
    assert "parameters" in parameters.metadata.get("tags", [])
    types = declared(chapter.notebook)
    assert types["profile"] == types["run"] == "str"
    lines = dict(line.split(" = ", 1) for line in parameters.source.splitlines())
    assert set(lines) == set(types)
    assert lines["profile"].startswith('"laptop"') and lines["run"].startswith('""')
    assert [name for name, line in lines.items() if "  # " not in line] == []


@every_notebook
def test_a_notebook_says_what_is_running(chapter):
    opening = code(read(chapter.notebook))[1].source
    assert re.search(r"load_profile\(\s*profile,\s*run", opening)
    assert "show_versions(book)" in opening


@every_notebook
def test_a_notebook_ends_in_a_summary_and_exercises_with_folded_solutions(chapter):
    text = "\n\n".join(cell.source for cell in prose(read(chapter.notebook)))
    summary, exercises = text.find("\n## Summary"), text.find("\n## Exercises")
    assert 0 < summary < exercises
    assert ":::{dropdown} Solution" in text[exercises:]
    assert text.count(":::{dropdown}") <= text.count(":::") / 2


@every_notebook
def test_cells_are_short_and_prose_keeps_up_with_code(chapter):
    notebook = read(chapter.notebook)
    sources = [cell.source for cell in code(notebook)]
    assert [source for source in sources if len(source.splitlines()) > 25] == []
    assert [ln for source in sources for ln in source.splitlines() if len(ln) > 88] == []
    assert len(prose(notebook)) >= 0.8 * len(sources)


def test_notebooks_hold_no_address_of_anybodys_machine():
    for chapter in BOOK:
        text = chapter.notebook.read_text(encoding="utf-8")
        assert not [word for word in ("/home/", "/root/", "/Users/", "C:\\\\") if word in text]


@every_notebook
def test_a_notebook_runs_on_smoke_and_writes_what_it_promises(chapter, smoke_run):
    executed = read(smoke_run / "notebooks" / chapter.notebook.name)
    outputs = [output for cell in code(executed) for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    assert [name for name in chapter.writes if not (smoke_run / name).exists()] == []
    status = read_json(smoke_run / "status" / f"{chapter.number}.json")
    assert status["seconds"] > 0 and len(status["cells"]) == len(code(executed))


@every_notebook
def test_executed_notebooks_warn_of_nothing(chapter, smoke_run):
    executed = read(smoke_run / "notebooks" / chapter.notebook.name)
    stderr = [
        output.text
        for cell in code(executed)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert [text for text in stderr if "Warning" in text] == []


def test_every_claim_is_decided_and_every_fact_has_a_type(smoke_run):
    """Smoke has two Waits, after which nothing can flatten: C4 alone is left open."""
    rows = ledger(read_all(smoke_run))
    assert [row["id"] for row in rows if row["verdict"] == NOT_TESTABLE] == ["C4"]
    check("10", read_json(smoke_run / "facts" / "10.json"))


def test_an_estimated_number_in_the_facts_says_how_sure_it_is(smoke_run):
    def estimates(value):
        if isinstance(value, dict):
            if "ci95" in value:
                yield value
            for item in value.values():
                yield from estimates(item)
        elif isinstance(value, list):
            for item in value:
                yield from estimates(item)

    for path in sorted((smoke_run / "facts").glob("*.json")):
        for estimate in estimates(json.loads(path.read_text())):
            assert {"value", "n", "ci95", "dtype", "device"} <= estimate.keys(), path.name


def test_nothing_that_ran_stays_running_or_half_written(smoke_run):
    hidden = {".state", ".snakemake"}
    left = [p for p in smoke_run.rglob(".*") if p.is_file() and not hidden & set(p.parts)]
    assert [path for path in left if path.name != ".snakemake_timestamp"] == []
    assert list(smoke_run.rglob("*.failed.ipynb")) == []
