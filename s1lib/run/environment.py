"""The environment that chapters run in, whatever the user's own says.

Programs read variables that the user has set for other work, and write to a home that a container
may not have. What could stop a chapter or change what it shows is settled here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from s1lib.show import threads


def settled(root: Path, folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """`environment` with this interpreter's programs, the `s1lib` beside the notebooks, a number
    of threads, pictures that stay in the notebook, and places that can be written."""
    before = environment.get("PYTHONPATH")
    own = folder.resolve() / ".state"
    return {
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm asks for widgets; pages want text
        **environment,
        "OMP_NUM_THREADS": str(threads()),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join([str(root), *([before] if before else [])]),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(own / "ipython"),  # no start-up files of the user's
        **_home(own / "home", environment),
    }


def _home(own: Path, environment: dict[str, str]) -> dict[str, str]:
    """Another home where the user's, or its cache, cannot be written; models are read as before."""
    home = Path(environment.get("HOME") or Path.home())
    cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    if _writable(home) and _writable(cache):
        return {}
    hub = Path(environment.get("HF_HOME") or cache / "huggingface")
    models = {"HF_HOME": str(hub)} if hub.is_dir() else {}
    return {"HOME": str(own), "XDG_CACHE_HOME": str(own / ".cache"), **models}


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
