"""One run at a time in a run folder, and nothing left over from a run that was killed.

A run holds a file lock. Every process that it starts, directly or not (Snakemake, papermill,
Jupyter kernels, training processes), inherits an environment variable that names the run folder; so
whoever gets the lock next finds and ends all that a killed run left behind, without guessing from
process ids.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

from s1lib.artifacts import RunError, alone

FOLDER = "S1LIB_RUN_FOLDER"
RUNNER = "S1LIB_RUNNER"
_TEMPORARY = re.compile(r"\..+\.\w{8}(\.\w+)?")  # as s1lib.artifacts.atomic names them


@contextlib.contextmanager
def sentences(run: Path) -> Iterator[None]:
    """Turn what the disk refuses into a `RunError`."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{error.filename or run} cannot be used ({error.strerror or error}): free some space,"
            " mend its permissions, or choose another run folder with --run"
        ) from None


@contextlib.contextmanager
def exclusive(run: Path) -> Iterator[dict[str, str]]:
    """Hold a run folder; yields the environment for the processes to start.

    Whatever an earlier run left is ended first, and what this run started is ended last.
    Raises `RunError` if another run holds the folder.
    """
    (run / ".state").mkdir(parents=True, exist_ok=True)
    with alone(run / ".state" / "lock", run):
        end_all(run)
        for path in run.rglob(".*"):
            if path.is_file() and _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
        try:
            yield {**os.environ, FOLDER: str(run.resolve()), RUNNER: str(os.getpid())}
        finally:
            end_all(run)


def end_all(run: Path) -> None:
    """Kill every process started for a run folder, this one excepted, and wait until all are gone.

    Killing is safe: artifacts are written whole or not at all.
    """
    while victims := [process for process in psutil.process_iter() if _belongs(process, run)]:
        for process in victims:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(victims, timeout=10)


def alive(process: psutil.Process) -> bool:
    """Whether a process still runs: not gone, and not dead with nobody to notice it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _belongs(process: psutil.Process, run: Path) -> bool:
    try:
        named = process.environ().get(FOLDER)
    except (psutil.Error, OSError):  # gone meanwhile, or not ours to look at
        return False
    return named == str(run.resolve()) and process.pid != os.getpid() and alive(process)
