"""Parameters from the command line, checked against the notebooks before anything runs.

A notebook declares a parameter on one line of its `parameters` cell; its type begins
the comment, or is that of the default: `pool = None  # int, questions`, `seed = 0`,
`budgets = None  # list of int, tokens`.
"""

from __future__ import annotations

import ast
import contextlib
import json
import logging
import re
from pathlib import Path
from types import GenericAlias
from typing import Any

from pydantic import TypeAdapter, ValidationError

from s1lib.artifacts import RunError
from s1lib.run.graph import Chapter

_PLAIN: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}
TYPES = _PLAIN | {f"list[{name}]": GenericAlias(list, kind) for name, kind in _PLAIN.items()}
_TYPE = re.compile(r"(list(?:\[| of ))?(bool|int|float|str)\b")


def declared(notebook: Path) -> dict[str, str]:
    """Name and type of each parameter. Raises `RunError` on one that shows no type."""
    import papermill  # takes a second

    logging.getLogger("papermill").setLevel(logging.ERROR)
    return {
        name: _type(f"{notebook.name}: parameter {name}", entry)
        for name, entry in papermill.inspect_notebook(notebook).items()
    }


def parse(settings: list[str], chapters: list[Chapter]) -> dict[str, dict[str, Any]]:
    """Turn `["pool=500", ...]` into the parameters of each chapter, by number.

    A setting goes to every chapter that declares its name. Raises `RunError` on a name that no
    chapter declares and on a value of another type.
    """
    if not settings:
        return {chapter.number: {} for chapter in chapters}
    types = {chapter.number: declared(chapter.notebook) for chapter in chapters}
    values: dict[str, dict[str, Any]] = {chapter.number: {} for chapter in chapters}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name in ("profile", "run"):
            raise RunError(
                f"-p {setting}: write name=value; the profile and the run folder have"
                " options of their own, --profile and --run"
            )
        takers = [number for number, known in types.items() if name in known]
        if not takers:
            names = sorted(
                {name for known in types.values() for name in known} - {"profile", "run"}
            )
            raise RunError(f"-p {name}: no such parameter; there are {', '.join(names) or 'none'}")
        for number in takers:
            values[number][name] = _value(name, text, types[number][name])
    return values


def _type(where: str, entry: dict[str, str]) -> str:
    for said in (entry["inferred_type_name"], entry["help"]):
        if match := _TYPE.match(said):
            return f"list[{match[2]}]" if match[1] else match[2]
    with contextlib.suppress(ValueError, SyntaxError):
        default = ast.literal_eval(entry["default"])
        for name, kind in TYPES.items():
            with contextlib.suppress(ValidationError):
                TypeAdapter(kind).validate_python(default, strict=True)
                return name
    raise RunError(f"{where} shows no type: begin its comment with one of {', '.join(TYPES)}")


def _value(name: str, text: str, kind: str) -> Any:
    if kind == "str":
        return text
    as_json = text.lower() if kind == "bool" else text
    if kind.startswith("list") and not text.startswith("["):
        as_json = json.dumps(text.split(",")) if kind == "list[str]" else f"[{text}]"
    try:
        return TypeAdapter(TYPES[kind]).validate_json(as_json, strict=True)
    except ValidationError:
        raise RunError(f"-p {name}={text}: {name} must be of type {kind}") from None
