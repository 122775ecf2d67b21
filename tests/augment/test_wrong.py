"""What is not true and could be said: never the truth, and of the kind that is asked for."""

from itertools import pairwise

import pytest

from augment.answers import Asked, CannotAskError, Rules, Scene, Words, true_texts
from augment.wrong import wrong_texts
from datasets_build.core.records import About, Provenance
from datasets_build.truth.grounds import Grounds
from datasets_build.truth.places import PLACES
from tests.builders.asking import CLOCK, ENTERS, LEAVES, VIDEO, act, at
from tests.builders.made import MS, said, shots_at
from tests.builders.made import Scene as MadeScene
from tests.builders.worlds import TEACHER, events_in

THREE = (ENTERS, act(5_000, 6_000, "move", "blue square"), LEAVES)
BOX = said(VIDEO, 1_000 * MS, 18_000 * MS, "0.1 0.1 0.2 0.2", kind="box", subject="red circle")


def asked(task, about, ms, *rows, written=None):
    """A question in a video in which something happens."""
    made = MadeScene(VIDEO, CLOCK, shots_at(VIDEO, CLOCK, []), [], list(rows or THREE))
    grounds = Grounds(events_in(made), CLOCK, [BOX])
    words = Words(written=written or TEACHER.provenance(seed=0, inputs=[]), said=(), events=frozenset(), key="k")
    scene = Scene(video_id=VIDEO.id, clock=CLOCK, grounds=grounds, rules=Rules(), seed=0)
    return Asked(task=task, about=about, ask_ns=at(ms), words=words, scene=scene)


SUBJECT = About(kind="subject", subject="red circle")
ENTER = About(kind="label", label="enter", subject="red circle")
SCENE = About(kind="scene")


@pytest.mark.parametrize(
    ("task", "about"),
    [("count_so_far", ENTER), ("where", SUBJECT), ("order", SCENE), ("before", SCENE), ("happened_yet", ENTER)],
)
def test_what_is_wrong_is_never_true(task, about):
    ask = asked(task, about, 12_000)
    wrong, true = wrong_texts(ask), true_texts(ask)
    assert wrong
    assert true
    assert not true & set(wrong)
    assert wrong == sorted(set(wrong))


def test_a_wrong_place_is_one_of_the_other_three():
    texts = wrong_texts(asked("where", SUBJECT, 12_000))
    told = {place for text in texts for place in PLACES if f" {place}" in text}
    assert told == set(PLACES) - {"top left"}
    assert all(any(place in text for place in PLACES) for text in texts), "each says some place"


def test_a_wrong_order_tells_the_same_three_things():
    for text in wrong_texts(asked("order", SCENE, 12_000)):
        found = [text.find(words) for words in ("does enter", "does move", "does leave")]
        assert min(found) >= 0, text
        assert any(one > then for one, then in pairwise(found)), text


def test_a_wrong_number_is_near_and_never_below_none():
    none = wrong_texts(asked("count_so_far", ENTER, 1_000))
    assert {"".join(c for c in text if c.isdigit()) for text in none} == {"1", "2"}


def test_who_is_no_template_has_no_wrong_words():
    with pytest.raises(CannotAskError, match="nobody finds"):
        wrong_texts(asked("where", SUBJECT, 12_000, written=Provenance(kind="person", agent="a")))
    with pytest.raises(CannotAskError, match="nobody finds"):
        wrong_texts(asked("where", About(kind="subject", subject="pink star"), 12_000))
