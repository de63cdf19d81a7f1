"""`python tests/benchmarks`, from the folder of the repository."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # where the package `benchmarks` lies

from benchmarks import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
