"""Artifacts: whole or not at all, and clear words when one is missing or broken."""

import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from s1lib.artifacts import (
    RunError,
    atomic,
    digest,
    read_facts,
    read_json,
    read_table,
    replace_folder,
    write_json,
    write_table,
    write_text,
)

TABLE = pd.DataFrame({"id": ["a", "b"], "tokens": [1, 2]})
# Replaces a file by a large one, again and again, and says when it has begun.
WRITER = """
import sys
from s1lib.artifacts import write_json
print("writing", flush=True)
while True:
    write_json(sys.argv[1], list(range(300_000)))
"""
HALF = """
import sys, time
from s1lib.artifacts import atomic
with atomic(sys.argv[1]) as path:
    path.write_text("half a file")
    print("half", flush=True)
    time.sleep(600)
"""


def writer(code, path):
    process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


@pytest.mark.parametrize("value", [{"b": 1, "a": [None, "é"]}, [], "text", 1.5])
def test_json_comes_back_as_it_was(tmp_path, value):
    assert read_json(write_json(tmp_path / "new" / "value.json", value)) == value


def test_a_table_comes_back_as_it_was(tmp_path):
    pd.testing.assert_frame_equal(read_table(write_table(tmp_path / "t.parquet", TABLE)), TABLE)


def test_facts_live_under_the_number_of_their_chapter(tmp_path):
    write_json(tmp_path / "facts" / "03.json", {"kept": 7})
    assert read_facts(tmp_path, "03") == {"kept": 7}


def test_equal_values_are_equal_bytes(tmp_path):
    one = write_json(tmp_path / "one.json", {"a": 1, "b": 2})
    two = write_json(tmp_path / "two.json", {"b": 2, "a": 1})
    assert one.read_bytes() == two.read_bytes()
    one = write_table(tmp_path / "one.parquet", TABLE)
    two = write_table(tmp_path / "two.parquet", TABLE.copy())
    assert one.read_bytes() == two.read_bytes()


def test_a_number_that_is_none_is_refused_and_the_old_file_stays(tmp_path):
    path = write_json(tmp_path / "value.json", 1)
    with pytest.raises(ValueError):
        write_json(path, float("nan"))
    assert read_json(path) == 1


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_text(tmp_path / "page.md", "old")
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("new")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_killed_in_the_middle_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / "value.txt", "old")
    process = writer(HALF, path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.read_text() == "old"


def test_a_file_is_whole_at_whatever_moment_its_writer_is_killed(tmp_path):
    path = write_json(tmp_path / "value.json", [])
    for wait in np.random.default_rng(0).uniform(0, 0.5, size=4):
        process = writer(WRITER, path)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(read_json(path)) in (0, 300_000)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(RunError, match=r"hard\.parquet is missing.*run --from 03"):
        read_table(tmp_path / "hard.parquet", made_by="03")
    with pytest.raises(RunError, match=r"02\.json is missing.*run --from 02"):
        read_facts(tmp_path, "02")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a table at all"])
def test_a_corrupt_table_names_the_command_that_makes_it(tmp_path, content):
    (tmp_path / "hard.parquet").write_bytes(content)
    with pytest.raises(RunError, match=r"hard\.parquet cannot be read.*run --from 03") as raised:
        read_table(tmp_path / "hard.parquet", made_by="03")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00"])
def test_corrupt_json_names_the_command_that_makes_it(tmp_path, content):
    (tmp_path / "01.json").write_bytes(content)
    with pytest.raises(RunError, match=r"01\.json is not valid JSON.*run --from 01"):
        read_json(tmp_path / "01.json", made_by="01")


def test_a_table_without_a_column_that_is_needed_says_which(tmp_path):
    path = write_table(tmp_path / "t.parquet", TABLE)
    with pytest.raises(RunError, match="has no column answer"):
        read_table(path, columns=("id", "answer"))


def test_a_digest_tells_content_names_and_nothing_else(tmp_path):
    for name in "one", "two":
        write_text(tmp_path / name / "a.txt", "same")
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert digest(tmp_path / "one" / "a.txt") == digest(tmp_path / "two" / "a.txt")
    (tmp_path / "two" / "a.txt").rename(tmp_path / "two" / "b.txt")
    assert digest(tmp_path / "one") != digest(tmp_path / "two")


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for name in "made", "target":
        write_text(tmp_path / name / f"{name}.txt", name)
    (tmp_path / ".target.previous").mkdir()  # as a kill leaves it
    replace_folder(tmp_path / "made", tmp_path / "target")
    assert [path.name for path in tmp_path.rglob("*")] == ["target", "made.txt"]
