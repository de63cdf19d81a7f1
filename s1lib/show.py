"""The line at the top of every chapter that says what is running, and where."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from s1lib.profile import Profile


def show_versions(book: Profile) -> None:
    """Print versions, device, threads, profile and run folder. Imports none of the libraries."""
    here = versions()
    if commit := _commit():
        here["s1lib"] += f" ({commit})"
    print(" · ".join(f"{name} {version}" for name, version in here.items()))
    print(
        f"profile {book.name} · run folder {book.run.as_posix()} · seed {book.seed}"
        f" · device {device()} · {book.evaluation.dtype} · {threads()} threads"
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on most."""
    found = {"python": platform.python_version()}
    for name in ("torch", "transformers", "trl", "s1lib"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "from source"
    return found


def device() -> str:
    """`cuda` where torch will find a GPU, else `cpu`; told without importing torch."""
    cuda_build = not metadata.version("torch").endswith("+cpu")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    return "cuda" if cuda_build and not hidden and Path("/dev/nvidia0").exists() else "cpu"


def processor() -> str:
    """The processor by the name that its maker gave it, where the system tells it."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def threads() -> int:
    """Threads that a computation may use: `OMP_NUM_THREADS`, or all cores that this process has.

    OpenMP takes a list there, one number for each nested level; of it the first counts.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _commit() -> str:
    """Short id of the commit that the sources are at; empty outside a git clone."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
