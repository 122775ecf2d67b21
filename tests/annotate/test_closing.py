"""A round ends with the server's last word, held against what was pulled."""

import hashlib
import json
import logging
from unittest import mock

import pytest

from annotate.closing import SNAPSHOT, close, read_closed
from annotate.errors import AnnotateError
from annotate.journal import JOURNAL
from annotate.pull import CLOSED, pull
from tests.annotate.pulled import known
from tests.annotate.rounds_of_items import tree

JUMP = ["jump"]


def differences(closed):
    return [(one.what, one.key, one.annotation) for one in closed.differences]


def test_a_round_is_closed_with_all_that_was_done(round_, board):
    board.annotate(2, 7, JUMP)
    board.annotate(3, 8, [], skipped=True)
    closed = close(round_, board, **known(round_, board))
    assert (closed.tasks, closed.annotations, closed.differences) == (5, 2, ())
    content = (round_.folder / SNAPSHOT).read_bytes()
    assert hashlib.md5(content).hexdigest() == closed.md5
    assert len(json.loads(content)) == 5
    assert (round_.folder / SNAPSHOT).stat().st_mode & 0o777 == 0o600
    assert read_closed(round_) == closed


def test_a_round_of_nothing_can_be_closed(round_, board):
    assert close(round_, board, **known(round_, board)).annotations == 0
    assert read_closed(round_) is not None


def test_closing_again_changes_nothing(round_, board):
    board.annotate(2, 7, JUMP)
    closed = close(round_, board, **known(round_, board))
    before = tree(round_.folder)
    board.annotate(3, 7, JUMP)
    assert close(round_, board, **known(round_, board)) == closed
    assert tree(round_.folder) == before


def test_a_closed_round_refuses_what_is_new(round_, board):
    board.annotate(2, 7, JUMP)
    close(round_, board, **known(round_, board))
    assert pull(round_, board, **known(round_, board)).rows == 0
    before = tree(round_.folder)
    number = board.annotate(3, 7, JUMP)
    with pytest.raises(AnnotateError, match=rf"the round is closed, and annotation {number} of .* is now new"):
        pull(round_, board, **known(round_, board))
    assert tree(round_.folder) == before


def test_tasks_that_are_not_as_they_were_are_told(round_, board, caplog):
    number = board.annotate(2, 7, JUMP)
    pull(round_, board, **known(round_, board))
    board.delete_task(2)
    board.make_foreign(round_.items[3].key)
    board.make_foreign("feed")
    closed = close(round_, board, **known(round_, board))
    assert sorted(differences(closed)) == sorted(
        [
            ("no_task", round_.items[1].key, None),
            ("two_tasks", round_.items[3].key, None),
            ("foreign_task", "feed", None),
        ]
    )
    assert f"no_task: {round_.items[1].key}" in caplog.text
    # What was pulled of it stays, and that it is gone is known.
    assert [json.loads(line)["what"] for line in (round_.folder / JOURNAL).read_text().splitlines()] == [
        "new",
        "deleted",
    ]
    assert closed.annotations == 0
    assert number == 1


def test_what_pulls_missed_is_read_before_the_end(round_, board, caplog):
    """A server whose instants go backwards, as after its clock was set."""
    board.pass_time(1000)
    board.annotate(2, 7, JUMP)
    pull(round_, board, **known(round_, board))
    board.now_s = 10
    board.annotate(3, 7, JUMP)
    assert pull(round_, board, **known(round_, board)).new == 0
    with caplog.at_level(logging.INFO, logger="annotate"):
        closed = close(round_, board, **known(round_, board))
    assert (closed.annotations, closed.differences) == (2, ())
    assert "1 annotations differ; reading everything" in caplog.text


def test_a_round_at_which_people_work_stays_open(round_, board):
    whole = board.snapshot

    def busy(project, path):
        board.annotate(1, board.annotations_made + 1, JUMP)
        return whole(project, path)

    with (
        mock.patch.object(board, "snapshot", busy),
        pytest.raises(AnnotateError, match=r"1 annotations .* differ, the first 2 of .* \(not_pulled\): close it when"),
    ):
        close(round_, board, **known(round_, board))
    assert not (round_.folder / CLOSED).exists()
    assert not (round_.folder / SNAPSHOT).exists()
    assert pull(round_, board, **known(round_, board)).new == 1


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda tasks: tasks[1]["annotations"][0].update(result=["fall"]), "differs"),
        (lambda tasks: tasks[1]["annotations"][0].update(completed_by=9), "differs"),
        (lambda tasks: tasks[1]["annotations"].clear(), "gone"),
        (lambda tasks: tasks[2]["annotations"].append({"id": 77, "result": []}), "not_pulled"),
    ],
)
def test_a_snapshot_that_says_something_else_is_not_the_end(round_, board, harm, what):
    board.annotate(2, 7, JUMP)
    whole = board.snapshot

    def harmed(project, path):
        whole(project, path)
        tasks = json.loads(path.read_bytes())
        harm(tasks)
        path.write_text(json.dumps(tasks))
        return hashlib.md5(path.read_bytes()).hexdigest()

    with mock.patch.object(board, "snapshot", harmed), pytest.raises(AnnotateError, match=rf"\({what}\)"):
        close(round_, board, **known(round_, board))


def test_a_snapshot_that_came_broken_is_told(round_, board):
    with (
        mock.patch.object(board, "snapshot", lambda project, path: path.write_bytes(b"[]") and "0" * 32),
        pytest.raises(AnnotateError, match=r"snapshot\.json: MD5: found d751.*, the server says 0{32}; repeat"),
    ):
        close(round_, board, **known(round_, board))
    assert not (round_.folder / SNAPSHOT).exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{}", "found dict, expected a list of tasks"), (b"[3]", "task 0: expected a record with id")],
)
def test_a_snapshot_of_another_kind_is_told(round_, board, content, words):
    def other(project, path):
        path.write_bytes(content)
        return hashlib.md5(content).hexdigest()

    with mock.patch.object(board, "snapshot", other), pytest.raises(AnnotateError, match=words):
        close(round_, board, **known(round_, board))


def test_a_kill_before_the_end_leaves_an_open_round_that_can_be_closed(round_, board):
    board.annotate(2, 7, JUMP)
    with mock.patch("annotate.closing.write_bytes", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        close(round_, board, **known(round_, board))
    assert read_closed(round_) is None
    board.annotate(3, 7, JUMP)
    assert close(round_, board, **known(round_, board)).annotations == 2


@pytest.mark.parametrize("name", [SNAPSHOT, JOURNAL])
def test_a_closed_round_that_somebody_changed_is_told(round_, board, name):
    board.annotate(2, 7, JUMP)
    close(round_, board, **known(round_, board))
    path = round_.folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(AnnotateError, match=rf"{path.name}: SHA-256: .*: somebody changed a closed round"):
        read_closed(round_)
    path.unlink()
    with pytest.raises(AnnotateError, match="found no file"):
        read_closed(round_)


def test_an_end_that_is_none_is_told(round_, board):
    close(round_, board, **known(round_, board))
    (round_.folder / CLOSED).write_text("{}")
    with pytest.raises(AnnotateError, match=r"closed\.json: not the end of a round"):
        read_closed(round_)
