"""Barging in: where there is a word to break into and something else to ask, and nowhere else; it says why."""

from dataclasses import replace
from random import Random

import pytest

from datasets_build.builders.barging import asks_again, barge_in
from datasets_build.builders.exchanges import Talk, answered
from datasets_build.builders.facts import Draft, nothing_since
from datasets_build.builders.styles import Owed, bend, is_plain
from datasets_build.builders.ways import BARGING
from datasets_build.core.cutting import ends_amid_word
from datasets_build.core.records import About
from datasets_build.core.reply import Reply
from datasets_build.core.speech import Floor, SpeechConfig
from tests.builders.asking import ENTERS, LEAVES, act, desk
from tests.builders.made import MS

LONG = "Of everything that has been going on in here nothing was remarkable in any way whatsoever."
QUICK = SpeechConfig(user_chars_per_s=60)
T = 10_000 * MS


def talk(*rows, ways=tuple(BARGING), speech=QUICK, seed=0):
    """A dialogue whose one exchange has a long answer, of 4.5 s from 10.2 s on."""
    made = Talk("d", desk(*(rows or (ENTERS, LEAVES)), seed=seed), speech, Floor(speech.pause_ns), ways)
    reply = Reply(LONG, T, T + 3_000 * MS, None, tuple(nothing_since(0, T)))
    about = About(kind="camera")
    draft = Draft(task="now", mode="realtime", question="What now?", ask_ns=T, replies=(reply,), about=about)
    assert made.add(answered(made, draft))
    return made


def test_who_barges_in_is_answered_at_once_and_the_answer_keeps_what_it_meant():
    for seed in range(5):
        made = talk(seed=seed)
        assert barge_in(made, 0, 3_000 * MS) == "done"
        (exchange,) = made.exchanges
        heard, cut, user, reply = exchange.turns
        assert (cut.text, cut.intended_text) == (LONG[: cut.truncated_at_char], LONG)
        assert ends_amid_word(cut)
        assert cut.start_ns < cut.end_ns == user.start_ns < user.end_ns <= reply.start_ns
        assert (user.interrupts, reply.trigger, reply.trigger_ref) == (cut.id, "interruption", user.id)
        assert exchange.held == ((heard.start_ns, reply.end_ns),)
        assert not made.floor.free(cut.start_ns, cut.start_ns + MS)
        assert not is_plain(exchange)


@pytest.mark.parametrize("way", sorted(BARGING))
def test_each_way_asks_at_the_very_instant(way):
    ask = BARGING[way]
    made = desk(ENTERS, LEAVES, act(9_000, 9_500, "stop"), seed=3)
    for t in (made.clock.snap_up(n * 1_000 * MS) for n in range(3, 19)):
        draft = ask(made, t)
        assert draft is None or (draft.ask_ns == t == draft.replies[0].t_ns and not draft.standing)


@pytest.mark.parametrize("way", ["yet", "is_on", "count"])
def test_what_needs_no_event_just_before_fits_nearly_always(way):
    assert barge_in(talk(ways=(way,)), 0, 3_000 * MS) == "done"


def test_where_nobody_may_ask_nothing_fits():
    made = talk(ways=("tell",))
    (before,) = made.exchanges
    assert barge_in(made, 0, 3_000 * MS) == "nothing fits"
    assert made.exchanges == [before]


def test_where_the_answer_is_too_short_there_is_no_room():
    speech = SpeechConfig(user_chars_per_s=60, least_said=len(LONG))
    made = talk(speech=speech, ways=("yet", "count"))
    (before,) = made.exchanges
    assert barge_in(made, 0, 3_000 * MS) == "no room"
    assert made.exchanges == [before]
    assert not made.floor.free(*before.held[0]), "its place is still its own"


def test_where_the_next_exchange_comes_soon_there_is_no_room():
    made = talk(ways=("yet", "count"))
    answer = made.exchanges[0].turns[1]
    made.floor.take(answer.end_ns + made.speech.pause_ns, made.desk.clock.end_ns)
    before = list(made.floor.taken)
    outcome = barge_in(made, 0, 3_000 * MS)
    assert outcome in ("done", "no room")
    if outcome == "done":
        assert made.exchanges[0].held[0][1] <= answer.end_ns
    else:
        assert made.floor.taken == before


def test_the_same_is_not_asked():
    made = talk(ways=("yet",))
    assert barge_in(made, 0, 3_000 * MS) == "done"
    user = made.exchanges[0].turns[2]
    again = replace(talk(ways=("yet",)).exchanges[0], asks=(user.task, user.about))
    reply = Reply("Yes.", T, T + MS, None, tuple(nothing_since(0, T)))
    draft = Draft(task=user.task, mode="backward", question="?", ask_ns=T, replies=(reply,), about=user.about)
    assert asks_again(again, draft)


class TestOwed:
    def owed(self, **shares):
        return Owed.of(shares, Random(0))

    def test_a_share_comes_due_as_often_as_it_says(self):
        owed, made, done = self.owed(barge_in=0.25, follow_up=0.0), talk(), 0
        for _ in range(100):
            owed.grow()
            for style in owed.due():
                assert style == "barge_in", "no share, no style"
                done += owed.tried(made, style, "done")
        assert abs(done - 25) <= 1
        owed.close(made)
        assert made.styles == {("barge_in", "wanted"): done, ("barge_in", "done"): done}

    def test_what_does_not_fit_is_due_again_and_in_the_end_it_is_told_why(self):
        owed, made = self.owed(mistake=0.5), talk()
        for _ in range(10):
            owed.grow()
            for style in owed.due():
                assert not owed.tried(made, style, "no room")
        assert owed.due() == ["mistake"]
        owed.close(made)
        assert made.styles["mistake", "wanted"] == made.styles["mistake", "no room"] >= 5
        assert made.styles["mistake", "done"] == 0

    def test_the_style_that_waits_longest_comes_first(self):
        owed = self.owed(barge_in=0.9, mistake=0.5)
        for _ in range(4):
            owed.grow()
        assert owed.due() == ["barge_in", "mistake"]

    def test_a_plain_exchange_is_bent_once(self):
        owed, made = self.owed(barge_in=1.0), talk()
        owed.grow()
        reach = {"barge_in": 3_000 * MS}
        bend(made, 0, owed, reach)
        assert made.styles["barge_in", "done"] == 1
        owed.grow()
        bend(made, 0, owed, reach)
        assert made.styles["barge_in", "done"] == 1, "it is cut already"
