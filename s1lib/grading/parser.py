"""The guarded process in which text of models meets a parser, and how it is asked.

Covered: the child has no secrets in its environment, limits on memory, processor time and file
size, sees LaTeX only, and is killed after a few seconds, which makes the verdict `undecided`.
Not covered: it may read files and open sockets like any process of this user.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

SECONDS = 5.0  # for one comparison
_MEMORY = 4 << 30  # bytes of address space; the parser alone maps about one gigabyte
_PACKAGE = Path(__file__).parents[2]
_CHILD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from s1lib.grading import parser; parser.serve()"
)


class Parser:
    """`s1lib.grading.algebra` in one child process, started at need and again after its end."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def compare(self, found: str, answer: str) -> Literal["correct", "wrong", "undecided"]:
        """Whether two answers of a few hundred characters are the same mathematics."""
        with self._lock:
            child = self._running()
            try:
                assert child.stdin and child.stdout
                child.stdin.write(json.dumps([found, answer]) + "\n")
                child.stdin.flush()
                if select.select([child.stdout], [], [], SECONDS)[0]:
                    reply = child.stdout.readline().strip()
                    if reply in ("correct", "wrong", "undecided"):
                        return reply  # type: ignore[return-value]
            except OSError:
                pass
            self.stop()
            return "undecided"

    def _running(self) -> subprocess.Popen[str]:
        if self.child is None or self.child.poll() is not None:
            self.child = subprocess.Popen(
                [sys.executable, "-I", "-c", _CHILD, str(_PACKAGE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={"PATH": os.environ.get("PATH", "")},
                start_new_session=True,
            )
            assert self.child.stdout
            self.child.stdout.readline()  # it has imported the parser
        return self.child

    def stop(self) -> None:
        if self.child is not None:
            with contextlib.suppress(OSError), self.child:  # what a dead child has not read
                self.child.kill()
            self.child = None


parser = Parser()
atexit.register(parser.stop)


def serve() -> None:
    """The child: reads pairs of answers as JSON lines, writes verdicts."""
    limits = {resource.RLIMIT_AS: _MEMORY, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    for kind, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):  # not every system knows every limit
            resource.setrlimit(kind, (limit, limit))
    from s1lib.grading.algebra import same

    print("ready", flush=True)
    for line in sys.stdin:
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        limit = used + int(SECONDS) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        try:
            equal = same(*json.loads(line))
        except Exception:  # sympy raises whatever comes, also for want of memory or stack
            equal = None
        print({True: "correct", False: "wrong", None: "undecided"}[equal], flush=True)
