"""Start the training script with `accelerate launch` from a notebook and follow its log."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from importlib import resources
from itertools import chain
from pathlib import Path

import pandas as pd
import yaml

import s1lib
from s1lib.artifacts import RunError, read_table, write_text
from s1lib.profile import Profile
from s1lib.progress import progress

_STEP = re.compile(r"step (\d+)/(\d+) loss (\S+)")
# Threads that wait asleep: spinning ones make a step 50 times slower beside a busy neighbour.
_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
_LINES = 15  # lines of log shown in the notebook


def config_file(book: Profile) -> Path:
    """The accelerate configuration of the profile. Raises `RunError` if there is none."""
    folder = Path(str(resources.files("s1lib") / "training" / "configs"))
    file = folder / f"{book.training.launcher}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise RunError(f"training.launcher is {book.training.launcher!r}: use one of {known}")
    return file


def command(profile: str | Path, book: Profile, data: Path, output: Path, model: str = "") -> str:
    """The shell command that trains; what `launch` runs and what one types on a cluster."""
    parts = ["accelerate", "launch", "--config_file", os.path.relpath(config_file(book))]
    parts += ["-m", "s1lib.training.sft", "--profile", str(profile)]
    parts += ["--data", str(data), "--output", str(output)]
    return shlex.join([*parts, "--model", model] if model else parts)


def launch(
    book: Profile,
    data: str | Path,
    output: str | Path,
    model: str = "",
    watch: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Fine-tune on `data` (Parquet with a column `text`) and write the model to `output`.

    Streams the log with a progress bar; `watch` gets the losses so far (step, loss) now and then.
    Returns the log: step, epoch, loss, learning_rate, grad_norm (one row per optimizer step).
    Raises `RunError` with the script's own sentence, or with its last lines. A run that was killed
    goes on from its last checkpoint when launched again.
    """
    data, output = Path(data), Path(output)
    profile = output.with_name(f".{output.name}.yaml")
    write_text(profile, yaml.safe_dump(book.model_dump(mode="json"), sort_keys=False))
    line = command(profile, book, data, output, model)
    print(f"$ {line}", flush=True)
    tail: deque[str] = deque(maxlen=30)
    process = _start([sys.executable, "-m", "accelerate.commands.accelerate_cli"], line)
    try:
        _follow(process, tail, watch)
        status = process.wait()
    finally:
        _stop(process)
        profile.unlink(missing_ok=True)
    if status:
        sentences = [text for text in tail if text.startswith("RunError: ")]
        if sentences:
            raise RunError(sentences[-1].removeprefix("RunError: "))
        raise RunError("training stopped with:\n" + "\n".join(tail))
    return read_table(output / "log.parquet", made_by="05")


def _start(python: list[str], line: str) -> subprocess.Popen[str]:
    """The process, with a pipe to its standard input that closes when this one ends."""
    package = str(Path(s1lib.__file__).parents[1])
    path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH")) if part)
    return subprocess.Popen(
        [*python, *shlex.split(line)[1:], "--follow-parent"],
        env={**_THREADS, **os.environ, "PYTHONPATH": path, "TRANSFORMERS_VERBOSITY": "error"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _follow(
    process: subprocess.Popen[str],
    tail: deque[str],
    watch: Callable[[pd.DataFrame], None] | None,
) -> None:
    """Show the log: a bar for all steps and some of the lines."""
    steps = _steps(process, tail)
    first = next(steps, None)
    if first is None:
        return
    total = int(first[2])
    every = max(1, total // _LINES)
    losses: list[tuple[int, float]] = []
    for found in progress(chain([first], steps), "fine-tuning", total):
        losses.append((int(found[1]), float(found[3])))
        if losses[-1][0] % every == 0 or losses[-1][0] == total:
            print(found.string, flush=True)
            if watch:
                watch(pd.DataFrame(losses, columns=["step", "loss"]))


def _steps(process: subprocess.Popen[str], tail: deque[str]) -> Iterator[re.Match[str]]:
    """The log's lines about a step; all others go to `tail`, bars of libraries nowhere."""
    assert process.stdout is not None
    for line in process.stdout:
        found = _STEP.match(line.rstrip())
        if found:
            yield found
        elif line.strip() and "it/s]" not in line:
            tail.append(line.rstrip())


def _stop(process: subprocess.Popen[str]) -> None:
    """End the script and everything it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
