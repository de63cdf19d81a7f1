"""Set-up: one set of pins, everything shipped, and one clear line when something is missing."""

import os
import re
import shutil
import subprocess
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from toybook import ROOT, call

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DECLARED = PROJECT["project"]["dependencies"] + [
    line for extra in ("book", "dev") for line in PROJECT["project"]["optional-dependencies"][extra]
]
LOCK = (ROOT / "requirements.lock").read_text()
PINS = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", LOCK, re.MULTILINE))


def needed():
    """Names of all packages that the declared ones need here, themselves among them."""
    waiting, seen = [Requirement(line) for line in DECLARED], set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), *sorted(requirement.extras))
        if key not in seen:
            seen.add(key)
            extras = requirement.extras or {""}
            for line in metadata.requires(requirement.name) or []:
                deeper = Requirement(line)
                marker = deeper.marker
                if not marker or any(marker.evaluate({"extra": extra}) for extra in extras):
                    waiting.append(deeper)
    return {name for name, *_ in seen}


def test_every_line_of_the_lock_is_an_exact_pin_or_an_option():
    lines = [line for line in LOCK.splitlines() if not line.startswith(("#", "--"))]
    assert len(lines) == len(PINS) and sorted(PINS) == list(PINS)


def test_the_lock_fulfils_what_the_project_declares():
    for requirement in map(Requirement, DECLARED):
        assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_the_lock_holds_everything_that_is_needed_and_nothing_else():
    from_torch_for_cuda = re.compile(r"nvidia-|triton|cuda-")
    names = {name for name in needed() if not from_torch_for_cuda.match(name)}
    assert names - PINS.keys() == set()
    assert PINS.keys() - names - {"setuptools", "wheel"} == set()


def test_what_is_installed_is_what_the_lock_says():
    def public(name):  # the CPU and the CUDA build of torch are both 2.13.0
        return metadata.version(name).split("+")[0]

    assert {name: public(name) for name in PINS} == PINS


def test_conda_reads_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, from_pip = environment["dependencies"]
    assert from_pip["pip"] == ["-r requirements.lock", "-e ."] and pip == "pip"
    allowed = Requirement(f"python{PROJECT['project']['requires-python']}").specifier
    assert allowed.contains(python.removeprefix("python=") + ".0")


def test_no_file_of_the_set_up_names_a_package_index():
    for name in ("pyproject.toml", "requirements.lock", "environment.yml", "Makefile", ".ci/run"):
        assert not re.search(r"https?://|--(extra-)?index-url", (ROOT / name).read_text()), name


def test_every_file_of_the_package_is_shipped():
    tracked = subprocess.run(
        ["git", "ls-files", "s1lib"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["s1lib"]
    endings = {".py", *(pattern.removeprefix("**/*") for pattern in patterns)}
    assert [name for name in tracked if not name.endswith(tuple(endings))] == []


def test_make_help_names_every_command():
    text = (ROOT / "Makefile").read_text()
    out = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True).stdout
    for target in re.findall(r"^([a-z]+):", text, re.MULTILINE):
        assert target == "environment" or f"make {target} " in out


@pytest.fixture
def clone(tmp_path):
    """A clone without an environment, and a PATH without Python."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("make", "sh", "cat", "cmp", "df", "awk", "grep", "rm", "test"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def make(folder, *arguments, path):
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "setup", *arguments],
        cwd=folder,
        env={**outside, "PATH": str(path)},
        capture_output=True,
        text=True,
    )


def test_without_a_python_that_will_do_set_up_says_so_in_one_line(clone):
    result = make(clone, path=clone / "bin")
    assert result.returncode
    assert result.stdout == (
        "make: Python 3.11, 3.12 or 3.13 is needed: install one, or name it with"
        " PYTHON=/path/to/python\n"
    )


def test_without_room_on_the_disk_set_up_says_so_in_one_line(clone):
    result = make(clone, "DISK_GB=9999999", path=os.environ["PATH"])
    assert result.returncode
    assert re.fullmatch(r"make: 9999999 GB of free disk are needed here, .*\n", result.stdout)


def test_the_command_helps_without_loading_anything_heavy():
    result = call(ROOT, "--help")
    assert result.returncode == 0
    for name in ("run", "status", "site", "ask", "pretrain"):
        assert f"\n    {name} " in result.stdout


def test_an_error_for_the_user_is_one_line_and_no_traceback():
    result = call(ROOT, "run", "--profile", "huge")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("s1lib: no profile 'huge'") and result.stderr.count("\n") == 1


def test_another_python_than_the_environments_is_told_to_activate_it():
    """It once ended in a traceback about pydantic."""
    import sys

    command = [sys.executable, "-S", "-m", "s1lib", "run"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 1 and found.stderr.count("\n") == 1
    assert "source .venv/bin/activate" in found.stderr
