"""Imports run one way, as the plan of the house says."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLAN = (ROOT / "jupyter_book" / "house.md").read_text(encoding="utf-8")
ROOMS = [
    room
    for floor in re.findall(r"^\| (?:top|third|second|ground) \| (.*) \|$", PLAN, re.M)
    for room in re.findall(r"`(\w+)`", floor)
]


def imports() -> set[tuple[str, str, str]]:
    """(file, its room, the room that it imports from), for all imports, late ones too."""
    found = set()
    for file in (ROOT / "s1lib").rglob("*.py"):
        here = file.relative_to(ROOT / "s1lib").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "s1lib":
                names = [f"s1lib.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                if name.startswith("s1lib."):
                    found.add((str(file.relative_to(ROOT)), here, name.split(".")[1]))
    return found


def test_every_room_is_in_the_plan_and_every_planned_room_exists() -> None:
    there = {
        path.name.removesuffix(".py")
        for path in (ROOT / "s1lib").iterdir()
        if (path.suffix == ".py" and path.name != "__init__.py")
        or (path.is_dir() and any(path.glob("*.py")))
    }
    assert there == set(ROOMS)


def test_a_room_imports_only_from_rooms_that_come_after_it() -> None:
    wrong = [
        f"{file} imports {target}"
        for file, here, target in sorted(imports())
        if here != target and here in ROOMS and ROOMS.index(target) < ROOMS.index(here)
    ]
    assert not wrong


def test_the_state_machine_knows_no_tensors() -> None:
    source = (ROOT / "s1lib" / "decoding" / "forcing.py").read_text(encoding="utf-8")
    assert not re.search(r"\b(import|from) (torch|numpy)\b", source)


def test_only_roles_knows_the_providers() -> None:
    knowing = {here for _, here, target in imports() if target == "providers"} - {"providers"}
    assert knowing == {"roles"}


def test_what_decodes_many_problems_takes_few_arguments() -> None:
    """`sweep` had eleven and `rebase` ten: problems travelled as parallel lists."""
    from s1lib.decoding.decoder import Decoder
    from s1lib.methods.rebase import rebase

    for function in (Decoder.generate, Decoder.sweep, rebase):
        assert len(inspect.signature(function).parameters.keys() - {"self"}) <= 6
