"""Which files of the package a notebook uses."""

from pathlib import Path

import pytest
from toybook import notebook

from s1lib.run.sources import sources

FILES = {
    "__init__.py": "",
    "alone.py": "",
    "check.py": "import s1lib.alone",
    "top.py": "from s1lib.room import middle",
    "room/__init__.py": "",
    "room/middle.py": "def late():\n    from ..ground import thing\n",
    "ground.py": "import json\nthing = open('table.json')",
    "table.json": "{}",
    "models/small/weights.bin": "",
    "profiles/smoke.yaml": "",
    "loads.py": "folder = 'profiles', 'models'",
    "program.py": "",
    "broken.py": "import s1lib.alone\ndef (",
    "by_name.py": "import_module(f's1lib.room.{name}')",
}


@pytest.fixture
def used(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "s1lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def by(*cells: str) -> list[str]:
        notebook(tmp_path / "01_a.ipynb", *cells)
        package = tmp_path / "s1lib"
        found = sources(tmp_path / "01_a.ipynb", package)
        return [str(Path(path).relative_to(package)) for path in found]

    return by


def test_a_notebook_without_the_package_uses_none_of_it(used):
    assert used("import math") == []


def test_imports_are_followed_through_modules_rooms_and_functions_to_data_files(used):
    assert used("import s1lib.top") == [
        "__init__.py",
        "ground.py",
        "room/__init__.py",
        "room/middle.py",
        "table.json",
        "top.py",
    ]


def test_from_imports_find_modules_and_names_alike(used):
    assert used("from s1lib import alone") == ["__init__.py", "alone.py"]
    assert used("from s1lib.alone import anything") == ["__init__.py", "alone.py"]


def test_what_only_stops_a_chapter_is_no_part_of_it(used):
    assert used("from s1lib.check import ready") == []


def test_a_program_named_in_a_string_or_on_a_shell_line_counts(used):
    assert "program.py" in used('run(["accelerate", "launch", "-m", "s1lib.program"])')
    assert "program.py" in used("!accelerate launch s1lib/program.py --epochs 5")
    assert "program.py" in used("%%bash\npython -m s1lib.program")


def test_a_module_that_is_imported_by_its_name_may_be_any_of_its_room(used):
    assert {"room/__init__.py", "room/middle.py", "ground.py"} < set(used("import s1lib.by_name"))


def test_prose_that_mentions_a_module_does_not_count(used):
    assert used('"""As s1lib.program does."""\nx = 1  # see s1lib.program') == []


def test_a_data_folder_counts_as_a_whole_and_profiles_do_not(used):
    assert used("import s1lib.loads") == ["__init__.py", "loads.py", "models/small/weights.bin"]


def test_a_profile_counts_where_it_is_loaded_by_name(used):
    assert used('paper = load_profile("smoke")') == ["profiles/smoke.yaml"]
    assert used("book = load_profile(profile, run)") == []


def test_a_module_with_a_syntax_error_is_left_to_the_kernel(used):
    assert used("import s1lib.broken") == ["__init__.py", "alone.py", "broken.py"]
