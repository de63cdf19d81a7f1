"""The state machine, fed by a scripted model: small integers are ids, no tensor anywhere."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from s1lib.artifacts import RunError
from s1lib.chat import THINK_TAGS, Delimiters
from s1lib.decoding.forcing import Forcing, Machine, Marks, auto_budget, machine
from s1lib.decoding.marks import encode, marks

THINK, NEWLINE, STOP, ANSWER, FINAL, WAIT, END = 1, 2, 3, 4, 5, 6, 7
MARKS = Marks(
    opening=(THINK,),
    newline=(NEWLINE,),
    closing=(STOP, ANSWER),
    final=(STOP, ANSWER, NEWLINE, FINAL),
    wait=(WAIT,),
    stops=((STOP,),),
    ends=frozenset({END}),
    ends_line=lambda token: token == NEWLINE,
)
PROMPT = [90, 91]


def run(
    script: list[int],
    forcing: Forcing | None,
    window: int = 1000,
    answer: int = 5,
    marks: Marks = MARKS,
    prompt: list[int] = PROMPT,
) -> Machine:
    """Drive a machine with a scripted model: it says the next token of `script` when asked."""
    one = machine(prompt, forcing, marks, window, answer)
    move, said = one.start(), iter(script)
    while not move.done:
        kept = len(one.ids) - len(move.force)
        assert tuple(one.ids[kept:]) == move.force
        move = one.push(next(said))
    assert next(said, None) is None, "the machine stopped before the script's end"
    return one


def thinking(one: Machine) -> list[int]:
    return one.ids[one.thinking_start : one.thinking_stop]


def closing(one: Machine) -> list[int]:
    return one.ids[one.thinking_stop : one.answer_start]


def answer(one: Machine) -> list[int]:
    return one.ids[one.answer_start :]


def test_a_natural_end_is_followed_by_the_delimiter_alone():
    one = run([10, 11, STOP, 20, END], Forcing())
    assert one.ids == [*PROMPT, THINK, 10, 11, STOP, ANSWER, 20]
    assert (one.thinking_end, one.answer_end) == ("delimiter", "eos")
    assert one.sampled == [10, 11, STOP, 20, END]
    assert one.forced == [2, 5, 6]


def test_at_the_budget_newline_delimiter_and_final_answer_are_forced():
    one = run([10, 11, 20, END], Forcing(budget=2))
    assert thinking(one) == [10, 11]
    assert closing(one) == [NEWLINE, STOP, ANSWER, NEWLINE, FINAL]
    assert one.thinking_end == "budget"


def test_no_second_newline_is_forced_after_a_newline():
    one = run([10, NEWLINE, 20, END], Forcing(budget=2))
    assert closing(one) == [STOP, ANSWER, NEWLINE, FINAL]


def test_an_end_sampled_before_the_budget_is_natural():
    one = run([10, STOP, 20, END], Forcing(budget=2))
    assert one.thinking_end == "delimiter" and thinking(one) == [10]


def test_at_the_budget_the_model_is_not_asked_whether_it_would_end():
    one = run([10, 11, STOP, END], Forcing(budget=2))
    assert one.thinking_end == "budget" and answer(one) == [STOP]


def test_a_budget_of_zero_goes_straight_to_the_answer():
    one = run([20, END], Forcing(budget=0, waits=3))
    assert one.ids == [*PROMPT, THINK, NEWLINE, STOP, ANSWER, NEWLINE, FINAL, 20]
    assert one.thinking_end == "budget" and one.ignored == []


def test_ignored_ends_become_the_wait_string():
    one = run([10, STOP, 11, STOP, 12, STOP, 20, END], Forcing(waits=2))
    assert thinking(one) == [10, WAIT, 11, WAIT, 12]
    assert one.ignored == [1, 3] and one.thinking_end == "delimiter"


def test_an_end_of_sequence_while_thinking_is_ignored_like_the_delimiter():
    one = run([10, END, 11, END, 20, END], Forcing(waits=1))
    assert thinking(one) == [10, WAIT, 11] and one.thinking_end == "eos"
    assert closing(one) == [STOP, ANSWER]


def test_without_a_string_the_end_is_banned_for_one_token():
    none = Marks(**{**MARKS.__dict__, "wait": ()})
    one = machine(PROMPT, Forcing(waits=1, wait=""), none, 100, 5)
    one.start()
    one.push(10)
    assert one.min_tokens == 0
    assert one.push(STOP).force == () and one.ids[-1] == 10
    assert one.min_tokens == 1
    one.push(11)
    assert one.min_tokens == 0


def test_the_budget_counts_inserted_strings_and_always_wins():
    one = run([10, 11, STOP, 20, END], Forcing(budget=3, waits=1))
    assert thinking(one) == [10, 11, WAIT] and one.thinking_end == "budget"
    long = Marks(**{**MARKS.__dict__, "wait": (WAIT, WAIT + 100)})
    one = run([10, 11, STOP, 20, END], Forcing(budget=3, waits=1), marks=long)
    assert thinking(one) == [10, 11, WAIT], "a string is cut at the budget"


@pytest.mark.parametrize("budget", range(12))
@pytest.mark.parametrize("waits", range(4))
def test_a_smaller_run_is_a_prefix_of_the_largest(budget: int, waits: int):
    script = [10, 11, STOP, 12, STOP, 13, 14, STOP, 15, STOP]
    trunk = run([*script, 20, END], Forcing(waits=3))
    cell = machine(PROMPT, Forcing(budget=budget, waits=waits), MARKS, 1000, 5)
    cell.start()
    cell.replay(trunk.sampled)
    ends = [*trunk.ignored, len(thinking(trunk))]
    stop = min(budget, ends[waits])
    assert cell.phase == "answer" and thinking(cell) == thinking(trunk)[:stop]
    assert cell.thinking_end == ("delimiter" if ends[waits] < budget else "budget")


def test_a_minimum_bans_the_end_for_that_many_tokens():
    one = machine(PROMPT, Forcing(minimum=3), MARKS, 100, 5)
    one.start()
    assert one.min_tokens == 3
    one.push(10)
    assert one.min_tokens == 2
    one.push(11)
    one.push(12)
    assert one.min_tokens == 0
    assert {STOP, END} == MARKS.banned_token_ids


def test_the_answer_ends_at_its_limit():
    one = run([STOP, 20, 21, 22], Forcing(), answer=3)
    assert answer(one) == [20, 21, 22] and one.answer_end == "length"


def test_thinking_stops_where_the_window_leaves_no_more_than_the_answer():
    one = run([10] * 12 + [20, 21, 22], Forcing(), window=2 + 1 + 12 + 5 + 3, answer=3)
    assert one.thinking_end == "window" and one.answer_end == "length"
    assert len(one.ids) == 23


def test_an_answer_may_fill_the_window_to_its_end():
    one = run([STOP, *range(200, 315)], Forcing(), window=120, answer=1000)
    assert len(one.ids) == 120 and one.answer_end == "window"


def test_a_prompt_that_leaves_no_room_is_named():
    with pytest.raises(RunError, match=r"prompt 7 has 30 tokens, 16 more than the window of 23"):
        machine([9] * 30, Forcing(), MARKS, 23, 3, index=7)
    with pytest.raises(RunError, match=r"prompt 4 has 23 tokens, as many as the window"):
        machine([9] * 23, None, MARKS, 23, 3, index=4)


def test_plain_decoding_forces_nothing_and_stops_at_the_end_of_sequence():
    one = run([THINK, 10, STOP, ANSWER, 20, END], None, answer=9)
    assert one.forced == [] and answer(one) == [THINK, 10, STOP, ANSWER, 20]
    assert one.thinking_end == "" and one.answer_end == "eos"


MULTI = Marks(**{**MARKS.__dict__, "stops": ((STOP, ANSWER),)})


def test_a_delimiter_of_several_ids_is_taken_off_as_a_whole():
    one = run(
        [10, STOP, 11, STOP, ANSWER, 12, STOP, ANSWER, 20, END], Forcing(waits=1), marks=MULTI
    )
    assert thinking(one) == [10, STOP, 11, WAIT, 12]


def test_half_a_delimiter_at_the_budget_stays_thinking():
    one = run([10, STOP, 20, END], Forcing(budget=2), marks=MULTI)
    assert thinking(one) == [10, STOP] and one.thinking_end == "budget"


def test_forced_ids_are_never_part_of_a_sampled_delimiter():
    marks = Marks(**{**MULTI.__dict__, "wait": (STOP,)})
    one = run([STOP, ANSWER, ANSWER, 12, STOP, ANSWER, 20, END], Forcing(waits=1), marks=marks)
    assert thinking(one) == [STOP, ANSWER, 12]


def test_the_countdown_at_zero_ends_thinking_and_other_headers_do_not():
    zero, two = 30, 32
    marks = Marks(**{**MARKS.__dict__, "stops": ((STOP, ANSWER), (STOP, zero))})
    one = run([two, 10, STOP, two, 11, STOP, zero, 20, END], Forcing(steps=True), marks=marks)
    assert thinking(one) == [two, 10, STOP, two, 11] and one.thinking_end == "steps"
    assert closing(one) == [STOP, ANSWER]
    one = run([10, STOP, ANSWER, 20, END], Forcing(steps=True), marks=marks)
    assert one.thinking_end == "delimiter"


def test_tokens_in_bulk_do_what_tokens_one_by_one_do():
    bulk = machine(PROMPT, Forcing(budget=6), MARKS, 1000, 5)
    bulk.start()
    bulk.extend([10, 11, 12, 13, 14])
    assert bulk.push(15).force == (NEWLINE, STOP, ANSWER, NEWLINE, FINAL)
    single = run([10, 11, 12, 13, 14, 15, END], Forcing(budget=6))
    assert bulk.ids == single.ids
    with pytest.raises(ValueError, match="max_tokens"):
        bulk.extend([1] * 5)


# --- the reference harness and its quirks -------------------------------------------------------


def harness(**changes: object) -> Forcing:
    return Forcing(protocol="harness", **changes)  # type: ignore[arg-type]


def test_harness_quirk_1_every_round_has_the_whole_budget():
    script = [10, 11, STOP, 12, 13, 14, 20, END]
    one = run(script, harness(budget=3, waits=1))
    assert one.sampled == script
    assert run([10, 11, STOP, 20, END], Forcing(budget=3, waits=1)).sampled != script


def test_harness_quirk_2_what_exceeds_the_budget_is_cut():
    one = run([10, 11, STOP, 12, 13, 14, 20, END], harness(budget=3, waits=1))
    assert thinking(one) == [10, 11, WAIT]
    assert one.thinking_end == "budget" and FINAL in closing(one)
    assert [one.ids[place] for place in one.forced] == [THINK, WAIT, *closing(one)]


def test_harness_quirk_3_a_cut_trace_that_ended_naturally_gets_no_final_answer():
    one = run([10, 11, STOP, 12, 13, STOP, 20, END], harness(budget=3, waits=1))
    assert thinking(one) == [10, 11, WAIT] and one.thinking_end == "delimiter"
    assert closing(one) == [STOP, ANSWER]


def test_harness_quirk_4_the_newline_is_decided_before_the_cut():
    one = run([10, 11, STOP, 12, 13, NEWLINE, 20, END], harness(budget=3, waits=1))
    assert thinking(one)[-1] == WAIT and closing(one)[0] == STOP


def test_harness_quirk_5_the_first_token_of_each_round_cannot_be_an_end():
    one = machine(PROMPT, harness(waits=1), MARKS, 100, 5)
    one.start()
    assert one.min_tokens == 1
    one.push(10)
    assert one.min_tokens == 0
    one.push(STOP)
    assert one.min_tokens == 1
    plain = machine(PROMPT, harness(), MARKS, 100, 5)
    plain.start()
    assert plain.min_tokens == 0


def test_harness_quirk_6_a_minimum_holds_in_each_round():
    one = machine(PROMPT, harness(waits=1, minimum=2), MARKS, 100, 5)
    one.start()
    assert one.min_tokens == 2
    for token in (10, 11, STOP):
        one.push(token)
    assert one.min_tokens == 2


def test_harness_quirk_7_the_automatic_budget_depends_on_the_longest_prompt():
    prompts = [[1] * 10, [1] * 50]
    assert auto_budget(prompts, MARKS, 300) == 300 - 50 - 1 - 4 - 100
    assert auto_budget([], MARKS, 300) == 300
    with pytest.raises(RunError, match="prompt 1 leaves -5"):
        auto_budget(prompts, MARKS, 150)


def test_harness_crashes_are_defined_here():
    assert run([20, END], harness(budget=0, waits=2)).thinking_end == "budget"
    empty = run([STOP, 20, END], harness(budget=3))
    assert thinking(empty) == [] and closing(empty) == [STOP, ANSWER]
    full = run([10] * 12 + [20, 21, 22], harness(waits=2), window=23, answer=3)
    assert full.thinking_end == "window"


def test_one_round_of_the_harness_is_what_the_paper_says():
    for script in ([10, STOP, 20, END], [10, 11, 12, 20, END], [10, 11, NEWLINE, 20, END]):
        ours, theirs = run(script, Forcing(budget=3)), run(script, harness(budget=3))
        assert ours.ids == theirs.ids and ours.thinking_end == theirs.thinking_end


# --- bad settings and real tokenizers -----------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": -1}, "budget=-1 is below zero"),
        ({"waits": -2}, "waits=-2 is below zero"),
        ({"budget": 3, "minimum": 4}, "minimum=4 exceeds budget=3"),
        ({"protocol": "s1"}, "no protocol 's1'"),
        ({"steps": True, "waits": 1}, "neither waits nor a minimum"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, object], message: str):
    with pytest.raises(RunError, match=message):
        Forcing(**changes)  # type: ignore[arg-type]


def test_marks_of_a_chatml_tokenizer_stop_at_the_turn_start(tiny_tokenizer):
    found = marks(tiny_tokenizer, Forcing())
    start, end = tiny_tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert found.stops == ((start,),) and end in found.ends
    assert tiny_tokenizer.decode(found.opening) == "<|im_start|>think"
    assert tiny_tokenizer.decode(found.final) == "<|im_start|>answer\nFinal Answer:"
    assert found.ends_line(found.newline[-1]) and not found.ends_line(found.wait[-1])


def test_think_tags_that_are_no_special_tokens_are_matched_as_a_sequence(tiny_tokenizer):
    found = marks(tiny_tokenizer, Forcing(), strings=THINK_TAGS)
    assert len(found.stops[0]) > 1
    assert tiny_tokenizer.decode(found.stops[0]) == "</think>"


def test_steps_open_with_a_bare_turn_start_and_stop_at_zero(tiny_tokenizer):
    found = marks(tiny_tokenizer, Forcing(steps=True))
    assert tiny_tokenizer.decode(found.opening) == "<|im_start|>"
    assert [tiny_tokenizer.decode(stop) for stop in found.stops] == [
        "<|im_start|>answer",
        "<|im_start|>0",
    ]


def test_a_tokenizer_without_the_delimiter_is_named(tiny_tokenizer):
    strings = Delimiters(think="<|think|>", answer="<|answer|>")
    with pytest.raises(RunError, match=r"no token <\|think\|>"):
        marks(tiny_tokenizer, Forcing(), strings=strings)


def test_a_string_outside_the_vocabulary_is_refused():
    words = Tokenizer(WordLevel({"<unk>": 0, "yes": 1}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    with pytest.raises(RunError, match="'Wait' is not in the tokenizer's vocabulary"):
        encode(tokenizer, "Wait")


def test_a_delimiter_that_merges_with_its_context_is_refused():
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(["so\n\n\nthen\n\n\n"] * 9, 300)
    strings = Delimiters(think="so\n", answer="then\n")
    with pytest.raises(RunError, match="encoded differently in context"):
        marks(tokenizer, Forcing(), strings=strings)
