"""`python tests/benchmarks`, from the folder of the repository, measures the code in it."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:1] = [str(TESTS.parent), str(TESTS)]

from benchmarks import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
