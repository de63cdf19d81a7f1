"""The table of chapters and the notebooks beside it."""

import pytest
import yaml
from toybook import ROOT, make, notebook

from s1lib.artifacts import RunError
from s1lib.run.graph import read_graph


def test_chapters_come_in_the_order_of_the_table(tmp_path):
    chapters = read_graph(make(tmp_path))
    assert [chapter.number for chapter in chapters] == ["01", "02", "03"]
    assert [chapter.title for chapter in chapters] == ["first", "second", "third"]


def test_a_row_without_a_notebook_takes_no_part(tmp_path):
    root = make(tmp_path)
    (root / "notebooks" / "03_third.ipynb").unlink()
    assert [chapter.number for chapter in read_graph(root)] == ["01", "02"]


def test_a_notebook_without_a_row_is_an_error_that_names_it(tmp_path):
    root = make(tmp_path)
    notebook(root / "notebooks" / "07_new.ipynb", "1")
    with pytest.raises(RunError, match="does not list 07_new"):
        read_graph(root)


def test_a_chapter_cannot_read_what_a_later_one_writes(tmp_path):
    root = make(tmp_path)
    table = root / "notebooks" / "chapters.yaml"
    table.write_text(table.read_text().replace("reads: [numbers.json]", "reads: [facts/03.json]"))
    with pytest.raises(RunError, match=r"02 reads facts/03\.json"):
        read_graph(root)


@pytest.mark.parametrize("text", ["x: [", "- a", "7"])
def test_a_table_that_is_none_is_named(tmp_path, text):
    root = make(tmp_path)
    (root / "notebooks" / "chapters.yaml").write_text(text)
    with pytest.raises(RunError, match=r"chapters\.yaml is no table of chapters"):
        read_graph(root)


def test_outside_the_folder_of_the_book_the_error_says_so(tmp_path):
    with pytest.raises(RunError, match="in the folder of the book"):
        read_graph(tmp_path)


def test_in_the_book_every_artifact_has_exactly_one_writer_and_every_input_has_one():
    table = yaml.safe_load((ROOT / "notebooks" / "chapters.yaml").read_text())
    written = [name for row in table.values() for name in row.get("writes", ())]
    read = {name for row in table.values() for name in row.get("reads", ())}
    assert len(written) == len(set(written))
    assert read <= set(written)
