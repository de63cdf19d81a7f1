"""A training on several machines: a job of Slurm, started from a cell and followed there.

The job outlives the cell and its kernel, and only the queue remembers it: its name says which
folder it writes and what it is made from, so that whoever launches the same training again finds
it. Inside an allocation that is large enough it is a step of that allocation.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from s1lib.artifacts import RunError

SCRIPT = Path(__file__).parent / "configs" / "train.sbatch"
LOOK = 1.0  # seconds between looks at a log
ASK = 10.0  # seconds between questions to the queue, asked only while the log is silent


def held() -> int:
    """Nodes of the allocation in which this process runs; 0 outside one."""
    return int(os.environ.get("SLURM_JOB_NUM_NODES", 0))


def at_hand(nodes: int) -> bool:
    """Whether a training on so many nodes can be started from here."""
    return held() >= nodes or shutil.which("sbatch") is not None


def size() -> int:
    """Nodes that the queue knows; 0 where no Slurm answers."""
    command = ["sinfo", "--noheader", "--format=%D"]
    with suppress(OSError):
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return sum(int(line) for line in said.split() if line.isdecimal())
    return 0


@dataclass(frozen=True)
class Batch:
    """One training. `place` stands for the folder that it writes, `what` for all it is made from.

    `launch` is what follows `accelerate launch`, and `variables` are set in the environment.
    """

    place: str
    what: str
    nodes: int
    gpus: int  # of each node
    launch: Sequence[str]
    log: Path
    variables: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.place}.{self.what}"

    def command(self, python: str = "python") -> list[str]:
        """What one would type where Slurm is."""
        gpus = [f"--gpus-per-node={self.gpus}"] if self.gpus else []
        script = [os.path.relpath(SCRIPT), str(self.nodes), python, *self.launch]
        return ["sbatch", f"--nodes={self.nodes}", *gpus, *script]

    def lines(self, on_close: Callable[[Callable[[], object]], None]) -> Iterator[str]:
        """The log as it grows, until the job is over; starts the job unless it is in the queue.

        `on_close` takes a function that ends this iterator, though not the job. Raises `RunError`
        if Slurm does not take the job, or if another one writes the same folder.
        """
        stop = Event()
        on_close(stop.set)
        client = None if self._queued() else self._start()
        state, asked, place, over = "", float("-inf"), 0, False
        while not stop.wait(LOOK if place or state else 0):
            if new := self._new(place, over):
                place += len(new)
                yield from new.decode(errors="replace").splitlines()
            elif over:
                break
            elif time.monotonic() > asked + ASK:
                asked, before = time.monotonic(), state
                with suppress(RunError):  # a queue that does not answer does not end a job
                    state = self._queued()
                    over = not state and (client is None or client.poll() is not None)
                if state not in ("", before):
                    print(f"{self.place}: Slurm job {state}", flush=True)
        if not over:
            job = state.partition(" ")[0]
            print(
                f"{self.place}: Slurm job {job} goes on: run this cell again to follow it, or end "
                f"it with scancel {job}",
                flush=True,
            )
        elif not place:
            yield f"nothing: it was cancelled, or its nodes do not see {self.log.parent}"

    def _queued(self) -> str:
        """Id and state of this training where it waits or runs; empty if it does not."""
        for job, state, name in _queue():
            place, _, what = name.rpartition(".")
            if place == self.place and what != self.what:
                raise RunError(
                    f"Slurm job {job} trains something else into the same folder ({place}): wait "
                    f"until it is over, or end it with scancel {job}, and run this again"
                )
            if name == self.name:
                return f"{job} {state}"
        return ""

    def _start(self) -> subprocess.Popen[bytes] | None:
        """Submit the job; inside an allocation, start the step and return its client."""
        inside = held() >= self.nodes
        environment = {**_environment(inside), **self.variables}
        self.log.unlink(missing_ok=True)
        sbatch, *rest = self.command(sys.executable)
        print(f"$ {shlex.join(self.command())}", flush=True)
        if inside:
            script = ["bash", *rest[rest.index(os.path.relpath(SCRIPT)) :]]
            environment["SLURM_JOB_NAME"] = self.name  # of the step, as the script has it
            with open(self.log, "wb") as log:
                return subprocess.Popen(
                    script,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        own = ["--parsable", f"--job-name={self.name}", f"--output={self.log}"]
        said = subprocess.run(
            [sbatch, *own, *rest], env=environment, capture_output=True, text=True, check=False
        )
        if said.returncode:
            reason = said.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise RunError(
                f"sbatch does not take it ({reason[0]}): set what your cluster wants in "
                f"SBATCH_PARTITION and the like, or in {os.path.relpath(SCRIPT)}"
            )
        return None

    def _new(self, place: int, over: bool) -> bytes:
        """The lines of the log after its first `place` bytes; a last one that is cut, if `over`."""
        with suppress(FileNotFoundError), open(self.log, "rb") as log:
            log.seek(place)
            new = log.read()
            return new if over else new[: new.rfind(b"\n") + 1]
        return b""


def _queue() -> list[list[str]]:
    """Id, state and name of this user's jobs, then of the steps of these."""
    found = []
    for part in (["--format=%i|%T (%r)|%j"], ["--steps", "--format=%i|RUNNING|%j"]):
        command = ["squeue", "--noheader", f"--user={getpass.getuser()}", *part]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode:
            raise RunError(f"squeue does not answer ({said.stderr.strip()}): try again later")
        lines = said.stdout.replace(" (None)", "").splitlines()
        found += [line.split("|", 2) for line in lines]
    return found


def _environment(inside: bool) -> dict[str, str]:
    """What a job gets: no marks of the runner, which ends all processes that have them, and no
    trace of the allocation that this process may run in, unless the job is to run there."""
    foreign = ("S1LIB_",) if inside else ("S1LIB_", "SLURM_")
    return {k: v for k, v in os.environ.items() if k == "SLURM_CONF" or not k.startswith(foreign)}
