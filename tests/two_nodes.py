"""A real Slurm of two nodes on this machine, from Debian's slurm-wlm and munge.

All of it lives in one folder, with ports and a key of its own, and ends with its `with` block.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
PATH = os.pathsep.join((os.environ["PATH"], "/usr/sbin"))
CONFIGURATION = """\
ClusterName=two
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
ReturnToService=2
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=2000
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=2000
PartitionName=all Nodes=n0,n1 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def missing() -> str:
    """The first program that is not installed; empty if all are."""
    return next((name for name in DAEMONS if not shutil.which(name, path=PATH)), "")


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons; yields the environment in which `sbatch` and the like reach them."""
    configuration = folder / "slurm.conf"
    values = {"host": socket.gethostname(), "user": getpass.getuser(), "folder": folder}
    configuration.write_text(CONFIGURATION.format(ports=_free_ports(3), **values))
    (folder / "state").mkdir()
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(configuration)}
    munge = ["munged", "--foreground", "--force", f"--key-file={folder}/key"]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    commands = [[*munge, f"--socket={folder}/munge.socket"], ["slurmctld", "-D"]]
    commands += [["slurmd", "-D", "-N", name] for name in ("n0", "n1")]
    with ExitStack() as daemons:
        for number, command in enumerate(commands):
            log = daemons.enter_context(open(folder / f"daemon-{number}.log", "wb"))
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            daemons.callback(_end, process)
            _wait(lambda: (folder / "munge.socket").exists(), folder)
        _wait(lambda: _idle(environment) == 2, folder)
        yield environment
        subprocess.run(["scancel", f"--user={values['user']}"], env=environment, check=False)
        _wait(lambda: not queue(environment), folder)


def queue(environment: dict[str, str]) -> list[list[str]]:
    """Id, state and name of the jobs that wait or run."""
    command = ["squeue", "--noheader", "--format=%i %T %j"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [line.split() for line in said.stdout.splitlines()]


def submitted(environment: dict[str, str]) -> int:
    """How many jobs there have been, over or not."""
    command = ["squeue", "--noheader", "--states=all", "--format=%i"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return len(said.stdout.split())


def _idle(environment: dict[str, str]) -> int:
    command = ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%T"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return said.stdout.split().count("idle")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(ready, folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text()[-1500:] for path in folder.glob("daemon-*.log"))
            raise TimeoutError(f"Slurm does not start:\n{logs}")
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
