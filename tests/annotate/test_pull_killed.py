"""A pull that is killed anywhere, and repeated, ends in the bytes of one that was not."""

import json
import shutil
from contextlib import suppress
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from annotate.closing import latest
from annotate.journal import JOURNAL
from annotate.pull import OVERLAP_S
from annotate.push import push
from tests.annotate.board_of_lies import BoardOfLies, Fuse, Killed, killed_at_writes
from tests.annotate.pulled import FALL, JUMP, TRIP, fetch, rows
from tests.annotate.rounds_of_items import CONFIG, patience, posting, some_round, tree
from tests.laws import examples


def test_a_journal_that_ends_anywhere_is_completed_to_the_same_bytes(round_, board):
    """Every look of several rows is cut between any two of them and within each."""
    double = board.make_foreign(round_.items[1].key)
    board.annotate(double, 7, JUMP)
    board.annotate(double, 8, FALL)
    kept, board.tasks[double].annotations = board.tasks[double].annotations, {}
    board.pass_time(20)
    for user in (7, 8, 9):
        board.annotate(2, user, JUMP)
    board.pass_time(20)
    board.annotate(3, 9, JUMP)
    board.pass_time(20)
    # The later task has the earlier annotations, which make those of the other one second ones.
    board.tasks[double].annotations = kept
    board.edit(double, min(kept), 9, TRIP)
    board.annotate(double, 9, JUMP)
    fetch(round_, board)
    whole = tree(round_.folder)
    journal = whole[JOURNAL]
    assert [row.more for row in rows(round_)] == [2, 1, 0, 0, 4, 3, 2, 1, 0]
    ends = [at + 1 for at, byte in enumerate(journal) if byte == ord("\n")]
    for cut in [0, 1, *(end + by for end in ends[:-1] for by in (-1, 0, 7))]:
        shutil.rmtree(round_.folder / "pulled")
        (round_.folder / JOURNAL).write_bytes(journal[:cut])
        fetch(round_, board)
        assert tree(round_.folder) == whole


class Work(RuleBasedStateMachine):
    """People work while a puller that is killed anywhere and one that never is pull the same round."""

    @initialize(seed=st.integers(0, 10**6))
    def begin(self, seed):
        self.board = BoardOfLies(seed, honest=True)
        self.killed = some_round(self.folder / "killed" / "rounds", 4)
        self.whole = some_round(self.folder / "whole" / "rounds", 4)
        push(self.killed, self.board, config=CONFIG, posting=posting, patience=patience(self.board))
        push(self.whole, self.board, config=CONFIG, posting=posting, patience=patience(self.board))
        assert len(self.board.tasks) == 4
        self.is_alike, self.before = True, {}

    def _annotation(self, data):
        of = sorted((task.id, one) for task in self.board.tasks.values() for one in task.annotations)
        return data.draw(st.sampled_from(of))

    @rule(data=st.data(), user=st.integers(1, 3), result=st.sampled_from([JUMP, FALL, TRIP, []]), skip=st.booleans())
    def annotate(self, data, user, result, skip):
        self.board.annotate(data.draw(st.sampled_from(sorted(self.board.tasks))), user, result, skipped=skip)

    @precondition(lambda self: any(task.annotations for task in self.board.tasks.values()))
    @rule(data=st.data(), user=st.integers(1, 3), how=st.sampled_from(["edit", "forge", "delete"]))
    def meddle(self, data, user, how):
        task, one = self._annotation(data)
        if how == "edit":
            self.board.edit(task, one, user, ["jump", "jump"])
        elif how == "forge":
            self.board.forge(task, one, user)
        else:
            self.board.delete(task, one)

    @rule(key=st.sampled_from([None, "feed", "ours"]))
    def make_foreign(self, key):
        self.board.make_foreign(self.killed.items[2].key if key == "ours" else key)

    @rule()
    def delete_newest(self):
        """Its number will be used again; both pullers read everything, as they must to see it."""
        self.board.delete_task(max(self.board.tasks))
        if not self.board.tasks:
            self.board.make_foreign(None)
        self._pull([], everything=True)

    @rule(seconds=st.sampled_from([0.5, 3.0, OVERLAP_S, 100.0]))
    def wait(self, seconds):
        self.board.pass_time(seconds)

    @rule(fuses=st.lists(st.integers(0, 40), max_size=4), everything=st.booleans())
    def pull(self, fuses, everything):
        self._pull(fuses, everything=everything)

    @rule(left=st.integers(0, 40), everything=st.booleans())
    def begin_to_pull(self, left, everything):
        """A kill after which people go on: from then on there is no other round to compare the bytes with."""
        self._killed([left], everything=everything)
        self.is_alike = False

    def _pull(self, fuses, *, everything):
        self._killed(fuses, everything=everything)
        fetch(self.killed, self.board, everything=everything)
        fetch(self.whole, self.board, everything=everything)
        if self.is_alike:
            assert self._bytes("killed") == self._bytes("whole")
            self.compared.append(fuses)
        self._agree(self.killed)
        self._agree(self.whole)

    def _killed(self, fuses, *, everything):
        for left in fuses:
            self.board.fuse = Fuse(left)
            with suppress(Killed), killed_at_writes(self.board.fuse), mock.patch("annotate.pull._BATCH", 2):
                fetch(self.killed, self.board, everything=everything)
        self.board.fuse = Fuse()

    def _bytes(self, name):
        return {path: content for path, content in tree(self.folder / name).items() if "pushed.json" not in path}

    def _agree(self, round_):
        """What is held is what the server has, and every row that was ever written stands."""
        there = {
            (task.key or "", number): json.dumps(one["result"], separators=(",", ":"))
            for task in self.board.tasks.values()
            for number, one in task.annotations.items()
        }
        assert {at: version.result for at, version in latest(round_).items()} == there
        journal = (round_.folder / JOURNAL).read_bytes()
        assert journal.startswith(self.before.get(round_.folder, b""))
        self.before[round_.folder] = journal


def test_killed_anywhere_a_pull_ends_in_the_bytes_of_one_that_was_not(tmp_path_factory):
    compared = []

    class Here(Work):
        def __init__(self):
            super().__init__()
            self.compared = compared
            self.folder = tmp_path_factory.mktemp("work")

    run_state_machine_as_test(Here, settings=settings(max_examples=examples(40), stateful_step_count=12))
    assert any(compared), "no pull was killed before its bytes were compared"
