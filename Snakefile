# The book as a graph: one job per chapter, each a papermill run of its notebook.
#
# What a chapter reads and writes stands in notebooks/chapters.yaml. `python -m s1lib run` calls
# this file in the run folder, which artifact names are relative to, with these settings:
#   root       folder of the book        chapters   numbers of the chapters to consider
#   python     interpreter               arguments  profile, run folder and parameters
#
# Snakemake settles the order and stops at the first failure. Each job decides by content whether
# its chapter must run (s1lib/run/state.py): Snakemake goes by modification times, which a fresh
# clone or an artifact written again with the same bytes would mislead. Hence `update`: the files
# of a chapter that is up to date stay.
from pathlib import Path

from s1lib.run.graph import read_graph, writer_of

book = read_graph(Path(config["root"]))
chapters = [chapter for chapter in book if chapter.number in config["chapters"]]


def on_disk(artifact):
    return artifact.rstrip("/")


def written(artifact):
    return update(directory(on_disk(artifact)) if artifact.endswith("/") else artifact)


rule all:
    input:
        [on_disk(artifact) for chapter in chapters for artifact in chapter.writes],


for chapter in chapters:

    rule:
        name:
            f"chapter_{chapter.number}"
        input:
            chapter.notebook,
            [on_disk(artifact) for artifact in chapter.reads if writer_of(artifact, book)],
        output:
            [written(artifact) for artifact in chapter.writes],
        params:
            number=chapter.number,
        shell:
            "cd {config[root]:q}; {config[python]:q} -m s1lib.run.job {params.number}"
            " {config[arguments]} 2>&1"
