"""Every notebook of the book: its shape as it stands, and its results on the smoke profile."""

import ast
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

# What measures, by module; nothing means all that is in it.
MEASURING = {
    "s1lib.metrics": (),
    "s1lib.questions.decontaminate": ("contaminated", "hashes"),
    "s1lib.filtering": ("dealt",),
    "s1lib.selection": ("power_law", "benchmark_weights", "truncated"),
    "s1lib.methods.majority": (),
    "s1lib.methods.rejection": ("halves", "reject", "tries_per_accepted"),
    "s1lib.methods.rebase": ("shares",),
    "s1lib.methods.reward": ("auc", "auc_within"),
    "s1lib.training.balance": (),
    "s1lib.training.fit": ("memory", "utilisation"),
}


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


@every_notebook
def test_a_chapter_opens_with_what_one_can_do_after_it(chapter):
    opening = read(chapter.notebook).cells[0].source
    objectives = opening.partition("you can**\n\n")[2].partition("\n\n")[0]
    assert 3 <= sum(line.startswith("- ") for line in objectives.splitlines()) <= 5


@every_notebook
def test_prose_comes_before_code_and_a_chapter_is_no_book(chapter):
    cells = read(chapter.notebook).cells
    assert len(cells) <= 45
    kinds = "".join("c" if cell.cell_type == "code" else "p" for cell in cells[3:])
    assert kinds.startswith("p")
    assert "ccc" not in kinds, "three code cells in a row, and nobody says why"
    bare = [
        c.source for c in prose(read(chapter.notebook)) if re.fullmatch(r"#+ [^\n]+\n*", c.source)
    ]
    assert bare == []


@every_notebook
def test_a_summary_ends_in_what_is_to_be_taken_away(chapter):
    text = "\n\n".join(cell.source for cell in prose(read(chapter.notebook)))
    summary = text.partition("\n## Summary")[2].partition("\n## Exercises")[0]
    assert summary.strip().splitlines()[0].startswith("- ")
    assert "\n**To take away.** " in summary


@every_notebook
def test_exercises_are_numbered_and_solved_and_one_of_them_builds(chapter):
    notebook = read(chapter.notebook)
    text = "\n\n".join(cell.source for cell in prose(notebook)).partition("\n## Exercises")[2]
    numbers = [int(number) for number in re.findall(r"^\*\*(\d+)\.", text, re.M)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 3
    assert text.count(":::{dropdown} Solution") == len(numbers)
    building = re.findall(r"^\*\*(\d+)\. Build\.\*\*", text, re.M)
    assert building
    for number in building:  # a check of its own, which the solution passes
        assert [cell for cell in code(notebook) if f"def check_{number}(" in cell.source]
        assert re.search(rf"^check_{number}\(", text, re.M)


@every_notebook
def test_a_chapter_says_what_was_built_in(chapter):
    if chapter.number.startswith("A"):
        pytest.skip("an appendix about no result of the laptop's world")
    text = "\n\n".join(cell.source for cell in prose(read(chapter.notebook)))
    built = text.partition("\n## Built in?\n")[2].partition("\n## ")[0]
    assert "](../jupyter_book/choices.md)" in built


def compared(source):
    """Names that a cell holds against something of its own: what its assertions look at, and what
    that was made from."""
    tree = ast.parse(source)

    def names(node):
        return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}

    made = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            made |= {name: names(node.value) for part in node.targets for name in names(part)}
        elif isinstance(node, ast.For):
            made |= {name: names(node.iter) for name in names(node.target)}
    own = made.keys() | {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    agreed = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found = names(node)
            while more := set().union(*(made.get(name, set()) for name in found)) - found:
                found |= more
            agreed |= found if found & own else set()
    return agreed


def imported(source):
    """(module, name) of everything that a cell imports by name."""
    return {
        (node.module, alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@every_notebook
def test_what_measures_is_built_by_hand_and_the_package_agrees(chapter):
    """In this chapter or an earlier one, an assertion holds the package against what is built."""
    so_far = [one for one in BOOK if one.number <= chapter.number]
    agreed = set()
    for one in so_far:
        for cell in code(read(one.notebook)):
            agreed |= compared(cell.source)
    taken = set().union(*(imported(cell.source) for cell in code(read(chapter.notebook))))
    measures = {
        name
        for module, name in taken
        if module in MEASURING and (not MEASURING[module] or name in MEASURING[module])
    }
    assert measures - agreed == set()


def test_chapter_06_loads_no_model_beside_its_decoder():
    """On a cluster its first cells held 32 billion parameters that a server had already."""
    (chapter,) = (one for one in BOOK if one.number == "06")
    taken = set().union(*(imported(cell.source) for cell in code(read(chapter.notebook))))
    assert "transformers" not in {module for module, _ in taken}


@every_notebook
def test_links_lead_to_files_of_the_book(chapter):
    text = "\n\n".join(cell.source for cell in prose(read(chapter.notebook)))
    links = re.findall(r"\]\(((?!https?:|#)[^)\s]+)\)", text)
    assert [link for link in links if not (chapter.notebook.parent / link).is_file()] == []


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


@every_notebook
def test_numbers_are_shown_as_a_reader_wants_them(chapter, smoke_run):
    """A table printed 56.700000 and `<NA>`."""
    executed = read(smoke_run / "notebooks" / chapter.notebook.name)
    shown = [
        str(text)
        for cell in code(executed)
        for output in cell.outputs
        for kind, text in output.get("data", {"text": output.get("text", "")}).items()
        if kind.startswith("text")
    ]
    assert [text for text in shown if re.search(r"\d\.\d{5,}|<NA>|\bNaN\b|&lt;NA&gt;", text)] == []


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
