"""Which files of `s1lib` a notebook uses: found by reading, without importing anything.

Followed are import statements, wherever they stand; strings that are the name of a module
(`"s1lib.training.sft"`, for programs that a cell launches) or, with a dot at the end, of a package
of which any module may be meant; strings that name a data file of the package or the folder it
lies in (`"msc.json"`, `"weights"`); and profiles loaded by name. Not followed is `s1lib.check`,
which stops a chapter or lets it be, and changes nothing in it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from s1lib.run.notebooks import code_cells

_MODULE = re.compile(r"s1lib(?:[./]\w+)+")
_MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)


def sources(notebook: Path, package: Path) -> list[Path]:
    """All files of the package at `package` that the notebook uses, directly or through others."""
    data = _data(package)
    found: set[Path] = set()
    waiting = {
        path
        for cell in code_cells(notebook)
        for path in _files(_names_in_cell(cell), package, data)
    }
    while waiting:
        path = waiting.pop()
        found.add(path)
        if path.suffix == ".py":
            folder = path.parent.relative_to(package.parent).parts
            names = _names(path.read_text(encoding="utf-8"), folder)
            waiting |= _files(names, package, data) - found
    return sorted(found)


def _names_in_cell(cell: str) -> set[str]:
    """A cell may hold magics and shell lines, in which any mention of a module counts."""
    if cell.startswith("%%"):
        return set(_MODULE.findall(cell))
    magics = " ".join(match.group() for match in _MAGIC.finditer(cell))
    return {*_names(without_magics(cell), ()), *_MODULE.findall(magics)}


def without_magics(cell: str) -> str:
    """The Python in a code cell."""
    return _MAGIC.sub(r"\1pass", cell)


@cache
def _names(code: str, folder: tuple[str, ...]) -> frozenset[str]:
    """Names of modules and data files in the code of a module that lies in package `folder`."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # the kernel will say so
        return frozenset(_MODULE.findall(code))
    return frozenset(name for node in ast.walk(tree) for name in _names_in_node(node, folder))


def _names_in_node(node: ast.AST, folder: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        around = folder[: len(folder) - node.level + 1] if node.level else ()
        base = ".".join((*around, *filter(None, [node.module])))
        yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
    elif isinstance(node, ast.Call) and "load_profile" in ast.unparse(node.func):
        yield from (f"{arg.value!s}.yaml" for arg in node.args[:1] if isinstance(arg, ast.Constant))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        if _MODULE.fullmatch(node.value.removesuffix(".py").removesuffix(".")):
            yield node.value
        yield from node.value.split("/")


def _files(names: Iterable[str], package: Path, data: dict[str, list[Path]]) -> set[Path]:
    """Modules, with the packages around them, and data files."""
    found: set[Path] = set()
    for name in names:
        found.update(data.get(name, ()))
        parts = name.removesuffix(".py").replace("/", ".").split(".")
        if parts[0] == package.name and parts[1:2] != ["check"]:
            for end in range(1, len(parts) + 1):
                path = package.parent.joinpath(*parts[:end])
                found.update(filter(Path.is_file, (path.with_suffix(".py"), path / "__init__.py")))
            if not parts[-1]:
                found.update(path.glob("*.py"))
    return found


def _data(package: Path) -> dict[str, list[Path]]:
    """Data files by the name under which code finds them: their own, or their folder's.

    A profile is found by the name of its file only: of the profile that a chapter runs on, what
    counts is what the chapter uses (`s1lib.run.settings`), not the file it came from.
    """
    found: dict[str, list[Path]] = {}
    for path in package.rglob("*"):
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts:
            home = next(p for p in path.parents if p == package or (p / "__init__.py").is_file())
            parts = path.relative_to(home).parts
            name = parts[-1] if parts[0] == "profiles" else parts[0]
            found.setdefault(name, []).append(path)
    return found
