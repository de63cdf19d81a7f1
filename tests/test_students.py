"""Notebooks that a class gets: complete but for the solutions, readable outside the book."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell
from toybook import ROOT, environment, make

from s1lib.run.notebooks import read_notebook
from s1lib.students import for_a_host, for_students

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


@pytest.mark.parametrize(
    "equation", [":::{math}\n:label: scaling\n\na = b\n:::", "$$\na = b\n$$ (scaling)"]
)
def test_an_equation_has_the_number_of_the_page_and_one_of_another_chapter_its_label(equation):
    told = "{eq}`scaling` says more than {eq}`other`."
    text = f"As\n\n$$\nc\n$$ (control)\n\nand\n\n{equation}\n\nsay, {told}"
    notebook = {"cells": [{"cell_type": "markdown", "source": text}]}
    assert for_students(notebook)["cells"][0]["source"] == (
        "As\n\n$$\nc \\tag{1}\n$$\n\nand\n\n$$\na = b \\tag{2}\n$$\n\n"
        "say, (2) says more than (other)."
    )


def test_a_list_in_a_box_stays_a_list():
    text = ":::{admonition} Where people go wrong\n:class: warning\n\n- One\n  thing.\n- Two.\n:::"
    notebook = {"cells": [{"cell_type": "markdown", "source": text}]}
    assert for_students(notebook)["cells"][0]["source"] == (
        "> **Where people go wrong.**\n>\n> - One\n>   thing.\n> - Two."
    )


HOSTED = """
import sys
sys.path.append({packages!r})
{cell}
from s1lib.toy import double
print("ready", double(2), [path.name for path in sorted(Path("results/laptop").glob("*.json"))])
"""


def test_a_hosted_machine_gets_the_book_and_what_a_chapter_reads(tmp_path):
    """All but the host itself: git, pip (its packages are here already) and the runner."""
    root = make(tmp_path / "book")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    author = ("-c", "user.name=t", "-c", "user.email=t@t.invalid")
    for words in (("init", "-q"), ("add", "-A"), (*author, "commit", "-qm", "all")):
        subprocess.run(["git", *words], cwd=root, check=True)
    notebook = {"cells": [new_markdown_cell("# 02. Next")], "metadata": {}}
    cell = for_a_host(notebook, root.as_uri(), "01")["cells"][1]
    nbformat.validate(nbformat.from_dict({**notebook, "nbformat": 4, "nbformat_minor": 5}))
    packages = sysconfig.get_path("purelib")
    code = "from pathlib import Path\n" + HOSTED.format(packages=packages, cell=cell["source"])
    # (Of the second of these, pip reads the value and not the name: "0" is no isolation.)
    pip = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_TARGET": str(tmp_path / "pip")}
    outside = {key: value for key, value in environment().items() if key != "PYTHONPATH"}
    host = tmp_path / "host"
    host.mkdir()
    for _ in range(2):  # a second time in the same place, as after a restarted kernel
        ran = subprocess.run(  # -S: without what is installed here to be edited
            [sys.executable, "-S", "-c", code], cwd=host, env=outside | pip,
            capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert ran.stdout.splitlines()[-1] == "ready 4 ['numbers.json']"
    assert "up to date" in ran.stdout


def test_where_the_book_is_installed_the_cell_for_hosts_does_nothing(tmp_path):
    notebook = {"cells": [new_markdown_cell("# 01. First")], "metadata": {}}
    cell = for_a_host(notebook, "file:///nowhere", "")["cells"][1]
    assert "s1lib run" not in cell["source"].replace('", "', " ")
    ran = subprocess.run([sys.executable, "-c", cell["source"]], cwd=ROOT, env=environment())
    assert ran.returncode == 0
