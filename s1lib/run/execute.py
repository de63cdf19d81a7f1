"""Execute a notebook with papermill, watched, and publish it whole or not at all."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import papermill
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from s1lib.artifacts import write_json
from s1lib.profile import Profile
from s1lib.run import state
from s1lib.run.graph import Chapter
from s1lib.run.notebooks import code_cells, plain, publish
from s1lib.run.processes import RUNNER, alive, end_all
from s1lib.show import device, processor, threads, versions


class ThisPython(AsyncKernelManager):
    """Kernels of the interpreter that runs the book, whatever `python3` is to Jupyter."""

    @property
    def kernel_spec(self) -> KernelSpec:
        program = [sys.executable, "-m", "ipykernel_launcher", "--log-level=CRITICAL"]
        return KernelSpec(argv=[*program, "-f", "{connection_file}"], language="python")


class Watch(threading.Thread):
    """Shows progress, measures memory, and ends everything if the runner has been killed."""

    def __init__(self, chapter: Chapter, cells: int, folder: Path, expected: str) -> None:
        super().__init__(daemon=True)
        self.chapter, self.cells, self.folder = chapter, cells, folder
        self.cell, self.source, self.peak, self.began = 0, "", 0, time.monotonic()
        self.expected = expected
        self.runner = psutil.Process(int(os.environ[RUNNER])) if RUNNER in os.environ else None
        self.over = threading.Event()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def on_cell(self, cell: Any, cell_index: int) -> None:
        """Called by nbclient before each cell."""
        self.peak = max(self.peak, memory())  # a short chapter may end within the first second
        if cell.cell_type == "code":
            self.cell, self.source = self.cell + 1, cell.source

    def run(self) -> None:
        terminal, said = sys.stdout.isatty(), 0.0
        while not self.over.wait(1):
            if self.runner and not alive(self.runner):
                end_all(self.folder)
                os._exit(1)
            self.peak = max(self.peak, memory())
            if terminal or self.seconds > said + 30:  # a log gets a line every half minute
                said = self.seconds
                self.say(f"cell {self.cell}/{self.cells}  {clock(said)}{self.expected}", terminal)

    def say(self, what: str, passing: bool = False) -> None:
        erase = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{erase}{self.chapter.label}  {what}", end="" if passing else "\n", flush=True)

    def stop(self) -> None:
        self.over.set()
        self.join()


def execute(chapter: Chapter, profile: Profile, given: dict[str, Any]) -> bool:
    """Run a chapter and say how it went; False if a cell failed, with its source and traceback."""
    folder, number = profile.run, chapter.number
    made_from = state.begin(chapter, profile, given)
    staging = folder / ".state" / chapter.notebook.name
    failed = (folder / "notebooks" / chapter.notebook.name).with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    before = state.expected(chapter, folder, made_from)
    where = "" if before is None or before[1] else " elsewhere"
    expected = f" of about {clock(before[0])}{where}" if before else ""
    watch = Watch(chapter, len(code_cells(chapter.notebook)) + 1, folder, expected)
    watch.start()
    problem = ""
    try:
        papermill.execute_notebook(
            chapter.notebook,
            staging,
            given,
            kernel_name="python3",
            language="python",
            kernel_manager_class=ThisPython,
            on_cell_start=watch.on_cell,
            progress_bar=False,
            start_timeout=300,
        )
    except PapermillExecutionError as error:
        problem = "\n".join(error.traceback)
    except DeadKernelError:
        problem = f"The kernel died (out of memory? The peak was {watch.peak / 1e9:.1f} GB.)"
    except RuntimeError as error:
        problem = f"The kernel does not run ({error}): make the environment anew, make clean setup"
    finally:
        watch.stop()
    if problem:
        where = f"failed in cell {watch.cell} of {watch.cells}:\n\n{watch.source.strip()}\n\n"
        text = f"{where}{problem}\n" if watch.cell else problem
        watch.say(text if sys.stdout.isatty() else plain(text))
        if staging.is_file():
            publish(staging, failed)
            print(f"The notebook up to there: {failed}", flush=True)
        return False
    if missing := [name for name in chapter.writes if not (folder / name).exists()]:
        watch.say(f"has not written {missing[0]}, as notebooks/chapters.yaml says that it does")
        return False
    status = {
        "chapter": chapter.title,
        "seconds": round(watch.seconds, 1),
        "cells": publish(staging, folder / "notebooks" / chapter.notebook.name),
        "peak_memory_gb": round(watch.peak / 1e9, 2),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": device(),
        "processor": processor(),
        "dtype": profile.evaluation.dtype,
        "threads": threads(),
        "settings": state.settings(made_from),
        "versions": versions(),
    }
    write_json(folder / "status" / f"{number}.json", status)
    staging.unlink()
    state.finish(chapter, folder, made_from)
    watch.say(f"done in {clock(watch.seconds)}")
    return True


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def memory() -> int:
    """Resident bytes of this process and of all below it."""
    total = 0
    for process in (me := psutil.Process(), *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total
