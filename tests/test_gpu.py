"""The profile `gpu`: what fits on one GPU, and what it does differently. Its chapters are run in
`test_rehearsal.py`."""

from __future__ import annotations

import pytest

from s1lib.curation import deviations
from s1lib.profile import load_profile
from s1lib.training.fit import GIB, needed, read_shape


@pytest.mark.parametrize(
    ("name", "lora", "gigabytes"),
    [("0.5B", 0, 24), ("1.5B", 0, 48), ("3B", 0, 80), ("1.5B", 32, 24), ("7B", 32, 48)],
)
def test_a_base_model_fits_on_one_gpu_of_each_size_by_count(name, lora, gigabytes):
    book = load_profile("gpu", training__lora=lora)
    needs = needed(book, read_shape(f"Qwen/Qwen2.5-{name}-Instruct")).total / GIB
    assert 0.5 * gigabytes < needs < 0.85 * gigabytes


def test_its_deviations_are_listed():
    here = deviations(load_profile("gpu")).set_index("what")["here"]
    assert here["phases"] == "published"
    assert here["grader"] == "local"
    assert here["what it is told of the areas"] == "the 61 titles, asked once"
