"""The book while it is being made: a site as soon as there is a result to look at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FIRST_RESULT = "06"  # the chapter that measures Figure 1


def build_site(profile: str, run: Path) -> int:
    """`python -m s1lib site`, which says in one line where the book is; returns its exit code.

    In a process of its own: the site's libraries are many, and its failure is not the run's.
    """
    command = [sys.executable, "-m", "s1lib", "site", "--profile", profile, "--run", str(run)]
    return subprocess.run(command, env={**os.environ, "MPLBACKEND": "agg"}).returncode
