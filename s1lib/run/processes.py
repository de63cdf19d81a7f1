"""One run at a time in a run folder, and nothing left over from a run that was killed.

A run holds a file lock, which the kernel of the operating system releases however the run ends.
Every process that it starts, directly or not (Snakemake, papermill, Jupyter kernels, training
processes), inherits an environment variable that names the run folder; so whoever gets the lock
next finds and ends all that a killed run left behind, without guessing from process ids.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from s1lib.artifacts import RunError

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
    with open(run / ".state" / "lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise RunError(
                f"{run} is in use by another run ({lock.read().strip() or 'just started'}):"
                " wait until it ends, or stop it"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {time.strftime('%H:%M')}")
        lock.flush()
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
