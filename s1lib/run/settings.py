"""Which settings of the profile a chapter follows from: found by reading its code.

A setting is used where its section stands before its name (`book.evaluation.window`). A section
that is taken by itself (`recipe = book.training`) is used as a whole. Whose attribute it is plays
no part (`other.seed` uses the seed): a chapter may run once too often, but never once too seldom,
as long as code takes from a profile by attribute only, to which `tests/test_run_settings.py`
holds it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from s1lib.profile import Profile

_ATTRIBUTE = re.compile(r"\.\s*([a-z]\w*)")


def used(profile: Profile, code: Iterable[str]) -> dict[str, Any]:
    """The settings that pieces of code use, by section, as JSON values."""
    names: set[str] = set().union(*map(_attributes, code))
    found: dict[str, Any] = {}
    for section, value in profile.model_dump(mode="json", exclude={"run", "name"}).items():
        taken = {name.partition(".")[2] for name in names if name.startswith(f"{section}.")}
        if section in names or (taken and not (isinstance(value, dict) and taken <= value.keys())):
            found[section] = value
        elif taken:
            found[section] = {name: value[name] for name in sorted(taken)}
    return found


@cache
def _attributes(code: str) -> frozenset[str]:
    """`b.c` for an attribute `a.b.c`, and `c` unless it is called or something is taken from it."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except SyntaxError:
        return frozenset(_ATTRIBUTE.findall(code))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    inner = {id(node.value) for node in attributes}
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    alone = {node.attr for node in attributes if id(node) not in inner | called}
    pairs = {f"{n.value.attr}.{n.attr}" for n in attributes if isinstance(n.value, ast.Attribute)}
    return frozenset(alone | pairs)
