"""Generations kept as they end, so that a call that was interrupted goes on where it was.

Decoding a benchmark with a large model takes hours, and a server may die in the last of them. Each
call has a file of its own, named after everything that was asked; each line is one generation.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from s1lib.artifacts import RunError, fingerprint
from s1lib.decoding.record import Generation

Order = tuple[int, int, int]  # cell, problem, sample
_LINE = TypeAdapter(tuple[Order, Generation])


class Kept:
    """The generations of one call, in `folder`; `asked` is what they depend on (JSON values).

    Use it with `with`. A line that a kill has cut short is dropped.
    """

    def __init__(self, folder: str | Path, asked: Any) -> None:
        self.path = Path(folder) / f"{fingerprint(asked)}.jsonl"

    def __enter__(self) -> Kept:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b")
        except OSError as error:
            raise RunError(f"{self.path} cannot be written ({error.strerror}): mend it") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self) -> dict[Order, Generation]:
        """What is there, by its place in the call. Raises `RunError` naming a damaged line."""
        self._file.seek(0)
        found: dict[Order, Generation] = {}
        whole = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                place, one = _LINE.validate_json(line)
            except ValidationError as error:
                why = error.errors()[0]["msg"]
                raise RunError(f"{self.path}, line {number}: {why}. Delete the file") from None
            found[place] = one
            whole += len(line)
        self._file.truncate(whole)
        return found

    def add(self, new: Iterable[tuple[Order, Generation]]) -> None:
        """Append generations; they are on the disk when this returns."""
        for line in new:
            self._file.write(_LINE.dump_json(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
