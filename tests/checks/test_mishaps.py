"""Laws of conversations in which something goes wrong: each finds the fault that is planted."""

from functools import lru_cache

import pytest

from augment.maker import Maker
from augment.settings import DroppedAnswer, Interrupt, Pipeline, Reconnect, WrongThenCorrected
from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.exchanges import asked_again
from datasets_build.checks.laws import Known
from datasets_build.checks.mishaps import MISHAP_LAWS
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.core.decisions import decisions_on
from datasets_build.truth.asides import ASIDES, said
from datasets_build.truth.gaps import gaps, gone_before, least_gone_ns
from tests.augment.clips import RULES, brisk, clip
from tests.builders.made import MS, clock_from

LAWS = {law.name: law for law in (*DIALOGUE_LAWS, *REPLY_LAWS, *MISHAP_LAWS)}
MADE = {
    "lost": (DroppedAnswer(share=0.8, patience_s=1.0),),
    "wrong": (WrongThenCorrected(share=0.9, by="self"),),
    "refused": (WrongThenCorrected(share=0.9, by="user"),),
    "cut": (Interrupt(share=1.0, then="resume"),),
    "gone": (Reconnect(gaps=2, least_s=1.0),),
}
HAS = {
    "lost": lambda row: asked_again(row),
    "wrong": lambda row: [t for t in row.turns if said(t.text).aside == "corrected"],
    "refused": lambda row: [t for t in row.turns if said(t.text).aside == "refused"],
    "cut": lambda row: [t for t in row.turns if said(t.text).aside == "resumed"],
    "gone": lambda row: [t for t in row.turns if said(t.text).aside == "back"],
}


@lru_cache
def example(kind):
    """A conversation with this mishap, and what is known about its video."""
    # To be asked again in full and answered takes room.
    of = brisk if kind == "refused" else clip
    for name in ("a", "b", "c", "f", "g", "h"):
        for seed in range(6):
            maker = Maker(pipeline=Pipeline(seed=seed, operations=MADE[kind]), rules=RULES, talk_rules=RULES)
            made = maker.make(of(name), 0)
            events = {event.id: event for event in made.clip.events}
            known = Known(made.clip.video, made.view.clock, events, {}, window_ns=RULES.window_ns)
            for row in made.clip.dialogues:
                if HAS[kind](row):
                    return row, known
    raise AssertionError(kind)


def planted(kind, pick, **update):
    """The laws that are broken once the first turn that is picked is changed."""
    row, known = example(kind)
    turn = next(turn for turn in row.turns if pick(turn))
    turns = tuple(t.model_copy(update=update) if t is turn else t for t in row.turns)
    grids = tuple(decisions_on(turns, known.clock, fps=None) for _ in row.decisions[:1])
    changed = row.model_copy(update={"turns": turns, "decisions": grids})
    return {name for name, law in LAWS.items() if list(law.breaches(changed, known))}


def is_aside(name):
    return lambda turn: said(turn.text).aside == name


def is_lost(turn):
    return turn.role == "user" and not turn.learn


def is_again(turn):
    return turn.role == "user" and turn.trigger == "timer"


def is_wrong(turn):
    return turn.role == "assistant" and not turn.learn


@pytest.mark.parametrize("kind", MADE)
def test_what_is_made_breaks_no_law(kind):
    assert planted(kind, lambda turn: True) == set()


@pytest.mark.parametrize(
    ("kind", "pick", "update", "law"),
    [
        ("lost", is_lost, {"learn": True}, "asked_again_alike"),
        ("lost", is_again, {"trigger": None, "trigger_ref": None}, "asked_again_alike"),
        ("lost", is_again, {"trigger": None, "trigger_ref": None}, "answered_once"),
        ("lost", is_again, {"text": "Something else?"}, "asked_again_alike"),
        ("lost", is_again, {"trigger_ref": "nobody"}, "asked_again_alike"),
        ("wrong", is_wrong, {"learn": True}, "turn_words_fit"),
        ("wrong", is_wrong, {"learn": True}, "turn_answers_something"),
        ("wrong", is_wrong, {"loss_weight": 1.0}, "wrong_is_corrected"),
        ("wrong", is_aside("corrected"), {"loss_weight": 0.0}, "learned_weighs"),
        ("wrong", is_aside("corrected"), {"loss_weight": -1.0}, "learned_weighs"),
        ("wrong", is_aside("corrected"), {"loss_weight": float("nan")}, "learned_weighs"),
        ("wrong", is_aside("corrected"), {"loss_weight": float("inf")}, "learned_weighs"),
        ("wrong", is_aside("corrected"), {"trigger": "user_query"}, "wrong_is_corrected"),
        ("wrong", is_aside("corrected"), {"trigger": "user_query"}, "asides_fit"),
        ("wrong", is_aside("corrected"), {"trigger_ref": "nobody"}, "wrong_is_corrected"),
        ("wrong", is_aside("corrected"), {"text": ASIDES["corrected"] + "It is green."}, "turn_words_fit"),
        ("refused", is_aside("refused"), {"text": "What happens now?"}, "asides_fit"),
        ("refused", is_aside("refused"), {"trigger": None}, "asides_fit"),
        ("cut", is_aside("resumed"), {"text": ASIDES["resumed"] + "It is green."}, "asides_fit"),
        ("cut", is_aside("resumed"), {"trigger": "correction"}, "asides_fit"),
        ("cut", is_aside("resumed"), {"trigger_ref": "nobody"}, "turn_answers_something"),
        ("gone", is_aside("back"), {"text": ASIDES["back"] + "It is green."}, "summaries_true"),
        ("gone", is_aside("back"), {"window_start_ns": 0}, "summaries_true"),
        ("gone", is_aside("back"), {"trigger": "user_query"}, "asides_fit"),
        ("gone", is_aside("back"), {"text": "Nothing happened."}, "turn_answers_something"),
    ],
)  # fmt: skip
def test_a_fault_is_found(kind, pick, update, law):
    assert law in planted(kind, pick, **update)


def test_what_is_true_is_not_corrected():
    """The right words in the place of the wrong ones."""
    row, _ = example("wrong")
    right = next(turn for turn in row.turns if said(turn.text).aside == "corrected")
    found = planted("wrong", lambda turn: turn.id == right.trigger_ref, text=said(right.text).text)
    assert "wrong_is_corrected" in found


def test_a_stream_was_gone_where_no_frame_came():
    clock = clock_from([40, 600, 40, 499, 40])
    times = clock.t_ns.tolist()
    assert gone_before(clock, times[2]) == times[1]
    assert {gone_before(clock, t) for t in (*times[:2], *times[3:], clock.end_ns, 41 * MS)} == {None}
    assert gaps(clock) == [(times[1], times[2])]


def test_where_frames_are_rare_a_stream_is_gone_for_longer():
    """Pictures that come every 0.6 s are no stream that is gone again and again."""
    clock = clock_from([600] * 10 + [2300, 600, 2500, 600])
    assert least_gone_ns(clock) == 2400 * MS
    ((before, after),) = gaps(clock)
    assert after - before == 2500 * MS
    assert gaps(clock_from([600] * 10)) == []
    assert gaps(clock_from([])) == []


def test_what_has_become_right_is_not_refused():
    """The refused words are put where they are true when they are refused: the truth of the question's own time."""
    row, _ = example("refused")
    refusal = next(turn for turn in row.turns if said(turn.text).aside == "refused")
    right = next(turn for turn in row.turns if turn.trigger_ref == refusal.id)
    found = planted("refused", lambda turn: turn.id == refusal.trigger_ref, text=said(right.text).text)
    assert "wrong_is_corrected" in found


def test_asides_are_taken_off_and_nothing_else():
    for aside, words in ASIDES.items():
        assert said(words + "Yes.") == (aside, "Yes.")
    assert said("Yes. I was wrong: no.") == (None, "Yes. I was wrong: no.")
    assert said("") == (None, "")
    # None of them begins another, so the first that fits is the only one.
    assert not any(a != b and a.startswith(b) for a in ASIDES.values() for b in ASIDES.values())
