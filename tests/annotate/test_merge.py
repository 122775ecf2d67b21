"""Rounds merged into folders: whole or absent, the same bytes again, the parent untouched, everything told."""

import json
from contextlib import contextmanager

import pytest

from annotate import merge as merging
from annotate.errors import AnnotateError
from annotate.merge import Standing, Undecided, merge, refuse_changed
from annotate.merged import PAGE, Asked, Merged, Point, merged_page, told
from annotate.published import SETTINGS, rebuild
from annotate.source import digest_of, films
from annotate.tasks import QuestionVerdict, TurnVerdict
from datasets_build.builders.build import build_dialogue, build_events, build_frame_events, build_streaming_qa
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.config import load_config
from datasets_build.core.corrections import TABLE, Correction
from datasets_build.core.files import read_rejects, sha256_file
from datasets_build.core.stage import StageError, output_folder
from datasets_build.core.table import read_table
from datasets_build.settings import Settings
from tests.annotate.merging import BY, item_of, manifest_of, untouched_work, with_marks, with_verdicts
from tests.augment.folders import stamps, tree
from tests.builders.test_corrected import made, rows_of

STAGES = ("events", "streaming_qa", "frame_events", "dialogue")


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A finished folder of two videos, read only."""
    return made(tmp_path_factory.mktemp("merge") / "data")


def items_of(data, kind):
    """Two windows of each video."""
    found = []
    for film in films(data, kind):
        half = film.clock.snap_up(film.clock.end_ns // 2)
        found += [item_of(film, kind, span) for span in ((0, half), (half, film.clock.end_ns))]
    return found


def standing(items, change=untouched_work, who=("a2", "a1")):
    return {item.key: Standing(work=change(item), annotators=who) for item in items}


def merged(data, to, kind, change=untouched_work, name="r1"):
    """What a merge says of a round of everything, each item as `change` leaves it."""
    items = items_of(data, kind)
    return merge(manifest_of(items, kind, name), items, standing(items, change), data=data, to=to)


def rebuilt(to):
    """Every dataset of a merged folder, built in this process with the settings that it names."""
    settings = load_config(Settings, to / SETTINGS)
    build_events(to, settings.events)
    build_streaming_qa(to, settings.streaming_qa)
    build_frame_events(to, settings.frame_events)
    build_dialogue(to, settings.dialogue)
    return to


def without_first(item):
    """Takes the first event of a window away that begins in it."""
    name = next((mark.id for mark in item.sheet.marks if mark.start_ns >= item.window.start_ns), None)
    return with_marks(item, lambda marks: marks.pop(name, None))


def rejecting_first(item):
    """Rejects the first question of a window, and fixes the last."""
    first, last = item.sheet.questions[:1], item.sheet.questions[1:][-1:]
    said = [QuestionVerdict(id=row.id, verdict="reject") for row in first]
    return with_verdicts(item, *said, *(QuestionVerdict(id=row.id, verdict="fix", answer="I see.") for row in last))


def rewording_first(item):
    """Says the first answer of a window in other words, and rejects the last."""
    turns = [turn.id for turn in item.sheet.turns if turn.role == "assistant"]
    said = [TurnVerdict(id=name, verdict="reject") for name in turns[1:][-1:]]
    return with_verdicts(item, *said, *(TurnVerdict(id=name, verdict="fix", text="Oh.") for name in turns[:1]))


@pytest.mark.parametrize("kind", ["events", "qa", "dialogue"])
def test_an_untouched_round_changes_nothing(kind, parent, tmp_path):
    to = tmp_path / "to"
    page = merged(parent, to, kind)
    assert (page.edits, page.troubles, page.corrections_sha256, page.earlier) == ((), (), None, 0)
    assert len(page.merged) == len(items_of(parent, kind))
    assert not (to / TABLE).exists()
    if kind == "events":
        rebuilt(to)
        before, after = tree(parent), tree(to)
        assert {name: after[name] for name in before if name in after} == {n: before[n] for n in before if n in after}
        assert after.keys() - before.keys() == {PAGE, SETTINGS, "videos"} - before.keys()


@pytest.mark.parametrize(
    ("kind", "change", "of", "same"),
    [
        ("events", without_first, "event", ()),
        pytest.param("qa", rejecting_first, "question", ("events", "copies", "talk"), marks=pytest.mark.slow),
        pytest.param("dialogue", rewording_first, "dialogue", ("events", "copies", "qa"), marks=pytest.mark.slow),
    ],
)
def test_only_what_depends_on_an_edit_changes(kind, change, of, same, parent, tmp_path):
    to = tmp_path / "to"
    first = next(films(parent, kind)).video.id
    page = merged(parent, to, kind, lambda item: (change if item.window.video_id == first else untouched_work)(item))
    assert {count.of for count in page.edits} == {of}
    before, after = rows_of(parent), rows_of(rebuilt(to))
    for name in before:
        others = [row for row in after[name] if row.video_id != first]
        assert others == [row for row in before[name] if row.video_id != first]
        assert (after[name] == before[name]) is (name in same)
    assert not run_checks(to, CheckConfig()).violations
    assert all(row.code == "alone" for row in read_rejects(to / "rejects.jsonl"))


def test_a_page_tells_what_was_done(parent, tmp_path):
    to = tmp_path / "deep" / "to"
    page = merged(parent, to, "qa", rejecting_first)
    assert page == merged_page(to) == Merged.model_validate_json((to / PAGE).read_bytes())
    assert (page.round, page.kind, page.made_at) == ("r1", "qa", BY.made_at)
    assert (to / page.data).resolve() == parent.resolve()
    assert page.data_digest == digest_of(parent, "qa")
    assert page.corrections_sha256 == sha256_file(to / TABLE)
    rows = list(read_table(to / TABLE, Correction))
    assert sum(count.number for count in page.edits) == len(rows) > 1
    assert {row.annotators for row in rows} == {("a1", "a2")}


def test_every_item_is_merged_or_told(parent, tmp_path):
    items = items_of(parent, "events")
    gold = item_of(next(films(parent, "events")), "events", gold=True)
    nobody, disputed, blurred, good = items
    results = {
        gold.key: Standing(work=without_first(gold), annotators=("a1",)),
        disputed.key: Undecided(("From when to when?",)),
        blurred.key: Standing(work=without_first(blurred).model_copy(update={"usable": False}), annotators=("a1",)),
        good.key: Standing(work=untouched_work(good), annotators=("a1",)),
    }
    asked = [gold, *items]
    page = merge(manifest_of(asked, "events"), asked, results, data=parent, to=tmp_path / "to")
    assert page.merged == (good.key,)
    assert [(row.key, row.reasons) for row in page.disputed] == [(disputed.key, ("From when to when?",))]
    assert page.unusable == (blurred.key,)
    count = page.asked
    assert count.all == count.settled + count.disputed + count.untouched == sum(len(one.sheet.marks) for one in asked)
    assert (count.settled, count.disputed) == (len(good.sheet.marks), len(disputed.sheet.marks))
    assert [(row.key, row.reasons[0]) for row in page.left_out] == [
        (gold.key, "it is gold, whose truth was known before"),
        (nobody.key, "nobody has finished it"),
    ]
    assert page.edits == ()


def test_of_an_item_in_dispute_what_is_agreed_is_merged_and_the_rest_is_told(parent, tmp_path):
    items = items_of(parent, "events")
    shared = items[0]
    open_, removed = next(
        (one, other)
        for one in shared.sheet.marks
        for other in shared.sheet.marks
        if one.id != other.id and other.end_ns <= shared.window.end_ns
    )
    point = Point(
        key=shared.key, video_id=shared.window.video_id, about="mark", records=(open_.id,), start_ns=0, end_ns=1,
        decide="Does it?", annotators=("a1", "a2"),
    )  # fmt: skip
    drawn = point.model_copy(update={"records": (), "decide": "And this?"})
    part = Standing(
        work=with_marks(shared, lambda marks: (marks.pop(open_.id), marks.pop(removed.id))),
        annotators=("a1",),
        outvoted=(drawn,),
    )
    results = standing(items) | {shared.key: Undecided(("Does it?", "And this?"), part=part, points=(point, drawn))}
    page = merge(manifest_of(items, "events"), items, results, data=parent, to=tmp_path / "to")
    assert (page.partly, [row.key for row in page.disputed]) == ((shared.key,), [shared.key])
    assert (page.points, page.outvoted) == ((point, drawn), (drawn,))
    shown = sum(len(item.sheet.marks) for item in items)
    assert page.asked == Asked(all=shown, settled=shown - 1, disputed=1, untouched=0, drawn=0, drawn_disputed=1)
    assert [row.parent_id for row in read_table(tmp_path / "to" / TABLE, Correction)] == [removed.id]
    lines = list(told(page))
    assert lines[0] == f"{len(items) - 1} items merged, 1 disputed, 0 unusable"
    assert "not added: 1 that fewer than half drew; see outvoted in merge.json" in lines
    assert f"in dispute: 1 of {shown} events stayed as they were, 1 drawn ones were not added" in lines
    kept = {row.id for row in rows_of(rebuilt(tmp_path / "to"))["events"]}
    assert open_.id in kept
    assert removed.id not in kept
    assert not run_checks(tmp_path / "to", CheckConfig()).violations


@pytest.mark.parametrize("kind", ["events", "qa", "dialogue"])
def test_a_folder_that_was_changed_since_is_refused(kind, parent):
    items = items_of(parent, kind)
    refuse_changed(items, parent, kind)
    sheet = items[0].sheet
    name = {"events": "marks", "qa": "questions", "dialogue": "turns"}[kind]
    lost = getattr(sheet, name)[0].model_copy(update={"id": "another"})
    seen = sheet.model_copy(update={name: (lost, *getattr(sheet, name)[1:])})
    with pytest.raises(
        AnnotateError, match=r"was changed since the round was made: 1 of the records .*, such as another"
    ):
        refuse_changed([items[0].model_copy(update={"sheet": seen}), *items[1:]], parent, kind)
    away = items[0].model_copy(update={"window": items[0].window.model_copy(update={"video_id": "gone"})})
    with pytest.raises(AnnotateError, match="such as video gone; put it back as it was"):
        refuse_changed([away], parent, kind)
    refuse_changed([away.model_copy(update={"is_gold": True, "sheet": seen})], parent, kind)


def test_records_that_people_did_not_see_are_not_theirs(parent, tmp_path):
    first, other, *_ = items_of(parent, "events")
    seen = first.sheet.marks[0].model_copy(update={"note": "It was told otherwise."})
    sheet = first.sheet.model_copy(update={"marks": (seen, *first.sheet.marks[1:])})
    old = first.model_copy(update={"sheet": sheet, "key": "old"})
    strange = other.model_copy(update={"window": other.window.model_copy(update={"video_id": "gone"}), "key": "gone"})
    items = [old, strange]
    page = merge(manifest_of(items, "events"), items, standing(items, without_first), data=parent, to=tmp_path / "to")
    assert (page.merged, page.edits) == ((), ())
    reasons = {row.key: row.reasons[0] for row in page.left_out}
    assert "1 of its records are not what people saw" in reasons["old"]
    assert reasons["gone"] == "its video is not there any more"


def test_work_of_another_kind_is_refused(parent, tmp_path):
    items = items_of(parent, "events")
    work = untouched_work(items_of(parent, "qa")[0])
    results = {items[0].key: Standing(work=work, annotators=("a1",))}
    with pytest.raises(AnnotateError, match="found work of kind qa, expected events"):
        merge(manifest_of(items, "events"), items, results, data=parent, to=tmp_path / "to")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_rounds_follow_each_other(parent, tmp_path):
    once = tmp_path / "once"
    merged(parent, once, "qa", rejecting_first)
    rebuilt(once)
    twice = tmp_path / "twice"
    page = merged(once, twice, "qa", rejecting_first, name="r2")
    earlier, rows = (list(read_table(folder / TABLE, Correction)) for folder in (once, twice))
    assert page.earlier == len(earlier) > 0
    assert rows[: len(earlier)] == earlier
    assert {row.round for row in rows[len(earlier) :]} == {"r2"}
    after = rows_of(rebuilt(twice))
    assert not run_checks(twice, CheckConfig()).violations
    assert all(row.code == "alone" for row in read_rejects(twice / "rejects.jsonl"))
    untouched = tmp_path / "thrice"
    merged(twice, untouched, "dialogue", name="r3")
    assert rows_of(rebuilt(untouched)) == after
    assert sha256_file(untouched / TABLE) == sha256_file(twice / TABLE)


class KilledError(BaseException):
    """The run ends here."""


STEPS = ("link_inputs", "write_settings", "_write", "write_json", "publish_folder")


def test_killed_and_repeated_it_is_the_same_and_the_parent_is_untouched(parent, tmp_path, monkeypatch):
    before = (tree(parent), stamps(parent))
    (tmp_path / "plain").mkdir()
    merged(parent, tmp_path / "plain" / "to", "events", without_first)
    expected = tree(tmp_path / "plain")
    for step in STEPS:
        for late in (False, True) if step in ("_write", "publish_folder") else (True,):
            folder = tmp_path / f"{step}-{late}"
            folder.mkdir()
            with _killed(monkeypatch, step, late=late):
                merged(parent, folder / "to", "events", without_first)
            assert (folder / "to").exists() is (step == "publish_folder" and late)
            merged(parent, folder / "to", "events", without_first)
            assert tree(folder) == expected
    assert (tree(parent), stamps(parent)) == before


@contextmanager
def _killed(monkeypatch, step, *, late):
    """A run that ends before or after one of its steps."""
    real = getattr(merging, step)

    def stop(*given):
        if late:
            real(*given)
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(merging, step, stop)
        with pytest.raises(KilledError):
            yield


def test_a_merge_that_is_there_is_found_again(parent, tmp_path):
    to = tmp_path / "to"
    page = merged(parent, to, "qa", rejecting_first)
    (to / "check.json").write_text("what a rebuild leaves")
    before = stamps(to)
    assert merged(parent, to, "qa", rejecting_first) == page
    assert stamps(to) == before


def test_another_merge_is_not_written_over(parent, tmp_path):
    to = tmp_path / "to"
    merged(parent, to, "qa", rejecting_first)
    before = tree(to)
    with pytest.raises(AnnotateError, match="holds another merge, of round r1; name another folder"):
        merged(parent, to, "qa")
    with pytest.raises(AnnotateError, match="another merge"):
        merged(parent, to, "qa", rejecting_first, name="r2")
    assert tree(to) == before
    (to / TABLE).unlink()
    with pytest.raises(AnnotateError, match="is not what this merge wrote"):
        merged(parent, to, "qa", rejecting_first)


def test_somebody_elses_folder_is_not_touched(parent, tmp_path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "mine.txt").write_text("mine")
    with pytest.raises(AnnotateError, match=r"holds no merge\.json"):
        merged(parent, tmp_path / "to", "qa")
    (tmp_path / "to" / PAGE).write_text(json.dumps({"round": 3}))
    with pytest.raises(AnnotateError, match=r"merge\.json: .*; name another folder"):
        merged(parent, tmp_path / "to", "qa")
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [PAGE, "mine.txt"]


@pytest.mark.parametrize("place", [".", "inside", ".."])
def test_a_folder_does_not_hold_its_parent(place, parent):
    with pytest.raises(AnnotateError, match="name a folder beside it"):
        merged(parent, parent / place, "qa")


def test_two_runs_do_not_write_one_folder(parent, tmp_path):
    with output_folder(tmp_path / ".to.part"), pytest.raises(StageError, match="another run is writing here"):
        merged(parent, tmp_path / "to", "qa")


def test_a_folder_that_is_not_finished_has_nothing_to_correct(parent, tmp_path):
    items = items_of(parent, "qa")
    with pytest.raises(AnnotateError, match="holds no finished index"):
        merge(manifest_of(items, "qa"), items, standing(items), data=tmp_path, to=tmp_path.parent / "to")


@pytest.mark.slow
def test_the_command_rebuilds_what_depends_on_a_round_and_proves_it(parent, tmp_path, capfd):
    to = tmp_path / "to"
    merged(parent, to, "events", without_first)
    rebuild(to)
    said = capfd.readouterr().out
    assert " 0 broken" in said
    other = tmp_path / "other"
    merged(parent, other, "events", without_first)
    assert rows_of(to) == rows_of(rebuilt(other))
    before = stamps(to)
    rebuild(to)
    assert {name: at for name, at in stamps(to).items() if name.split("/")[0] in STAGES} == {
        name: at for name, at in before.items() if name.split("/")[0] in STAGES
    }
    (to / SETTINGS).write_text("events:\n  nonsense: 1\n")
    with pytest.raises(AnnotateError, match="build ended with 1"):
        rebuild(to)
    assert "events.nonsense: unknown key" in capfd.readouterr().err


def test_items_that_fewer_people_did_than_were_asked_for_are_told(parent, tmp_path):
    items = items_of(parent, "qa")
    asked = manifest_of(items, "qa").model_copy(update={"overlap": 2})
    by_two, alone = standing(items[:1]), standing(items[1:], who=("a1",))
    page = merge(asked, items, by_two | alone, data=parent, to=tmp_path / "to")
    assert page.fewer == tuple(item.key for item in items[1:])
    assert f"of the merged items {len(items) - 1} had fewer people than were asked for; see fewer in {PAGE}" in told(
        page
    )
    assert not any("fewer people" in line for line in told(page.model_copy(update={"fewer": ()})))
