"""The notebook that compares the runs of a sweep, executed on two small ones."""

from __future__ import annotations

import re

import nbformat
import pandas as pd
import papermill
from test_explore import sweep
from toybook import ROOT

from s1lib.artifacts import write_table
from s1lib.decoding.record import write_record
from s1lib.run.execute import ThisPython

ASKED = [f"p{place}" for place in range(12)]


def a_run(folder, tokenizer, asked, right) -> str:
    """A run folder with as much of chapters 01 and 06 as is compared."""
    rows = [("mini-AIME", name, "{}") for name in ASKED]
    table = pd.DataFrame(rows, columns=["benchmark", "id", "metadata"])
    write_table(folder / "benchmarks.parquet", table)
    found = [one for name in asked for one in sweep(tokenizer, "mini-AIME", name, right)]
    write_record(folder / "records" / "06.parquet", found)
    return str(folder)


def test_runs_are_compared_on_the_problems_that_both_were_asked(tmp_path, tiny_tokenizer):
    worse = a_run(tmp_path / "worse", tiny_tokenizer, ASKED, lambda budget, waits: False)
    better = a_run(
        tmp_path / "better", tiny_tokenizer, ASKED[:8], lambda budget, waits: budget is None
    )
    notebook = nbformat.read(ROOT / "notebooks" / "compare_runs.ipynb", as_version=4)
    solutions = re.findall(r"```python\n(.*?)```", notebook.cells[-1].source, re.S)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in solutions]
    nbformat.write(notebook, tmp_path / "asked.ipynb")
    papermill.execute_notebook(
        tmp_path / "asked.ipynb",
        tmp_path / "done.ipynb",
        {"runs": [worse, better]},
        kernel_manager_class=ThisPython,
        progress_bar=False,
        cwd=str(ROOT / "notebooks"),
    )
    done = nbformat.read(tmp_path / "done.ipynb", as_version=4)
    assert len(solutions) == 3 and "won 8 lost 0" in done.cells[-2].outputs[0].text
    assert "'value': 0.0, 'n': 8" in done.cells[-1].outputs[0].text
    outputs = {cell.id: cell.outputs for cell in done.cells if cell.cell_type == "code"}
    first = outputs["table"][0].data["text/plain"]
    assert "100.0 [67.6, 100.0]" in first and "0.0 [0.0, 24.2]" in first
    assert any("image/svg+xml" in output.data for output in outputs["plot"])
    told, table = outputs["differences"]
    assert told.text == "{'level': 6, 'better': 5}\n"
    rows = table.data["text/html"]
    assert rows.count(f"{better} minus {worse}") == rows.count(">8</td>") == 11
