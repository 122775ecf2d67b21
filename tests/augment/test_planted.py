"""Planted faults: in a correct augmented folder one thing is made wrong; the check names the record and the field."""

import json
import shutil

import pytest

from augment.settings import Concat, Freeze, Loop, Reverse, Skip, Speed
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.checks.walk import Atlas
from datasets_build.core.augmentation import Augmentation, Knot
from datasets_build.core.records import Dialogue, Event, Probe, StreamingQA
from datasets_build.core.table import read_table
from tests.augment.folders import applied, finished
from tests.checks.planted import edit, first_answer, one_more, swap

MS = 1_000_000
QA, TALK = "streaming_qa/qa/train.parquet", "dialogue/dialogues/train.parquet"
EVENTS, MAPS = "events/events.parquet", "augment/augmentations.parquet"
FORWARDS = (
    Speed(form="pieces", low=0.7, high=1.5),
    Skip(form="random", share=0.2),
    Freeze(stalls=2, most_s=1.0),
    Loop(),
)
BACKWARDS = (Speed(low=1.2, high=1.2), Reverse(), Skip(form="random", share=0.2), Concat())


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """Two short videos: each of many checks goes through all that is made of them."""
    return finished(tmp_path_factory.mktemp("parent") / "out", splits=("train", "train"), seconds=8, frames=False)


@pytest.fixture(scope="module")
def good(parent, tmp_path_factory):
    """Two augmented folders side by side, so that a copy beside them finds the parents where they do."""
    base = tmp_path_factory.mktemp("planted")
    applied(parent, base / "forwards", *FORWARDS)
    applied(parent, base / "backwards", *BACKWARDS)
    return base


@pytest.fixture
def out(good, request):
    return copy_of(good, "forwards", request.node.name)


@pytest.fixture
def turned(good, request):
    return copy_of(good, "backwards", request.node.name)


def copy_of(good, which, name):
    made = good / f"{which}-{abs(hash(name))}"
    shutil.copytree(good / which, made)
    return made


def violations(out):
    return run_checks(out, CheckConfig(listed=2000)).violations


def found(out, law, record, field):
    """The check breaks a law on a record, and says which field; what it found."""
    rows = [row for row in violations(out) if row.law == law and row.record == record]
    assert rows, f"{law} does not name {record}"
    assert field in rows[0].found or field in rows[0].expected, rows[0]
    return rows[0]


def planted(out, file, model, wanted, **update):
    edit(out, file, model, lambda rows: swap(rows, wanted, **update))
    return swap.id


def parents_of(parent, table, model):
    """The rows that augmented ones were made of, by id."""
    return {row.id: row for row in read_table(parent / table, model)}


@pytest.mark.parametrize("which", ["forwards", "backwards"])
def test_a_correct_folder_breaks_nothing(good, which):
    result = run_checks(good / which, CheckConfig())
    assert result.violations == ()
    laws = {law.name: law.checked for law in result.laws}
    for name in ("map_rises", "pieces_follow", "clock_is_mapped", "dropped_named", "backwards_fits", "event_is_moved"):
        assert laws[name] > 0
    assert laws["parent_there"] > 10


def inside(event):
    return event.subject is not None and event.start_ns < event.known_from_ns < event.end_ns


def clock_in(out, video_id):
    return Atlas(out).clock(video_id)


@pytest.mark.parametrize("names", [("start_ns", "known_from_ns", "end_ns"), ("end_ns",)])
def test_a_span_that_is_a_frame_late(out, names):
    event = next(e for e in read_table(out / EVENTS, Event) if inside(e))
    clock = clock_in(out, event.video_id)
    changed = {name: clock.snap_up(getattr(event, name) + 1) for name in names}
    made = planted(out, EVENTS, Event, lambda e: e.id == event.id, **changed)
    found(out, "event_is_moved", made, "end_ns")


def test_a_span_that_is_a_nanosecond_late(out):
    made = planted(out, EVENTS, Event, inside, start_ns=lambda e: e.start_ns + 1)
    found(out, "time_on_grid", made, "start_ns")
    found(out, "event_is_moved", made, "start_ns")


def test_an_event_that_is_known_too_early(out):
    rows = [e for e in read_table(out / EVENTS, Event) if inside(e) and e.known_from_ns < e.end_ns]
    made = planted(out, EVENTS, Event, lambda e: e.id == rows[0].id, known_from_ns=rows[0].start_ns)
    found(out, "event_is_moved", made, "known_from_ns")


def test_an_event_of_another_kind_or_of_somebody_else(out):
    made = planted(out, EVENTS, Event, inside, label="leap")
    found(out, "event_is_moved", made, "leap")
    other = planted(out, EVENTS, Event, lambda e: inside(e) and e.id != made, subject="pink elephant")
    found(out, "event_is_moved", other, "subject")


def test_an_event_of_no_parent(out):
    event = next(e for e in read_table(out / EVENTS, Event) if inside(e))
    strange = event.provenance.model_copy(update={"inputs": ("nobody",)})
    made = planted(out, EVENTS, Event, lambda e: e.id == event.id, provenance=strange)
    found(out, "event_is_moved", made, "provenance.inputs.0")


def test_a_seam_where_there_is_none(out):
    event = next(e for e in read_table(out / EVENTS, Event) if e.provenance.agent == "augment")
    before = clock_in(out, event.video_id).time_of(3)
    changes = {"start_ns": before, "end_ns": before, "known_from_ns": before, "label": "shot_start"}
    found(out, "event_is_moved", planted(out, EVENTS, Event, lambda e: e.id == event.id, **changes), "shot_start")


def test_an_event_outside_the_video(out):
    made = planted(out, EVENTS, Event, inside, end_ns=lambda e: e.end_ns + 10**12)
    found(out, "time_inside", made, "end_ns")


def test_a_stale_count(out):
    made = planted(out, QA, StreamingQA, lambda r: r.task == "count_so_far", answers=one_more)
    found(out, "counts_true", made, " at ")


def test_a_dead_answer_that_is_kept(out, parent):
    """A question with the evidence of its parent, of which the augmented video shows nothing."""
    old = parents_of(parent, QA, StreamingQA)
    named = [r for r in read_table(out / QA, StreamingQA) if any(p.event_id for p in r.evidence)]
    proved = {name for name, each in old.items() if any(p.event_id for p in each.evidence)}
    row = next(r for r in named if r.provenance.inputs[0] in proved)
    evidence = old[row.provenance.inputs[0]].evidence
    made = planted(out, QA, StreamingQA, lambda r: r.id == row.id, evidence=evidence)
    found(out, "references_resolve", made, "in evidence")


def changed_row(out, parent, differs):
    """A question that differs from its parent in something, with that parent."""
    old = parents_of(parent, QA, StreamingQA)
    rows = ((row, old[row.provenance.inputs[0]]) for row in read_table(out / QA, StreamingQA))
    return next(pair for pair in rows if differs(*pair))


def test_a_copied_window(out, parent):
    row, old = changed_row(out, parent, lambda r, o: r.answers[0].window_end_ns != o.answers[0].window_end_ns)
    names = ("window_start_ns", "window_end_ns")
    window = {name: lambda a, r, name=name: getattr(old.answers[0], name) for name in names}
    made = planted(out, QA, StreamingQA, lambda r: r.id == row.id, answers=first_answer(**window))
    assert {"answer_window", "right_until", "time_on_grid"} & {v.law for v in violations(out) if v.record == made}
    assert any("window" in v.found for v in violations(out) if v.record == made)


def test_an_old_answerable_from(out, parent):
    row, old = changed_row(out, parent, lambda r, o: r.answerable_from_ns != o.answerable_from_ns)
    made = planted(out, QA, StreamingQA, lambda r: r.id == row.id, answerable_from_ns=old.answerable_from_ns)
    found(out, "answerable_from_evidence", made, "answerable_from_ns")


def test_a_stale_test_point(out):
    def wrong(row):
        (probe, *rest) = row.test_points
        return (Probe(t_ns=probe.t_ns, kind=probe.kind, expected=f"{probe.expected}1"), *rest)

    made = planted(out, QA, StreamingQA, lambda r: r.test_points, test_points=wrong)
    found(out, "test_points_right", made, "expected at")


def test_an_answer_before_its_evidence(out):
    early = first_answer(t_ns=lambda a, r: 0, window_start_ns=lambda a, r: 0)
    made = planted(out, QA, StreamingQA, lambda r: r.answerable_from_ns > r.ask_ns, answers=early)
    found(out, "answer_after_evidence", made, "answerable_from_ns")


def test_an_old_decision_run(out, parent):
    old = parents_of(parent, TALK, Dialogue)

    def copied(row):
        return old[row.provenance.inputs[0]].decisions

    made = planted(out, TALK, Dialogue, lambda r: copied(r) != r.decisions, decisions=copied)
    found(out, "decisions_derived", made, "native")


def test_a_wrong_response_state(out):
    def wrong(row):
        track = row.decisions[0]
        runs = [run.model_copy(update={"state": "silence"}) if run.state == "respond" else run for run in track.runs]
        return (track.model_copy(update={"runs": tuple(runs)}), *row.decisions[1:])

    made = planted(out, TALK, Dialogue, lambda r: wrong(r) != r.decisions, decisions=wrong)
    found(out, "decisions_derived", made, "respond")


def test_a_question_and_a_conversation_of_no_parent(out):
    for table, model in ((QA, StreamingQA), (TALK, Dialogue)):
        row = next(iter(read_table(out / table, model)))
        strange = row.provenance.model_copy(update={"inputs": ("nobody", *row.provenance.inputs[1:])})
        made = planted(out, table, model, lambda r, row=row: r.id == row.id, provenance=strange)
        found(out, "parent_there", made, "provenance.inputs.0 nobody")


def anyone(row):
    return True


def knots_with(place, **change):
    def changed(row):
        knots = list(row.knots)
        knots[place] = knots[place].model_copy(update={name: value(row) for name, value in change.items()})
        return tuple(knots)

    return changed


def test_a_map_that_is_off_by_one_knot(out):
    late = knots_with(1, target=lambda row: str(row.time_map.knots[1][1] + 3 * MS))
    made = planted(out, MAPS, Augmentation, anyone, knots=late)
    found(out, "clock_is_mapped", made, "knots")


def test_a_map_that_lost_a_knot(out):
    lost = planted(out, MAPS, Augmentation, lambda r: len(r.knots) > 3, knots=lambda r: (r.knots[0], *r.knots[2:]))
    found(out, "clock_is_mapped", lost, "knots")


@pytest.mark.parametrize("wrong", ["0", "1/0", "soon"])
def test_a_map_that_runs_backwards_or_is_none(out, wrong):
    made = planted(out, MAPS, Augmentation, anyone, knots=knots_with(-1, target=lambda row: wrong))
    found(out, "map_rises", made, "knots")


def test_a_map_of_one_knot(out):
    made = planted(out, MAPS, Augmentation, anyone, knots=(Knot(source="0", target="0"),))
    found(out, "map_rises", made, "knots")


def test_a_map_that_leaves_its_parent(out):
    far = knots_with(-1, source=lambda row: str(row.time_map.source[1] + MS))
    found(out, "map_rises", planted(out, MAPS, Augmentation, anyone, knots=far), "parent's")


def test_pieces_with_a_gap_between_them(out):
    first = next(iter(read_table(out / MAPS, Augmentation)))
    second = [r for r in read_table(out / MAPS, Augmentation) if r.video_id == first.video_id][1]

    def later(row):
        return tuple(Knot(source=k.source, target=str(t + MS)) for k, (_, t) in zip(row.knots, row.time_map.knots))  # noqa: B905

    made = planted(out, MAPS, Augmentation, lambda r: r.id == second.id, knots=later)
    assert found(out, "pieces_follow", made, "knots").expected.endswith("where the one before ends")


def test_pieces_in_the_wrong_order(out):
    rows = edit(out, MAPS, Augmentation, lambda rows: [rows[1], rows[0], *rows[2:]])
    found(out, "pieces_follow", rows[0].id, "a piece from")


def test_a_dropped_frame_that_is_not_named(out):
    made = planted(out, MAPS, Augmentation, lambda r: r.dropped_frames, dropped_frames=lambda r: r.dropped_frames[1:])
    of = next(r for r in read_table(out / MAPS, Augmentation) if r.id == made).video_id
    first = next(r for r in read_table(out / MAPS, Augmentation) if r.video_id == of)
    found(out, "clock_is_mapped", first.id, "dropped_frames")


@pytest.mark.parametrize(
    "wrong", [lambda r: (*r.dropped_frames, 10**6), lambda r: (*r.dropped_frames[:1], *r.dropped_frames)]
)
def test_dropped_frames_that_are_none_or_named_twice(out, wrong):
    made = planted(out, MAPS, Augmentation, lambda r: r.dropped_frames, dropped_frames=wrong)
    found(out, "dropped_named", made, "dropped_frames")


def test_a_parent_that_is_not_there(out):
    found(out, "parent_there", planted(out, MAPS, Augmentation, anyone, parent_id="nobody"), "parent_id nobody")


@pytest.mark.parametrize("told", [{"parent": "elsewhere"}, {}, []])
def test_a_folder_of_parents_that_is_not_there(out, told):
    (out / "augment" / "sources.json").write_text(json.dumps(told))
    found(out, "parent_there", "augment/sources.json", "parent")


def test_a_video_without_maps(out):
    rows = edit(out, MAPS, Augmentation, lambda rows: [r for r in rows if r.video_id != rows[0].video_id])
    bare = {e.video_id for e in read_table(out / EVENTS, Event)} - {r.video_id for r in rows}
    found(out, "video_is_mapped", bare.pop(), "maps")


@pytest.mark.parametrize(("file", "model"), [(MAPS, Augmentation), (QA, StreamingQA), (EVENTS, Event)])
def test_two_rows_of_one_id(out, file, model):
    rows = edit(out, file, model, lambda rows: [rows[0], *rows])
    found(out, "ids_unique", rows[0].id, "a second time")


def backwards(row):
    return row.is_reversed


@pytest.mark.parametrize(
    "wrong",
    [
        lambda r: (r.on_ns[0], r.on_ns[1] + 500 * MS, *r.on_ns[2:]),
        lambda r: (*r.on_ns[:-1], 0),
        lambda r: r.on_ns[1:],
    ],
)
def test_frames_that_come_on_wrongly_backwards(turned, wrong):
    found(turned, "backwards_fits", planted(turned, MAPS, Augmentation, backwards, on_ns=wrong), "on_ns")


def test_instants_of_frames_where_a_piece_runs_forwards(out):
    found(out, "backwards_fits", planted(out, MAPS, Augmentation, anyone, on_ns=(1, 2)), "on_ns")


def test_a_piece_that_says_it_runs_the_other_way(turned):
    made = planted(turned, MAPS, Augmentation, backwards, is_reversed=False, on_ns=())
    assert {v.law for v in violations(turned) if v.record == made} & {"clock_is_mapped", "dropped_named"}
