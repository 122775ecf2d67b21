"""How far a round is, and the work that counts."""

import pytest

from annotate.closing import close
from annotate.pull import pull
from annotate.push import push
from annotate.rounds import create
from annotate.standing import finished, held, status
from tests.annotate.pulled import known
from tests.annotate.rounds_of_items import CONFIG, item, manifest, patience, posting, reading, some_round


def test_a_round_that_was_not_pushed(tmp_path):
    found = status(some_round(tmp_path))
    assert (found.items, found.pushed, found.annotated, found.open, found.is_closed) == (5, 0, {}, 5, False)


def test_counts(round_, board):
    board.annotate(1, 7, ["jump"])
    board.annotate(1, 8, ["jump"])
    board.annotate(2, 7, ["jump"])
    board.annotate(3, 7, [], skipped=True)
    board.annotate(3, 8, ["fall"])  # does not validate
    board.annotate(2, 7, ["jump"])  # a second one
    board.edit(4, board.annotate(4, 7, ["jump"]), 8, ["jump", "jump"])  # a foreign hand
    gone = board.annotate(5, 7, ["jump"])
    pull(round_, board, **known(round_, board))
    board.delete(5, gone)
    board.annotate(board.make_foreign("feed"), 9, ["jump"])
    pull(round_, board, **known(round_, board))
    found = status(round_)
    assert found.pushed == 5
    assert found.annotated == {1: 1, 2: 1}
    assert found.open == 4
    assert (found.skipped, found.flagged, found.deleted) == (1, 4, 1)
    done = finished(round_, reading())
    assert [(one.key, one.annotation_id) for one in done] == [
        (round_.items[0].key, 1),
        (round_.items[0].key, 2),
        (round_.items[1].key, 3),
    ]
    assert sorted({one.annotator for one in done[:2]}) == ["a1", "a2"]
    assert done[2].annotator == done[0].annotator
    assert {one.lead_time_s for one in done} == {12.5}


def test_the_last_version_counts(round_, board):
    number = board.annotate(2, 7, ["jump"])
    pull(round_, board, **known(round_, board))
    assert finished(round_, reading())[0].untouched
    board.edit(2, number, 7, ["jump", "hop"])
    pull(round_, board, **known(round_, board))
    (done,) = finished(round_, reading())
    assert [mark.label for mark in done.work.marks] == ["jump", "hop"]
    assert not done.untouched
    assert done.updated_at == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("overlap", [1, 2, 3])
def test_what_is_open_depends_on_how_many_were_asked(tmp_path, board, overlap):
    items = [item(number) for number in range(3)]
    made = create(tmp_path / "rounds", manifest(items, overlap=overlap), items)
    push(made, board, config=CONFIG, posting=posting, patience=patience(board))
    for number, users in ((1, (7,)), (2, (7, 8)), (3, (7, 8, 9))):
        for user in users:
            board.annotate(board.of_key(items[number - 1].key)[0], user, ["jump"])
    pull(made, board, **known(made, board))
    assert status(made).annotated == {1: 1, 2: 1, 3: 1}
    assert status(made).open == overlap - 1


def test_work_that_was_deleted_or_flagged_later_counts_no_more(round_, board):
    first, second = board.annotate(2, 7, ["jump"]), board.annotate(3, 7, ["jump"])
    pull(round_, board, **known(round_, board))
    assert len(finished(round_, reading())) == 2
    board.delete(2, first)
    board.edit(3, second, 8, ["fall"])
    pull(round_, board, **known(round_, board))
    assert finished(round_, reading()) == []
    assert [(one.live, one.own != ()) for one in sorted(held(round_), key=lambda one: one.annotation)] == [
        (False, False),
        (True, True),
    ]


def test_a_closed_round_is_known_as_one(round_, board):
    close(round_, board, **known(round_, board))
    assert status(round_).is_closed
