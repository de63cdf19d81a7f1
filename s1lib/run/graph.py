"""The graph of the book, read from `notebooks/chapters.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from s1lib.artifacts import RunError

TABLE = Path("chapters.yaml")


@dataclass(frozen=True)
class Chapter:
    """A notebook with the artifacts it reads and writes (paths relative to the run folder)."""

    notebook: Path
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def number(self) -> str:
        """`06` of `06_budget_forcing`."""
        return self.notebook.stem.split("_")[0]

    @property
    def title(self) -> str:
        return self.notebook.stem.partition("_")[2].replace("_", " ")

    @property
    def label(self) -> str:
        return f"{self.number} {self.title:<18}"


GRAPH = TypeAdapter(list[Chapter])
"""As JSON: a run goes by the chapters that it began with, whatever happens to their table."""


def read_graph(root: Path) -> list[Chapter]:
    """The chapters whose notebooks are there, each after those that write what it reads.

    `root` is the folder of the book. Raises `RunError` where table and notebooks disagree.
    """
    folder = root / "notebooks"
    if not (folder / TABLE).is_file():
        raise RunError(f"no {folder / TABLE}: call this in the folder of the book")
    try:
        table = dict(yaml.safe_load((folder / TABLE).read_text(encoding="utf-8")) or {})
    except (yaml.YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{folder / TABLE} is no table of chapters: {reason}") from None
    there = {path.stem for path in folder.glob("[0-9A-Z][0-9]_*.ipynb")}
    if extra := sorted(there - table.keys()):
        raise RunError(f"{folder / TABLE} does not list {extra[0]}: say what it reads and writes")
    chapters = [
        Chapter(folder / f"{name}.ipynb", tuple(row.get("reads", ())), tuple(row.get("writes", ())))
        for name, row in table.items()
        if name in there
    ]
    for place, chapter in enumerate(chapters):
        late = {name for later in chapters[place:] for name in later.writes} & set(chapter.reads)
        if late:
            raise RunError(
                f"{folder / TABLE}: {chapter.number} reads {sorted(late)[0]}, which no earlier"
                " chapter writes: put the chapters in order"
            )
    return chapters


def writer_of(artifact: str, chapters: list[Chapter]) -> Chapter | None:
    return next((chapter for chapter in chapters if artifact in chapter.writes), None)
