"""One trunk for all cells gives what one run for each cell gives, token for token."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from benchmarks.decode import resubmit
from test_engine import ANSWER, WINDOW, decoder, prompts

from s1lib.artifacts import RunError
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.sweep import cells, trunks

__all__ = ["decoder", "prompts"]

BUDGETS, WAITS = [0, 4, 16, 32, 64, None], [1, 2, 4]


def check(decoder, prompts, swept, separate):
    """Every field of every generation, ids first."""
    cell_count = len(swept) // len(prompts)
    for place in range(cell_count):
        cell = swept[place * len(prompts) : (place + 1) * len(prompts)]
        alone = separate(cell[0])
        assert [one.ids for one in cell] == [one.ids for one in alone]
        assert [replace(one, config="") for one in cell] == (
            [replace(one, config="") for one in alone]
        )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_sweep_equals_separate_runs(decoder, prompts, temperature):
    """In one thread, to which `conftest` holds all tests: with two, it failed at temperature 1."""
    assert torch.get_num_threads() == 1
    swept = decoder.sweep(prompts, cells(BUDGETS, WAITS), Sampling(temperature, seed=5))
    assert len(swept) == len(prompts) * (5 + 1 + 3)

    def separate(like):
        forcing = Forcing(budget=like.budget, waits=like.waits)
        return decoder.generate(prompts, forcing, Sampling(temperature, seed=5))

    check(decoder, prompts, swept, separate)


@pytest.mark.parametrize("wait", ["", "Hmm"])
@pytest.mark.parametrize("protocol", ["paper", "harness"])
def test_a_grid_equals_separate_runs_in_both_protocols(decoder, prompts, protocol, wait):
    some = prompts[:8]
    wanted = [Forcing(b, n, wait, protocol=protocol) for b in (0, 5, 20) for n in (0, 1, 2)]
    swept = decoder.sweep(some, wanted)
    assert len(swept) == 8 * 9

    def separate(like):
        forcing = Forcing(budget=like.budget, waits=like.waits, wait=wait, protocol=protocol)
        return decoder.generate(some, forcing)

    check(decoder, some, swept, separate)


@pytest.mark.parametrize("protocol", ["paper", "harness"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_strings_share_a_trunk_up_to_the_first_end(decoder, prompts, temperature, protocol):
    """Cells of several strings, budgets and numbers of ends, in an order that says nothing."""
    strings = [("Hmm", 2), ("Wait", 1), ("", 2), ("Wait", 3), ("Hmm", 1), ("Alternatively", 2)]
    most = None if protocol == "paper" else 60
    wanted = [Forcing(b, n, w, protocol=protocol) for w, n in strings for b in (3, 24, most)]
    wanted += [Forcing(b, 0, w, protocol=protocol) for b, w in ((8, "Hmm"), (most, "Wait"))]
    hot = Sampling(temperature, seed=5)
    swept = decoder.sweep(prompts[:8], wanted, hot)
    paid, apart = decoder.paid, 0
    assert any(one.ignored for one in swept)
    for place, cell in enumerate(wanted):
        found, alone = swept[8 * place :][:8], decoder.generate(prompts[:8], cell, hot)
        apart += decoder.paid
        assert [replace(one, config="") for one in found] == (
            [replace(one, config="") for one in alone]
        )
    assert paid < apart / 2


def test_the_string_of_most_cells_has_the_trunk_and_no_budget_is_larger():
    cells_ = [Forcing(9, 1, "Hmm"), Forcing(8, 2), Forcing(None, 0, "Hmm"), Forcing(4, 3)]
    ((trunk, places),) = trunks(cells_)
    assert (trunk.budget, trunk.waits, trunk.wait, places) == (None, 3, "Wait", [0, 1, 2, 3])


def test_a_sweep_does_not_depend_on_the_number_of_rows(tiny_model, tiny_tokenizer, prompts):
    results = []
    for rows in (1, 40):
        decoder = TorchDecoder(
            tiny_model, tiny_tokenizer, window=WINDOW, answer_tokens=ANSWER, rows=rows
        )
        results.append(decoder.sweep(prompts[:6], cells([8, 24], [2])))
    assert results[0] == results[1]


def test_samples_of_one_problem_are_swept_side_by_side(decoder, prompts):
    three = Sampling(temperature=1.0, samples=3)
    swept = decoder.sweep(prompts[:2], cells([8, 24], [1]), three)
    assert [one.sample for one in swept] == [0, 1, 2, 0, 1, 2] * 4
    alone = decoder.generate(prompts[:2], Forcing(budget=24), three)
    assert [one.ids for one in swept[6:12]] == [one.ids for one in alone]


def test_cells_that_stop_alike_are_decoded_once(decoder, prompts):
    steps = []
    for budgets in ([400], [400, 500, 600, 700, None]):
        decoder.sweep(prompts[:6], cells(budgets))
        steps.append(decoder.paid)
    assert steps[0] == steps[1]


@pytest.mark.parametrize("forcing", [Forcing(12), Forcing(30, 2), Forcing(waits=1)], ids=str)
def test_the_references_procedure_gives_the_same_ids(decoder, prompts, forcing):
    done = decoder.generate(prompts[:8], forcing)
    assert resubmit(decoder, prompts[:8], forcing) == [one.ids for one in done]


def test_every_budget_is_kept(decoder, prompts):
    swept = decoder.sweep(prompts, cells(BUDGETS, WAITS))
    capped = [one for one in swept if one.budget is not None]
    assert all(one.thinking_tokens <= one.budget for one in capped)
    short = [one for one in capped if one.thinking_end == "budget"]
    assert short and all(one.thinking_tokens == one.budget for one in short)


def test_the_papers_sweep_is_budgets_then_natural_then_waits():
    found = cells([64, 16, None], [4, 1], Forcing())
    assert [(one.budget, one.waits) for one in found] == [
        (16, 0),
        (64, 0),
        (None, 0),
        (None, 1),
        (None, 4),
    ]


def test_the_trunk_is_the_largest_of_both():
    trunk = trunks([Forcing(16, 4), Forcing(64, 1)])
    assert [(one.budget, one.waits) for one, _ in trunk] == [(64, 4)]
    harness = trunks(cells([16], [2], Forcing(protocol="harness")))
    assert [(one.waits, places) for one, places in harness] == [(0, [0, 1]), (2, [2])]


def test_an_impossible_budget_in_a_sweep_is_refused(decoder, prompts):
    with pytest.raises(RunError, match="budget=-4 is below zero"):
        decoder.sweep(prompts, cells([-4, 8]))
