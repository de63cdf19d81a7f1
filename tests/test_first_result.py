"""The first result early: a site as soon as chapter 06 is done, and the whole one at the end."""

import re
import shutil

from made_up import BENCHMARKS, chapter_06
from toybook import ROOT, call, make, notebook

MEASURES = f"""
from pathlib import Path
from s1lib.results import write_facts

write_facts(Path(run), "06", {chapter_06(BENCHMARKS)!r})
"""
LOOKS = """
from pathlib import Path
from s1lib.artifacts import write_json

page = Path(run) / "site" / "notebooks" / "07_next.html"
write_json(Path(run) / "seen.json", '<div class="admonition important' in page.read_text())
"""
TABLE = """
06_budget_forcing:
  writes: [facts/06.json]
07_next:
  reads: [facts/06.json]
  writes: [seen.json]
"""
INTRO = """# A book

```{figure} generated/figure_1.svg
:alt: Figure 1
```
"""


def test_the_site_is_there_when_chapter_06_is_done_and_again_at_the_end(tmp_path):
    root = make(tmp_path / "book")
    for path in (root / "notebooks").glob("*.ipynb"):
        path.unlink()
    (root / "notebooks" / "chapters.yaml").write_text(TABLE)
    notebook(root / "notebooks" / "06_budget_forcing.ipynb", MEASURES, prose="# 06. Forcing")
    notebook(root / "notebooks" / "07_next.ipynb", LOOKS, prose="# 07. Next")
    pages = root / "jupyter_book"
    shutil.copytree(ROOT / "jupyter_book", pages, ignore=shutil.ignore_patterns("*.md", "_build"))
    (pages / "intro.md").write_text(INTRO)
    (pages / "_toc.yml").write_text(
        "{format: jb-book, root: intro, parts: [{chapters: [{glob: 'notebooks/*'}]}]}"
    )
    result = call(root, "run", "--profile", "smoke", "--site")
    assert result.returncode == 0, result.stdout + result.stderr
    said = re.findall(r"book is built, (\d of \d) chapters.*: (\S+)|(07) .*done", result.stdout)
    place = str(root / "results" / "smoke" / "site" / "index.html")
    assert [one[0] or one[2] for one in said] == ["1 of 2", "07", "2 of 2"]
    assert {one[1] for one in said if one[1]} <= {place, "results/smoke/site/index.html"}
    run = root / "results" / "smoke"
    assert (run / "seen.json").read_text().strip() == "true"
    page = (run / "site" / "notebooks" / "07_next.html").read_text()
    assert '<div class="admonition important' not in page
    assert list((run / "site" / "_images").glob("figure_1*.svg"))
