"""Tree search on a tiny model: widths, streams, forks and bills."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from test_engine import ANSWER, WINDOW, decoder, prompts

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.record import from_table, grade_record, to_table
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.tree import step_ends
from s1lib.methods.rebase import Search, rebase, shares, votes

__all__ = ["decoder", "prompts"]

HEAT, WIDTH, BUDGET = 1.0, 4, 48
CAPPED = Forcing(budget=BUDGET)
FIVE = Problem("0", (), answer="5", answer_type="integer")
POOL = Sampling(HEAT, seed=3, samples=WIDTH)


@pytest.fixture(scope="module")
def talker(tiny_model, tiny_tokenizer):
    """The tiny model with a liking for blank lines, so that its traces have steps."""
    import copy

    model = copy.deepcopy(tiny_model)
    pauses = sorted(step_ends(tiny_tokenizer))
    model.lm_head.weight.data[pauses] *= 1.5
    return TorchDecoder(model, tiny_tokenizer, window=WINDOW, answer_tokens=ANSWER, rows=7)


def flat(traces):
    return np.zeros(len(traces))


def by_length(traces):
    """A reward that tells traces apart and depends on nothing else."""
    return np.array([sum(trace) % 11 / 10 for trace in traces])


def named(prompts, first=0):
    return [Problem(str(first + i), tuple(prompt)) for i, prompt in enumerate(prompts)]


def search(decoder, prompts, reward, forcing=CAPPED, first=0, width=WIDTH, live=8):
    wanted = Search(width, live=live)
    heat = Sampling(HEAT, seed=3)
    return list(rebase(decoder, named(prompts, first), reward, wanted, heat, forcing))


def test_a_share_is_rounded_up_from_the_best_reward_down():
    assert shares([0.9, 0.1, 0.1], 4, balance=0.2) == [4, 0, 0]
    assert shares([0.5, 0.4, 0.1], 16, balance=0.2) == [10, 5, 1]
    assert shares([0.1, 0.5], 1) == [0, 1]
    assert shares([400.0, 0.0, -400.0], 3) == [3, 0, 0]  # logits of the hub: no weight is left


def test_a_share_is_one_of_what_is_left():
    """Shares of the whole width were rounded up, and half of eight nearly equal traces dropped."""
    assert shares([0.5 + i / 1000 for i in range(8)], 8) == [0, 1, 1, 1, 1, 1, 1, 2]


def test_equal_rewards_share_the_width_equally():
    assert shares([0.3] * 8, 8) == [1] * 8
    assert shares([0.3] * 3, 8) == [3, 3, 2]


@pytest.mark.parametrize("width", [1, 5, 16])
def test_shares_use_up_the_width(width):
    rewards = np.random.default_rng(width).random(7)
    found = shares(rewards, width)
    assert sum(found) == width
    order = np.argsort(-rewards)
    assert all(found[a] >= found[b] for a, b in itertools.pairwise(order))


def test_with_equal_rewards_rebase_is_the_pool_of_samples_token_for_token(talker, prompts):
    trees = search(talker, prompts[:6], flat)
    assert any(len(tree.nodes) > WIDTH for tree, _ in trees)
    pool = talker.generate(named(prompts[:6]), CAPPED, POOL)
    searched = [one for _, found in trees for one in found]
    assert [one.ids for one in searched] == [one.ids for one in pool]
    assert [one.thinking_end for one in searched] == [one.thinking_end for one in pool]
    assert sum(tree.paid for tree, _ in trees) == sum(one.sampled for one in pool)


def test_ignored_ends_are_ignored_on_every_branch_of_a_search(talker, prompts):
    """With equal rewards, the pool of runs that wait; with others, the same number of waits."""
    forcing = Forcing(budget=BUDGET, waits=2)
    equal = search(talker, prompts[:6], flat, forcing=forcing)
    pool = talker.generate(named(prompts[:6]), forcing, POOL)
    assert [one.ids for _, found in equal for one in found] == [one.ids for one in pool]
    judged = [
        one for _, found in search(talker, prompts[:6], by_length, forcing=forcing) for one in found
    ]
    own = [one for one in judged if one.thinking_end == "delimiter"]
    assert any(one.ignored for one in judged)
    assert all(len(one.ignored) == 2 for one in own)


def test_a_search_does_not_depend_on_what_else_is_decoded(talker, prompts):
    together = [found for _, found in search(talker, prompts[:6], by_length)]
    for live in (4, 24):
        assert [found for _, found in search(talker, prompts[:6], by_length, live=live)] == together
    (_, alone), *_ = search(talker, prompts[2:3], by_length, first=2)
    assert alone == together[2]


def test_two_workers_search_what_one_searches(talker, prompts):
    import torch

    before = torch.get_num_threads()
    one = [found for _, found in search(talker, prompts[:11], by_length, live=32)]
    try:
        torch.set_num_threads(2)
        two = [found for _, found in search(talker, prompts[:11], by_length, live=32)]
    finally:
        torch.set_num_threads(before)
    assert two == one


def test_forks_from_the_prefix_cache_are_what_a_backend_without_one_decodes(talker, prompts):
    """The same search with whole prefixes fed again at every step."""

    class Feeding(Decoder):
        def __init__(self, inner):
            self.__dict__.update(inner.__dict__)
            self._inner = inner

        def run(self, jobs, sampling):
            return self._inner.run(jobs, sampling)

        def stepwise(self, roots, live, sampling):
            return Decoder.stepwise(self, roots, live, sampling)

    kept = [found for _, found in search(talker, prompts[:4], by_length)]
    fed = [found for _, found in search(Feeding(talker), prompts[:4], by_length)]
    assert fed == kept


def test_all_width_ends_in_leaves_and_the_bill_counts_shared_tokens_once(talker, prompts):
    trees = search(talker, prompts[:6], by_length)
    forked = 0
    for tree, found in trees:
        assert len(tree.leaves) == len(found) == WIDTH
        assert sum(one.sampled for one in found) == tree.paid
        along = sum(len(node.trace.sampled) for node in tree.nodes)
        assert tree.paid == along
        forked += sum(node.children > 1 for node in tree.nodes)
        for node in tree.nodes:
            if node.parent:
                assert node.trace.ids[: len(node.parent.trace.ids)] == node.parent.trace.ids
    assert forked


def test_a_trace_never_exceeds_its_budget(talker, prompts):
    for _, found in search(talker, prompts[:6], by_length):
        assert max(one.thinking_tokens for one in found) <= BUDGET


def test_a_width_of_one_is_plain_sampling_whatever_the_reward(talker, prompts):
    searched = [
        one for _, found in search(talker, prompts[:4], by_length, width=1) for one in found
    ]
    plain = talker.generate(named(prompts[:4]), CAPPED, Sampling(HEAT, seed=3))
    assert [one.ids for one in searched] == [one.ids for one in plain]


def test_a_width_of_zero_is_refused(talker, prompts):
    with pytest.raises(RunError, match="width=0"):
        search(talker, prompts[:1], flat, width=0)


def test_no_problems_are_searched_without_complaint(talker):
    assert search(talker, [], flat) == []


def test_votes_are_read_from_the_record_alone(talker, prompts):
    (_, found), *_ = search(talker, prompts[:1], by_length)
    said = ["Answer: 5", "Answer: 6", "Answer: 6", "nothing"]
    rewards = [0.9, 0.2, 0.2, 0.9]
    spoken = [
        replace(one, text=text, reward=reward)
        for one, text, reward in zip(found, said, rewards, strict=True)
    ]
    record = to_table(grade_record(spoken, [FIVE]))
    assert from_table(record)[0].method == "REBASE"
    (plain,) = votes(record).to_dict("records")
    (weighted,) = votes(record, weighted=True).to_dict("records")
    assert (plain["right"], weighted["right"]) == (0, 1)
    assert plain["tokens"] == sum(one.sampled for one in found)


def test_a_vote_by_logits_weighs_a_better_trace_more_whatever_its_sign(talker, prompts):
    """Once 1.0 was taken for a probability and 1.1 for a logit, and weighed less."""
    (_, found), *_ = search(talker, prompts[:1], by_length)
    for rewards in ([1.1, 1.0, -0.1, -9], [0.1, -0.1, -9, -9]):
        said = ["Answer: 5", "Answer: 6", "nothing", "nothing"]
        spoken = [
            replace(one, text=text, reward=reward)
            for one, text, reward in zip(found, said, rewards, strict=True)
        ]
        record = to_table(grade_record(spoken, [FIVE]))
        assert votes(record, weighted=True, logits=True)["right"].tolist() == [1]


def test_a_decoder_may_be_used_while_a_search_is_under_way(talker, prompts):
    """The search's caches lay in the decoder's own network, where the next call overwrote them."""
    alone = [found for _, found in search(talker, prompts[:6], by_length)]
    beside = []
    wanted, heat = Search(WIDTH, live=WIDTH), Sampling(HEAT, seed=3)
    for _, found in rebase(talker, named(prompts[:6]), by_length, wanted, heat, CAPPED):
        talker.generate(prompts, CAPPED, Sampling(HEAT))
        beside.append(found)
    assert beside == alone


def test_steps_end_at_blank_lines_however_they_are_written(tiny_tokenizer):
    pauses = step_ends(tiny_tokenizer)
    texts = [tiny_tokenizer.decode([token]) for token in range(len(tiny_tokenizer))]
    assert pauses == {token for token, text in enumerate(texts) if text.endswith("\n\n")}
    assert pauses


def test_steps_end_where_the_search_says(talker, prompts):
    pool = talker.generate(named(prompts[:6]), CAPPED, POOL)
    said = Counter(token for one in pool for token in one.thinking)
    texts = (str(talker.tokenizer.decode([token])) for token, _ in said.most_common())
    step = next(text for text in texts if text.isascii() and text.isalnum())
    wanted, heat = Search(WIDTH, step=step), Sampling(HEAT, seed=3)
    trees = rebase(talker, named(prompts[:6]), by_length, wanted, heat, CAPPED)
    paused = [one.trace for tree, _ in trees for one in tree.nodes if not one.finished]
    assert paused
    ends = {trace.ids[trace.thinking_stop - 1] for trace in paused}
    assert ends <= step_ends(talker.tokenizer, step)


def test_a_step_that_no_token_ends_is_refused(tiny_tokenizer):
    with pytest.raises(RunError, match="no token ends in 'no such step'"):
        step_ends(tiny_tokenizer, "no such step")
