"""Start the training script with `accelerate launch` from a notebook and follow its log.

Models as small as the laptop's gain little from a second thread, since a step is thousands of
small products. Where several are to be trained, `launch_all` trains some of them side by side,
each with its share of the cores.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import resources
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

import pandas as pd
import yaml

import s1lib
from s1lib import show
from s1lib.artifacts import RunError, read_json, read_table, write_text
from s1lib.profile import Profile
from s1lib.progress import progress
from s1lib.training.recipe import identity, layout, replicas

_STEP = re.compile(r"step (\d+)/(\d+) loss (\S+)")
# Threads that spin for some microseconds and then sleep. Two that only spin make a step 50 times
# slower beside a busy neighbour; two that only sleep are slower than one (3,400 tokens/s against
# 5,500, and 7,600 with this count, on two cores of an AMD EPYC).
_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"}
_LINES = 15  # lines of log shown in the notebook
# `accelerate launch` without the other commands, which take four seconds to import
_ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch"]


@dataclass(frozen=True)
class Job:
    """One training: base model, recipe and seed of `book`, on `data`, into the folder `output`."""

    book: Profile
    data: Path
    output: Path
    model: str = ""

    @property
    def name(self) -> str:
        return self.output.name

    def finished(self) -> pd.DataFrame | None:
        """The log of the model that is there, if it was made from just this."""
        log = self.output / "log.parquet"
        if not (log.is_file() and self.data.is_file()):
            return None
        known = read_json(self.output / "job.json")
        expected = identity(self.book, self.data, self.model or self.book.models.base)
        return read_table(log) if known == known | expected else None


def seeded(book: Profile, data: str | Path, output: str | Path, model: str = "") -> list[Job]:
    """One job for each training seed of the profile: `output`, `output-1`, `output-2`, ...

    A training seed is the order in which the samples come; base model and data are the same.
    """
    output = Path(output)
    return [
        Job(
            book.model_copy(update={"seed": book.seed + seed}),
            Path(data),
            output.with_name(name),
            model,
        )
        for seed, name in enumerate(replicas(book, output.name))
    ]


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
    goes on from its last checkpoint when launched again, and a model that is there already, made
    from the same data, recipe, seed and base model, is left as it is. A configuration of several
    machines cannot be started from a notebook: the error holds the command that does it.
    """
    job = Job(book, Path(data), Path(output), model)
    if (log := job.finished()) is not None:
        print(f"{job.output} is there, trained from just this: delete it to train again")
        if watch:
            watch(log)
        return log
    on_one_machine([job])
    with closing(_train(job, say=True)) as steps:
        _show(steps, watch)
    return read_table(job.output / "log.parquet", made_by="05")


def launch_all(
    jobs: Sequence[Job],
    at_once: int = 1,
    watch: Callable[[pd.DataFrame], None] | None = None,
) -> dict[str, pd.DataFrame]:
    """Fine-tune one model for each job, `at_once` side by side, the largest first.

    A model that is there already, made from the same data, recipe, seed and base model, is left
    as it is. Shows one bar for the steps of all jobs and a line for each that ends; `watch` gets
    a table (model, step, steps, loss) now and then. Returns each job's log by the name of its
    output folder. Raises `RunError` naming the job that failed, with its log, and ends the others;
    and like `launch` for a configuration of several machines.
    """
    steps, work = {}, {}
    for job in jobs:
        texts = read_table(job.data, columns=("text",))["text"]
        steps[job.name] = layout(job.book, len(texts)).steps
        work[job.name] = int(texts.str.len().sum()) * job.book.training.epochs
    if len(steps) < len(jobs):
        raise RunError("two jobs have the same output folder: give each model a name of its own")
    logs = {job.name: log for job in jobs if (log := job.finished()) is not None}
    for name in logs:
        print(f"{name}: already trained on these data with this recipe", flush=True)
    left = sorted((j for j in jobs if j.name not in logs), key=lambda j: -work[j.name])
    state: dict[str, dict[str, Any]] = {
        name: {"model": name, "step": count if name in logs else 0, "steps": count, "loss": None}
        for name, count in steps.items()
    }
    total = sum(steps[job.name] for job in left)
    if watch:
        watch(pd.DataFrame(state.values()))
    if not left:
        return logs
    on_one_machine(left)
    with closing(_side_by_side(left, min(at_once, len(left)))) as events:
        shown = progress(events, f"fine-tuning {len(left)} models", total)
        for count, (job, found) in enumerate(shown, start=1):
            step = int(found[1])
            state[job.name] |= {"step": step, "loss": float(found[3])}
            if step == steps[job.name]:
                print(f"{job.name}: {found.string}", flush=True)
            if watch and (count % max(1, total // 100) == 0 or count == total):
                watch(pd.DataFrame(state.values()))
    logs |= {job.name: read_table(job.output / "log.parquet", made_by="05") for job in left}
    return {job.name: logs[job.name] for job in jobs}


def on_one_machine(jobs: Sequence[Job]) -> None:
    """Raise `RunError` if a job is for several machines, with the commands that train all of them.

    The profile of each is left beside its model, since a training seed is not in the file that
    the user named.
    """
    many = []
    for job in jobs:
        config = yaml.safe_load(config_file(job.book).read_text(encoding="utf-8"))
        if config["num_machines"] > 1:
            paths = {"PROFILE": _write_profile(job), "DATA": job.data, "OUTPUT": job.output}
            values = {key: str(path.resolve()) for key, path in paths.items()}
            values |= {"MODEL": job.model} if job.model else {}
            given = " ".join(f"{key}={shlex.quote(value)}" for key, value in values.items())
            root = Path(s1lib.__file__).parents[1]
            script = config_file(job.book).with_suffix(".sbatch").relative_to(root)
            many.append(f"{given} sbatch {script}")
    if many:
        raise RunError(
            f"{jobs[0].book.training.launcher} is for several machines, and a notebook runs on "
            "one. Train with these commands in the folder of the repository, then run this "
            "chapter again:\n" + "\n".join(many)
        )


def _write_profile(job: Job) -> Path:
    text = yaml.safe_dump(job.book.model_dump(mode="json"), sort_keys=False)
    return write_text(job.output.with_name(f".{job.output.name}.yaml"), text)


def _side_by_side(
    jobs: Sequence[Job], at_once: int
) -> Generator[tuple[Job, re.Match[str]], None, None]:
    """Steps of all jobs as they come, from one thread for each process."""
    threads = max(1, show.threads() // at_once) if at_once > 1 else 0
    events: SimpleQueue[tuple[Job, re.Match[str]] | Exception | None] = SimpleQueue()
    running: list[subprocess.Popen[str]] = []
    over = Event()

    def started(process: subprocess.Popen[str]) -> None:
        running.append(process)
        if over.is_set():
            _end(process)

    def run(job: Job) -> None:
        try:
            for found in _train(job, threads, started):
                events.put((job, found))
            events.put(None)
        except RunError as error:
            events.put(RunError(f"{job.name}: {error}"))
        except Exception as error:
            events.put(error)

    with ThreadPoolExecutor(at_once) as pool:
        try:
            for job in jobs:
                pool.submit(run, job)
            for _ in jobs:
                while (event := events.get()) is not None:
                    if isinstance(event, Exception):
                        raise event
                    yield event
        finally:
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                _end(process)


def _train(
    job: Job,
    threads: int = 0,
    started: Callable[[subprocess.Popen[str]], None] = lambda process: None,
    say: bool = False,
) -> Generator[re.Match[str], None, None]:
    """Run the script of one job to its end; yields the log's lines about a step."""
    profile = _write_profile(job)
    line = command(profile, job.book, job.data, job.output, job.model)
    if say:
        print(f"$ {line}", flush=True)
    tail: deque[str] = deque(maxlen=30)
    process = _start(_ACCELERATE, line, threads)
    started(process)
    try:
        yield from _steps(process, tail)
        status = process.wait()
    finally:
        _stop(process)
        profile.unlink(missing_ok=True)
    if status:
        sentences = [text for text in tail if text.startswith("RunError: ")]
        if sentences:
            raise RunError(sentences[-1].removeprefix("RunError: "))
        raise RunError("training stopped with:\n" + "\n".join(tail))


def _start(python: list[str], line: str, threads: int = 0) -> subprocess.Popen[str]:
    """The process, with a pipe to its standard input that closes when this one ends."""
    package = str(Path(s1lib.__file__).parents[1])
    path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH")) if part)
    own = {"PYTHONPATH": path, "TRANSFORMERS_VERBOSITY": "error"}
    # Snakemake sets MKL_NUM_THREADS and the like, too, and MKL obeys its own before OMP's.
    limits = {"OMP_NUM_THREADS", *(name for name in os.environ if name.endswith("_NUM_THREADS"))}
    share = dict.fromkeys(limits, str(threads)) if threads else {}
    return subprocess.Popen(
        [*python, *shlex.split(line)[2:], "--follow-parent"],
        env={**_THREADS, **os.environ, **own, **share},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _show(steps: Iterator[re.Match[str]], watch: Callable[[pd.DataFrame], None] | None) -> None:
    """A bar for all steps and some of the log's lines."""
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
    """End the script and everything it started, and close the pipes."""
    _end(process)
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
