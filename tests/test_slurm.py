"""Trainings on two nodes: a real Slurm, the real script, launched as a cell does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import test_sft
import yaml
from test_sft import book_for
from two_nodes import cluster, missing, queue, submitted

from s1lib.artifacts import RunError
from s1lib.profile import Profile
from s1lib.run.processes import FOLDER, end_all
from s1lib.training import slurm
from s1lib.training.launch import launch, launch_all, seeded

pytestmark = pytest.mark.slurm
ROOT = Path(__file__).parents[1]
samples, data, finished = test_sft.samples, test_sft.data, test_sft.finished


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which `sbatch` reaches a cluster of two nodes."""
    if name := missing():
        pytest.skip(f"no {name}: install Debian's slurm-wlm and munge")
    with cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture(autouse=True)
def here(nodes, monkeypatch) -> None:
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, nodes[name])
    monkeypatch.setattr(slurm, "ASK", 1.0)


@pytest.fixture()
def busy(nodes) -> Iterator[None]:
    """Both nodes work for somebody else, so that what is submitted waits."""
    command = ["sbatch", "--parsable", "--nodes=2", "--output=/dev/null", "--wrap", "sleep 600"]
    job = subprocess.run(command, env=nodes, capture_output=True, text=True, check=True)
    yield
    subprocess.run(["scancel", job.stdout.strip()], env=nodes, check=True)


def two_nodes(model: Path, **training: object) -> Profile:
    return book_for(model, launcher="cpu-2x1", processes=2, **training)


def cell(book: Profile, data: Path, output: Path) -> list[str]:
    """The command of another kernel, in which a cell launches a training."""
    file = output.parent / "profile.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(book.model_dump(mode="json")))
    code = (
        "from s1lib.profile import load_profile; from s1lib.training.launch import launch\n"
        f"launch(load_profile({str(file)!r}), {str(data)!r}, {str(output)!r})"
    )
    return [sys.executable, "-c", code]


def batch(folder: Path, what: str = "a", gpus: int = 0) -> slurm.Batch:
    return slurm.Batch("s1-folder", what, 2, gpus, ["--help"], folder / "log", {})


def test_a_cell_trains_on_two_nodes(finished, tiny_model_path, data, tmp_path, nodes, capsys):
    log, _ = finished
    before, shown = submitted(nodes), []
    two = launch(two_nodes(tiny_model_path), data, tmp_path / "models" / "s1", watch=shown.append)
    pd.testing.assert_series_equal(two["loss"], log["loss"], rtol=0, atol=1e-4)
    pd.testing.assert_frame_equal(shown[-1], two)
    assert len(shown) == 7  # after each step, and at the end
    said = capsys.readouterr().out
    assert "$ sbatch --nodes=2 s1lib/training/configs/train.sbatch 2 python --config_file " in said
    assert "Slurm job" in said and "s1: step 6/6 loss" in said
    assert submitted(nodes) == before + 1 and not queue(nodes)
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"s1", "tensorboard"}


def test_a_training_outlives_the_kernel_and_the_next_cell_finds_it(
    tiny_model_path, data, tmp_path, nodes
):
    """The runner ends everything that has the mark of its run folder; not the job."""
    book = two_nodes(tiny_model_path, epochs=15)
    output, before = tmp_path / "models" / "s1", submitted(nodes)
    command = cell(book, data, output)
    marked = {**os.environ, FOLDER: str(tmp_path.resolve()), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=marked, stdout=subprocess.PIPE, text=True) as kernel:
        assert kernel.stdout is not None
        assert any("RUNNING" in line for line in kernel.stdout)
        kernel.send_signal(signal.SIGKILL)
    end_all(tmp_path)
    shown: list[pd.DataFrame] = []
    log = launch(book, data, output, watch=shown.append)
    assert submitted(nodes) == before + 1
    assert log["step"].tolist() == [*range(1, 46)] == shown[-1]["step"].tolist()


def test_several_trainings_wait_in_the_queue_at_once(tiny_model_path, data, tmp_path, nodes):
    seen: set[tuple[str, ...]] = set()

    def watch(_: pd.DataFrame) -> None:
        seen.add(tuple(sorted(state for _, state, _ in queue(nodes))))

    book = two_nodes(tiny_model_path, seeds=2)
    logs = launch_all(seeded(book, data, tmp_path / "s1"), watch=watch)
    assert list(logs) == ["s1", "s1-1"] and ("PENDING", "RUNNING") in seen
    assert not logs["s1"]["loss"].equals(logs["s1-1"]["loss"])


def test_inside_an_allocation_the_training_is_a_step_of_it(
    finished, tiny_model_path, data, tmp_path, nodes
):
    before = submitted(nodes)
    command = ["salloc", "--nodes=2", "--exclusive"]
    command += cell(two_nodes(tiny_model_path), data, tmp_path / "s1")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert submitted(nodes) == before + 1  # the allocation
    log, _ = finished
    two = pd.read_parquet(tmp_path / "s1" / "log.parquet")
    pd.testing.assert_series_equal(two["loss"], log["loss"], rtol=0, atol=1e-4)


def test_what_stops_the_script_on_a_node_is_said_in_the_cell(tiny_model_path, data, tmp_path):
    with pytest.raises(RunError, match=r"^s1: row \d+ \([0-9a-f]{16}\) of s1K.parquet has \d+ tok"):
        launch(two_nodes(tiny_model_path, max_length=100), data, tmp_path / "s1")


def test_a_job_that_is_cancelled_is_an_error(tiny_model_path, data, tmp_path, nodes, busy):
    def cancel() -> None:
        while not (mine := [job for job, _, name in queue(nodes) if name.startswith("s1-")]):
            time.sleep(0.1)
        subprocess.run(["scancel", *mine], env=nodes, check=True)

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(RunError, match="stopped with:\nnothing: it was cancelled, or its nodes do"):
        launch(two_nodes(tiny_model_path), data, tmp_path / "s1")
    thread.join()


def test_whoever_stops_reading_leaves_the_job_in_the_queue(tmp_path, nodes, busy, capsys):
    ends: list = []
    lines = batch(tmp_path).lines(ends.append)
    reader = threading.Thread(target=lambda: list(lines))
    reader.start()
    while not (mine := [job for job, _, name in queue(nodes) if name == "s1-folder.a"]):
        time.sleep(0.1)
    time.sleep(2)
    ends[0]()
    reader.join()
    assert f"goes on: run this cell again to follow it, or end it with scancel {mine[0]}" in (
        capsys.readouterr().out
    )
    with pytest.raises(RunError, match=rf"Slurm job {mine[0]} trains something else into the same"):
        list(batch(tmp_path, "b").lines(ends.append))
    subprocess.run(["scancel", *mine], env=nodes, check=True)


def test_a_job_that_slurm_does_not_take_is_one_sentence(tmp_path):
    with pytest.raises(
        RunError, match=r"sbatch does not take it \(.+\): set what your cluster wants"
    ):
        list(batch(tmp_path, gpus=8).lines(lambda end: None))
