"""Out to a real Label Studio, corrected in a real browser, back, and merged: what was on screen is what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from typer.testing import CliRunner

from annotate.__main__ import app
from annotate.desk import screen_of
from annotate.push import find_project
from annotate.rounds import Round, load
from annotate.studio import enter
from annotate.tasks import Item
from datasets_build.core.corrections import TABLE, Correction
from datasets_build.core.layout import dataset_rows, table_path
from datasets_build.core.records import Dialogue, Event, StreamingQA
from datasets_build.core.table import read_table
from tests.annotate.servers import Servers, needs_sdk
from tests.annotate.trip_clips import SPECS, Clips, draw_clips
from tests.annotate.trip_hand import Hand, Sight
from tests.report.browser import Browser, find_browser

pytestmark = pytest.mark.slow
each_clip = pytest.mark.parametrize("name", SPECS)


class Trip:
    """One server, one browser and one folder of clips, and rounds through all of them by the command line."""

    def __init__(self, folder: Path, servers: Servers, browser: Browser) -> None:
        self.access, self.folder = servers.access(), folder
        self.clips: Clips = draw_clips(folder / "out")
        self.hand = Hand(browser, self.access)
        self.environment = {
            "STREAMVL_STUDIO_URL": self.access.url,
            "STREAMVL_STUDIO_TOKEN": self.access.token,
            "STREAMVL_STUDIO_MEDIA": str(self.access.media),
            "STREAMVL_STUDIO": str(folder / "studio"),
        }

    def called(self, kind: str) -> str:
        return f"trip-{kind}"

    def command(self, *words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--rounds", str(self.folder / "rounds")], env=self.environment)
        assert done.exit_code == 0, f"{words}: {done.output} {done.exception!r}"
        return done.output

    def push(self, name: str, kind: str) -> tuple[Round, int, dict[int, Item]]:
        """A round on the server: the round, its project, and its items by the numbers of their tasks."""
        said = self.command("push", name, "--data", str(self.clips.out), "--kind", kind)
        assert f"{len(SPECS)} items, {len(SPECS)} sent" in said
        round_ = load(self.folder / "rounds", name)
        with enter(self.access) as studio:
            project = find_project(round_, studio, config=screen_of(round_))
            tasks = studio.keys(project, list(round_.by_key))
        return round_, project.id, {number: round_.by_key[key] for key, (number,) in tasks.items()}

    def bring_back(self, name: str) -> Path:
        """Pull, close and merge; the merged folder."""
        assert f"new: {len(SPECS)}, changed: 0, deleted: 0, flagged: 0" in self.command("pull", name)
        assert "differs" not in self.command("close", name)
        to = self.folder / f"merged-{name}"
        said = self.command("merge", name, "--to", str(to))
        assert f"{len(SPECS)} items merged, 0 disputed, 0 unusable" in said
        assert "left as it was" not in said
        return to

    def show(self, kind: str, item: Item) -> None:
        """Keep a picture of the screen, one of each kind and clip, beside what pytest keeps."""
        self.hand.shoot(self.folder / f"{kind}-{self.clips.names[item.window.video_id]}.png")


@pytest.fixture(scope="module")
def trip(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trip]:
    needs_sdk()
    find_browser()
    folder = tmp_path_factory.mktemp("trip")
    with Browser(folder / "profile") as browser:
        yield Trip(folder, servers, browser)


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What a person saw where the ends of events were put, and all events of the clip that were said, by label.

    The frames `first` and `last` of `stop` were typed; the end of `enter` was dragged on the timeline, to `let_go`.
    """

    first: Sight
    last: Sight
    let_go: Sight
    before: dict[str, Event]
    after: dict[str, Event]


def _half_a_frame(trip: Trip, video_id: str) -> int:
    times = trip.clips.truths[video_id].t_ns
    return int(median(then - at for at, then in pairwise(times))) // 2


def _video(trip: Trip, name: str) -> str:
    return next(video for video, named in trip.clips.names.items() if named == name)


@pytest.fixture(scope="module")
def moved(trip: Trip) -> dict[str, Moved]:
    return _move_ends(trip)


def _said(out: Path) -> dict[str, dict[str, Event]]:
    found: dict[str, dict[str, Event]] = {}
    for row in read_table(table_path(out, Event), Event):
        if row.label in ("enter", "stop", "leave"):
            events = found.setdefault(row.video_id, {})
            assert row.label not in events, f"{row.video_id}: two events {row.label}"
            events[row.label] = row
    return found


def _move_ends(trip: Trip) -> dict[str, Moved]:
    """Of every clip the end of `enter` is dragged, and both ends of `stop` are typed, as the page shows the frames."""
    _, project, items = trip.push(trip.called("events"), "events")
    sights, task = {}, trip.hand.begin(project)
    while task is not None:
        item = items.pop(task)
        trip.hand.choose_bar("enter")
        let_go = trip.hand.drag_end("enter", 15, item.window)
        trip.hand.choose_bar("stop")
        first = trip.hand.seek(0.15, item.window)
        trip.hand.set_end("Start frame", first.frame)
        last = trip.hand.seek(0.84, item.window)
        trip.hand.set_end("End frame", last.frame)
        sights[item.window.video_id] = (first, last, let_go)
        trip.show("events", item)
        task = trip.hand.submit()
    assert not items, "tasks that nobody was shown"
    before, after = _said(trip.clips.out), _said(trip.bring_back(trip.called("events")))
    return {
        video: Moved(first=first, last=last, let_go=let_go, before=before[video], after=after[video])
        for video, (first, last, let_go) in sights.items()
    }


@each_clip
def test_a_moved_end_is_the_source_time_of_the_frame_on_screen(name: str, trip: Trip, moved: dict[str, Moved]) -> None:
    video = _video(trip, name)
    found, times = moved[video], [*trip.clips.truths[video].t_ns, trip.clips.truths[video].end_ns]
    half = _half_a_frame(trip, video)
    old, new = found.before["stop"], found.after["stop"]
    assert abs(new.start_ns - times[found.first.number]) <= half
    assert abs(new.end_ns - times[found.last.number + 1]) <= half
    # Both ends were really moved, each by more than a frame.
    assert abs(new.start_ns - old.start_ns) > 4 * half
    assert abs(new.end_ns - old.end_ns) > 4 * half


@each_clip
def test_a_dragged_end_is_the_source_time_of_the_frame_on_screen(
    name: str, trip: Trip, moved: dict[str, Moved]
) -> None:
    video = _video(trip, name)
    found, times = moved[video], [*trip.clips.truths[video].t_ns, trip.clips.truths[video].end_ns]
    half = _half_a_frame(trip, video)
    old, new = found.before["enter"], found.after["enter"]
    assert abs(new.end_ns - times[found.let_go.number + 1]) <= half
    assert new.end_ns > old.end_ns + 4 * half
    # The other end stays, and so does what nobody touched.
    assert new.start_ns == old.start_ns
    assert found.after["leave"] == found.before["leave"]


ANSWER = "The red circle does something else, at long last."


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What a person saw where an answer was put, and all questions of the clip before and after, by their ids."""

    seen: Sight
    chosen: str
    before: dict[str, StreamingQA]
    after: dict[str, StreamingQA]


@pytest.fixture(scope="module")
def fixed(trip: Trip) -> dict[str, Fixed]:
    return _fix_answers(trip)


def _questions(out: Path) -> dict[str, dict[str, StreamingQA]]:
    found: dict[str, dict[str, StreamingQA]] = {}
    for row in dataset_rows(out, "streaming_qa/qa", StreamingQA):
        found.setdefault(row.video_id, {})[row.id] = row
    return found


def _fix_answers(trip: Trip) -> dict[str, Fixed]:
    """Of every clip one question that waits gets another answer, when the page shows a later frame; others stay."""
    _, project, items = trip.push(trip.called("qa"), "qa")
    before, sights, task = _questions(trip.clips.out), {}, trip.hand.begin(project)
    while task is not None:
        item = items.pop(task)
        video, questions = item.window.video_id, item.sheet.questions
        place = next(k for k, one in enumerate(questions) if before[video][one.id].mode == "forward")
        for other in range(len(questions)):
            trip.hand.judge(other, "fix" if other == place else "accept")
        trip.hand.rewrite(place, ANSWER)
        seen = trip.hand.seek(0.96, item.window)
        trip.hand.set_number(place, 1, seen.frame)
        sights[video] = (seen, questions[place].id)
        trip.show("qa", item)
        task = trip.hand.submit()
    assert not items, "tasks that nobody was shown"
    after = _questions(trip.bring_back(trip.called("qa")))
    return {
        video: Fixed(seen=seen, chosen=chosen, before=before[video], after=after[video])
        for video, (seen, chosen) in sights.items()
    }


@each_clip
def test_a_fixed_answer_is_given_when_the_frame_on_screen_is(name: str, trip: Trip, fixed: dict[str, Fixed]) -> None:
    video = _video(trip, name)
    found, times = fixed[video], trip.clips.truths[video].t_ns
    old = found.before[found.chosen]
    (new,) = (row for row in found.after.values() if row.answers and row.answers[0].text == ANSWER)
    assert (new.question, new.ask_ns) == (old.question, old.ask_ns)
    assert abs(new.answers[0].t_ns - times[found.seen.number]) <= _half_a_frame(trip, video)
    assert new.answers[0].t_ns > old.answers[0].t_ns
    # All others are what they were.
    assert found.after.keys() - {new.id} == found.before.keys() - {old.id}


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """The turn that a person rejected, and the conversation before and after."""

    turn: str
    before: Dialogue
    after: Dialogue


@pytest.fixture(scope="module")
def rejected(trip: Trip) -> dict[str, Rejected]:
    return _reject_turns(trip)


def _reject_turns(trip: Trip) -> dict[str, Rejected]:
    """Of every clip the first turn of the assistant is rejected, all others accepted."""
    _, project, items = trip.push(trip.called("dialogue"), "dialogue")
    turns, task = {}, trip.hand.begin(project)
    while task is not None:
        item = items.pop(task)
        place = next(k for k, turn in enumerate(item.sheet.turns) if turn.role == "assistant")
        for other in range(len(item.sheet.turns)):
            trip.hand.judge(other, "reject" if other == place else "accept")
        turns[item.window.video_id] = item.sheet.turns[place].id
        trip.show("dialogue", item)
        task = trip.hand.submit()
    assert not items, "tasks that nobody was shown"
    before = {row.video_id: row for row in dataset_rows(trip.clips.out, "dialogue/dialogues", Dialogue)}
    to = trip.bring_back(trip.called("dialogue"))
    after = {row.video_id: row for row in dataset_rows(to, "dialogue/dialogues", Dialogue)}
    return {video: Rejected(turn=turn, before=before[video], after=after[video]) for video, turn in turns.items()}


@each_clip
def test_a_rejected_turn_is_not_learnt_and_the_others_stay(
    name: str, trip: Trip, rejected: dict[str, Rejected]
) -> None:
    found = rejected[_video(trip, name)]
    assert len(found.before.turns) == len(found.after.turns)
    for old, new in zip(found.before.turns, found.after.turns, strict=True):
        if old.id == found.turn:
            assert (old.learn, new.learn, new.loss_weight) == (True, False, 0.0)
            assert new.text == old.text
        else:
            assert (new.id, new.learn, new.text) == (old.id, old.learn, old.text)


def test_a_correction_names_who_made_it_where_and_what_was_edited(trip: Trip, moved: dict[str, Moved]) -> None:
    to = trip.folder / f"merged-{trip.called('events')}"
    rows = {(row.video_id, row.parent_id): row for row in read_table(to / TABLE, Correction)}
    edited = {"stop": {"start_ns", "end_ns"}, "enter": {"end_ns"}}
    assert len(rows) == len(moved) * len(edited)
    for video, found in moved.items():
        for label, ends in edited.items():
            row = rows[video, found.before[label].id]
            assert (row.round, row.action, row.of) == (trip.called("events"), "replace", "event")
            assert row.parent_id == found.after[label].parent_event_id
            assert ends <= set(row.edited)
            assert row.annotators == ("a1",)
    assert not any("start_ns" in rows[video, found.before["enter"].id].edited for video, found in moved.items())
