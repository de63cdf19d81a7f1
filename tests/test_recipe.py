"""The recipe: what follows from it, and where a profile departs from the paper's."""

from __future__ import annotations

import pytest

from s1lib.artifacts import RunError
from s1lib.profile import load_profile
from s1lib.training.recipe import deviations, layout, table


def test_a_thousand_samples_and_five_epochs_are_315_steps_of_which_16_warm_up():
    plan = layout(load_profile("paper"), 1000)
    assert (plan.steps, plan.warmup_steps) == (315, 16)


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 16), (2, 8), (8, 2), (16, 1)])
def test_the_global_batch_is_16_whatever_the_number_of_processes(processes, accumulation):
    book = load_profile(
        "paper",
        training__processes=processes,
        training__micro_batch=1,
        training__sequence_parallel=1,
    )
    plan = layout(book, 1000)
    assert plan.accumulation == accumulation
    assert plan.groups * plan.accumulation == 16


@pytest.mark.parametrize("change", [{"processes": 3}, {"micro_batch": 5}, {"processes": 32}])
def test_a_batch_that_does_not_divide_is_an_error(change):
    sizes = {"processes": 1, "micro_batch": 1, "sequence_parallel": 1, **change}
    book = load_profile("paper", **{f"training__{name}": size for name, size in sizes.items()})
    with pytest.raises(RunError, match="does not divide"):
        layout(book, 1000)


def test_processes_must_divide_into_groups():
    book = load_profile("paper", training__processes=16, training__sequence_parallel=3)
    with pytest.raises(RunError, match="groups of 3"):
        layout(book, 1000)


def test_the_papers_profile_changes_nothing_that_is_computed():
    lines = deviations(load_profile("paper"))
    assert not any("changes the result" in line for line in lines)


def test_each_departure_of_the_laptop_is_listed_with_both_values():
    lines = deviations(load_profile("laptop"))
    assert any(line.startswith("learning_rate: 0.001 instead of 1e-05") for line in lines)
    assert len(lines) == (~table(load_profile("laptop"))["same"]).sum()
