"""Laws of options, steps and places on really built questions: silent on them, and each planted fault is found."""

import re

import pytest

from datasets_build.builders.build import build_events, build_streaming_qa
from datasets_build.builders.choices import ChoicesConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.checks.answers import TRUTH_LAWS
from datasets_build.checks.causality import QUESTION_LAWS
from datasets_build.checks.laws import Known
from datasets_build.checks.walk import Atlas
from datasets_build.core.records import StreamingQA
from datasets_build.core.table import read_table
from datasets_build.teachers.template import load_template
from datasets_build.truth.words import Telling, texts_of
from tests.builders.made import MS, Scene, clock_from, said, shots_at, video_of, write_out

CLOCK = clock_from([40] * 1_499)
ALL = StreamingQAConfig(seed=4, per_minute=400.0, least=400, most=400, choices=ChoicesConfig(share=1.0))


def scene():
    """A minute of three shapes that come, move and go in turn, with boxes and two texts in the picture."""
    video = video_of("choices", CLOCK)
    rows = []
    for k, who in enumerate(("red circle", "blue square", "green star") * 2):
        start = 1_000 + 9_000 * k
        for label, words, begin, end in (
            ("enter", "enters", 0, 1_000), ("move", "moves left", 2_000, 4_000), ("leave", "leaves", 6_000, 7_000),
        ):  # fmt: skip
            text = f"The {who} {words} {'again' if k > 2 else 'first'}."
            rows.append(said(video, (start + begin) * MS, (start + end) * MS, text, label=label, subject=who))
        place = ("0.1 0.1 0.2 0.2", "0.6 0.6 0.2 0.2")[k % 2]
        rows.append(said(video, start * MS, (start + 7_000) * MS, place, kind="box", subject=who))
    rows += [
        said(video, a * MS, b * MS, text, label="text", origin="signs")
        for text, a, b in (("EXIT", 5_000, 9_000), ("STOP", 20_000, 30_000))
    ]
    return Scene(video, CLOCK, shots_at(video, CLOCK, []), [], sorted(rows, key=lambda row: row.start_ns))


class Built:
    """The questions about it, read back."""

    def __init__(self, out):
        self.out = write_out(out, [scene()])
        build_events(out, EventsConfig())
        build_streaming_qa(out, ALL)
        self.rows = list(read_table(out / "streaming_qa/qa/train.parquet", StreamingQA))
        atlas = Atlas(out)
        (video,) = atlas.videos
        events = {event.id: event for event in atlas.events_of(video.id)}
        by_id = {row.id: row for row in self.rows}
        self.known = Known(video, CLOCK, events, by_id, boxes=atlas.boxes_of(video.id))

    def broken(self, row):
        return {law.name for law in (*QUESTION_LAWS, *TRUTH_LAWS) if list(law.breaches(row, self.known))}

    def of(self, task, wanted=lambda row: True):
        return next(row for row in self.rows if row.task == task and wanted(row))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return Built(tmp_path_factory.mktemp("options") / "out")


def test_every_task_has_questions_that_break_nothing(built):
    tasks = {row.task for row in built.rows}
    assert {"order", "who", "where", "read", "step", "clue", "colour", "before", "next", "now"} <= tasks
    assert [row.id for row in built.rows if built.broken(row)] == []


def test_all_that_can_be_chosen_has_options_and_nothing_that_follows(built):
    with_options = {row.task for row in built.rows if row.options}
    assert {"order", "who", "where", "read", "clue", "colour", "before", "next", "now", "happened_yet"} <= with_options
    assert not with_options & {"step", "tell_me_when"}


def test_the_right_option_stands_everywhere(built):
    four = [row for row in built.rows if len(row.options) == 4]
    places = [sum(row.correct_option == k for row in four) for k in range(4)]
    assert min(places) > 0.6 * len(four) / 4


def test_no_option_but_of_what_comes_tells_of_what_is_still_to_come(built):
    for row in built.rows:
        if row.mode in ("backward", "realtime") and row.task not in ("happened_yet", "where"):
            later = [e.caption for e in built.known.events.values() if e.known_from_ns > row.ask_ns]
            seen = {e.caption for e in built.known.events.values() if e.known_from_ns <= row.ask_ns}
            texts = " ".join(row.options)
            assert not [text for text in later if text in texts and text not in seen and "again" in text]


def refusal_in(row):
    """The place of the option that refuses, if there is one."""
    refusals = texts_of(load_template(), row.task, row.about, Telling(absent=True)) if row.task == "before" else ()
    return next((k for k, text in enumerate(row.options) if text in refusals), None)


def one_wrong(row, text):
    k = next(k for k in range(len(row.options)) if k not in (row.correct_option, refusal_in(row)))
    return row.model_copy(update={"options": (*row.options[:k], text, *row.options[k + 1 :])})


@pytest.mark.parametrize("task", ["order", "who", "where", "read", "clue", "colour", "before", "next", "now"])
def test_an_option_that_the_video_does_not_suggest_is_found(built, task):
    row = built.of(task, lambda row: row.options and not row.twin_id)
    assert built.broken(one_wrong(row, "The pink elephant leaves.")) == {"options_wrong"}


def test_a_second_right_option_is_found(built):
    row = built.of("who", lambda row: row.options)
    name = next(e.subject for e in built.known.events.values() if e.id == row.evidence[0].event_id)
    others = [f"It is the {name}.", f"That is the {name}.", f"The {name}."]
    again = next(text for text in others if text != row.answers[0].text)
    assert built.broken(one_wrong(row, again)) == {"options_wrong"}


def test_an_order_that_no_seed_gives_is_found(built):
    row = built.of("where", lambda row: row.options)
    turned = (*row.options[1:], row.options[0])
    moved = row.model_copy(update={"options": turned, "correct_option": turned.index(row.answers[0].text)})
    assert built.broken(moved) == {"options_placed"}


def test_options_of_one_twin_alone_are_found(built):
    row = next(row for row in built.rows if row.twin_id and row.options and row.unanswerable)
    assert built.broken(row.model_copy(update={"options": (), "correct_option": None})) == {"options_of_twins"}
    other = built.known.questions[row.twin_id]
    assert {row.answers[0].text.startswith("Yes"), other.unanswerable} == {False}


def replaced(row, k, text):
    return row.model_copy(update={"options": (*row.options[:k], text, *row.options[k + 1 :])})


def test_all_that_is_asked_like_a_twin_can_be_refused_and_most_of_it_wrongly(built):
    alike = [
        row for row in built.rows if row.options and row.task == "before" and row.about.kind in ("subject", "label")
    ]
    assert [row for row in alike if refusal_in(row) is None] == []
    assert any(row.twin_id is None for row in alike)
    right = sum(refusal_in(row) == row.correct_option for row in alike)
    assert right == sum(row.unanswerable for row in alike)
    assert 0 < right <= len(alike) / 2
    others = [row for row in built.rows if row.options and row.task == "before" and row not in alike]
    assert others
    assert [row for row in others if refusal_in(row) is not None] == []


def test_a_question_like_a_twin_that_cannot_be_refused_is_found(built):
    row = built.of("before", lambda row: row.options and not row.unanswerable and refusal_in(row) is not None)
    k = refusal_in(row)
    fewer = [text for place, text in enumerate(row.options) if place != k]
    short = row.model_copy(update={"options": tuple(fewer), "correct_option": fewer.index(row.answers[0].text)})
    assert "options_refuse" in built.broken(short)


def test_a_refusal_where_no_twin_is_asked_is_found(built):
    row = built.of("before", lambda row: row.options and row.about.kind == "scene")
    assert built.broken(one_wrong(row, "So far I have seen no pink star.")) == {"options_wrong"}


def test_the_same_in_other_letters_and_without_a_stop_is_no_other_option(built):
    row = built.of("next", lambda row: len(row.options) > 2)
    again = row.answers[0].text.removesuffix(".").upper()
    assert built.broken(one_wrong(row, again)) == {"options_fit"}


def numbers_of(row):
    return [int(re.findall(r"\d+", text)[0]) for text in row.options]


def test_numbers_are_a_row_of_which_any_place_is_right(built):
    rows = [row for row in built.rows if row.task == "count_so_far" and row.options]
    ranks = set()
    for row in rows:
        numbers = sorted(numbers_of(row))
        assert numbers == list(range(numbers[0], numbers[0] + 4))
        ranks.add(numbers.index(numbers_of(row)[row.correct_option]))
        assert len(row.answers) == 1, "a number is chosen once, and not followed"
        assert not row.about.every
    assert ranks == {0, 1, 2}, "nothing has happened three times, so three numbers are below none"


def test_numbers_that_no_seed_gives_are_found(built):
    """Numbers all above the right one, as they were before anybody drew its place."""
    row = built.of(
        "count_so_far", lambda row: row.options and max(numbers_of(row)) != numbers_of(row)[row.correct_option]
    )
    low, high = min(numbers_of(row)), max(numbers_of(row))
    k = next(
        k
        for k, number in enumerate(numbers_of(row))
        if number == (low if low != numbers_of(row)[row.correct_option] else high)
    )
    assert built.broken(replaced(row, k, row.options[k].replace(str(numbers_of(row)[k]), str(high + 1)))) & {
        "options_counted"
    }


def test_a_former_name_of_the_same_thing_is_no_option(tmp_path):
    """What was pink and is blue now: "the pink circle" is not wrong enough."""
    video = video_of("turns", CLOCK)
    rows = [
        said(video, a * MS, b * MS, f"The {who} {words}.", label=label, subject=who)
        for a, b, who, words, label in (
            (1_000, 2_000, "pink circle", "enters", "enter"),
            (3_000, 4_000, "red star", "enters", "enter"),
            (5_000, 5_000, "pink circle", "turns blue", "change_colour"),
            (8_000, 20_000, "blue circle", "moves left", "move"),
        )
    ]  # fmt: skip
    out = write_out(tmp_path / "out", [Scene(video, CLOCK, shots_at(video, CLOCK, []), [], rows)])
    build_events(out, EventsConfig())
    build_streaming_qa(out, ALL)
    made = [row for row in read_table(out / "streaming_qa/qa/train.parquet", StreamingQA) if row.task == "who"]
    chosen = [row for row in made if row.options and "blue circle" in row.answers[0].text]
    assert chosen
    assert {len(row.options) for row in chosen} == {2}
    assert all("red star" in " ".join(row.options) for row in chosen)


def answered(row, k, **update):
    answers = list(row.answers)
    answers[k] = answers[k].model_copy(update=update)
    return row.model_copy(update={"answers": tuple(answers)})


def test_a_place_where_it_is_not_is_found(built):
    row = built.of("where", lambda row: "top left" in row.answers[0].text)
    wrong = answered(row, 0, text=row.answers[0].text.replace("top left", "top right"))
    assert {"looks_true", "words_fit"} <= built.broken(wrong)


def test_a_yes_of_a_step_that_is_over_is_found(built):
    row = built.of("step")
    late = answered(row, 1, t_ns=row.answers[1].t_ns + 40 * MS, window_start_ns=row.answers[1].t_ns + 40 * MS)
    assert "evidence_is_due" in built.broken(late)
    longer = answered(row, 1, valid_until_ns=None)
    assert "evidence_is_due" in built.broken(longer)
    turned = answered(row, 1, text=row.answers[0].text)
    assert "words_fit" in built.broken(turned)


def test_a_step_that_is_not_followed_to_the_end_is_found(built):
    row = built.of("step", lambda row: row.about.every and len(row.answers) > 2)
    pieces = [p for p in row.evidence if p.role == "necessary"]
    later = [p for p in row.evidence if p.role == "sufficient"][:-1]
    short = row.model_copy(update={"answers": row.answers[:-1], "evidence": (*pieces, *later), "test_points": ()})
    assert "evidence_is_due" in built.broken(short)


def test_a_step_that_breaks_off_though_every_change_is_asked_for_is_found(built):
    row = built.of("step", lambda row: row.about.every and len(row.answers) > 2)
    once = row.model_copy(update={"about": row.about.model_copy(update={"every": False})})
    assert built.broken(once) == {"evidence_is_due", "words_fit"}
    pieces = [p for p in row.evidence if p.role == "necessary"]
    later = [p for p in row.evidence if p.role == "sufficient"][:1]
    two = {"answers": row.answers[:2], "evidence": (*pieces, *later), "test_points": ()}
    assert built.broken(row.model_copy(update=two)) == {"evidence_is_due"}
    assert built.broken(once.model_copy(update=two)) == {"words_fit"}, "its words ask for every change"


def test_a_step_of_which_only_the_next_change_is_asked_for_has_two_answers(built):
    rows = [row for row in built.rows if row.task == "step" and not row.about.every]
    assert rows
    assert {len(row.answers) for row in rows} == {2}
    pieces = [p for p in rows[0].evidence if p.role == "necessary"]
    one = {"answers": rows[0].answers[:1], "evidence": tuple(pieces), "test_points": ()}
    assert built.broken(rows[0].model_copy(update=one)) == {"evidence_is_due"}
    every = rows[0].model_copy(update={"about": rows[0].about.model_copy(update={"every": True})})
    assert "words_fit" in built.broken(every)


def test_a_clue_that_is_told_too_soon_at_a_test_point_is_found(built):
    row = built.of("clue", lambda row: row.test_points)
    turned = [p.model_copy(update={"expected": "no" if p.expected == "yes" else "yes"}) for p in row.test_points]
    assert built.broken(row.model_copy(update={"test_points": tuple(turned)})) == {"test_points_right"}


def test_an_order_that_was_not_is_found(built):
    row = built.of("order")
    assert "right_until" in built.broken(answered(row, 0, valid_until_ns=None)) or row.answers[0].valid_until_ns is None
    fewer = row.model_copy(update={"evidence": row.evidence[1:]})
    assert "evidence_is_due" in built.broken(fewer)


def test_without_its_box_nobody_knows_where_it_is(built):
    row = built.of("where")
    blind = Known(built.known.video, CLOCK, built.known.events, built.known.questions)
    found = {law.name for law in TRUTH_LAWS if list(law.breaches(row, blind))}
    assert "evidence_is_due" in found


def test_a_place_that_rests_on_no_time_is_found(built):
    row = built.of("where")
    (piece,) = row.evidence
    assert piece.start_ns < piece.end_ns == row.ask_ns
    (name,) = row.provenance.inputs
    (box,) = [each for each in built.known.boxes if each.id == name]
    assert box.subject == row.about.subject
    assert box.start_ns <= row.ask_ns < box.end_ns
    late = row.model_copy(update={"evidence": (piece.model_copy(update={"start_ns": piece.end_ns}),)})
    assert "evidence_is_due" in built.broken(late)
    early = row.model_copy(update={"ask_ns": piece.start_ns})
    assert "evidence_is_due" in built.broken(early)
