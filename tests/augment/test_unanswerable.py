"""Questions whose evidence is cut away: dropped, or asked in vain with a twin that has an answer."""

import pytest

from augment.answers import CannotAskError, Rules, Scene
from augment.events import move_events
from augment.maker import Maker
from augment.settings import Crop, Pipeline
from augment.temporal import concat, crop
from augment.unanswerable import absent_subjects, ask_in_vain
from augment.view import View
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import About, Event, Provenance
from datasets_build.truth.grounds import Grounds
from datasets_build.truth.words import answer_texts, writer_of
from tests.augment.clips import broken, clip_of
from tests.builders.made import Scene as MadeScene
from tests.builders.made import clock_from, said, shots_at, video_of

S = NS_PER_S
CLOCK = clock_from([100] * 299, last_ms=100)
VIDEO = video_of("vain", CLOCK)
TOLD = Provenance(kind="rule", agent="made")


def event(label, subject, start_s, end_s, *, label_set="world", caption=None):
    return Event(
        id=f"{subject} {label} {start_s}", video_id=VIDEO.id, start_ns=round(start_s * S), end_ns=round(end_s * S),
        label=label, label_set=label_set, caption=caption or f"The {subject} does {label}.", subject=subject,
        known_from_ns=round(start_s * S), confidence=1.0, source="annotation", provenance=TOLD,
    )  # fmt: skip


# The red one is gone when the second half begins, the blue one stays, the green one comes in later still.
EVENTS = [
    event("enter", "red circle", 1, 2), event("move", "red circle", 2, 4), event("leave", "red circle", 5, 6),
    event("enter", "blue square", 7, 8), event("stop", "blue square", 9, 10),
    event("enter", "green star", 24, 25), event("move", "green star", 26, 27),
]  # fmt: skip


def half(first=110, stop=300):
    return crop(View.whole("v", CLOCK), first, stop)


def test_who_left_before_or_comes_later_is_never_seen():
    assert absent_subjects(half(), {"v": EVENTS}) == {"red circle"}
    assert absent_subjects(half(110, 230), {"v": EVENTS}) == {"red circle", "green star"}
    assert absent_subjects(half(0, 60), {"v": EVENTS}) == {"blue square", "green star"}
    assert absent_subjects(View.whole("v", CLOCK), {"v": EVENTS}) == frozenset()


def test_who_may_be_there_is_not_called_absent():
    """It stands still where nothing is told of it, was there from the beginning, or its coming is not told."""
    assert "blue square" not in absent_subjects(half(), {"v": EVENTS})
    there = [event("move", "red circle", 20, 21)]
    assert absent_subjects(half(0, 100), {"v": there}) == frozenset()
    untold = [event("leave", "red circle", 1, 2, label_set="captions")]
    assert absent_subjects(half(), {"v": untold}) == frozenset()
    # Cut in two while it leaves.
    assert absent_subjects(half(55, 300), {"v": EVENTS}) == frozenset()


def test_a_name_that_is_seen_in_another_video_is_there():
    both = {"v": EVENTS, "w": [event("move", "red circle", 1, 2)]}
    assert "red circle" not in absent_subjects(concat([half(), View.whole("w", CLOCK)]), both)


def clip():
    """A drawn-like clip in which everything that comes and goes is told."""
    rows = []
    for start, end, who, label in (
        (1, 2, "red circle", "enter"), (2, 4, "red circle", "move"), (5, 6, "red circle", "leave"),
        (12, 13, "blue square", "enter"), (14, 15, "blue square", "move"), (15, 15.5, "blue square", "stop"),
        (18, 19, "blue square", "move"), (19, 19.5, "blue square", "stop"),
    ):  # fmt: skip
        text = f"The {who} {label}s."
        rows.append(
            said(VIDEO, start * S, round(end * S), text, kind="label", label=label, subject=who, origin="world")
        )
    scene = MadeScene(VIDEO, CLOCK, shots_at(VIDEO, CLOCK, [0]), [], rows)
    return clip_of(scene)


def cut_copies(gone, seeds=40):
    parent = clip()
    unanswerable = {row.id for row in parent.questions if row.unanswerable}
    for seed in range(seeds):
        pipeline = Pipeline(seed=seed, gone=gone, operations=(Crop(least=0.5, most=0.6),))
        made = Maker(pipeline=pipeline, rules=Rules(), talk_rules=Rules()).make(parent, 0)
        assert broken(made) == []
        yield made, unanswerable


def asked_in_vain(made, unanswerable):
    return [row for row in made.clip.questions if row.unanswerable and row.provenance.inputs[0] not in unanswerable]


def test_what_is_cut_away_is_asked_in_vain_where_that_is_the_policy():
    found = 0
    for made, unanswerable in cut_copies("unanswerable"):
        by_id = {row.id: row for row in made.clip.questions}
        names = {event.subject for event in made.clip.events}
        for row in asked_in_vain(made, unanswerable):
            found += 1
            twin = by_id[row.twin_id]
            assert twin.twin_id == row.id
            assert not twin.unanswerable
            assert (twin.ask_ns, twin.task, twin.about.kind) == (row.ask_ns, row.task, row.about.kind)
            assert row.about.subject not in names
            assert twin.about.subject in names
            assert row.options == ()
            (answer,) = row.answers
            assert answer.t_ns == row.ask_ns
            assert answer.text in refusals(row)
    assert found


def refusals(row):
    return answer_texts(writer_of(row.provenance), row.task, row.about, (), number=None, absent=True)


def test_by_default_it_is_dropped_with_the_reason():
    dropped = 0
    for made, unanswerable in cut_copies("drop", seeds=20):
        assert asked_in_vain(made, unanswerable) == []
        dropped += sum("gone" in left.reason for left in made.left)
    assert dropped


def scene_of(view, events, absent):
    moved = move_events(view, {"v": events}, video_id="w").there
    return Scene(
        video_id="w", clock=view.clock, grounds=Grounds(moved, view.clock), rules=Rules(), seed=1, absent=absent
    )


def question(**update):
    parent = next(row for row in clip().questions if row.task == "before" and not row.unanswerable)
    return parent.model_copy(update={"about": About(kind="subject", subject="red circle")} | update)


def test_what_may_still_be_seen_is_never_called_unseen():
    with pytest.raises(CannotAskError, match="may be seen"):
        ask_in_vain(question(), 150 * S // 10, scene_of(half(), EVENTS, frozenset()))


@pytest.mark.parametrize(
    "update", [{"task": "happened_yet"}, {"unanswerable": True}, {"about": None}, {"about": About(kind="scene")}]
)
def test_only_what_came_before_can_be_asked_in_vain(update):
    with pytest.raises(CannotAskError, match="is gone"):
        ask_in_vain(question(**update), 10 * S, scene_of(half(), EVENTS, frozenset({"red circle"})))


def test_where_nothing_else_is_there_it_is_not_asked():
    with pytest.raises(CannotAskError, match="nothing else can be asked in its place"):
        ask_in_vain(question(), 10 * S, scene_of(half(), EVENTS[:3], frozenset({"red circle"})))


def test_the_policy_changes_nothing_where_everything_is_there():
    whole = [
        Maker(pipeline=Pipeline(gone=gone, operations=(Crop(least=1.0, most=1.0),)), rules=Rules()).make(clip(), 0)
        for gone in ("drop", "unanswerable")
    ]
    assert whole[0].clip.questions == whole[1].clip.questions
