"""Laws of truth on really built datasets: silent on them, and each fault of topic, time or number is found."""

import dataclasses
import re
import shutil

import pytest

from datasets_build.builders.build import build_dialogue, build_events, build_streaming_qa
from datasets_build.builders.choices import ChoicesConfig
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.checks.answers import TRUTH_LAWS
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.checks.laws import Known
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.checks.walk import Atlas
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import About, Dialogue, Event, Evidence, StreamingQA
from datasets_build.core.table import read_table, write_table
from tests.builders.made import MS, Scene, clock_from, said, shots_at, signals_of, video_of, write_out
from tests.checks.planted import edit

CLOCK = clock_from([40] * 1_499)


def scene(name="busy"):
    """A minute with shots, a moving camera, shapes that come back, captions and subtitles, each more than once."""
    video = video_of(name, CLOCK)
    frames = range(0, 1_500, 2)
    pans = [0.3 if 300 <= f < 350 or 800 <= f < 850 or 1_200 <= f < 1_240 else 0.0 for f in frames]
    acts = [
        ("enter", "red circle", 2_000, 4_000), ("leave", "red circle", 9_000, 10_000),
        ("enter", "red circle", 20_000, 22_000), ("enter", "red circle", 44_000, 46_000),
        ("move", "blue square", 24_500, 27_000), ("stop", "blue square", 30_000, 31_000),
        ("collide", "red circle and blue square", 39_000, 40_000), ("leave", "red circle", 52_000, 53_000),
    ]  # fmt: skip
    spoken = [("A dog runs.", 6_000, 7_500), ("a  dog runs", 35_000, 36_000), ("Two people wave.", 55_000, 57_000)]
    lines = [("Hello there.", 16_800, 18_000), ("Goodbye now.", 41_200, 42_800)]
    told = [said(video, a * MS, b * MS, f"The {who} does {what}.", label=what, subject=who) for what, who, a, b in acts]
    told += [said(video, a * MS, b * MS, text, origin="captions") for text, a, b in spoken]
    told += [said(video, a * MS, b * MS, text, origin="srt") for text, a, b in lines]
    return Scene(
        video, CLOCK, shots_at(video, CLOCK, [375, 1_000]), [signals_of(video, CLOCK, frames, pan_x=pans)], told
    )


class Built:
    """Really built datasets of one video, read back."""

    def __init__(self, out):
        self.out = write_out(out, [scene()])
        build_events(out, EventsConfig())
        build_streaming_qa(
            out, StreamingQAConfig(per_minute=480.0, least=480, most=480, choices=ChoicesConfig(share=0.0))
        )
        self.rows = list(read_table(out / "streaming_qa/qa/train.parquet", StreamingQA))
        self.talks = []
        for seed in range(12):
            build_dialogue(out, DialogueConfig(seed=seed, per_minute=30.0), force=True)
            self.talks += read_table(out / "dialogue/dialogues/train.parquet", Dialogue)
        atlas = Atlas(out)
        (video,) = atlas.videos
        self.events = atlas.events_of(video.id)
        self.known = Known(video, CLOCK, {e.id: e for e in self.events}, {r.id: r for r in self.rows})
        self.grounds = self.known.grounds

    def broken(self, row):
        laws = TRUTH_LAWS if isinstance(row, StreamingQA) else REPLY_LAWS
        return {law.name for law in laws if list(law.breaches(row, self.known))}

    def of(self, task, kind=None, wanted=lambda row: True):
        found = [r for r in self.rows if r.task == task and kind in (None, r.about.kind) and wanted(r)]
        assert found, f"no question of {task} about {kind}"
        return found

    def replies(self, task, wanted=lambda user, turn: True):
        """Dialogues with a user turn of a task and the turn that names it."""
        for row in self.talks:
            for user in row.turns:
                answers = [turn for turn in row.turns if turn.trigger_ref == user.id]
                if user.task == task and answers and wanted(user, answers[0]):
                    yield row, user, answers[0]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return Built(tmp_path_factory.mktemp("built") / "out")


def with_answer(row, k=0, **update):
    answers = list(row.answers)
    answers[k] = answers[k].model_copy(update=update)
    return row.model_copy(update={"answers": tuple(answers)})


def said_again(row, turns):
    """The dialogue with other turns, its decisions derived from them."""
    turns = tuple(sorted(turns, key=lambda turn: turn.start_ns))
    tracks = tuple(decisions_on(turns, CLOCK, fps=None) for _ in row.decisions[:1])
    return row.model_copy(update={"turns": turns, "decisions": tracks})


def with_turn(row, turn, **update):
    return said_again(row, [t.model_copy(update=update) if t.id == turn.id else t for t in row.turns])


def without_turn(row, turn):
    return said_again(row, [t for t in row.turns if t.id != turn.id])


def is_no(row):
    return not any(piece.event_id for piece in row.evidence)


def proof(event, end=None):
    return Evidence(start_ns=event.start_ns, end_ns=event.end_ns if end is None else end, event_id=event.id)


def higher(text, by=1):
    return re.sub(r"\d+", lambda found: str(int(found[0]) + by), text)


def test_what_is_built_is_true(built):
    assert {(row.task, row.about.kind) for row in built.rows} >= {
        ("now", "scene"), ("now", "camera"), ("now", "label"), ("now", "caption"),
        ("before", "scene"), ("before", "subject"), ("before", "label"),
        ("happened_yet", "label"), ("happened_yet", "caption"), ("happened_yet", "line"),
        ("tell_me_when", "label"), ("tell_me_when", "caption"), ("tell_me_when", "line"),
        ("count_so_far", "shots"), ("count_so_far", "label"), ("next", "scene"),
    }  # fmt: skip
    assert [built.broken(row) for row in (*built.rows, *built.talks)] == [set()] * (len(built.rows) + len(built.talks))


def test_not_yet_is_right_until_it_happens_and_no_longer(built):
    for row in built.of("happened_yet", wanted=is_no):
        until = min(fact.early_ns for fact in built.grounds.of(row.about))
        assert row.answers[0].valid_until_ns == until
        assert "right_until" in built.broken(with_answer(row, valid_until_ns=None, window_end_ns=CLOCK.end_ns))
        assert "right_until" in built.broken(with_answer(row, valid_until_ns=None))
        assert "right_until" in built.broken(with_answer(row, valid_until_ns=until + 40 * MS))
        late = until + 2_000 * MS
        moved = row.model_copy(update={"ask_ns": late, "evidence": (Evidence(start_ns=0, end_ns=late),)})
        assert built.broken(with_answer(moved, t_ns=late, window_start_ns=late, window_end_ns=late + 40 * MS))


@pytest.mark.parametrize("task", ["happened_yet", "now", "before", "tell_me_when", "next", "count_so_far"])
def test_evidence_of_another_event_is_found(built, task):
    for row in built.of(task, wanted=lambda row: not is_no(row)):
        k = next(k for k, piece in enumerate(row.evidence) if piece.event_id)
        named = {piece.event_id for piece in row.evidence}
        for event in built.events:
            if event.id not in named:
                pieces = (*row.evidence[:k], proof(event), *row.evidence[k + 1 :])
                assert "evidence_is_due" in built.broken(row.model_copy(update={"evidence": pieces}))


def test_a_yes_that_came_before_its_event_is_found(built):
    for row in built.of("happened_yet", wanted=lambda row: not is_no(row)):
        first = min(fact.early_ns for fact in built.grounds.of(row.about))
        assert "evidence_is_due" in built.broken(row.model_copy(update={"ask_ns": max(0, first - 40 * MS)}))
        no = with_answer(row, text="No, not so far.")
        assert built.broken(no) == {"words_fit"}


def test_a_report_that_is_dropped_or_added_is_found(built):
    many = built.of("tell_me_when", wanted=lambda row: len(row.answers) > 1)
    for row in many:
        assert row.about.every
        for k, piece in enumerate(row.evidence):
            kept = {"answers": row.answers[:k] + row.answers[k + 1 :], "evidence": tuple(
                p.model_copy(update={"role": "necessary" if n == 0 else "sufficient"})
                for n, p in enumerate(p for p in row.evidence if p is not piece))}  # fmt: skip
            assert "nothing_left_out" in built.broken(row.model_copy(update=kept))
        once = row.about.model_copy(update={"every": False})
        assert built.broken(row.model_copy(update={"about": once})) >= {"nothing_left_out", "evidence_is_due"}


def test_a_last_count_that_is_dropped_is_found(built):
    followed = built.of("count_so_far", wanted=lambda row: len(row.answers) > 1 and row.about.every)
    for row in followed:
        last = row.answers[-2].t_ns
        evidence = tuple(p for p in row.evidence if p.role == "necessary" or p.end_ns <= last)
        probes = tuple(p for p in row.test_points if p.t_ns < row.answers[-1].t_ns)
        cut = {"answers": row.answers[:-1], "evidence": evidence, "test_points": probes}
        assert built.broken(row.model_copy(update=cut)) == {"nothing_left_out"}


@pytest.mark.parametrize("kind", ["shots", "label"])
def test_a_wrong_count_is_found_even_if_all_agree_on_it(built, kind):
    for row in built.of("count_so_far", kind):
        wrong = [answer.model_copy(update={"text": higher(answer.text)}) for answer in row.answers]
        assert "counts_true" in built.broken(row.model_copy(update={"answers": tuple(wrong)}))
        fewer = [answer.model_copy(update={"text": higher(answer.text, -1)}) for answer in row.answers]
        counted = [p for p in row.evidence if p.event_id and p.role == "necessary"]
        if row.ask_ns > 0 and counted:
            pieces = tuple(p for p in row.evidence if p is not counted[0])
            found = built.broken(row.model_copy(update={"answers": tuple(fewer), "evidence": pieces}))
            assert found >= {"counts_true", "evidence_is_due"}


def test_now_ends_when_it_does(built):
    for row in built.of("now"):
        late = with_answer(row, valid_until_ns=CLOCK.end_ns, window_end_ns=CLOCK.end_ns)
        assert late == row or "right_until" in built.broken(late)


@pytest.mark.parametrize("task", ["before", "next"])
def test_telling_of_something_else_is_found(built, task):
    for row in built.of(task, wanted=lambda row: not row.unanswerable):
        assert built.broken(with_answer(row, text="A green hexagon arrives.")) == {"words_fit"}


def test_a_window_longer_than_the_settings_say_is_found(built):
    limit = dataclasses.replace(built.known, window_ns=3_000 * MS)
    laws = {law.name: law for law in (*TRUTH_LAWS, *REPLY_LAWS)}
    for row in built.rows:
        assert not list(laws["right_until"].breaches(row, limit))
        answer = row.answers[-1]
        if answer.valid_until_ns is None and answer.window_start_ns + 4_000 * MS < CLOCK.end_ns:
            late = with_answer(row, -1 % len(row.answers), window_end_ns=CLOCK.end_ns)
            assert list(laws["right_until"].breaches(late, limit))
    for row in built.talks:
        assert not list(laws["reports_complete"].breaches(row, limit))
        long = [turn for turn in row.turns if turn.window_start_ns and turn.window_start_ns < CLOCK.end_ns - 4_000 * MS]
        for turn in long:
            late = with_turn(row, turn, window_end_ns=CLOCK.end_ns)
            assert list(laws["reports_complete"].breaches(late, limit))


def test_the_longest_window_is_read_from_the_settings(built, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(built.out, out)
    row = built.of("before", "label", lambda r: r.ask_ns + 4_000 * MS < CLOCK.end_ns)[0]
    late = with_answer(row, window_end_ns=CLOCK.end_ns)
    edit(out, "streaming_qa/qa/train.parquet", StreamingQA, lambda rows: [late if r == row else r for r in rows])
    found = [(violation.law, violation.record) for violation in run_checks(out, CheckConfig()).violations]
    assert found == [("right_until", row.id)]


def test_an_answer_that_comes_late_is_found(built):
    for row in built.rows:
        answer = row.answers[0]
        then = CLOCK.snap_up(answer.t_ns + 40 * MS)
        if then < answer.window_end_ns:
            assert built.broken(with_answer(row, t_ns=then)) >= {"right_until"}
            assert "right_until" in built.broken(with_answer(row, t_ns=then, window_start_ns=then))


def test_a_question_about_something_else_is_found(built):
    for row in built.rows:
        assert built.broken(row.model_copy(update={"about": None})) == {"about_fits"}
        assert "about_fits" in built.broken(row.model_copy(update={"unanswerable": not row.unanswerable}))
        for other in {r.about for r in built.rows if r.task == row.task} - {row.about}:
            if other.model_copy(update={"every": row.about.every}) != row.about:
                assert built.broken(row.model_copy(update={"about": other}))


@pytest.mark.parametrize(
    ("task", "about"),
    [
        ("now", About(kind="shots")),
        ("now", About(kind="scene", every=True)),
        ("now", About(kind="label")),
        ("now", About(kind="label", label="enter", text="x")),
        ("before", About(kind="changes")),
        ("before", About(kind="subject", label="enter")),
        ("next", About(kind="scene", subject="red circle")),
        ("happened_yet", About(kind="caption", label="enter")),
        ("happened_yet", About(kind="line")),
        ("banana", About(kind="scene")),
    ],
)
def test_a_topic_that_does_not_fit_is_found(built, task, about):
    row = built.of("now")[0].model_copy(update={"task": task, "about": about})
    assert built.broken(row) == {"about_fits"}


def test_evidence_of_the_wait_is_exact(built):
    for row in built.of("next"):
        pieces = tuple(p if p.event_id else p.model_copy(update={"end_ns": p.end_ns - 40 * MS}) for p in row.evidence)
        assert built.broken(row.model_copy(update={"evidence": pieces})) == {"evidence_is_due"}
    yes = built.of("happened_yet", wanted=lambda row: not is_no(row))[0]
    more = (*yes.evidence, Evidence(start_ns=0, end_ns=40 * MS))
    assert built.broken(yes.model_copy(update={"evidence": more})) == {"evidence_is_due"}


@pytest.mark.parametrize(
    ("options", "correct"),
    [(("a", "b"), None), ((), 0), (("a", "a"), 0), (("a", "b"), 1), (("a", "b"), 2)],
)
def test_options_that_do_not_fit_are_found(built, options, correct):
    row = built.of("now")[0].model_copy(update={"options": options, "correct_option": correct})
    assert built.broken(row) == {"options_fit"}
    right = row.model_copy(update={"options": ("something else", row.answers[0].text), "correct_option": 1})
    # It fits, but the video does not suggest it.
    assert "options_wrong" in built.broken(right) <= {"options_wrong", "options_placed"}


def test_words_of_another_writer_are_not_judged(built):
    row = built.of("next")[0]
    other = row.provenance.model_copy(update={"kind": "model", "prompt_sha256": None})
    changed = with_answer(row, text="Something came.").model_copy(update={"provenance": other})
    assert built.broken(changed) == set()


def test_a_report_turn_that_is_removed_doubled_or_misled_is_found(built):
    reports = [(row, turn) for row in built.talks for turn in row.turns if turn.trigger == "event"]
    assert len(reports) >= 5
    for row, turn in reports:
        assert built.broken(without_turn(row, turn)) == {"reports_complete"}
        assert "reports_complete" in built.broken(
            said_again(row, [*row.turns, turn.model_copy(update={"id": "again"})])
        )
        assert built.broken(with_turn(row, turn, text="Now something happens.")) == {"report_words_fit"}
        late = turn.window_start_ns + 40 * MS
        assert built.broken(with_turn(row, turn, window_start_ns=late)) == {"reports_complete"}
        other = next(e for e in built.events if e.id != turn.trigger_ref and e.end_ns < turn.window_start_ns)
        misled = with_turn(row, turn, trigger_ref=other.id, evidence=(proof(other),))
        assert "reports_complete" in built.broken(misled)


def test_a_request_in_vain_stays_without_a_report(built):
    def in_vain(user, turn):
        return not any(fact.early_ns > user.end_ns for fact in built.grounds.of(user.about))

    row, user, turn = next(built.replies("tell_me_when", in_vain))
    past = built.grounds.of(user.about)[-1].event
    report = turn.model_copy(update={"id": "r", "trigger": "event", "trigger_ref": past.id, "evidence": (proof(past),)})
    assert "reports_complete" in built.broken(said_again(row, [*row.turns, report]))


def test_a_reply_with_wrong_evidence_number_or_words_is_found(built):
    seen = set()
    for task in ("now", "before", "happened_yet", "count_so_far", "next"):
        for row, user, turn in built.replies(task):
            seen.add(task)
            bare = {"evidence": (), "answerable_from_ns": turn.window_start_ns}
            assert "turn_evidence_due" in built.broken(with_turn(row, turn, **bare)), "no acknowledgement"
            assert "turn_right_until" in built.broken(
                with_turn(row, turn, window_start_ns=CLOCK.snap_up(turn.window_start_ns + 1))
            )
            assert "turn_words_fit" in built.broken(with_turn(row, turn, text="Who knows?", intended_text=None))
            assert "turn_words_fit" in built.broken(with_turn(row, user, text="What is that?"))
            if task == "count_so_far":
                more = {"text": higher(turn.text), "intended_text": turn.intended_text and higher(turn.intended_text)}
                assert "turn_counts_true" in built.broken(with_turn(row, turn, **more))
            strange = (*turn.evidence, *(proof(e) for e in built.events if e.label == "leave"))
            assert "turn_evidence_due" in built.broken(with_turn(row, turn, evidence=strange))
    assert len(seen) == 5


def test_a_not_yet_that_is_said_too_late_is_found(built):
    def not_yet(user, turn):
        return not any(piece.event_id for piece in turn.evidence)

    for row, user, turn in built.replies("happened_yet", not_yet):
        until = min(fact.early_ns for fact in built.grounds.of(user.about))
        for field in ("end_ns", "window_end_ns"):
            assert "turn_right_until" in built.broken(with_turn(row, turn, **{field: until + 40 * MS}))


def test_a_turn_whose_topic_does_not_fit_is_found(built):
    row, user, turn = next(built.replies("count_so_far"))
    for change in ({"task": None}, {"about": None}, {"about": About(kind="scene")}):
        assert "turn_about_fits" in built.broken(with_turn(row, user, **change))
    every = user.about.model_copy(update={"every": True})
    assert built.broken(with_turn(row, user, about=every)) == {"turn_about_fits"}
    assert built.broken(with_turn(row, turn, task="now")) == {"turn_about_fits"}


def test_a_turn_that_speaks_responds(built):
    row, user, turn = next(built.replies("count_so_far"))
    assert built.broken(with_turn(row, turn, state="silence")) == {"turn_responds"}
    assert built.broken(with_turn(row, user, state="respond")) == {"turn_responds"}
    doubted = tuple(piece.model_copy(update={"role": "sufficient"}) for piece in turn.evidence)
    assert "turn_responds" in built.broken(with_turn(row, turn, evidence=doubted))
    assert built.broken(said_again(row, [])) == {"turn_responds"}


def test_what_a_question_is_about_travels_through_parquet(built, tmp_path):
    write_table(tmp_path / "qa.parquet", StreamingQA, built.rows)
    assert list(read_table(tmp_path / "qa.parquet", StreamingQA)) == built.rows
    write_table(tmp_path / "talk.parquet", Dialogue, built.talks)
    assert list(read_table(tmp_path / "talk.parquet", Dialogue)) == built.talks
    assert all(isinstance(event, Event) for event in built.events)
