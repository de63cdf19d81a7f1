"""Files that chapters hand to each other: written whole or not at all, read with clear errors.

Every write goes to a temporary file in the same folder, is flushed to disk and then renamed, so
that a reader never sees half a file, whatever kills the writer.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class RunError(Exception):
    """An error for the person at the keyboard: one sentence, naming what to do next."""


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; on success it becomes `path`, on failure nothing is left."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> Path:
    """Write `value` as JSON with sorted keys (same value, same bytes)."""
    with atomic(path) as temporary:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def write_table(path: str | Path, table: pd.DataFrame) -> Path:
    """Write a table as Parquet without an index (same rows, same bytes)."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write text as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def read_json(path: str | Path, made_by: str = "") -> Any:
    """Read JSON. Raises `RunError` naming the file and the chapter that makes it."""
    try:
        return json.loads(_existing(path, made_by).read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON ({error}). {_repair(made_by)}") from None


def read_table(path: str | Path, made_by: str = "", columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read Parquet and check that `columns` are there. Raises `RunError` like `read_json`."""
    import pandas as pd

    file = _existing(path, made_by)
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{path} cannot be read ({reason}). {_repair(made_by)}") from None
    if missing := [name for name in columns if name not in table.columns]:
        raise RunError(f"{path} has no column {', '.join(missing)}. {_repair(made_by)}")
    return table


def digest(path: str | Path) -> str:
    """First 16 hex digits of the SHA-256 of a file, or of all files below a folder."""
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    sha = hashlib.sha256()
    for file in files:
        sha.update(str(file.relative_to(path) if path.is_dir() else "").encode())
        with open(file, "rb") as stream:
            hashlib.file_digest(stream, lambda: sha)
    return sha.hexdigest()[:16]


def fingerprint(value: Any) -> str:
    """First 16 hex digits of the SHA-256 of a JSON value, in whatever order its keys come."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def replace_folder(made: Path, target: Path) -> None:
    """Rename the finished folder `made` to `target`, in place of what was there.

    Two renames beside each other: whoever looks meanwhile finds the old folder, none, or the new
    one, never a mixture, and what a kill between them leaves is removed the next time.
    """
    old = target.with_name(f".{target.name}.previous")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    made.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def read_facts(run: Path, chapter: str) -> dict[str, Any]:
    """The numbers of a chapter. Raises `RunError` if it has not run."""
    return read_json(run / "facts" / f"{chapter}.json", made_by=chapter)


@contextlib.contextmanager
def alone(lock: Path, what: str | Path) -> Iterator[None]:
    """Hold a lock file, which the operating system releases however this process ends.

    Raises `RunError` saying which process has `what`, if another one holds it.
    """
    with open(lock, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise RunError(
                f"{what} is in use by {holder}: wait until it ends, or stop it"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {time.strftime('%H:%M')}")
        file.flush()
        yield


def _existing(path: str | Path, made_by: str) -> Path:
    if not Path(path).is_file():
        raise RunError(f"{path} is missing. {_repair(made_by)}")
    return Path(path)


def _repair(made_by: str) -> str:
    command = "python -m s1lib run" + (f" --from {made_by}" if made_by else "")
    return f"Make it again with: {command}"
