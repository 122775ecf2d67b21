"""A second round: what people did not agree about, for one more person who learns neither who nor how many."""

import errno
import json
import shutil
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from annotate.disputes import disputes, open_sheet
from annotate.errors import AnnotateError
from annotate.proxy import check_proxy, proxy_path
from annotate.rounds import create, items_sha256, load
from annotate.second import parents_of, second_round
from annotate.tasks import QuestionVerdict, Work
from tests.annotate import people
from tests.annotate.desks import Desk, sent
from tests.annotate.planned import planned
from tests.annotate.rounds_of_items import manifest, tree


def opposed(round_):
    """What two people say who agree about nothing but empty windows."""
    return [
        people.done(item.key, who, Work(kind="events", marks=item.sheet.marks) if who == "a1" else Work(kind="events"))
        for item in round_.items
        for who in ("a1", "a2")
    ]


@pytest.fixture(scope="module")
def first(clips, tmp_path_factory):
    return planned(tmp_path_factory.mktemp("first") / "rounds", clips, overlap=2, seed=4)


@pytest.fixture
def own(first, tmp_path):
    """The first round, to spoil."""
    shutil.copytree(first.folder, tmp_path / "rounds" / "r1")
    return load(tmp_path / "rounds", "r1")


def test_it_holds_what_is_in_dispute_the_worst_first_and_the_same_clips(first, tmp_path):
    found = disputes(first.items, opposed(first))
    second = second_round(tmp_path, "r2", first, found)
    assert len(found) == len([item for item in first.items if item.sheet.marks]) > 1
    assert [item.window for item in second.items] == [first.by_key[one.key].window for one in found]
    assert [item.priority for item in second.items] == sorted((one.score for one in found), reverse=True)
    for item in second.items:
        check_proxy(second.proxies, item.window)
    told = second.manifest
    assert (told.parent_round, told.overlap, told.sample, told.gold) == ("r1", 1, None, 0)
    assert (told.config_sha256, told.labels) == (first.manifest.config_sha256, first.manifest.labels)
    assert told.made_at >= first.manifest.made_at
    assert (second.folder / told.data).resolve() == (first.folder / first.manifest.data).resolve()
    assert load(tmp_path, "r2") == second


def test_nothing_that_is_sent_of_it_names_anybody_or_counts_votes(own, tmp_path):
    renamed = [one.model_copy(update={"annotator": f"{one.annotator}-somebody"}) for one in opposed(own)]
    second = second_round(tmp_path / "rounds", "r2", own, disputes(own.items, renamed))
    board = Desk()
    sent(second, board, tmp_path)
    assert len(board.tasks) == len(second.items)
    text = json.dumps([task.data for task in board.tasks.values()])
    # An item's key may begin with the letters of a pseudonym.
    for word in ("somebody", 'a1"', "a1-", "score", "priority", "vote"):
        assert f'"{word}' not in text
        assert "somebody" not in (second.folder / "items.jsonl").read_text()


@trying(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_who_said_what_changes_nothing_of_what_is_asked(seed):
    rng = Random(seed)
    items, truths = people.event_items(seed, 3)
    several = [people.Person(name=name, noise=900 * people.MS, miss=0.4, false_alarm=0.4) for name in ("a", "b")]
    done = [one for person in several for one in people.work_events(person, items, truths, rng.random())]
    swapped = [one.model_copy(update={"annotator": {"a": "b", "b": "a"}[one.annotator]}) for one in done]
    by_key = {item.key: item for item in items}
    sheets = [[open_sheet(by_key[one.key], one) for one in disputes(items, works)] for works in (done, swapped)]
    assert sheets[0] == sheets[1]


def test_it_is_found_again_and_another_one_of_its_name_is_refused(own):
    root, found = own.folder.parent, disputes(own.items, opposed(own))
    second = second_round(root, "r2", own, found)
    before = tree(root)
    assert second_round(root, "r2", own, found) == second
    assert tree(root) == before
    with pytest.raises(AnnotateError, match=r"made of something else \(items: \d → \d"):
        second_round(root, "r2", own, found[:-1])
    assert tree(root) == before


def test_without_a_dispute_there_is_nothing_to_decide(own):
    with pytest.raises(AnnotateError, match="round r1: nothing is in dispute, so nothing is left to decide"):
        second_round(own.folder.parent, "r2", own, [])
    assert not (own.folder.parent / "r2").exists()


@pytest.mark.parametrize(("name", "words"), [("../r2", "not a name"), ("", "not a name"), ("r1", "is the one that")])
def test_a_name_that_cannot_be_its_own_is_refused_before_anything_is_written(own, tmp_path, name, words):
    before = tree(tmp_path)
    with pytest.raises(AnnotateError, match=words):
        second_round(own.folder.parent, name, own, disputes(own.items, opposed(own)))
    assert tree(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["rounds"]


@pytest.mark.parametrize(("spoil", "words"), [(True, "found sha256"), (False, "found no file")])
def test_a_clip_that_is_not_the_one_people_saw_is_not_taken_over(own, spoil, words):
    found = disputes(own.items, opposed(own))
    path = proxy_path(own.proxies, own.by_key[found[1].key].window)
    path.write_bytes(b"other") if spoil else path.unlink()
    with pytest.raises(AnnotateError, match=words):
        second_round(own.folder.parent, "r2", own, found)
    with pytest.raises(AnnotateError, match="no round of this name"):
        load(own.folder.parent, "r2")


def test_a_full_disk_leaves_no_round_and_no_half_clip(own, monkeypatch):
    def full(source, target):
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    found = disputes(own.items, opposed(own))
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space left"):
            second_round(own.folder.parent, "r2", own, found)
    assert not [path for path in (own.folder.parent / "r2").rglob("*") if path.is_file()]
    assert len(second_round(own.folder.parent, "r2", own, found).items) == len(found)


def test_every_item_of_it_leads_back_to_its_dispute(own):
    found = disputes(own.items, opposed(own))
    second = second_round(own.folder.parent, "r2", own, found)
    parents = parents_of(second, own, found)
    assert parents.keys() == second.by_key.keys()
    for item in second.items:
        assert own.by_key[parents[item.key].key].window == item.window
    # The order in which disputes are found again is no matter.
    assert parents_of(second, own, found[::-1]) == parents


def test_a_round_of_another_parent_leads_nowhere(own):
    found = disputes(own.items, opposed(own))
    second = second_round(own.folder.parent, "r2", own, found)
    stranger = replace(own, manifest=own.manifest.model_copy(update={"round": "other"}))
    with pytest.raises(AnnotateError, match="round r2: parent_round: found r1, expected other"):
        parents_of(second, stranger, found)
    with pytest.raises(AnnotateError, match="round r1: parent_round: found None, expected r1"):
        parents_of(own, own, found)


def test_only_the_questions_in_dispute_are_asked_again(tmp_path):
    items, _ = people.qa_items(1, 2, questions=3)
    names = [one.id for one in items[0].sheet.questions]

    def said(second_verdict):
        verdicts = ("accept", second_verdict, "accept")
        pairs = zip(names, verdicts, strict=True)
        return Work(kind="qa", questions=tuple(QuestionVerdict(id=name, verdict=verdict) for name, verdict in pairs))

    done = [people.done(items[0].key, "a1", said("accept")), people.done(items[0].key, "a2", said("reject"))]
    told = manifest(items, kind="qa", labels=(), items_sha256=items_sha256(items))
    first = create(tmp_path, told, items)
    path = proxy_path(first.proxies, items[0].window)
    path.parent.mkdir()
    path.touch()
    found = disputes(items, done)
    with pytest.raises(AnnotateError, match="found sha256"):
        second_round(tmp_path, "r2", first, found)
    path.with_name(path.name).unlink()
    (tmp_path / "r2" / "proxies").mkdir(parents=True, exist_ok=True)
    (tmp_path / "r2" / "proxies" / path.name).touch()
    second = second_round(tmp_path, "r2", first, found)
    assert [[one.id for one in item.sheet.questions] for item in second.items] == [[names[1]]]
