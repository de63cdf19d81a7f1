"""A book of three small chapters with the real Snakefile and a copy of the real package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]

FIRST = """
from pathlib import Path
from s1lib.artifacts import write_json
from s1lib.toy import double

write_json(Path(run) / "numbers.json", [double(k) for k in range(count or 3)])
"""
SECOND = """
from pathlib import Path
from s1lib.artifacts import read_json, write_json

numbers = read_json(Path(run) / "numbers.json", made_by="01")
write_json(Path(run) / "folder" / "sum.json", sum(numbers) // 1000)
"""
THIRD = """
from pathlib import Path
from s1lib.artifacts import read_json, write_json

total = read_json(Path(run) / "folder" / "sum.json", made_by="02")
write_json(Path(run) / "facts" / "03.json", {"total": total})
"""
TABLE = """
01_first:
  writes: [numbers.json]
02_second:
  reads: [numbers.json]
  writes: [folder/]
03_third:
  reads: [folder/]
  writes: [facts/03.json]
"""


def notebook(path: Path, *code: str, parameters: str = "", prose: str = "Prose.") -> None:
    """Write a notebook with a parameters cell and the given code cells."""
    first = new_code_cell(f'profile = "smoke"\nrun = ""\n{parameters}')
    first.metadata["tags"] = ["parameters"]
    cells = [new_markdown_cell(prose), first, *map(new_code_cell, code)]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def make(root: Path) -> Path:
    """Write the book into `root`."""
    weights = shutil.ignore_patterns("weights", "__pycache__")
    shutil.copytree(ROOT / "s1lib", root / "s1lib", ignore=weights)
    shutil.copy(ROOT / "Snakefile", root)
    (root / "s1lib" / "toy.py").write_text("def double(k):\n    return 2 * k\n")
    (root / "requirements.lock").write_text("toy==1\n")
    (root / "notebooks").mkdir()
    (root / "notebooks" / "chapters.yaml").write_text(TABLE)
    notebook(
        root / "notebooks" / "01_first.ipynb", FIRST, parameters="count = None  # int, numbers"
    )
    notebook(root / "notebooks" / "02_second.ipynb", SECOND)
    notebook(root / "notebooks" / "03_third.ipynb", THIRD)
    return root


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "s1lib", *arguments]


def environment() -> dict[str, str]:
    outside = {k: v for k, v in os.environ.items() if not k.startswith("S1LIB_")}
    return {**outside, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "2"}


def call(root: Path, *arguments: str, **own: str) -> subprocess.CompletedProcess[str]:
    """`python -m s1lib ...` in the folder of the book, with variables of the user's own."""
    return subprocess.run(
        command(*arguments), cwd=root, env=environment() | own, capture_output=True, text=True
    )


def ran(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Numbers of the chapters that a call really executed."""
    return [line[:2] for line in result.stdout.splitlines() if "  done in " in line]
