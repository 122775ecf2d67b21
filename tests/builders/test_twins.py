"""Twins: what was never shown, in words that do not tell it from what was."""

import re

from datasets_build.builders import twins
from datasets_build.core.records import Evidence
from tests.builders.asking import ENTERS, LEAVES, VIDEO, act, at, desk, pan
from tests.builders.made import MS, said


class TestTwins:
    def test_the_twin_asks_for_what_never_is(self):
        found = set()
        for seed in range(20):
            base, twin = twins.twins_at(desk(ENTERS, LEAVES, seed=seed), at(9_500))
            assert twin.unanswerable
            assert not base.unanswerable
            assert base.ask_ns == twin.ask_ns == twin.answerable_from_ns == at(9_500)
            assert twin.replies[0].evidence == (Evidence(start_ns=0, end_ns=at(9_500)),)
            assert "red circle" not in twin.question
            assert "circle" in twin.question, "what is there, in a colour that is not"
            found.add(twin.question)
        assert len(found) > 5

    def test_the_picture_has_twins_too(self):
        for seed in range(20):
            base, twin = twins.twins_at(desk(cuts=[100, 150], signals=[pan(200, 260)], seed=seed), at(12_000))
            assert "panned to the right" not in twin.question
            assert "camera or light" in base.question

    def test_after_a_fade_nobody_says_that_it_was_never_dark(self):
        for seed in range(40):
            made = desk(signals=[pan(200, 260)], cuts=[100], kinds=["fade_through"], seed=seed)
            pair = twins.twins_at(made, at(12_000))
            assert pair is None or not re.search("black|brighter|darker", pair[1].question)

    def test_a_subject_that_some_caption_names_is_not_absent(self):
        names = desk(ENTERS).teacher.absent_subjects()
        everything = said(VIDEO, 12_000 * MS, 13_000 * MS, " ".join(name.split()[-1] for name in names))
        told = [row.model_copy(update={"origin": "captions"}) for row in (ENTERS, LEAVES)]
        assert twins.twins_at(desk(*told, everything), at(9_500)) is None
        assert twins.twins_at(desk(*told), at(9_500)) is not None

    def test_in_a_world_the_absent_has_the_words_of_what_is_there(self):
        rows = [
            ENTERS,
            LEAVES,
            act(1_000, 1_500, "enter", "blue star"),
            act(1_700, 1_700, "change_colour", "pink cross"),
        ]
        found = set()
        for seed in range(40):
            pair = twins.twins_at(desk(*rows, seed=seed), at(9_500))
            found |= set(re.findall(r"\w+ (?:circle|star|cross)", pair[1].question)) if pair else set()
        assert found <= {"blue circle", "pink circle", "red star", "pink star"}
        assert len(found) > 2

    def test_where_everything_changes_colour_nothing_is_called_absent(self):
        rows = [ENTERS, LEAVES, act(15_000, 15_000, "change_colour")]
        assert all(twins.twins_at(desk(*rows, seed=seed), at(9_500)) is None for seed in range(10))

    def test_without_anything_there_are_none(self):
        assert twins.twins_at(desk(), at(9_500)) is None
