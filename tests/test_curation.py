"""Where our curation is another than the reference's is said, and only there."""

from s1lib.curation import deviations
from s1lib.profile import load_profile


def said(name: str, **changes: object) -> dict[str, str]:
    return deviations(load_profile(name, **changes)).set_index("what")["here"].to_dict()


def test_the_paper_names_its_models_and_keeps_its_thresholds():
    paper = said("paper")
    assert not {"teacher", "students", "grader", "classifier", "phases"} & paper.keys()
    assert "length of a trace in tokens of" not in paper
    assert paper["tokens of a grade"] == "1,024 at most"
    assert paper["what it is told of the areas"].startswith("the 61 titles")


def test_what_a_profile_changes_is_a_row_of_its_own():
    laptop = said("laptop")
    assert laptop["length of a trace in tokens of"] == "world:base"
    assert laptop["grading prompt"] == "none: answers are compared"
    assert said("paper", models__limits__grader=8_192).keys() == (
        said("paper").keys() - {"tokens of a grade"}
    )
    by_others = said("paper", roles__classifier="openai", roles__grader="gemini")
    assert by_others.keys() == said("paper").keys()
    assert "string patterns" not in said("paper", selection__patterns="reference")
    assert said("paper", questions__ngram=13)["words per n-gram"] == "13"
