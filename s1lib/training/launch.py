"""Start the training script with `accelerate launch` from a notebook and follow its log.

What is for several machines goes to Slurm (`slurm.py`); all else runs here and ends with the cell.

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
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import s1lib
from s1lib.artifacts import RunError, fingerprint, read_json, read_table, write_text
from s1lib.profile import Profile
from s1lib.progress import progress
from s1lib.show import threads
from s1lib.streams import Stream, read
from s1lib.training import slurm
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

    @property
    def name(self) -> str:
        return self.output.name

    @property
    def identity(self) -> dict[str, Any]:
        return identity(self.book, self.data)

    @property
    def command(self) -> list[str]:
        """What follows `accelerate launch`; `launch` writes the profile beside the output."""
        parts = ["--config_file", os.path.relpath(config_file(self.book))]
        parts += ["-m", "s1lib.training.sft", "--profile", str(self.beside("yaml"))]
        return [*parts, "--data", str(self.data), "--output", str(self.output)]

    def beside(self, suffix: str) -> Path:
        """A hidden file of this training, gone when the model is there."""
        return self.output.with_name(f".{self.name}.{suffix}")

    def finished(self) -> pd.DataFrame | None:
        """The log of the model that is there, if it was made from just this."""
        log = self.output / "log.parquet"
        if not (log.is_file() and self.data.is_file()):
            return None
        known = read_json(self.output / "job.json")
        return read_table(log) if known == known | self.identity else None


def seeded(book: Profile, data: str | Path, output: str | Path) -> list[Job]:
    """One job for each training seed of the profile: `output`, `output-1`, `output-2`, ...

    A training seed is the order in which the samples come; base model and data are the same.
    """
    output = Path(output)
    return [
        Job(book.model_copy(update={"seed": book.seed + seed}), Path(data), output.with_name(name))
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


def launch(
    book: Profile,
    data: str | Path,
    output: str | Path,
    watch: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Fine-tune on `data` (Parquet with a column `text`) and write the model to `output`.

    As `launch_all` with one job; `watch` gets the losses so far (step, loss) now and then, and all
    of them at the end. Returns the log: step, epoch, loss, learning_rate, grad_norm (one row per
    optimizer step).
    """
    job = Job(book, Path(data), Path(output))
    losses: list[tuple[int, float]] = []

    def curve(table: pd.DataFrame) -> None:
        row = table.iloc[0]
        if watch and pd.notna(row["loss"]):
            losses.append((row["step"], row["loss"]))
            watch(pd.DataFrame(losses, columns=["step", "loss"]))

    log = launch_all([job], watch=curve)[job.name]
    if watch:
        watch(log)
    return log


def launch_all(
    jobs: Sequence[Job],
    at_once: int = 1,
    watch: Callable[[pd.DataFrame], None] | None = None,
) -> dict[str, pd.DataFrame]:
    """Fine-tune one model for each job, `at_once` side by side, the largest first.

    A model that is there already, made from the same data, recipe, seed and base model, is left
    as it is, and a run that was killed goes on from its last checkpoint. Shows one bar for the
    steps of all jobs and some lines of their logs; `watch` gets a table (model, step, steps, loss)
    now and then. Returns each job's log by the name of its output folder. Raises `RunError` naming
    the job that failed, with the script's own sentence or its last lines, and ends the others.

    A configuration of several machines is trained by Slurm, all jobs queued at once; whatever ends
    this call leaves them there, and the next one follows them. Without Slurm, the error holds the
    commands that train them elsewhere.
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
        print(f"{name} is there, trained from just this: delete it to train again", flush=True)
    left = sorted((j for j in jobs if j.name not in logs), key=lambda j: -work[j.name])
    state: dict[str, dict[str, Any]] = {
        name: {"model": name, "step": count if name in logs else 0, "steps": count, "loss": None}
        for name, count in steps.items()
    }
    if watch:
        watch(pd.DataFrame(state.values()))
    if not left:
        return {job.name: logs[job.name] for job in jobs}
    check_machines(left)
    from s1lib.decoding import give_back

    give_back()  # a decoder of this notebook may hold the GPU
    total = sum(steps[job.name] for job in left)
    lines = max(1, _LINES // len(left))
    with closing(_side_by_side(left, at_once)) as found:
        shown = progress(found, "fine-tuning", total)
        for count, (job, line) in enumerate(shown, start=1):
            step, last = int(line[1]), steps[job.name]
            state[job.name] |= {"step": step, "loss": float(line[3])}
            if step == last or step % -(-last // lines) == 0:
                print(f"{job.name}: {line.string}", flush=True)
            if watch and (step == last or count % max(1, total // 100) == 0):
                watch(pd.DataFrame(state.values()))
    logs |= {job.name: read_table(job.output / "log.parquet", made_by="05") for job in left}
    return {job.name: logs[job.name] for job in jobs}


def machines(book: Profile) -> int:
    """How many machines the profile's configuration is for."""
    return int(yaml.safe_load(config_file(book).read_text(encoding="utf-8"))["num_machines"])


def check_machines(jobs: Sequence[Job]) -> None:
    """Raise `RunError` if a job is for several machines and Slurm is not at hand.

    The error holds the commands that train all of these; the profile of each is left beside its
    model, since a training seed is not in the file that the user named.
    """
    away = [job for job in jobs if (n := machines(job.book)) > 1 and not slurm.at_hand(n)]
    if not away:
        return
    for job in away:
        _write_profile(job)
    commands = "\n".join(shlex.join(_batch(job).command()) for job in away)
    raise RunError(
        f"{away[0].book.training.launcher} is for several machines, and here is no sbatch: train "
        f"with these commands where there is one, in {Path.cwd()}, and run this again\n{commands}"
    )


def _write_profile(job: Job) -> None:
    text = yaml.safe_dump(job.book.model_dump(mode="json"), sort_keys=False)
    write_text(job.beside("yaml"), text)


def _batch(job: Job) -> slurm.Batch:
    nodes, recipe = machines(job.book), job.book.training
    return slurm.Batch(
        place=f"{job.name}-{fingerprint(str(job.output.resolve()))}",
        what=fingerprint(job.identity),
        nodes=nodes,
        gpus=recipe.processes // nodes if recipe.launcher.startswith("gpu") else 0,
        launch=job.command,
        log=job.beside("log"),
        variables=_environment(),
    )


def _side_by_side(
    jobs: Sequence[Job], at_once: int
) -> Generator[tuple[Job, re.Match[str]], None, None]:
    """The log's lines about a step, of all jobs as they come.

    Processes on this machine share its cores. Slurm gets all jobs and settles their order; what
    runs inside an allocation has it to itself.
    """
    if (nodes := machines(jobs[0].book)) > 1:
        return read([partial(_train, job, 0) for job in jobs], 1 if slurm.held() >= nodes else 0)
    at_once = min(at_once, len(jobs))
    share = max(1, threads() // at_once) if at_once > 1 else 0
    return read([partial(_train, job, share) for job in jobs], at_once)


def _train(job: Job, cores: int, stream: Stream[tuple[Job, re.Match[str]]]) -> None:
    """Train one model to the end; pushes the log's lines about a step.

    Raises `RunError` with the script's own sentence, or with its last lines.
    """
    _write_profile(job)
    if machines(job.book) > 1:
        lines = _batch(job).lines(stream.on_close)
    else:
        lines = _lines(job, cores, stream)
    sentences: list[str] = []
    tail: deque[str] = deque(maxlen=30)
    for line in lines:
        if found := _STEP.match(line.rstrip()):
            stream.push((job, found))
        elif line.startswith("RunError: "):
            sentences.append(line.strip().removeprefix("RunError: "))
        elif line.strip() and "it/s]" not in line:  # bars of libraries
            tail.append(line.rstrip())
    if job.finished() is None:
        reason = "\n".join(sentences[:1] or ["training stopped with:", *tail])
        raise RunError(f"{job.name}: {reason}")
    for file in (job.beside("yaml"), job.beside("log")):
        file.unlink(missing_ok=True)


def _lines(job: Job, cores: int, stream: Stream[Any]) -> Iterator[str]:
    """The log of a process on this machine, which ends when the stream is closed."""
    print(f"$ {shlex.join(['accelerate', 'launch', *job.command])}", flush=True)
    with _start([*_ACCELERATE, *job.command, "--follow-parent"], cores) as process:
        stream.on_close(partial(_end, process))
        try:
            assert process.stdout is not None
            yield from process.stdout
            process.wait()
        finally:
            _end(process)
            job.beside("yaml").unlink(missing_ok=True)


def _start(command: list[str], cores: int = 0) -> subprocess.Popen[str]:
    """The process, with a pipe to its standard input that closes when this one ends."""
    # Snakemake sets MKL_NUM_THREADS and the like, too, and MKL obeys its own before OMP's.
    limits = {"OMP_NUM_THREADS", *(name for name in os.environ if name.endswith("_NUM_THREADS"))}
    share = dict.fromkeys(limits, str(cores)) if cores else {}
    return subprocess.Popen(
        command,
        env={**os.environ, **_environment(), **share},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """Variables of a training: this package, few words, and threads that wait as they should."""
    package = str(Path(s1lib.__file__).parents[1])
    path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH")) if part)
    waiting = {name: os.environ.get(name, value) for name, value in _THREADS.items()}
    return {"PYTHONPATH": path, "TRANSFORMERS_VERBOSITY": "error", **waiting}


def _end(process: subprocess.Popen[str]) -> None:
    """End the script and everything it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
