"""The whole smoke book, executed once by the real runner, for every test that wants to look."""

import os
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock
from toybook import ROOT, command, environment

# With `-n 2 --dist loadfile` one process begins the smoke book while the other does what needs
# none; what takes long with it comes last, the longest first.
LAST = ("test_pages", "test_exercises", "test_notebooks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {"test_data_ablations": -1, **{stem: i for i, stem in enumerate(LAST, 1)}}
    items.sort(key=lambda item: places.get(item.path.stem, 0))


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an executed smoke book, one for all processes that run tests."""
    weights = ROOT / "s1lib" / "world" / "weights"
    if not (weights / "small" / "model.safetensors").is_file():
        pytest.skip("no weights are shipped yet: train them with python -m s1lib pretrain")
    own = tmp_path_factory.getbasetemp()
    home = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    run, done = home / "book" / "smoke", home / "book.done"
    with FileLock(home / "book.lock"):
        if not done.exists():
            execute("--profile", "smoke", "--run", str(run))
            done.touch()
    return run


def execute(*arguments: str) -> None:
    """Run chapters in a process of their own; a test fails with what the runner said."""
    alone = environment() | {"OMP_NUM_THREADS": "1"}  # other tests may want the other core
    call = subprocess.run(
        command("run", *arguments), cwd=ROOT, env=alone, capture_output=True, text=True
    )
    if call.returncode:
        pytest.fail(f"the book does not run:\n{call.stdout[-4000:]}{call.stderr}", False)
