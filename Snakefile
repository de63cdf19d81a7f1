# The book as a graph: one job per chapter, each a papermill run of its notebook.
#
# What a chapter reads and writes stands in notebooks/chapters.yaml. `python -m s1lib run` calls
# this file in an empty folder, with these settings:
#   root       folder of the book        chapters   numbers of the chapters to consider
#   python     interpreter               arguments  profile, run folder and parameters
#   book       all chapters              file       where these settings are
#
# Snakemake settles the order (of two chapters that can run, the earlier one goes first) and stops
# at the first failure. Each job decides by content whether its chapter must run
# (s1lib/run/state.py): Snakemake goes by modification times, which a fresh clone or an artifact
# written again with the same bytes would mislead. Hence the marks: a job leaves an empty file here,
# and the artifacts, which Snakemake would delete or copy before a job that makes them, are in the
# chapters' hands alone.
from s1lib.run.graph import GRAPH, writer_of

book = GRAPH.validate_python(config["book"])
chapters = [chapter for chapter in book if chapter.number in config["chapters"]]


def mark(chapter):
    return f"{chapter.number}.done"


def before(chapter):
    """The chapters that write what this one reads, as far as they are to be considered."""
    writers = {writer_of(artifact, book) for artifact in chapter.reads}
    return [writer for writer in chapters if writer in writers]


rule all:
    input:
        [mark(chapter) for chapter in chapters],


for chapter in chapters:

    rule:
        name:
            f"chapter_{chapter.number}"
        input:
            chapter.notebook,
            [mark(earlier) for earlier in before(chapter)],
        output:
            touch(mark(chapter)),
        priority:
            len(chapters) - chapters.index(chapter)
        threads: workflow.cores  # one chapter at a time; Snakemake sets OMP_NUM_THREADS to this
        params:
            number=chapter.number,
        shell:
            "cd {config[root]:q}; {config[python]:q} -m s1lib.run.job {params.number}"
            " --settings {config[file]:q} {config[arguments]} 2>&1 || {{ status=$?; test $status -le 128 ||"
            " echo 'Chapter {params.number} was killed by signal '$((status - 128))"
            "'. (The system kills with 9 when memory runs out.)'; exit $status; }}"
