"""A round at work: what is sent says nothing of gold and is valid, clips are found, what comes back is read."""

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from annotate.board import Posting
from annotate.desk import INSTRUCTIONS, clocks_of, data_folder, posting_of, reading_of, screen_of, show_clips
from annotate.errors import AnnotateError
from annotate.people import People
from annotate.plan import Known
from annotate.proxy import proxy_path
from annotate.pull import pull
from annotate.rounds import blind, load
from annotate.screens import screen
from annotate.source import films
from annotate.standing import finished
from tests.annotate.desks import Desk, closed, sent, worked
from tests.annotate.merging import untouched_work
from tests.annotate.planned import planned
from tests.annotate.pulled import project_of
from tests.annotate.rounds_of_items import sha256, tree
from tests.annotate.test_plan import gold_of

KINDS = ("events", "qa", "dialogue")


@pytest.fixture(scope="module")
def made(clips, tmp_path_factory):
    """A round of each kind; to read only."""
    root = tmp_path_factory.mktemp("made")
    return {kind: planned(root, clips, kind, name=kind) for kind in KINDS}


@pytest.fixture(scope="module")
def base(clips, made, tmp_path_factory):
    """A round of which two windows are gold, beside a copy of its data."""
    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(clips, folder / "data")
    gold = [gold_of(made["events"].items[at]) for at in (0, 3)]
    planned(folder / "rounds", folder / "data", known=Known(gold=gold))
    return folder


@pytest.fixture
def round_(base, tmp_path):
    """The round of `base`, to spoil."""
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    return load(tmp_path / "rounds", "r1")


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_is_the_sheet_in_the_rounds_own_screen(made, tmp_path, kind):
    round_, board = made[kind], Desk()
    assert sha256(screen_of(round_)) == round_.manifest.config_sha256
    for item in round_.items:
        posting = posting_of(round_, board, tmp_path)(item)
        assert posting.key == item.key
        assert posting.data["video"] == f"/clips/{item.window.proxy_sha256}.mp4"
        assert posting.result == screen.encode(item).result
        assert posting.model_version == (round_.manifest.model_version if posting.result else "")
    assert INSTRUCTIONS.keys() == set(KINDS)


@pytest.mark.parametrize("change", [{"config_sha256": "0" * 64}, {"labels": ("other",)}])
def test_a_screen_that_is_not_the_rounds_own_is_refused(round_, tmp_path, change):
    other = replace(round_, manifest=round_.manifest.model_copy(update=change))
    board = Desk()
    with pytest.raises(AnnotateError, match=r"round r1: config_sha256: found .*: its screen is of another version"):
        sent(other, board, tmp_path)
    assert not board.projects


def test_nothing_that_is_sent_tells_gold_from_the_rest(round_, tmp_path):
    posting = posting_of(round_, Desk(), tmp_path)
    assert sum(item.is_gold for item in round_.items) == 2
    for item in round_.items:
        assert posting(item) == posting(blind(item))
        assert "gold" not in repr(posting(item))


def test_what_a_screen_would_not_take_back_is_never_sent(round_, tmp_path):
    other = {"labels": ("other",), "config_sha256": sha256(screen.config("events", ("other",)))}
    broken = replace(round_, manifest=round_.manifest.model_copy(update=other))
    board = Desk()
    with pytest.raises(AnnotateError, match=r"item [0-9a-f]{20}: .*label"):
        sent(broken, board, tmp_path)
    assert board.sends == 0
    assert not board.tasks


def test_a_window_without_a_proposal_says_of_no_model_that_it_made_one(round_, tmp_path):
    empty = round_.items[0].model_copy(update={"sheet": round_.items[0].sheet.model_copy(update={"marks": ()})})
    assert posting_of(round_, Desk(), tmp_path)(empty) == Posting(
        key=empty.key, data=screen.encode(empty, video=f"/clips/{empty.window.proxy_sha256}.mp4").data
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_untouched_round_goes_out_and_comes_back_as_it_was(clips, tmp_path, kind):
    round_, board = planned(tmp_path / "rounds", clips, kind), Desk()
    assert sent(round_, board, tmp_path).sent == len(round_.items)
    assert sent(round_, board, tmp_path).sent == 0
    worked(round_, board, 7)
    found = pull(
        round_,
        board,
        project=project_of(round_, board),
        reading=reading_of(round_),
        people=People(tmp_path / "people.json"),
    )
    assert (found.new, found.flagged) == (len(round_.items), 0)
    for item, done in zip(round_.items, finished(round_, reading_of(round_)), strict=True):
        assert done.work == untouched_work(item)
        assert (done.key, done.annotator, done.untouched) == (item.key, "a1", True)


# Clips


def test_clips_are_linked_into_a_folder_of_the_round_and_a_second_time_does_nothing(round_, tmp_path):
    folder = show_clips(round_, tmp_path / "media")
    assert folder == tmp_path / "media" / round_.title.replace(" ", "-")
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in round_.proxies.glob("*.mp4"))
    assert all((folder / path.name).samefile(path) for path in round_.proxies.glob("*.mp4"))
    before = folder.stat().st_mtime_ns
    assert show_clips(round_, tmp_path / "media") == folder
    assert folder.stat().st_mtime_ns == before


def test_on_another_disk_clips_are_copied_whole(round_, tmp_path, monkeypatch):
    def apart(source, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", apart)
    folder = show_clips(round_, tmp_path / "media")
    for item in round_.items:
        path = proxy_path(round_.proxies, item.window)
        assert (folder / path.name).read_bytes() == path.read_bytes()
        assert not (folder / path.name).samefile(path)


def test_a_full_disk_is_one_sentence_and_leaves_no_half_clip(round_, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", full)

    def torn(source, target):
        target.write_bytes(b"half")
        full()

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", torn)
        with pytest.raises(AnnotateError, match=r"the clips cannot be put there \(No space left on device\)"):
            show_clips(round_, tmp_path / "media")
    assert not [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
    assert len(list(show_clips(round_, tmp_path / "media").iterdir())) == len(round_.items)


def test_a_folder_that_cannot_be_made_is_one_sentence(round_, tmp_path):
    (tmp_path / "media").write_text("a file")
    with pytest.raises(AnnotateError, match="the clips cannot be put there"):
        show_clips(round_, tmp_path / "media")


@pytest.mark.parametrize(("spoil", "words"), [(True, "found sha256"), (False, "found no file")])
def test_a_clip_that_is_not_the_one_that_was_made_is_shown_to_nobody(round_, tmp_path, spoil, words):
    path = proxy_path(round_.proxies, round_.items[2].window)
    path.write_bytes(b"other") if spoil else path.unlink()
    with pytest.raises(AnnotateError, match=words) as refused:
        show_clips(round_, tmp_path / "media")
    assert str(path) in str(refused.value)
    assert not list((tmp_path / "media").rglob(path.name))


# The data


def test_a_clip_that_somebody_changed_where_the_server_shows_it_is_told(round_, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", full)
    folder = show_clips(round_, tmp_path / "media")
    there = proxy_path(folder, round_.items[2].window)
    there.write_bytes(proxy_path(round_.proxies, round_.items[1].window).read_bytes())
    with pytest.raises(AnnotateError, match=f"{there}: found sha256 .*delete it"):
        show_clips(round_, tmp_path / "media")
    there.unlink()
    show_clips(round_, tmp_path / "media")
    assert there.read_bytes() == proxy_path(round_.proxies, round_.items[2].window).read_bytes()


def test_two_processes_that_copy_the_same_clips_at_once(round_, tmp_path, monkeypatch):
    """On another disk, where clips are copied: the folder is held, so no copy is written by two."""
    monkeypatch.setattr(os, "link", full)
    with ThreadPoolExecutor(2) as pool:
        for at in range(10):
            media = tmp_path / f"media{at}"
            folders = list(pool.map(lambda _, media=media: show_clips(round_, media), "ab"))
            assert folders[0] == folders[1]
            assert sorted(path.name for path in folders[0].iterdir()) == sorted(
                path.name for path in round_.proxies.glob("*.mp4")
            )


def test_a_round_finds_its_data_wherever_both_were_moved_to(round_, tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("data", "rounds"):
        shutil.move(tmp_path / name, tmp_path / "there" / name)
    moved = load(tmp_path / "there" / "rounds", "r1")
    assert data_folder(moved) == tmp_path / "there" / "data"
    board = Desk()
    sent(moved, board, tmp_path)
    worked(moved, board, 7)
    assert closed(moved, board).annotations == len(moved.items)
    assert planned(tmp_path / "there" / "rounds", tmp_path / "there" / "data", name="r2").manifest.items == 7


def test_a_data_folder_that_is_gone_is_one_sentence(round_, tmp_path):
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    for ask in (data_folder, reading_of):
        with pytest.raises(AnnotateError, match="data: holds no finished index; round r1 was made of it"):
            ask(round_)


def test_each_video_has_its_own_clock(clips):
    clock = clocks_of(clips)
    for film in films(clips, "events"):
        assert clock(film.video.id).t_ns.tolist() == film.clock.t_ns.tolist()
    with pytest.raises(AnnotateError, match="has no video other any more"):
        clock("other")


def test_asking_for_the_screen_and_the_reading_writes_nothing(round_, tmp_path):
    before = tree(tmp_path)
    screen_of(round_)
    posting_of(round_, Desk(), tmp_path)(round_.items[0])
    reading_of(round_).decode(list(screen.encode(round_.items[0]).result), round_.items[0])
    assert tree(tmp_path) == before
