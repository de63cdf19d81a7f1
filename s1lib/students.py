"""Notebooks to hand out: without solutions, and without markup that only the book understands."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Template

from s1lib.run.notebooks import Notebook

_DIRECTIVE = re.compile(
    r"^(:{3,}|`{3,})\{(?P<kind>\w+)\} *(?P<title>.*)\n"
    r"(?P<options>(?::[\w-]+:.*\n)*)(?P<body>(?:.*\n)*?)\1 *(?:\n|\Z)",
    re.MULTILINE,
)
_LABEL = re.compile(r"^:label: *(\S+)", re.MULTILINE)
_LABELLED = re.compile(r"\n\$\$ \(([\w-]+)\)$", re.MULTILINE)  # the end of an equation
_EQUATION = re.compile(r"\{eq\}`([^`]+)`")
_CITATION = re.compile(r"\{cite:[pt]\}`([^`]+)`")
_KEY = re.compile(r"([a-z]+)(\d{4})")  # as in `wilson1927probable`


def for_students(notebook: Notebook) -> Notebook:
    """A notebook as it stands in git, changed in place.

    Folded solutions are gone, a note is a quotation under its title, a citation is name and year,
    and equations have the numbers of the page; one of another chapter is called by its label. Code
    stays, the checks of exercises among it.
    """
    prose = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    for cell in prose:
        text = _DIRECTIVE.sub(_plain, cell["source"])
        cell["source"] = _CITATION.sub(_name_and_year, text).strip()
    labels = [label for cell in prose for label in _LABELLED.findall(cell["source"])]
    numbers = {label: str(number) for number, label in enumerate(labels, start=1)}
    for cell in prose:
        text = _LABELLED.sub(lambda end: f" \\tag{{{numbers[end[1]]}}}\n$$", cell["source"])
        cell["source"] = _EQUATION.sub(lambda eq: f"({numbers.get(eq[1], eq[1])})", text)
    return notebook


def for_a_host(notebook: Notebook, repository: str, before: str) -> Notebook:
    """With a cell behind the title that, where there is no s1lib, clones `repository`, installs it
    and runs the chapters up to number `before` ("" for none). Changed in place."""
    template = Path(__file__).with_name("host.jinja").read_text(encoding="utf-8")
    source = Template(template).render(repository=repository, before=before)
    cell = {"cell_type": "code", "id": "host", "metadata": {}, "source": source}
    notebook["cells"].insert(1, {**cell, "execution_count": None, "outputs": []})
    return notebook


def _plain(directive: re.Match[str]) -> str:
    kind, body = directive["kind"], directive["body"].strip()
    if kind == "dropdown":
        return ""
    if kind == "math":
        label = _LABEL.search(directive["options"])
        return f"$$\n{body}\n$$" + (f" ({label[1]})\n" if label else "\n")
    title = directive["title"].strip() or kind.capitalize()
    mark = "" if title[-1] in ".?!" else "."
    space = "\n\n" if body.startswith("- ") else " "  # a list begins on a line of its own
    lines = f"**{title}{mark}**{space}{body}".split("\n")
    return "".join(f"> {line}".rstrip() + "\n" for line in lines)


def _name_and_year(citation: re.Match[str]) -> str:
    keys = (_KEY.match(key.strip()) for key in citation[1].split(","))
    return f"({'; '.join(f'{key[1].capitalize()} {key[2]}' for key in keys if key)})"
