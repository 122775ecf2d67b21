"""Laws of looks and of whoever acts, on really built lessons: silent on them, and each planted fault is found."""

import shutil

import pytest

from datasets_build.builders.build import build_dialogue, build_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.facts import FactsConfig
from datasets_build.checks.answers import TRUTH_LAWS
from datasets_build.checks.causality import QUESTION_LAWS
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.checks.laws import Known
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.checks.walk import Atlas
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import About, Dialogue, StreamingQA
from datasets_build.core.speech import SpeechConfig
from datasets_build.core.table import read_table
from datasets_build.truth.looks import PLACES, alone, word_of
from tests.builders.lessons import ASKED, EVENTS, lesson
from tests.builders.made import MS, write_out
from tests.checks.planted import edit, swap

QA, TALK = "streaming_qa/qa/train.parquet", "dialogue/dialogues/train.parquet"
TALKATIVE = DialogueConfig(
    teacher="terse", per_minute=40.0, ways=("watch", "colour", "shape", "tally", "shots"),
    speech=SpeechConfig(user_chars_per_s=60, assistant_chars_per_s=60), facts=FactsConfig(least_window_ns=200 * MS),
)  # fmt: skip


class Built:
    """A lesson of half a minute with its questions and some dialogues, read back."""

    def __init__(self, out):
        self.out = write_out(out, [lesson("built", seconds=40, seed=3)])
        build_events(out, EVENTS)
        build_streaming_qa(out, ASKED.model_copy(update={"per_minute": 160.0, "least": 110}))
        self.rows = list(read_table(out / QA, StreamingQA))
        self.talks = []
        for seed in range(2):
            build_dialogue(out, TALKATIVE.model_copy(update={"seed": seed}), force=True)
            self.talks += read_table(out / TALK, Dialogue)
        atlas = Atlas(out)
        (self.video,) = atlas.videos
        self.clock = atlas.clock(self.video.id)
        self.events = atlas.events_of(self.video.id)
        self.known = self.knowing(self.events)

    def knowing(self, events):
        return Known(self.video, self.clock, {e.id: e for e in events}, {r.id: r for r in self.rows})

    def broken(self, row, known=None):
        laws = (*QUESTION_LAWS, *TRUTH_LAWS) if isinstance(row, StreamingQA) else REPLY_LAWS
        return {law.name for law in laws if list(law.breaches(row, known or self.known))}

    def of(self, task, wanted=lambda row: True):
        found = [row for row in self.rows if row.task == task and wanted(row)]
        assert found, f"no question of {task}"
        return found

    def replies(self, task):
        """Dialogues with a user turn of a task and the turn that answers it."""
        for row in self.talks:
            for user in row.turns:
                answers = [turn for turn in row.turns if turn.trigger_ref == user.id]
                if user.task == task and answers:
                    yield row, user, answers[0]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return Built(tmp_path_factory.mktemp("looks") / "out")


def with_answer(row, **update):
    return row.model_copy(update={"answers": (row.answers[0].model_copy(update=update), *row.answers[1:])})


def with_turn(row, turn, clock, **update):
    turns = tuple(t.model_copy(update=update) if t.id == turn.id else t for t in row.turns)
    return row.model_copy(update={"turns": turns, "decisions": (decisions_on(turns, clock, fps=None),)})


def test_what_is_built_is_true(built):
    assert {row.task for row in built.rows} == {*PLACES, "before", "count_so_far", "tell_me_when"}
    assert [built.broken(row) for row in (*built.rows, *built.talks)] == [set()] * (len(built.rows) + len(built.talks))
    anyone = [row for row in built.rows if row.about.kind == "label" and row.about.subject is None]
    assert {row.task for row in anyone} >= {"count_so_far", "tell_me_when"}
    assert run_checks(built.out, CheckConfig()).broken == 0


@pytest.mark.parametrize("task", PLACES)
def test_another_word_is_found(built, task):
    shown = {name.split()[PLACES[task]] for e in built.events for name in [e.subject] if name}
    for row in built.of(task):
        word = row.answers[0].text
        wrong = next(other for other in shown if other != word)
        assert built.broken(with_answer(row, text=wrong)) == {"looks_true", "words_fit"}
        assert built.broken(with_answer(row, text=f"{word} or {wrong}")) == {"looks_true", "words_fit"}
        assert built.broken(with_answer(row, text="I see.")) == {"looks_true", "words_fit"}
        # Whoever writes otherwise may use other words, but not another colour.
        free = row.model_copy(update={"provenance": row.provenance.model_copy(update={"kind": "model"})})
        assert built.broken(with_answer(free, text=f"It is {word.upper()}!")) == set()
        assert built.broken(with_answer(free, text=f"It is {wrong}.")) == {"looks_true"}


@pytest.mark.parametrize("task", PLACES)
def test_the_question_of_the_other_task_is_found(built, task):
    other = next(name for name in PLACES if name != task)
    question = built.of(other)[0].question
    assert "words_fit" in built.broken(built.of(task)[0].model_copy(update={"question": question}))
    assert "about_fits" in built.broken(built.of(task)[0].model_copy(update={"about": About(kind="shots")}))


def test_a_colour_that_is_said_to_last_too_long_or_too_short_is_found(built):
    renamed = [row for row in built.of("shape") if row.answers[0].valid_until_ns]
    for row in [*built.of("colour", lambda row: row.answers[0].valid_until_ns), *renamed]:
        until = row.answers[0].valid_until_ns
        assert "right_until" in built.broken(with_answer(row, valid_until_ns=until + 40 * MS))
        assert "right_until" in built.broken(with_answer(row, valid_until_ns=until - 40 * MS))
        assert "right_until" in built.broken(with_answer(row, valid_until_ns=None))


def test_a_shape_outlives_a_change_of_colour_and_a_colour_does_not(built):
    changes = [e.start_ns for e in built.events if e.label == "change_colour"]
    crossed = 0
    for t in built.clock.t_ns.tolist()[::10]:
        colour, shape = (alone(task, t, built.known.grounds) for task in ("colour", "shape"))
        if isinstance(colour, str):
            assert colour == shape
            continue
        assert colour[:3] == shape[:3]
        assert shape.until_ns is None or colour.until_ns <= shape.until_ns
        crossed += colour.until_ns in changes and colour.until_ns != shape.until_ns
    assert crossed


def test_a_question_moved_into_an_act_or_past_it_is_found(built):
    acts = [e for e in built.events if e.label in ("enter", "leave")]
    row = built.of("colour")[0]
    for event in acts:
        inside = built.clock.snap_up((event.start_ns + event.end_ns) // 2)
        assert "evidence_is_due" in built.broken(row.model_copy(update={"ask_ns": inside}))
    for event in (e for e in acts if e.label == "leave"):
        assert "evidence_is_due" in built.broken(row.model_copy(update={"ask_ns": event.end_ns}))


def test_evidence_that_names_another_event_or_leaves_the_shot_out_is_found(built):
    for row in built.of("colour"):
        named, watched = row.evidence
        other = next(e for e in built.events if e.label == "enter" and e.id != named.event_id)
        wrong = named.model_copy(update={"event_id": other.id, "start_ns": other.start_ns, "end_ns": other.end_ns})
        assert "evidence_is_due" in built.broken(row.model_copy(update={"evidence": (wrong, watched)}))
        assert "evidence_is_due" in built.broken(row.model_copy(update={"evidence": (watched,)}))
        late = watched.model_copy(update={"start_ns": watched.start_ns + 40 * MS})
        assert "evidence_is_due" in built.broken(row.model_copy(update={"evidence": (named, late)}))
        assert "evidence_is_due" in built.broken(row.model_copy(update={"evidence": (named,)}))


def test_events_of_a_world_do_not_tell_what_is_in_the_picture(built):
    worldly = [e.model_copy(update={"label_set": "world"}) if e.label_set == "lesson" else e for e in built.events]
    for row in [*built.of("colour")[:3], *built.of("shape")[:3]]:
        assert "evidence_is_due" in built.broken(row, built.knowing(worldly))
    # What only counts holds in a world as well.
    count = built.of("count_so_far", lambda row: row.about.kind == "label")[0]
    assert built.broken(count, built.knowing(worldly)) == set()


def test_a_second_subject_or_a_name_out_of_nothing_makes_it_uncertain(built):
    grounds = built.known.grounds
    row = built.of("colour")[0]
    seen = alone("colour", row.ask_ns, grounds)
    assert word_of("colour", seen.named_by) == row.answers[0].text
    by = seen.named_by.event
    twin = by.model_copy(update={"id": "twin", "subject": "white star", "label": "enter"})
    assert "one subject" in alone("colour", row.ask_ns, built.knowing([*built.events, twin]).grounds)
    gone = [e for e in built.events if e.id != by.id]
    assert isinstance(alone("colour", row.ask_ns, built.knowing(gone).grounds), str)
    odd = by.model_copy(update={"label": "leave", "id": "odd"})
    assert "agree" in alone("colour", row.ask_ns, built.knowing([*gone, odd]).grounds)


def test_a_count_of_anyone_that_leaves_somebody_out_is_found(built):
    for row in built.of("count_so_far", lambda row: row.about.kind == "label" and len(row.evidence) > 2):
        number = int(row.answers[0].text)
        assert {"counts_true", "count_equals_evidence"} <= built.broken(with_answer(row, text=str(number + 1)))
        subject = next(e.subject for e in built.events if e.id == row.evidence[1].event_id)
        named = row.about.model_copy(update={"subject": subject})
        assert "words_fit" in built.broken(row.model_copy(update={"about": named}))
        assert "evidence_is_due" in built.broken(
            row.model_copy(update={"evidence": (row.evidence[0], *row.evidence[2:])})
        )


def test_a_report_of_somebody_else_is_found(built):
    for row in built.of("tell_me_when"):
        other = next(e for e in built.events if e.subject and f"{e.subject} enters" != row.answers[0].text)
        assert "words_fit" in built.broken(with_answer(row, text=f"{other.subject} enters now"))


@pytest.mark.parametrize("task", PLACES)
def test_a_wrong_look_in_a_dialogue_is_found(built, task):
    shown = {e.subject.split()[PLACES[task]] for e in built.events if e.subject}
    found = list(built.replies(task))
    assert found
    for row, _, turn in found:
        wrong = next(other for other in shown if other != turn.text)
        broken = built.broken(with_turn(row, turn, built.clock, text=wrong, intended_text=None))
        assert broken == {"turn_looks_true", "turn_words_fit"}


def test_planted_in_the_files_the_faults_are_found_there(built, tmp_path):
    out = shutil.copytree(built.out, tmp_path / "out")

    def another(row):
        word = row.answers[0].text
        return (row.answers[0].model_copy(update={"text": "red" if word != "red" else "blue"}),)

    edit(out, QA, StreamingQA, lambda rows: swap(rows, lambda r: r.task == "colour", answers=another))
    result = run_checks(out, CheckConfig())
    assert {row.law for row in result.violations} == {"words_fit", "looks_true"}
    assert all(row.record == swap.id for row in result.violations)
