"""The whole smoke book, executed once by the real runner, for every test that wants to look."""

import subprocess
from pathlib import Path

import pytest
from toybook import ROOT, command, environment


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an executed smoke book."""
    weights = ROOT / "s1lib" / "world" / "weights"
    if not (weights / "small" / "model.safetensors").is_file():
        pytest.skip("no weights are shipped yet: train them with python -m s1lib pretrain")
    run = tmp_path_factory.mktemp("book") / "smoke"
    execute("--profile", "smoke", "--run", str(run))
    return run


def execute(*arguments: str) -> None:
    """Run chapters in a process of their own; a test fails with what the runner said."""
    call = subprocess.run(
        command("run", *arguments), cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    if call.returncode:
        pytest.fail(f"the book does not run:\n{call.stdout[-4000:]}{call.stderr}", False)
