"""Each item once, whatever the connection does."""

import json
import logging
import os
import subprocess
import sys
import textwrap
from contextlib import suppress
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.board import AlteredError, MissingError, RefusedError, UnknownError
from annotate.errors import AnnotateError
from annotate.push import CHUNK, SENT, Patience, find_project, push, read_sent
from annotate.rounds import blind
from tests.annotate.board_of_lies import BoardOfLies, Fuse, Killed, Refusing, killed_at_writes
from tests.annotate.rounds_of_items import CONFIG, patience, posting, some_round
from tests.laws import examples


def send(round_, board, tries=12):
    return push(round_, board, config=CONFIG, posting=posting, patience=patience(board, tries))


def keys_there(board):
    return sorted(task.key for task in board.tasks.values())


def keys_of(round_):
    return sorted(item.key for item in round_.items)


def test_all_items_are_sent_once_in_small_requests(tmp_path):
    board = BoardOfLies(honest=True)
    round_ = some_round(tmp_path, 2 * CHUNK + 1)
    done = send(round_, board)
    assert (done.sent, done.items, done.duplicates) == (201, 201, {})
    assert keys_there(board) == keys_of(round_)
    assert board.sends == 3
    assert board.slept_s == 0.0


def test_a_second_push_sends_nothing_and_says_so(tmp_path, caplog):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    send(round_, board)
    with caplog.at_level(logging.INFO, logger="annotate"):
        assert send(round_, board).sent == 0
    assert board.sends == 1
    assert "nothing to send, all 5 items are in project 1" in caplog.text


def test_only_what_is_missing_is_sent(tmp_path):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    send(round_, board)
    board.delete_task(board.of_key(round_.items[2].key)[0])
    assert send(round_, board).sent == 1
    assert keys_there(board) == keys_of(round_)


@pytest.mark.parametrize(("lie", "sends"), [("lost reply", 2), ("lost request", 4), ("late", 2)])
def test_a_request_without_an_answer_is_made_again_only_for_what_is_missing(tmp_path, lie, sends):
    board, round_ = BoardOfLies(), some_round(tmp_path, CHUNK + 3)
    lies = [lie, lie]
    board._lie = lambda *kinds: lies.pop() if "late" in kinds and lies else "fine"
    assert send(round_, board).sent == CHUNK + 3
    assert keys_there(board) == keys_of(round_)
    assert board.sends == sends


def test_without_settling_a_late_request_would_double(tmp_path):
    """The guard of the test above: it is the waiting that keeps the tasks single."""
    board, round_ = BoardOfLies(), some_round(tmp_path, 3)
    lies = ["late"]
    board._lie = lambda *kinds: lies.pop() if "late" in kinds and lies else "fine"
    hasty = Patience(tries=3, first_s=0.0, most_s=0.0, settle_s=0.0, sleep=board.sleep)
    push(round_, board, config=CONFIG, posting=posting, patience=hasty)
    board.pass_time(60)
    assert len(board.tasks) == 6


def test_a_push_that_died_in_a_request_waits_for_it(tmp_path):
    """The request is still at work on the server when the next push begins."""
    board, round_ = BoardOfLies(), some_round(tmp_path, 3)

    def dies(project, postings):
        board.late.append((board.now_s + 2.0, postings))
        raise Killed

    board._lie = lambda *kinds: "fine"
    with mock.patch.object(board, "send", dies), pytest.raises(Killed):
        send(round_, board)
    assert read_sent(round_.folder).sending == tuple(item.key for item in round_.items)
    assert send(round_, board).sent == 0
    board.pass_time(60)
    assert keys_there(board) == keys_of(round_)


@settings(max_examples=examples(40))
@given(seed=st.integers(0, 10**6), fuses=st.lists(st.integers(0, 25), max_size=6))
def test_killed_anywhere_and_lied_to_each_item_has_one_task(tmp_path_factory, seed, fuses):
    board = BoardOfLies(seed)
    round_ = some_round(tmp_path_factory.mktemp("rounds"), 7)
    with mock.patch("annotate.push.CHUNK", 3):
        for left in fuses:
            board.fuse = Fuse(left)
            with suppress(Killed), killed_at_writes(board.fuse):
                send(round_, board)
            board.fuse = Fuse()
        done = send(round_, board, tries=40)
        board.pass_time(60)
        assert keys_there(board) == keys_of(round_)
        assert done.duplicates == {}
        assert read_sent(round_.folder).there == 7
        assert read_sent(round_.folder).sending == ()
        sends = board.sends
        assert send(round_, board, tries=40).sent == 0
        assert board.sends == sends


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_two_thousand_items_killed_twenty_times(tmp_path, seed):
    board = BoardOfLies(seed)
    round_ = some_round(tmp_path, 2000)
    for _ in range(20):
        board.fuse = Fuse(board.rng.randrange(120))
        with suppress(Killed), killed_at_writes(board.fuse):
            send(round_, board)
    board.fuse = Fuse()
    send(round_, board, tries=40)
    board.pass_time(60)
    assert keys_there(board) == keys_of(round_)
    assert len(board.tasks) == 2000
    assert send(round_, board, tries=40).sent == 0


def test_what_somebody_else_doubled_is_told_and_stays(tmp_path, caplog):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    send(round_, board)
    key = round_.items[3].key
    board.make_foreign(key)
    done = send(round_, board)
    assert done.sent == 0
    assert done.duplicates == {key: (4, 6)}
    assert len(board.tasks) == 6
    assert f"{key}: tasks 4, 6" in caplog.text


def test_a_race_that_doubles_meanwhile_is_told(tmp_path):
    """Somebody sends the same from another folder between our look and our request."""
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    whole = board.send

    def raced(project, postings):
        board.make(postings[:2])
        whole(project, postings)

    with mock.patch.object(board, "send", raced):
        done = send(round_, board)
    assert done.duplicates == {round_.items[0].key: (1, 3), round_.items[1].key: (2, 4)}
    assert len(board.tasks) == 7


def test_a_second_pusher_is_refused_and_told_who_is_there(tmp_path):
    round_ = some_round(tmp_path)
    board = BoardOfLies(honest=True)
    code = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from annotate.lock import hold
        with hold(Path(sys.argv[1]) / ".push.lock", "pushing this round"):
            print("held", flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", code, round_.folder], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(AnnotateError, match=f"process {other.pid} is already pushing this round"):
                send(round_, board)
            assert board.tasks == {}
        finally:
            other.kill()
    # A kernel lets go of what the dead held.
    assert send(round_, board).sent == 5
    assert (round_.folder / ".push.lock").read_text() == f"{os.getpid()}\n"


def test_a_project_that_was_deleted_is_told_and_not_made_again(tmp_path):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    send(round_, board)
    board.projects.clear()
    with pytest.raises(MissingError, match=r"round r1: its project 1, 'streamvl r1 .*', is gone.*delete .*pushed.json"):
        send(round_, board)
    assert board.projects == {}


def test_a_project_of_the_same_title_by_somebody_else_is_not_ours(tmp_path):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    send(round_, board)
    board.projects.clear()
    board.tasks.clear()
    board.project("another", CONFIG)
    board.project(round_.title, CONFIG)
    with pytest.raises(MissingError, match="one of the same title has number 2"):
        send(round_, board)
    assert board.tasks == {}


def test_the_project_of_a_round_is_found_again(tmp_path):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    with pytest.raises(MissingError, match="round r1: it was not pushed yet; run annotate-push first"):
        find_project(round_, board, config=CONFIG)
    done = send(round_, board)
    assert find_project(round_, board, config=CONFIG) == done.project


def test_a_changed_configuration_is_told(tmp_path):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    send(round_, board)
    with pytest.raises(AlteredError, match="another configuration"):
        push(round_, board, config="<View>else</View>", posting=posting, patience=patience(board))


def test_a_refusal_is_told_at_once(tmp_path):
    board, round_ = Refusing(honest=True), some_round(tmp_path)
    with pytest.raises(RefusedError, match="no such field"):
        send(round_, board)
    assert board.slept_s == 0.0


def test_patience_ends(tmp_path):
    board, round_ = BoardOfLies(), some_round(tmp_path)
    board._lie = lambda *kinds: "lost request" if "late" in kinds else "fine"
    with pytest.raises(UnknownError, match=r"tried 4 times; 0 of 5 items are there; repeat the command"):
        send(round_, board, tries=4)
    assert board.sends == 4
    assert 0 < board.slept_s < 60


def test_what_trickles_in_for_ever_is_not_waited_for(tmp_path):
    board, round_ = BoardOfLies(), some_round(tmp_path, 20)
    board._lie = lambda *kinds: "lost request" if "late" in kinds else "fine"
    rest = list(round_.items)

    def sleep(seconds):
        board.make([posting(blind(rest.pop()))])

    slow = Patience(tries=4, first_s=1.0, most_s=1.0, settle_s=1.0, sleep=sleep)
    with pytest.raises(UnknownError, match="still on their way"):
        push(round_, board, config=CONFIG, posting=posting, patience=slow)


def test_tasks_that_vanish_meanwhile_are_told(tmp_path):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path, CHUNK + 1)
    whole = board.send

    def eaten(project, postings):
        whole(project, postings)
        if len(board.tasks) > CHUNK:
            board.delete_task(7)

    with (
        mock.patch.object(board, "send", eaten),
        pytest.raises(AnnotateError, match=rf"1 items were there and are not \({round_.items[6].key}\)"),
    ):
        send(round_, board)
    assert send(round_, board).sent == 1


def test_a_task_under_another_key_is_refused(tmp_path):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    other = posting(round_.items[0])
    with pytest.raises(AnnotateError, match=f"has key {other.key}, expected the item's"):
        push(round_, board, config=CONFIG, posting=lambda one: other, patience=patience(board))
    assert board.tasks == {}


def test_another_rounds_state_is_refused(tmp_path):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    send(round_, board)
    state = json.loads((round_.folder / SENT).read_text())
    (round_.folder / SENT).write_text(json.dumps({**state, "title": "streamvl other 00000000"}))
    with pytest.raises(AnnotateError, match=r"pushed\.json: title: found 'streamvl other 00000000'"):
        send(round_, board)
    (round_.folder / SENT).write_text("{")
    with pytest.raises(AnnotateError, match="not the state of a push"):
        send(round_, board)


def test_a_full_disk_is_told_and_nothing_was_sent(tmp_path):
    board, round_ = BoardOfLies(honest=True), some_round(tmp_path)
    full = OSError(28, "No space left on device")
    with (
        mock.patch("annotate.push.write_bytes", side_effect=full),
        pytest.raises(AnnotateError, match=r"pushed\.json: cannot be written \(No space left on device\)"),
    ):
        send(round_, board)
    assert board.sends == 0


@pytest.mark.parametrize("wrong", [{"tries": 0}, {"first_s": -1.0}, {"first_s": 9.0, "most_s": 1.0}, {"settle_s": -1}])
def test_impatience_is_refused(wrong):
    with pytest.raises(ValueError, match="expected at least one try"):
        Patience(**wrong)
