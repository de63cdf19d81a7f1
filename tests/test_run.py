"""The runner, end to end, on a book of three small chapters: real Snakemake, papermill, kernels."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from toybook import FIRST, ROOT, SECOND, THIRD, call, command, environment, make, notebook, ran

from s1lib.profile import load_profile
from s1lib.run import state
from s1lib.run.graph import read_graph
from s1lib.run.processes import FOLDER, alive

SLOW = f"import time\ntime.sleep(1)\n{FIRST}time.sleep(1)\n"
# Starts a process that leaves the kernel's session, as training processes may.
ORPHAN = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A book whose chapters have all run."""
    root = make(tmp_path_factory.mktemp("finished"))
    result = call(root, "run", "--profile", "smoke")
    assert result.returncode == 0, result.stdout + result.stderr
    assert ran(result) == ["01", "02", "03"]
    return root


@pytest.fixture
def book(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "book")


def processes_of(root):
    """Processes that were started for the run folder of a book, and still live."""
    folder, found = str((root / "results" / "smoke").resolve()), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(FOLDER) == folder and alive(process):
                found.append(process)
    return found


def orphan_of(root):
    """The process that the first chapter has put outside of its session."""
    wait_until(lambda: any("time.sleep(600)" in line(p) for p in processes_of(root)))
    return next(p for p in processes_of(root) if "time.sleep(600)" in line(p))


def line(process):
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def start(root, *arguments):
    return subprocess.Popen(
        command("run", "--profile", "smoke", *arguments),
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
    )


def wait_until(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this never happened"
        time.sleep(0.05)


def facts(root):
    return (root / "results" / "smoke" / "facts" / "03.json").read_text()


def test_a_run_publishes_notebooks_facts_and_status(finished):
    run = finished / "results" / "smoke"
    assert json.loads(facts(finished)) == {"total": 0}
    executed = json.loads((run / "notebooks" / "01_first.ipynb").read_text())
    assert [cell["execution_count"] for cell in executed["cells"][1:]] == [1, 2, 3]
    status = json.loads((run / "status" / "01.json").read_text())
    assert len(status["cells"]) == 3 and status["seconds"] > 0 and status["peak_memory_gb"] > 0
    assert status["device"] in ("cpu", "cuda") and status["versions"]["python"]
    assert processes_of(finished) == []


def test_a_chapter_gets_all_cores_though_snakemake_would_give_it_one(finished):
    for number in ("01", "02", "03"):
        status = json.loads((finished / f"results/smoke/status/{number}.json").read_text())
        assert status["threads"] == int(environment()["OMP_NUM_THREADS"]) == 2


def test_a_second_run_with_nothing_changed_runs_nothing(book):
    result = call(book, "run", "--profile", "smoke")
    assert result.returncode == 0 and ran(result) == []
    assert "all 3 chapters are up to date" in result.stdout


def test_a_change_runs_on_only_as_far_as_artifacts_change(book):
    (book / "s1lib" / "toy.py").write_text("def double(k):\n    return k + k + 1\n")
    assert ran(call(book, "run", "--profile", "smoke")) == ["01", "02"]


def test_a_parameter_reaches_its_chapter_and_counts_as_a_change(book):
    result = call(book, "run", "--profile", "smoke", "-p", "count=2000")
    assert ran(result) == ["01", "02", "03"]
    assert json.loads(facts(book)) == {"total": 3998}


def test_a_bad_parameter_is_one_line_and_runs_nothing(book):
    result = call(book, "run", "--profile", "smoke", "-p", "cuont=5")
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "no such parameter" in result.stderr


def test_prose_alone_is_published_without_running(book):
    notebook(book / "notebooks" / "02_second.ipynb", SECOND, prose="Better words.")
    assert ran(call(book, "run", "--profile", "smoke")) == []
    assert "Better words." in (book / "results/smoke/notebooks/02_second.ipynb").read_text()


def test_only_runs_one_chapter_and_from_all_that_follow(book):
    assert ran(call(book, "run", "--profile", "smoke", "--only", "02")) == ["02"]
    assert ran(call(book, "run", "--profile", "smoke", "--from", "02")) == ["02", "03"]


def test_a_run_to_a_chapter_stops_after_it_and_repeats_nothing(book):
    (book / "results" / "smoke" / "numbers.json").unlink()
    result = call(book, "run", "--profile", "smoke", "--to", "01")
    assert result.returncode == 0 and ran(result) == ["01"]
    result = call(book, "run", "--profile", "smoke", "--to", "02")
    assert result.returncode == 0 and ran(result) == []
    result = call(book, "run", "--profile", "smoke", "--from", "02", "--to", "01")
    assert result.returncode == 1 and "chapter 01 comes before chapter 02" in result.stderr


def test_a_chapter_without_its_input_says_which_command_makes_it(book):
    (book / "results" / "smoke" / "numbers.json").unlink()
    result = call(book, "run", "--profile", "smoke", "--only", "02")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "numbers.json is missing" in result.stderr and "--from 01" in result.stderr


def test_a_profile_of_snakemake_that_the_user_has_for_other_work_changes_nothing(book, tmp_path):
    for name, setting in (("cluster", "executor: slurm"), ("dry", "dry-run: true")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(setting)
        shutil.rmtree(book / "results")
        own = {"SNAKEMAKE_PROFILE": str(tmp_path / name)}
        result = call(book, "run", "--profile", "smoke", "--to", "01", **own)
        assert result.returncode == 0 and ran(result) == ["01"], result.stderr
    shutil.copytree(tmp_path / "dry", book / "profiles" / "default")
    result = call(book, "run", "--profile", "smoke", "--to", "02")
    assert result.returncode == 0 and ran(result) == ["02"], result.stderr


@pytest.mark.parametrize(
    ("value", "threads"), [("4,2", 4), (" 3 ", 3), ("", None), ("0", None), ("many", None)]
)
def test_any_number_of_threads_that_openmp_knows_is_a_number(book, value, threads):
    result = call(book, "run", "--profile", "smoke", "--only", "01", OMP_NUM_THREADS=value)
    assert result.returncode == 0, result.stderr
    status = json.loads((book / "results/smoke/status/01.json").read_text())
    assert status["threads"] == (threads or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "IPYTHONDIR"])
def test_a_home_that_cannot_be_written_is_replaced_and_models_are_found_as_before(book, variable):
    code = "import os\nfrom pathlib import Path\n(Path.home() / 'mark').write_text('')\n"
    code += "print(os.environ.get('HF_HOME'))"
    notebook(book / "notebooks" / "03_third.ipynb", code, THIRD)
    own = {variable: "/proc/nowhere", "HF_HOME": str(book / "notebooks")}
    own |= {} if variable == "HOME" else {"HOME": str(book / "home")}
    result = call(book, "run", "--profile", "smoke", **own)
    assert result.returncode == 0 and ran(result) == ["03"], result.stdout + result.stderr
    shown = (book / "results/smoke/notebooks/03_third.ipynb").read_text()
    assert f"{book}/notebooks" in shown


def test_pictures_stay_in_the_notebook_and_startup_files_out_of_it(book):
    startup = book / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "mine.py").write_text("raise SystemExit('mine')\nprint('mine')")
    draw = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    notebook(book / "notebooks" / "03_third.ipynb", draw, THIRD)
    own = {"MPLBACKEND": "agg", "IPYTHONDIR": str(book / "ipython")}
    assert ran(call(book, "run", "--profile", "smoke", **own)) == ["03"]
    shown = (book / "results/smoke/notebooks/03_third.ipynb").read_text()
    assert "image/png" in shown and "mine" not in shown


def test_whatever_else_stops_snakemake_is_said(book):
    (book / "Snakefile").write_text("this is no snakefile")
    result = call(book, "run", "--profile", "smoke", "--from", "01")
    assert result.returncode == 1
    assert "Snakemake stopped before any chapter: " in result.stderr


def test_a_time_is_expected_only_from_a_run_of_the_same_settings(book):
    """The reference trained three models where the default is one, and said 35 minutes for 13."""
    profile, chapter = load_profile("smoke", book / "results" / "smoke"), read_graph(book)[0]
    seconds = json.loads((profile.run / "status" / "01.json").read_text())["seconds"]
    same, other = (state.ingredients(chapter, profile, given) for given in ({}, {"count": 4}))
    assert state.expected(chapter, profile.run, same) == (seconds, True)
    assert state.expected(chapter, profile.run, other) is None
    (book / "s1lib" / "toy.py").write_text("def double(k):\n    return k + k\n")
    edited = state.ingredients(chapter, profile, {})
    assert edited != same and state.expected(chapter, profile.run, edited) == (seconds, True)
    assert all(
        state.expected(c, ROOT / "results" / "laptop", same) is None for c in read_graph(ROOT)
    )


def test_a_time_of_another_machine_is_not_taken_for_one_of_this(book):
    """A clone brings the reference run's times, which were shown as if they were this machine's."""
    profile, chapter = load_profile("smoke", book / "results" / "smoke"), read_graph(book)[0]
    file = profile.run / "status" / "01.json"
    status = json.loads(file.read_text()) | {"processor": "another", "seconds": 600}
    file.write_text(json.dumps(status))
    made_from = state.ingredients(chapter, profile, {})
    assert state.expected(chapter, profile.run, made_from) == (600, False)


def test_a_run_folder_that_cannot_be_used_is_one_line(book):
    (book / "file").touch()
    result = call(book, "run", "--profile", "smoke", "--run", "file")
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "file/.state cannot be used (Not a directory)" in result.stderr


def test_an_executed_notebook_that_was_changed_is_named_with_its_remedy(book):
    executed = book / "results" / "smoke" / "notebooks" / "02_second.ipynb"
    for text, remedy in ("{half", "delete it and run again"), ('{"cells": []}', "move it away"):
        executed.write_text(text)
        result = call(book, "run", "--profile", "smoke")
        assert result.returncode == 1 and result.stderr.count("\n") == 1
        assert "02_second.ipynb" in result.stderr and remedy in result.stderr


def test_a_failure_stops_the_run_with_the_cell_and_the_traceback(book):
    old = (book / "results" / "smoke" / "notebooks" / "02_second.ipynb").read_text()
    notebook(book / "notebooks" / "02_second.ipynb", "1 / 0")
    notebook(book / "notebooks" / "03_third.ipynb", THIRD + "\n1")
    result = call(book, "run", "--profile", "smoke")
    assert result.returncode == 1 and ran(result) == []
    assert "failed in cell 3 of 3" in result.stdout and "ZeroDivisionError" in result.stdout
    run = book / "results" / "smoke"
    assert (run / "notebooks" / "02_second.ipynb").read_text() == old
    assert "ZeroDivisionError" in (run / "notebooks" / "02_second.failed.ipynb").read_text()
    notebook(book / "notebooks" / "02_second.ipynb", SECOND)
    assert ran(call(book, "run", "--profile", "smoke")) == ["02", "03"]
    assert not (run / "notebooks" / "02_second.failed.ipynb").exists()


def test_a_notebook_that_comes_during_a_run_takes_no_part_in_it(book):
    """Each job read the folder again, and stopped at a notebook that the table does not list."""
    add = "import shutil\nshutil.copy('notebooks/03_third.ipynb', 'notebooks/04_new.ipynb')"
    kept = "count = None  # int, numbers"
    notebook(book / "notebooks" / "01_first.ipynb", add, FIRST, parameters=kept)
    result = call(book, "run", "--profile", "smoke", "--from", "01")
    assert result.returncode == 0 and ran(result) == ["01", "02", "03"], result.stdout
    result = call(book, "run", "--profile", "smoke")
    assert result.returncode == 1 and "does not list 04_new" in result.stderr


def test_the_death_of_a_kernel_is_a_failure_with_a_reason(book):
    notebook(book / "notebooks" / "03_third.ipynb", "import os, signal\nos.kill(os.getpid(), 9)")
    result = call(book, "run", "--profile", "smoke")
    assert result.returncode == 1 and "The kernel died" in result.stdout


def test_a_chapter_that_is_killed_from_outside_says_so(book):
    notebook(book / "notebooks" / "03_third.ipynb", "import os\nos.kill(os.getppid(), 9)")
    result = call(book, "run", "--profile", "smoke")
    assert result.returncode == 1 and "Chapter 03 was killed by signal 9." in result.stdout


def test_status_says_what_is_stale_and_why(book):
    assert call(book, "status", "--profile", "smoke").stdout.count("up to date") == 3
    (book / "results" / "smoke" / "numbers.json").write_text("[0]")
    lines = call(book, "status", "--profile", "smoke").stdout.splitlines()
    assert "changed by hand: numbers.json" in lines[2]
    assert "numbers.json changed" in lines[3] and "depends on 02" in lines[4]


def test_a_second_runner_is_refused_and_the_first_goes_on(tmp_path):
    root = make(tmp_path)
    notebook(root / "notebooks" / "01_first.ipynb", SLOW, parameters="count = None  # int")
    first = start(root)
    wait_until(lambda: processes_of(root))
    second = call(root, "run", "--profile", "smoke")
    assert second.returncode == 1 and second.stdout == ""
    assert f"in use by process {first.pid}" in second.stderr
    assert first.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_everything_that_it_started(tmp_path, number):
    root = make(tmp_path)
    notebook(root / "notebooks" / "01_first.ipynb", f"{ORPHAN}\ntime.sleep(600)")
    runner = start(root)
    orphan = orphan_of(root)
    runner.send_signal(number)
    assert runner.wait() == 128 + number
    assert processes_of(root) == [] and not alive(orphan)


def test_a_killed_run_leaves_nothing_that_goes_on(tmp_path):
    root = make(tmp_path)
    notebook(root / "notebooks" / "01_first.ipynb", f"{ORPHAN}\ntime.sleep(600)")
    runner = start(root)
    orphan = orphan_of(root)
    runner.kill()
    wait_until(lambda: not processes_of(root))  # they notice by themselves
    assert not alive(orphan)


def test_what_nobody_noticed_is_ended_by_the_next_run(tmp_path):
    root = make(tmp_path)
    notebook(root / "notebooks" / "01_first.ipynb", f"{ORPHAN}\ntime.sleep(600)")
    runner = start(root)
    orphan = orphan_of(root)
    runner.send_signal(signal.SIGSTOP)
    others = [process for process in processes_of(root) if process != orphan]
    for process in others:
        process.suspend()  # so that none reacts to the death of another
    for process in (*others, runner):
        process.kill()
    wait_until(lambda: processes_of(root) == [orphan])
    notebook(root / "notebooks" / "01_first.ipynb", FIRST, parameters="count = None  # int")
    assert ran(call(root, "run", "--profile", "smoke")) == ["01", "02", "03"]
    assert not alive(orphan)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A book whose chapters take their time, run without a disturbance, and for how long it ran."""
    root = make(tmp_path_factory.mktemp("calm"))
    for name, code in ("01_first", FIRST), ("02_second", SECOND), ("03_third", THIRD):
        slow = f"import time\ntime.sleep(0.5)\n{code}\ntime.sleep(0.5)"
        notebook(root / "notebooks" / f"{name}.ipynb", slow, parameters="count = 2000  # int")
    began = time.monotonic()
    assert call(root, "run", "--profile", "smoke").returncode == 0
    return root, time.monotonic() - began


@pytest.mark.parametrize("how, share", [((), 0.4), (("--from", "01"), 1.0)], ids=["", "from"])
def test_killed_at_five_random_moments_the_run_ends_in_the_same_facts(calm, tmp_path, how, share):
    """With `--from` all begins anew after a kill, so that kills fall into every chapter."""
    undisturbed, seconds = calm
    root = shutil.copytree(undisturbed, tmp_path / "killed", ignore=shutil.ignore_patterns("smoke"))
    rng = random.Random(0)
    moments = [share * seconds * (fifth + rng.random()) / 5 for fifth in range(5)]
    while moments:
        runner = start(root, *how)
        try:
            assert runner.wait(timeout=moments[0]) == 0  # done before it could be killed
        except subprocess.TimeoutExpired:
            runner.kill()
            runner.wait()  # a signal is not yet a death
            moments.pop(0)
        else:
            moments[0] /= 2
    result = call(root, "run", "--profile", "smoke")
    assert result.returncode == 0, result.stdout + result.stderr
    assert facts(root) == facts(undisturbed) and json.loads(facts(root)) == {"total": 3998}
    assert processes_of(root) == []
    run = root / "results" / "smoke"
    left = [p for p in run.rglob(".*") if p.is_file() and ".state" not in p.parts]
    assert left == []
    assert call(root, "run", "--profile", "smoke").stdout.count("up to date") == 1


def test_a_chapter_killed_while_it_was_made_again_is_made_again(book):
    notebook(book / "notebooks" / "02_second.ipynb", f"import time\n{SECOND}\ntime.sleep(600)")
    record = book / "results" / "smoke" / ".state" / "02.json"
    runner = start(book)
    wait_until(lambda: not record.exists())
    runner.kill()
    runner.wait()
    notebook(book / "notebooks" / "02_second.ipynb", SECOND)
    assert ran(call(book, "run", "--profile", "smoke")) == ["02"]


def test_a_chapter_that_does_not_write_what_it_should_has_failed(book):
    (book / "results" / "smoke" / "folder" / "sum.json").unlink()
    (book / "results" / "smoke" / "folder").rmdir()
    notebook(book / "notebooks" / "02_second.ipynb", "1 + 1")
    result = call(book, "run", "--profile", "smoke")
    assert result.returncode == 1 and ran(result) == []
    assert "has not written folder/" in result.stdout
