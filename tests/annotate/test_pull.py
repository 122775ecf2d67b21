"""What people did comes back once, in every version, with whatever is wrong with it."""

import json
import logging
from dataclasses import replace
from unittest import mock

import pytest

from annotate.closing import latest
from annotate.errors import AnnotateError
from annotate.journal import JOURNAL
from annotate.lock import hold
from annotate.people import People
from annotate.pull import instant, pull
from annotate.standing import held
from tests.annotate.pulled import FALL, JUMP, TRIP, fetch, project_of, rows, told
from tests.annotate.rounds_of_items import Counter, posting, reading, some_round, tree


def test_what_was_annotated_comes_back_as_it_was_said(round_, board):
    result = [{"value": {"ranges": [{"start": 3, "end": 9}]}, "id": "e1"}, "\ud800", 1e300]
    number = board.annotate(2, 7, result)
    assert fetch(round_, board).new == 1
    (row,) = rows(round_)
    assert (row.what, row.key, row.task, row.annotation) == ("new", round_.items[1].key, 2, number)
    assert json.loads(row.version.result) == result
    assert (row.version.by, row.version.lead_time_s, row.version.skipped) == ("a1", 12.5, False)


def test_a_second_pull_adds_nothing(round_, board):
    board.annotate(2, 7, JUMP)
    fetch(round_, board)
    before = tree(round_.folder)
    counter = Counter()
    assert fetch(round_, board, counter=counter).rows == 0
    assert fetch(round_, board, everything=True, counter=counter).rows == 0
    assert tree(round_.folder) == before
    assert counter.validated == 0


def test_a_pull_says_what_it_found(round_, board, caplog):
    board.annotate(2, 7, JUMP)
    board.annotate(3, 7, FALL)
    with caplog.at_level(logging.INFO, logger="annotate"):
        fetch(round_, board)
    assert "round r1: read 5 tasks; annotations: 2 new, 0 changed, 0 deleted; flagged: 1" in caplog.text


def test_only_what_changed_is_read(round_, board):
    board.pass_time(100)
    board.annotate(2, 7, JUMP)
    assert fetch(round_, board).tasks == 5
    board.pass_time(100)
    board.annotate(4, 7, JUMP)
    done = fetch(round_, board)
    # The one that was latest before is read again, for the overlap.
    assert (done.tasks, done.new) == (2, 1)


def test_no_item_is_parsed_but_those_in_which_something_happened(round_, board):
    """Ten thousand items cost a small pull no more than ten do: a line that breaks whoever parses it is not touched."""
    board.pass_time(100)
    fetch(round_, board)
    board.annotate(2, 7, JUMP)
    lines = [line if at == 1 else line.replace(b'"width":64', b'"width":0.5') for at, line in enumerate(round_.lines)]
    broken = replace(round_, lines=tuple(lines))
    assert fetch(broken, board).new == 1
    board.annotate(3, 7, JUMP)
    with pytest.raises(AnnotateError, match=r"items\.jsonl:3: window\.width"):
        fetch(broken, board)
    assert fetch(round_, board).new == 1


def test_a_change_in_the_instant_of_the_mark_is_not_lost(round_, board):
    board.annotate(2, 7, JUMP)
    fetch(round_, board)
    board.annotate(3, 7, JUMP)
    assert fetch(round_, board).new == 1


def test_a_change_to_a_task_that_was_read_already_is_not_lost(round_, board):
    """While a reading goes on, an early task changes and a later one changes after that."""
    board.pass_time(100)
    whole = board.changed

    def slow(project, since=None):
        tasks = list(whole(project, since))
        board.pass_time(50)
        board.annotate(1, 7, JUMP)
        board.pass_time(50)
        board.annotate(5, 8, JUMP)
        fresh = {task.task_id: task for task in whole(project)}
        return iter([task if task.task_id == 1 else fresh[task.task_id] for task in tasks])

    with mock.patch.object(board, "changed", slow):
        assert fetch(round_, board).new == 1
    assert fetch(round_, board).new == 1
    assert len(latest(round_)) == 2


def test_every_version_stays_in_the_journal(round_, board):
    number = board.annotate(2, 7, JUMP)
    fetch(round_, board)
    board.edit(2, number, 7, ["jump", "jump"])
    fetch(round_, board)
    board.delete(2, number)
    done = fetch(round_, board)
    assert (done.new, done.changed, done.deleted) == (0, 0, 1)
    assert told(round_) == [("new", number, ()), ("changed", number, ()), ("deleted", number, ())]
    assert [row.version and json.loads(row.version.result) for row in rows(round_)] == [JUMP, ["jump", "jump"], None]
    assert latest(round_) == {}


def test_pseudonyms_are_by_first_appearance_and_stand_outside_the_round(round_, board):
    board.annotate(5, 40, JUMP)
    board.pass_time(5)
    board.annotate(1, 12, JUMP)
    board.annotate(5, 33, JUMP)
    fetch(round_, board)
    assert {row.annotation: row.version.by for row in rows(round_)} == {2: "a1", 1: "a2", 3: "a3"}
    path = round_.folder.parents[1] / "people.json"
    assert json.loads(path.read_text()) == {"12": "a1", "40": "a2", "33": "a3"}
    assert path.stat().st_mode & 0o777 == 0o600
    for content in tree(round_.folder).values():
        assert b"completed_by" not in content


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (FALL, "label: found fall"),
        (TRIP, "region 0: found trip"),
        ({"jump": 1}, "result: found dict, expected a list"),
        (None, "result: found NoneType, expected a list"),
    ],
)
def test_what_does_not_validate_is_flagged_and_kept(round_, board, result, words):
    board.annotate(2, 7, result)
    assert fetch(round_, board).flagged == 1
    (row,) = rows(round_)
    assert [(flag.code, flag.detail) for flag in row.flags] == [("invalid", words)]
    assert json.loads(row.version.result) == result


def test_a_skip_is_not_validated(round_, board):
    board.annotate(2, 7, [], skipped=True)
    board.annotate(3, 7, FALL, skipped=True)
    assert fetch(round_, board).flagged == 0
    assert [one.skipped for one in held(round_)] == [True, True]


def test_a_foreign_task_is_flagged(round_, board):
    board.annotate(board.make_foreign(None), 7, JUMP)
    board.annotate(board.make_foreign("feed"), 7, JUMP)
    fetch(round_, board)
    assert {row.key: row.flags[0].code for row in rows(round_)} == {"": "unknown_key", "feed": "unknown_key"}


def test_a_task_of_another_round_is_flagged_with_its_name(round_, board):
    other = some_round(round_.folder.parent, 9, name="r0")
    board.annotate(board.make_foreign(other.items[8].key), 7, JUMP)
    fetch(round_, board)
    (row,) = rows(round_)
    assert [(flag.code, flag.detail) for flag in row.flags] == [("other_round", "its task is one of round r0")]


def test_work_that_another_edited_is_flagged(round_, board):
    board.edit(2, board.annotate(2, 7, JUMP), 8, ["jump", "jump"])
    fetch(round_, board)
    (row,) = rows(round_)
    assert [(flag.code, flag.detail) for flag in row.flags] == [("edited", "a2 edited what a1 did")]


def test_work_on_a_task_that_was_given_other_data_is_flagged(round_, board):
    showing = replace(reading(), shown=lambda one: posting(one).data)

    def fetched():
        people = People(round_.folder.parents[1] / "people.json")
        return pull(round_, board, project=project_of(round_, board), reading=showing, people=people)

    number = board.annotate(2, 7, JUMP)
    assert fetched().flagged == 0
    kept = dict(board.tasks[2].data)
    board.tasks[2].data.update(video="/other.mp4", more=1)
    later = board.annotate(2, 8, JUMP)
    fetched()
    board.tasks[2].data = kept
    fetched()
    assert told(round_) == [
        ("new", number, ()),
        ("new", later, ("other_data",)),
        ("flagged", number, ("other_data",)),
        ("cleared", number, ()),
        ("cleared", later, ()),
    ]
    assert rows(round_)[2].flags[0].detail == "somebody changed what its task shows: more, video"


def test_work_of_nobody_is_flagged(round_, board):
    board.annotate(2, None, JUMP)
    fetch(round_, board)
    assert rows(round_)[0].version.by == "nobody"
    assert rows(round_)[0].flags[0].detail == "nobody is named as its author"


def test_a_forged_author_stays_flagged(round_, board):
    number = board.annotate(2, 7, JUMP)
    fetch(round_, board)
    board.forge(2, number, 8)
    fetch(round_, board)
    board.edit(2, number, 8, ["jump", "jump"])
    fetch(round_, board)
    assert told(round_) == [("new", number, ()), ("changed", number, ("author",)), ("changed", number, ("author",))]
    assert rows(round_)[1].flags[0].detail == "its author was a1 and is now a2"


def test_a_second_annotation_of_the_same_person_is_flagged_until_the_first_goes(round_, board):
    first, second = board.annotate(2, 7, JUMP), board.annotate(2, 7, JUMP)
    fetch(round_, board)
    board.delete(2, first)
    fetch(round_, board)
    assert told(round_) == [
        ("new", first, ()),
        ("new", second, ("second",)),
        ("deleted", first, ()),
        ("cleared", second, ()),
    ]


def test_a_second_annotation_on_a_doubled_task_is_flagged_too(round_, board):
    first = board.annotate(2, 7, JUMP)
    board.pass_time(60)
    second = board.annotate(board.make_foreign(round_.items[1].key), 7, JUMP)
    done = fetch(round_, board)
    assert told(round_) == [("new", first, ()), ("new", second, ("second",))]
    assert done.duplicates == {round_.items[1].key: (2, 6)}


def test_an_earlier_one_that_comes_later_flags_the_one_that_was_there(round_, board):
    double = board.make_foreign(round_.items[1].key)
    early = board.annotate(double, 7, JUMP)
    hidden = board.tasks.pop(double)
    board.pass_time(60)
    late = board.annotate(2, 7, JUMP)
    fetch(round_, board)
    board.tasks[double] = hidden
    fetch(round_, board, everything=True)
    assert told(round_) == [("new", late, ()), ("new", early, ()), ("flagged", late, ("second",))]


def test_a_task_that_is_gone_is_seen_when_everything_is_read(round_, board):
    number = board.annotate(2, 7, JUMP)
    fetch(round_, board)
    board.delete_task(2)
    assert fetch(round_, board).rows == 0
    assert fetch(round_, board, everything=True).deleted == 1
    assert told(round_)[1:] == [("deleted", number, ("task_gone",))]
    assert fetch(round_, board, everything=True).rows == 0


def test_a_number_that_is_used_again_is_another_task(round_, board):
    first = board.annotate(5, 7, JUMP)
    fetch(round_, board)
    board.delete_task(5)
    assert board.make_foreign(round_.items[0].key) == 5
    second = board.annotate(5, 8, JUMP)
    fetch(round_, board, everything=True)
    assert {(one.key, one.annotation): one.live for one in held(round_)} == {
        (round_.items[4].key, first): False,
        (round_.items[0].key, second): True,
    }


def test_an_annotation_that_comes_back_is_new(round_, board):
    number = board.annotate(2, 7, JUMP)
    fetch(round_, board)
    kept = board.tasks[2].annotations.copy()
    board.delete(2, number)
    fetch(round_, board)
    board.tasks[2].annotations = kept
    fetch(round_, board)
    assert [what for what, _, _ in told(round_)] == ["new", "deleted", "new"]


def test_two_pullers_cannot_race(round_, board):
    with (
        hold(round_.folder / ".pull.lock", "pulling"),
        pytest.raises(AnnotateError, match="already pulling this round"),
    ):
        fetch(round_, board)


def test_a_server_of_another_kind_is_told(round_, board):
    board.tasks[2].annotations[1] = {"id": "x", "result": []}
    with pytest.raises(AnnotateError, match="annotation id: found 'x', expected a number"):
        fetch(round_, board)
    board.tasks[2].annotations.clear()
    board.annotate(2, 7, JUMP)
    board.tasks[2].annotations[1]["created_at"] = "yesterday"
    with pytest.raises(AnnotateError, match="instant: found 'yesterday', expected ISO 8601"):
        fetch(round_, board)


def test_a_full_disk_leaves_the_journal_as_it_was(round_, board):
    board.annotate(2, 7, JUMP)
    fetch(round_, board)
    before = tree(round_.folder)
    board.annotate(3, 7, JUMP)
    with (
        mock.patch("os.pwrite", side_effect=OSError(28, "No space left on device")),
        pytest.raises(AnnotateError, match="No space left on device"),
        mock.patch("annotate.lock.os.ftruncate"),
    ):
        pull_without_lock(round_, board)
    assert tree(round_.folder) == before
    assert fetch(round_, board).new == 1


def pull_without_lock(round_, board):
    from annotate.pull import pull_held

    pull_held(
        round_,
        board,
        project=project_of(round_, board),
        reading=reading(),
        people=People(round_.folder.parents[1] / "people.json"),
    )


def test_a_torn_line_is_told_and_read_again(round_, board, caplog):
    board.annotate(2, 7, JUMP)
    fetch(round_, board)
    whole = (round_.folder / JOURNAL).read_bytes()
    with (round_.folder / JOURNAL).open("ab") as journal:
        journal.write(whole[:40])
    with caplog.at_level(logging.WARNING, logger="annotate"):
        fetch(round_, board)
    assert "cut 40 bytes of a torn line" in caplog.text
    assert (round_.folder / JOURNAL).read_bytes() == whole


def test_instants_need_no_fraction_and_are_compared_as_instants():
    assert instant("2026-01-01T00:00:00Z") < instant("2026-01-01T00:00:00.000001Z")
    assert instant("2026-01-01T01:00:00+01:00") == instant("2026-01-01T00:00:00")
    assert instant("") < instant("1970-01-01T00:00:00Z")
