"""Which thing said answers which thing due."""

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.evaluation.matching import Tolerance, match
from recipes.evaluation.script import window
from tests.recipes.evaluation.made import GRIDS, S, due, perfect, script, silent, speech, talk

SECONDS = st.integers(1, 36).map(lambda half: half / 2)
DUES = st.lists(st.tuples(SECONDS, st.integers(1, 6)), max_size=5, unique_by=lambda row: row[0])


def made_of(rows):
    return script(*(due(start, end_s=start + width / 2) for start, width in rows))


def most_hits(made, said):
    """As many pairs of a due thing and a response inside its window as there can be, by trying every order."""
    spans = [window(one, GRIDS) for one in made.dues]
    best = 0
    for order in permutations(range(len(spans))):
        free = sorted(one.t_ns for one in said)
        hits = 0
        for k in order:
            inside = [t for t in free if spans[k][0] <= t < spans[k][1]]
            if inside:
                free.remove(inside[0])
                hits += 1
        best = max(best, hits)
    return best


@settings(max_examples=50)
@given(DUES, st.lists(SECONDS, max_size=6, unique=True))
def test_as_many_are_in_time_as_can_be_and_each_counts_once(rows, times):
    made, said = made_of(rows), [speech(t) for t in times]
    found = match(made, talk(*said))
    assert sum(outcome.fate == "hit" for outcome in found.outcomes) == most_hits(made, said)
    taken = [outcome.speech for outcome in found.outcomes if outcome.speech >= 0]
    assert sorted([*taken, *found.false]) == list(range(len(said)))
    for outcome in found.outcomes:
        assert (outcome.speech < 0) == (outcome.fate == "missed")
        low, high = window(outcome.due, GRIDS)
        if outcome.fate != "missed":
            t_ns = found.speech_of(outcome).t_ns
            assert {"hit": low <= t_ns < high, "late": t_ns >= high, "early": t_ns < low}[outcome.fate]


@settings(max_examples=30)
@given(DUES)
def test_a_perfect_talk_hits_everything_and_a_silent_one_nothing(rows):
    made = made_of(rows)
    assert {outcome.fate for outcome in match(made, perfect(made)).outcomes} <= {"hit"}
    assert {outcome.fate for outcome in match(made, silent(made)).outcomes} <= {"missed"}
    assert match(made, silent(made)).false == ()


def test_early_late_missed_and_false_by_hand():
    made = script(due(3, end_s=5), due(8, end_s=9), due(12, end_s=13), due(16, end_s=17), asked_s=(1,))
    said = talk(speech(0.5), speech(4), speech(7), speech(14), speech(15))
    found = match(made, said)
    # Said at 7 s, the second comes late for no first, and early for the second; at 14 s, the third is late.
    assert [outcome.fate for outcome in found.outcomes] == ["hit", "early", "late", "early"]
    assert found.false == (0,)


def test_what_is_said_before_it_is_awaited_is_false():
    made = script(due(6, since_s=4), asked_s=(4,))
    found = match(made, talk(speech(2)))
    assert [outcome.fate for outcome in found.outcomes] == ["missed"]
    assert found.false == (0,)


def test_tolerance_widens_both_ends():
    made = script(due(4, end_s=5))
    for t, fate in ((3.5, "early"), (5, "late")):
        assert match(made, talk(speech(t))).outcomes[0].fate == fate
    wide = Tolerance(early_ns=S // 2, late_ns=1)
    for t in (3.5, 5):
        assert match(made, talk(speech(t)), tolerance=wide).outcomes[0].fate == "hit"


def test_a_window_between_two_grids_reaches_the_next_one():
    made = script(due(4.1, end_s=4.2))
    assert match(made, talk(speech(4.5))).outcomes[0].fate == "hit"
    assert match(made, talk(speech(5))).outcomes[0].fate == "late"


def test_a_reply_to_another_question_is_no_report():
    made = script(due(3, heard=0, end_s=5), due(3, text="B", end_s=6), asked_s=(3, 4))
    found = match(made, talk(speech(3, "A", heard=0), speech(4, "B", heard=1)))
    fates = {outcome.due.text: outcome.fate for outcome in found.outcomes}
    assert fates == {"It moves.": "hit", "B": "missed"}
    assert [found.responses[k].text for k in found.false] == ["B"]


def test_a_model_that_waits_first_may_still_decide_in_time():
    made = script(due(3, heard=0, end_s=5), asked_s=(3,))
    waits = speech(3, "", heard=0, state="standby")
    found = match(made, talk(waits, speech(4)))
    assert [outcome.fate for outcome in found.outcomes] == ["hit"]
    assert found.speech_of(found.outcomes[0]).t_ns == 4 * S
    assert len(found.responses) == 1


def test_a_guess_at_once_is_early():
    made = script(due(5, since_s=2), asked_s=(2,), mode="forward")
    found = match(made, talk(speech(2, "It stops.", heard=0)))
    assert [outcome.fate for outcome in found.outcomes] == ["early"]


def test_a_promise_is_no_response_unless_it_gives_the_report_away():
    made = script(due(5, since_s=2), asked_s=(2,), acknowledges=True)
    assert match(made, talk(speech(2, "I will.", heard=0))).responses == ()
    assert len(match(made, talk(speech(2, "It moves.", heard=0))).responses) == 1


def test_only_repeats_without_news_are_duplicates():
    made = script(due(5), asked_s=(1, 10))
    said = [speech(2), speech(3, "it MOVES"), speech(4, "It stops."), speech(6), speech(7), speech(10.5)]
    assert match(made, talk(*said)).duplicates == (1, 4)
