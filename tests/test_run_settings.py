"""Which settings of the profile a chapter follows from."""

import ast
from pathlib import Path

from s1lib.profile import Profile, load_profile
from s1lib.run.settings import used

ROOT = Path(__file__).parents[1]
# One writes the profile down for a program that reads it by attribute, the other is the key itself.
WRITERS = {"training/launch.py", "run/settings.py"}


def by(*code: str) -> dict[str, object]:
    return used(load_profile("smoke"), code)


def test_code_without_the_profile_uses_none_of_it():
    assert by("import math\nmath.pi", "x = [1]") == {}


def test_a_setting_is_used_where_it_is_taken_from_its_section():
    window = load_profile("smoke").evaluation.window
    assert by("f(book.evaluation.window)") == {"evaluation": {"window": window}}
    assert by("a.b.seed") == {"seed": load_profile("smoke").seed}


def test_a_section_that_is_passed_on_is_used_as_a_whole():
    whole = load_profile("smoke").model_dump(mode="json")["training"]
    assert by("recipe = book.training") == {"training": whole}
    assert by("book.training.batch", "f(other.training)") == {"training": whole}
    assert by("book.training.model_dump()") == {"training": whole}


def test_a_function_of_the_same_name_is_no_section():
    assert by("re.search(a, b)", "tables.methods('08')") == {}


def test_code_that_cannot_be_read_uses_whatever_it_mentions():
    assert set(by("(book.evaluation.window")) == {"evaluation"}


def test_code_takes_from_a_profile_by_attribute_only():
    """What was dumped, copied or taken by a computed name could not be seen."""

    def is_profile(node: ast.expr) -> bool:
        name = getattr(node, "attr", getattr(node, "id", ""))
        return name in ("book", "profile")

    blind = []
    for path in sorted((ROOT / "s1lib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                by_name = getattr(node.func, "id", "") in ("getattr", "vars", "dict")
                dumps = getattr(node.func, "attr", "").startswith("model_dump")
                if (by_name and any(map(is_profile, node.args))) or (
                    dumps and is_profile(node.func.value)
                ):
                    blind.append(path.relative_to(ROOT / "s1lib").as_posix())
    assert set(blind) == WRITERS
    assert {"seed", "evaluation"} <= Profile.model_fields.keys()
