"""A round before it is sent: the same for the same settings, refused for others, and never telling what is gold."""

from dataclasses import replace
from functools import cache
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from pydantic import ValidationError

from annotate import plan as planning
from annotate.desk import posting_of, show_clips
from annotate.errors import AnnotateError
from annotate.plan import Gold, Known, PlanConfig, read_gold
from annotate.proxy import check_proxy
from annotate.rounds import blind, load
from annotate.source import films
from annotate.tasks import Work
from tests.annotate.desks import Desk, sent
from tests.annotate.films import numbers
from tests.annotate.merging import untouched_work
from tests.annotate.planned import S, no_proxy, place, planned
from tests.annotate.rounds_of_items import tree


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory):
    """A round of all windows."""
    return planned(tmp_path_factory.mktemp("whole"), clips)


def test_windows_are_the_whole_of_every_video_in_the_order_of_the_index(whole, clips):
    by_video = [(name, list(items)) for name, items in groupby(whole.items, lambda item: item.window.video_id)]
    found = list(films(clips, "events"))
    assert [name for name, _ in by_video] == [film.video.id for film in found]
    for film, (_, items) in zip(found, by_video, strict=True):
        ends = [item.window.end_ns for item in items]
        assert [item.window.start_ns for item in items] == [0, *ends[:-1]]
        assert ends[-1] == film.clock.end_ns
        assert {item.split for item in items} == {film.video.split}
        assert all(S // 2 <= item.window.end_ns - item.window.start_ns <= S for item in items)


def test_every_item_has_its_proxy_that_shows_its_stretch(whole, clips):
    clocks = {film.video.id: film.clock for film in films(clips, "events")}
    for item in whole.items:
        check_proxy(whole.proxies, item.window)
        first = clocks[item.window.video_id].index_at(item.window.start_ns)
        assert numbers(whole.proxies, item.window) == list(range(first, first + item.window.frames))


def test_a_round_read_again_is_the_round_that_was_made(whole):
    assert load(whole.folder.parent, "r1") == whole
    assert whole.manifest.items == len(whole.items) == 7
    assert (whole.folder / whole.manifest.data).resolve().is_dir()


@pytest.mark.parametrize("kind", ["events", "qa", "dialogue"])
def test_the_same_settings_make_the_same_round_elsewhere(clips, tmp_path, kind):
    one, two = (planned(tmp_path / name, clips, kind, sample=2, overlap=3, seed=5) for name in "ab")
    assert one.items == two.items
    assert len(one.items) == 2
    assert replace(one, folder=two.folder).title == two.title
    assert one.manifest.overlap == 3
    assert all(item.sheet.kind == kind for item in one.items)
    assert bool(one.manifest.labels) is (kind == "events")


def test_a_round_that_is_planned_again_is_found_and_nothing_of_it_is_written(clips, tmp_path):
    first = planned(tmp_path, clips, sample=2)
    before = tree(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    again = planned(tmp_path, clips, sample=2)
    assert again == first
    assert tree(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == stamps


def test_a_plan_that_was_killed_goes_on_with_the_proxies_that_it_finds(clips, tmp_path, monkeypatch, whole):
    make, made = planning.make_proxy, []

    def dying(*args, **more):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(make(*args, **more))
        return made[-1]

    with monkeypatch.context() as patched:
        patched.setattr(planning, "make_proxy", dying)
        with pytest.raises(KeyboardInterrupt):
            planned(tmp_path, clips)
    with pytest.raises(AnnotateError, match="no round of this name"):
        load(tmp_path, "r1")
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    assert len(stamps) == 3
    assert planned(tmp_path, clips).items == whole.items
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


@trying(max_examples=25, deadline=None)
@given(sample=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_a_sample_is_as_many_of_the_windows_in_their_order_and_the_seed_alone_draws_it(
    whole, clips, tmp_path_factory, sample, seed
):
    places, found = [place(item) for item in whole.items], read(clips)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(planning, "films", lambda data, kind: iter(found))
        patched.setattr(planning, "make_proxy", no_proxy)
        drawn, again = (
            [place(item) for item in planned(root, clips, sample=sample, seed=seed).items]
            for root in (tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b"))
        )
    assert drawn == again
    assert len(drawn) == min(sample, len(places))
    assert drawn == [one for one in places if one in set(drawn)]


@cache
def read(clips):
    return list(films(clips, "events"))


def test_other_seeds_draw_other_samples(clips, tmp_path, unmade):
    drawn = {
        tuple(place(item) for item in planned(tmp_path, clips, name=f"r{seed}", sample=3, seed=seed).items)
        for seed in range(8)
    }
    assert len(drawn) > 1


@pytest.mark.parametrize("name", ["../r1", "", ".", "R1", "a b", "a/b", "x" * 33, "-r"])
def test_what_is_no_name_of_a_round_is_refused_and_nothing_is_written(clips, tmp_path, unmade, name):
    with pytest.raises(AnnotateError, match="not a name, expected 1 to 32 of a-z"):
        planned(tmp_path / "rounds", clips, name=name)
    assert not list(tmp_path.iterdir())
    assert not unmade


def test_a_folder_without_anything_of_a_kind_makes_no_round(clips, tmp_path, monkeypatch, unmade):
    mute = [replace(film, questions=()) for film in films(clips, "qa")]
    monkeypatch.setattr(planning, "films", lambda data, kind: iter(mute))
    with pytest.raises(AnnotateError, match="has nothing of kind qa that people could be asked about"):
        planned(tmp_path, clips, "qa")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"least_ns": 2 * S}, {"most_ns": S // 2}, {"least_ns": S}])
def test_lengths_that_not_every_video_can_be_cut_to_are_refused(clips, tmp_path, unmade, change):
    with pytest.raises(AnnotateError, match="expected a least above 0 and a most of twice that or more"):
        planned(tmp_path, clips, **change)


@pytest.mark.parametrize(
    "change",
    [{"sample": 0}, {"sample": -1}, {"overlap": 0}, {"overlap": 21}, {"least_ns": 0}, {"most_ns": 0}, {"speed": 1}],
)
def test_settings_out_of_range_are_refused_by_name(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        PlanConfig.model_validate(change)


# Gold


def gold_of(item, **changes):
    video, start, end = place(item)
    fields = {"video_id": video, "start_ns": start, "end_ns": end, "work": Work(kind="events", marks=item.sheet.marks)}
    return Gold(**{**fields, **changes})


def test_gold_is_known_to_the_round_and_to_nobody_who_makes_a_task_of_it(whole, clips, tmp_path):
    gold = [gold_of(whole.items[at]) for at in (1, 4)]
    found = planned(tmp_path, clips, known=Known(gold=gold))
    assert [item.is_gold for item in found.items] == [at in (1, 4) for at in range(7)]
    assert [item.truth for item in found.items if item.is_gold] == [one.work for one in gold]
    assert found.manifest.gold == 2
    # Neither the key nor what is shown hangs on it.
    assert [blind(item) for item in found.items] == list(whole.items)


def test_gold_of_another_kind_is_for_another_round(whole, clips, tmp_path, unmade):
    gold = [gold_of(whole.items[0], work=Work(kind="qa"))]
    assert planned(tmp_path, clips, known=Known(gold=gold)).manifest.gold == 0


def test_another_truth_is_refused_before_a_proxy_is_made_and_the_same_in_another_order_is_not(
    whole, clips, tmp_path, unmade
):
    gold = [gold_of(whole.items[at]) for at in (1, 4)]
    made = planned(tmp_path, clips, known=Known(gold=gold))
    others = [(), gold[:1], [gold[0], gold_of(whole.items[4], work=Work(kind="events"))]]
    unmade.clear()
    for other in others:
        with pytest.raises(AnnotateError, match=r"something else \(gold_sha256: [0-9a-f]{64} → "):
            planned(tmp_path, clips, known=Known(gold=other))
    assert not unmade
    assert planned(tmp_path, clips, known=Known(gold=gold[::-1])) == made


def test_what_is_sent_and_shown_of_a_round_is_the_same_with_gold_and_without(whole, clips, tmp_path):
    gold, found = [gold_of(whole.items[at]) for at in (0, 3)], []
    for number, known in enumerate((Known(gold=gold), planning.NOTHING_KNOWN)):
        round_, board = planned(tmp_path / str(number), clips, known=known), Desk()
        sent(round_, board, tmp_path)
        postings = [posting_of(round_, board, tmp_path)(item) for item in round_.items]
        clips_shown = {path.name for path in show_clips(round_, tmp_path / "media").iterdir()}
        found.append(([vars(task) for task in board.tasks.values()], postings, clips_shown))
    assert found[0] == found[1]
    assert [task["key"] for task in found[0][0]] == [item.key for item in whole.items]
    assert found[0][2] == {f"{item.window.proxy_sha256}.mp4" for item in whole.items}
    assert "gold" not in str(found[0])
    assert "truth" not in str(found[0])


@pytest.mark.parametrize("change", [{"video_id": "other"}, {"start_ns": 1}, {"end_ns": 1}])
def test_gold_of_what_is_no_window_is_refused(whole, clips, tmp_path, unmade, change):
    gold = [gold_of(whole.items[1], **change)]
    with pytest.raises(AnnotateError, match=r"gold of .* is no window of the folder with these settings"):
        planned(tmp_path, clips, known=Known(gold=gold))
    assert not unmade


def marked(item, **changes):
    mark = next(iter(item.sheet.marks))
    return Work(kind="events", marks=(mark.model_copy(update=changes),))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "no such"}, "found label 'no such', expected one of the round"),
        ({"start_ns": 10**12, "end_ns": 10**12}, "expected a part of the window"),
        ({"start_ns": 0, "end_ns": 0}, "expected a part of the window"),
        ({"start_ns": 1_900_000_000, "end_ns": 1_800_000_000}, "expected a part of the window"),
    ],
)
def test_a_truth_that_nobody_can_say_on_the_screen_is_refused(whole, clips, tmp_path, unmade, changes, words):
    item = next(item for item in whole.items if item.sheet.marks and item.window.start_ns)
    gold = [gold_of(item, work=marked(item, **changes))]
    with pytest.raises(AnnotateError, match=rf"gold of .*: event {item.sheet.marks[0].id}: .*{words}"):
        planned(tmp_path, clips, known=Known(gold=gold))
    assert not unmade
    right = [gold_of(item, work=marked(item, id="drawn"))]
    assert planned(tmp_path, clips, known=Known(gold=right)).manifest.gold == 1


@pytest.mark.parametrize("kind", ["qa", "dialogue"])
def test_a_truth_has_a_verdict_of_each_question_or_turn_of_its_window_and_of_no_other(clips, tmp_path, unmade, kind):
    item = next(item for item in planned(tmp_path, clips, kind, name="first").items if len(item.sheet.ids) == 1)
    right = untouched_work(item)
    field = "questions" if kind == "qa" else "turns"
    (verdict,) = getattr(right, field)
    for wrong in ((), (verdict, verdict), (verdict.model_copy(update={"id": "other"}),)):
        gold = [gold_of(item, work=right.model_copy(update={field: wrong}))]
        with pytest.raises(AnnotateError, match=rf"found verdicts of .*, expected one of each of .*: {verdict.id}$"):
            planned(tmp_path, clips, kind, known=Known(gold=gold))
    unusable = Work(kind=kind, usable=False)
    for name, work in (("right", right), ("unusable", unusable)):
        gold = [gold_of(item, work=work)]
        assert planned(tmp_path, clips, kind, name=name, known=Known(gold=gold)).manifest.gold == 1


def test_two_truths_of_one_window_are_refused(whole, clips, tmp_path, unmade):
    gold = [gold_of(whole.items[1]), gold_of(whole.items[1], work=Work(kind="events"))]
    with pytest.raises(AnnotateError, match="stands twice, expected once"):
        planned(tmp_path, clips, known=Known(gold=gold))


def test_gold_is_read_back_as_it_was_written(whole, tmp_path):
    gold = [gold_of(item) for item in whole.items]
    (tmp_path / "gold.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in gold))
    assert read_gold(tmp_path / "gold.jsonl") == gold


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b"])
def test_gold_may_hold_signs_that_end_a_line_elsewhere(whole, tmp_path, sign):
    item = next(item for item in whole.items if item.sheet.marks)
    gold = [gold_of(item, work=marked(item, note=f"one{sign}two"))]
    (tmp_path / "gold.jsonl").write_text(gold[0].model_dump_json() + "\n")
    assert read_gold(tmp_path / "gold.jsonl") == gold
    (tmp_path / "gold.jsonl").write_text("")
    assert read_gold(tmp_path / "gold.jsonl") == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", r"gold\.jsonl:2: line: Invalid JSON"),
        ("", r"gold\.jsonl:2: line: Invalid JSON"),
        ("[]", r"gold\.jsonl:2: line: .*, found '\[\]'"),
        ('{"video_id": "v", "start_ns": 0.5, "end_ns": 2, "work": {"kind": "events"}}', r":2: start_ns: .*found '0.5'"),
        ('{"video_id": "v", "start_ns": 0, "end_ns": 2, "work": {"kind": "boxes"}}', r":2: work\.kind: .*'boxes'"),
        ('{"video_id": "v", "start_ns": 0, "end_ns": 2}', r":2: work: Field required"),
    ],
)
def test_a_broken_line_of_gold_is_named_with_its_field(whole, tmp_path, line, words):
    path = tmp_path / "gold.jsonl"
    path.write_text(f"{gold_of(whole.items[0]).model_dump_json()}\n{line}\n")
    with pytest.raises(AnnotateError, match=words):
        read_gold(path)


def test_gold_that_is_no_text_or_no_file_is_one_sentence(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("bytes", "nowhere", "."):
        with pytest.raises(AnnotateError, match="cannot be read as JSON lines"):
            read_gold(tmp_path / name)


# Order


def ordered(clips, root, known=planning.NOTHING_KNOWN, *, sample=None, **weights):
    only = {"uncertain": 0, "diverse": 0, "disputed": 0, "random": 0, **weights}
    return [place(item) for item in planned(root, clips, known=known, order=only, sample=sample).items]


def test_the_most_disputed_come_first_where_the_order_asks_for_them(whole, clips, tmp_path, unmade):
    places = [place(item) for item in whole.items]
    known = Known(disputed={places[5]: 0.9, places[2]: 0.4, ("gone", 0, 1): 1.0})
    found = ordered(clips, tmp_path / "all", known, disputed=1)
    assert found[:2] == [places[5], places[2]]
    assert sorted(found) == sorted(places)
    assert ordered(clips, tmp_path / "two", known, disputed=1, sample=2) == [places[5], places[2]]


def test_a_dispute_is_about_the_window_that_shares_most_of_its_time(whole, clips, tmp_path, unmade):
    places = [place(item) for item in whole.items]
    video, start, end = places[2]
    before, after = places[1], places[3]
    assert before[2] == start
    assert after[:2] == (video, end)
    # Cut a quarter later: it reaches into two windows; other videos, other times and touching ends tell nothing.
    later = (end - start) // 4
    moved = {(video, start + later, end + later): 0.7, ("gone", *before[1:]): 1.0, (video, 10**15, 10**16): 0.9}
    assert set(ordered(clips, tmp_path / "one", Known(disputed=moved), disputed=1)[:2]) == {places[2], after}
    # Where two disputes meet a window, the one that shares more of it counts, and not the worse.
    moved = {(video, start + 1, end): 0.2, after: 0.5, (video, start, start + 1): 1.0}
    assert ordered(clips, tmp_path / "two", Known(disputed=moved), disputed=1)[:2] == [after, places[2]]


def test_chance_orders_by_its_own_seed(clips, tmp_path, unmade):
    one, same = (ordered(clips, tmp_path / name, random=1, seed=1) for name in "ab")
    other = ordered(clips, tmp_path / "c", random=1, seed=2)
    assert one == same
    assert one != other
    assert sorted(one) == sorted(other)


def test_a_window_is_as_uncertain_as_the_events_that_are_seen_in_it(clips, tmp_path, monkeypatch, unmade):
    film, other = films(clips, "events")
    cut = film.clock.time_of(len(film.clock) // 2)
    lasting = {"label": "jump", "is_point": False, "start_ns": 0, "end_ns": cut}
    left = film.events[0].model_copy(update={**lasting, "id": "l", "confidence": 1.0})
    # It ends where the last windows begin: whoever watches them sees nothing of it.
    doubtful = left.model_copy(update={"id": "d", "confidence": 0.1})
    changed = [replace(film, events=[left, doubtful]), replace(other, events=())]
    monkeypatch.setattr(planning, "films", lambda data, kind: iter(changed))
    found = ordered(clips, tmp_path, uncertain=1)
    inside = {name for name in found if name[0] == film.video.id and name[1] < cut}
    assert set(found[: len(inside)]) == inside


def test_the_most_diverse_come_first_and_pictures_of_several_embedders_are_refused(
    clips, tmp_path, monkeypatch, unmade
):
    film, other = films(clips, "events")
    looks = {0: (1.0, 0.0), 1: (0.99, 0.1), 2: (-1.0, 0.0)}
    frame = film.keyframes[0]

    def shown(vectors):
        return [frame.model_copy(update={"t_ns": at * S, "embedding": vector}) for at, vector in vectors.items()]

    def lay(vectors):
        changed = [replace(film, events=(), keyframes=shown(vectors)), replace(other, keyframes=())]
        monkeypatch.setattr(planning, "films", lambda data, kind: iter(changed))

    lay(looks)
    found = [name for name in ordered(clips, tmp_path / "a", diverse=1) if name[0] == film.video.id]
    assert sum(start <= 2 * S < end for _, start, end in found[:2]) == 1
    assert not found[-1][1] <= 2 * S < found[-1][2]
    lay({0: (1.0, 0.0), 0.1: (1.0, 0.0, 0.0)})
    with pytest.raises(AnnotateError, match="embeddings of several lengths"):
        ordered(clips, tmp_path / "b", diverse=1)
