"""Notebooks that a class gets: complete but for the solutions, readable outside the book."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

from s1lib.run.notebooks import read_notebook
from s1lib.students import for_students

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def cells(notebook, kind):
    return [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_solution_and_no_directive_is_left_and_no_code_is_lost(path):
    notebook = for_students(read_notebook(path))
    prose = "\n".join(cells(notebook, "markdown"))
    assert not re.search(r"^:::|\{\w+(:\w+)?\}`|Solution", prose, re.MULTILINE)
    assert cells(notebook, "code") == cells(read_notebook(path), "code")
    exercises = [text.count("\n**") for text in cells(read_notebook(path), "markdown")]
    assert [text.count("\n**") for text in cells(notebook, "markdown")] == exercises
    nbformat.validate(nbformat.reads(json.dumps(notebook), as_version=4))


def test_a_note_is_a_quotation_and_a_citation_a_name_and_a_year():
    text = (
        "Before {cite:p}`wilson1927probable,efron1993bootstrap`.\n\n"
        ":::{note}\nTwo\n\nlines.\n:::\nAfter.\n\n"
        "**1.** Ask.\n\n:::{dropdown} Solution\n```python\nanswer = 1\n```\n:::\n\n**2.** Ask."
    )
    notebook = {"cells": [{"cell_type": "markdown", "source": text}]}
    assert for_students(notebook)["cells"][0]["source"] == (
        "Before (Wilson 1927; Efron 1993).\n\n> **Note.** Two\n>\n> lines.\nAfter.\n\n"
        "**1.** Ask.\n\n\n**2.** Ask."
    )


def test_a_box_keeps_its_title_and_not_its_options():
    text = ":::{admonition} Built in?\n:class: note\n\nTwo\n\n:lines:.\n:::\nAfter."
    notebook = {"cells": [{"cell_type": "markdown", "source": text}]}
    assert for_students(notebook)["cells"][0]["source"] == (
        "> **Built in?** Two\n>\n> :lines:.\nAfter."
    )


@pytest.mark.parametrize("fence", [":::", "```"])
def test_an_equation_is_shown_and_called_by_its_label(fence):
    text = f"As\n\n{fence}{{math}}\n:label: scaling\n\na = b\n{fence}\nand {{eq}}`scaling` says."
    notebook = {"cells": [{"cell_type": "markdown", "source": text}]}
    assert for_students(notebook)["cells"][0]["source"] == (
        "As\n\n$$\na = b\n$$ (scaling)\nand (scaling) says."
    )
