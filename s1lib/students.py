"""Notebooks to hand out: without solutions, and without markup that only the book understands."""

from __future__ import annotations

import re

from s1lib.run.notebooks import Notebook

_DIRECTIVE = re.compile(r"^(:{3,})\{(\w+)\}.*\n((?:.*\n)*?)\1 *(?:\n|\Z)", re.MULTILINE)
_CITATION = re.compile(r"\{cite:[pt]\}`([^`]+)`")
_KEY = re.compile(r"([a-z]+)(\d{4})")  # as in `wilson1927probable`


def for_students(notebook: Notebook) -> Notebook:
    """A notebook as it stands in git, changed in place.

    Folded solutions are gone, a note is a quotation, a citation is name and year. Code stays, the
    checks of exercises among it.
    """
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = _DIRECTIVE.sub(_plain, cell["source"])
            cell["source"] = _CITATION.sub(_name_and_year, text).strip()
    return notebook


def _plain(directive: re.Match[str]) -> str:
    kind, body = directive[2], directive[3].strip()
    if kind == "dropdown":
        return ""
    lines = f"**{kind.capitalize()}.** {body}".split("\n")
    return "".join(f"> {line}".rstrip() + "\n" for line in lines)


def _name_and_year(citation: re.Match[str]) -> str:
    keys = (_KEY.match(key.strip()) for key in citation[1].split(","))
    return f"({'; '.join(f'{key[1].capitalize()} {key[2]}' for key in keys if key)})"
