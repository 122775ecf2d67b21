import hashlib
import json
import os
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate import server, studio
from annotate.access import Access, invite
from annotate.board import (
    KEY_FIELD,
    AlteredError,
    Changed,
    Counts,
    MissingError,
    Posting,
    Project,
    RefusedError,
    UnknownError,
)
from annotate.errors import AnnotateError
from annotate.studio import LabelStudio, enter
from tests.annotate.servers import Servers, needs_sdk

CONFIG = """
<View>
  <Video name="video" value="$video" framerate="$fps"/>
  <TimelineLabels name="events" toName="video"><Label value="open"/><Label value="shut"/></TimelineLabels>
</View>
"""
PROJECT = Project(id=7, title="r1", config_sha256="0" * 64, overlap=1)
ACCESS = Access(url="http://127.0.0.1:9", username="a@b.c", token="t", version="1.23.2", media=Path("/media"))


def region(number: int) -> dict:
    value = {"ranges": [{"start": number + 1, "end": number + 9}], "timelinelabels": ["open"]}
    return {"value": value, "id": f"e{number}", "from_name": "events", "to_name": "video", "type": "timelinelabels"}


def postings(count: int, *, regions: int = 2, name: str = "k") -> list[Posting]:
    return [
        Posting(
            key=f"{name}{number:06d}",
            data={"video": "/x.mp4", "fps": 25, "note": "ä"},
            result=[region(each) for each in range(regions)],
            model_version="m1",
        )
        for number in range(count)
    ]


def keys_of(rows: list[Posting]) -> list[str]:
    return [row.key for row in rows]


# Without a server.


class Desk:
    """Stands in for the way to a server: tasks as the server lists them, changed by `between` after each page."""

    def __init__(self, numbers: list[int], between) -> None:
        self.numbers, self._between = set(numbers), between
        self.client = SimpleNamespace(tasks=SimpleNamespace(list=self.list))

    def ask(self, doing, call, project=None):
        return call()

    def list(self, *, query, page_size, page, **_):
        assert page == 1
        wanted = json.loads(query)
        assert wanted["ordering"] == ["tasks:id"]
        after = next(each["value"] for each in wanted["filters"]["items"] if each["filter"] == "filter:tasks:id")
        left = sorted(number for number in self.numbers if number > after)
        self._between(self.numbers)
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        return SimpleNamespace(
            items=[
                SimpleNamespace(id=number, data={KEY_FIELD: f"k{number}"}, updated_at=moment, annotations=[])
                for number in left[:page_size]
            ],
            response=SimpleNamespace(total=len(left)),
        )


@settings(max_examples=40)
@given(numbers=st.lists(st.integers(1, 60), unique=True), stay=st.data())
def test_no_task_is_missed_or_told_twice_while_others_come_and_go(numbers, stay):
    leaving = stay.draw(st.lists(st.sampled_from(numbers), unique=True)) if numbers else []
    coming = iter(stay.draw(st.lists(st.integers(61, 90), unique=True)))
    going = iter(leaving)

    def between(there):
        there.discard(next(going, None))
        there.update({next(coming, 61)})

    desk = Desk(numbers, between)
    before = studio.WORK_AT_ONCE
    studio.WORK_AT_ONCE = 4
    try:
        told = [task.task_id for task in LabelStudio(ACCESS, desk).changed(PROJECT)]
    finally:
        studio.WORK_AT_ONCE = before
    assert told == sorted(set(told))
    assert set(numbers) - set(leaving) <= set(told)


@settings(max_examples=40)
@given(st.lists(st.text(max_size=40), max_size=60), st.integers(1, 7), st.integers(1, 300))
def test_keys_are_asked_for_once_each_in_slices_that_fit(wanted, count, size):
    before = studio.KEYS_AT_ONCE, studio.KEY_BYTES_AT_ONCE
    studio.KEYS_AT_ONCE, studio.KEY_BYTES_AT_ONCE = count, size
    try:
        slices = list(studio._slices(wanted))
    finally:
        studio.KEYS_AT_ONCE, studio.KEY_BYTES_AT_ONCE = before
    assert [key for some in slices for key in some] == list(dict.fromkeys(wanted))
    for some in slices:
        assert 1 <= len(some) <= count
        assert len(some) == 1 or sum(len(quote(key)) for key in some) <= size


def test_a_file_is_shown_by_its_place_below_the_media_folder():
    board = LabelStudio(ACCESS, Desk([], None))
    assert board.media_url(Path("/media/r1/ä b?.mp4")) == "/data/local-files/?d=r1/%C3%A4%20b%3F.mp4"


@pytest.mark.parametrize("path", ["/media", "/media/../etc/passwd", "/mediator/x", "relative"])
def test_a_file_elsewhere_is_not_shown(path):
    board = LabelStudio(ACCESS, Desk([], None))
    with pytest.raises(AnnotateError, match="not below /media"):
        board.media_url(Path(path))
    with pytest.raises(AnnotateError, match="not below /media"):
        board.media(PROJECT, Path(path))


def test_a_server_whose_media_folder_is_not_known():
    access = Access(url="http://x", username="", token="t", version="1.23.2")
    with pytest.raises(AnnotateError, match="LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"):
        LabelStudio(access, Desk([], None)).media_url(Path("/media/x"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": ""}, "empty key"),
        ({"data": {KEY_FIELD: "other"}}, "found item_key 'other'"),
        ({"result": [region(1)]}, "result without a model version"),
    ],
)
def test_a_posting_that_cannot_be_sent(changes, words):
    with pytest.raises(ValueError, match=words):
        Posting(**{"key": "k", "data": {}} | changes)


# With the real one.


@pytest.fixture
def sdk() -> None:
    needs_sdk()


@pytest.fixture
def board(sdk, servers: Servers):
    with enter(servers.access()) as entered:
        yield entered


def title(request) -> str:
    return f"{request.node.name}"[:40]


@pytest.fixture
def project(board, request) -> Project:
    return board.project(title(request), CONFIG, overlap=2, instructions="<p>Look</p>")


def annotate(board: LabelStudio, task: int, **more) -> int:
    result = [region(3)]
    return board._wire.client.annotations.create(id=task, result=result, lead_time=4.5, **more).id


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.slow
def test_a_project_is_made_once_and_found_again(board, project, request):
    name = title(request)
    assert board.project(name, CONFIG, overlap=2) == project == board.find(name, f"\n{CONFIG}  ", overlap=2)
    made = board._wire.client.projects.get(project.id)
    assert (made.maximum_annotations, made.expert_instruction, made.show_instruction) == (2, "<p>Look</p>", True)
    with pytest.raises(AlteredError, match="found 2 annotations a task, expected 1"):
        board.find(name, CONFIG)
    board._wire.client.projects.update(project.id, label_config=CONFIG.replace("shut", "close"))
    with pytest.raises(AlteredError, match="somebody changed its labelling configuration"):
        board.project(name, CONFIG, overlap=2)
    with pytest.raises(MissingError, match="no project 'test_a_project'"):
        board.find("test_a_project", CONFIG)
    board._wire.client.projects.create(title=name, label_config=CONFIG)
    with pytest.raises(RefusedError, match="found 2 projects"):
        board.find(name, CONFIG, overlap=2)
    with pytest.raises(RefusedError, match="refused with status 400"):
        board.project("another", "<View><Nonsense", overlap=2)


@pytest.mark.slow
def test_two_hundred_tasks_are_found_by_their_keys(board, project):
    rows = postings(200)
    board.send(project, rows)
    assert board.counts(project) == Counts(tasks=200, finished=0, annotations=0, skipped=0)
    found = board.keys(project, [*keys_of(rows), "none"])
    assert set(found) == set(keys_of(rows))
    assert len(set(found.values())) == 200
    task = board._wire.client.tasks.get(str(found["k000007"][0]))
    assert task.data == {"video": "/x.mp4", "fps": 25, "note": "ä", KEY_FIELD: "k000007"}
    assert task.predictions[0].result == [region(0), region(1)]
    assert board._wire.client.projects.get(project.id).model_version == "m1"
    board.send(project, rows[:1])
    again = board.keys(project, keys_of(rows))
    assert again.pop("k000000")[:-1] == found.pop("k000000")
    assert again == found


@pytest.mark.slow
def test_keys_of_any_characters_are_found(board, project):
    odd = ['quo"te', "a,b", "back\\slash", "ä ö", "100%&x=1#", *(f"{number}{'ö' * 200}" for number in range(60))]
    board.send(project, [Posting(key=key, data={"video": "/x", "fps": 25}) for key in odd])
    assert set(board.keys(project, [*odd, odd[0]])) == set(odd)


@pytest.mark.slow
def test_of_a_refused_request_nothing_is_written(board, project):
    broken = Posting(key="broken", data={"fps": 25})
    with pytest.raises(RefusedError, match='"video" key is expected'):
        board.send(project, [*postings(50), broken])
    assert board.counts(project).tasks == 0


@pytest.mark.slow
def test_what_changed_is_told_and_nothing_else(board, project):
    rows = postings(30)
    board.send(project, rows)
    number = board.keys(project, keys_of(rows))
    since = now()
    first = annotate(board, number["k000003"][0])
    annotate(board, number["k000029"][0], was_cancelled=True)
    told = {task.key: task for task in board.changed(project, since)}
    assert set(told) == {"k000003", "k000029"}
    (work,) = told["k000003"].annotations
    assert (work["id"], work["result"], work["lead_time"], work["was_cancelled"]) == (first, [region(3)], 4.5, False)
    assert board.people()[work["completed_by"]] == board.access.username
    assert board.counts(project) == Counts(tasks=30, finished=0, annotations=1, skipped=1)
    since = now()
    board._wire.client.annotations.delete(id=first)
    assert [(task.key, task.annotations) for task in board.changed(project, since)] == [("k000003", ())]
    assert len(list(board.changed(project))) == 30


@pytest.mark.slow
def test_a_mark_lies_before_all_that_is_still_to_come(board, project):
    assert board.mark(project) == studio.BEGINNING
    board.send(project, postings(3))
    mark = board.mark(project)
    newest = max(task.updated_at for task in board.changed(project))
    assert datetime.fromisoformat(newest) - datetime.fromisoformat(mark) == studio.MARGIN
    assert len(list(board.changed(project, mark))) == 3
    later = (datetime.fromisoformat(newest) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert list(board.changed(project, later)) == []


@pytest.mark.slow
def test_a_task_of_somebody_else_has_no_key(board, project):
    board._wire.client.projects.import_tasks(id=project.id, request=[{"data": {"video": "/y", "fps": 25}}])
    (task,) = board.changed(project)
    assert isinstance(task, Changed)
    assert (task.key, task.data["video"], task.annotations) == (None, "/y", ())


@pytest.mark.slow
def test_two_people_finish_a_task(board, project, servers):
    access = servers.access()
    board.send(project, postings(2))
    number = board.keys(project, ["k000000", "k000001"])
    people = [invite(access, f"finisher{each}@example.org", "a long password") for each in (1, 2)]
    for person in people:
        annotate(board, number["k000000"][0], completed_by=person)
    assert board.counts(project).finished == 1
    done = next(task for task in board.changed(project) if task.key == "k000000")
    assert sorted(work["completed_by"] for work in done.annotations) == sorted(people)


@pytest.mark.slow
def test_a_snapshot_is_the_servers_own_bytes(board, project, tmp_path):
    board.send(project, postings(5))
    annotate(board, board.keys(project, ["k000002"])["k000002"][0])
    path = tmp_path / "snapshot.json"
    md5 = board.snapshot(project, path)
    assert hashlib.md5(path.read_bytes()).hexdigest() == md5
    tasks = {task["data"][KEY_FIELD]: task for task in json.loads(path.read_text())}
    assert set(tasks) == {f"k{number:06d}" for number in range(5)}
    assert tasks["k000002"]["annotations"][0]["result"] == [region(3)]
    assert tasks["k000001"]["predictions"][0]["result"] == [region(0), region(1)]
    assert board.snapshot(project, path) != ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["snapshot.json"]


@pytest.mark.slow
def test_a_snapshot_that_came_broken_leaves_the_file_as_it_was(board, project, tmp_path, monkeypatch):
    board.send(project, postings(2))
    path = tmp_path / "snapshot.json"
    path.write_text("before")
    monkeypatch.setattr(LabelStudio, "_download", lambda self, project, number, path, timeout_s: path.write_text("[]"))
    with pytest.raises(AnnotateError, match="found MD5 d751713988987e9331980363e24189ce, expected the server's"):
        board.snapshot(project, path)
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["snapshot.json"]


@pytest.mark.slow
def test_a_snapshot_without_end_is_deleted_and_one_left_behind_too(sdk, servers, tmp_path):
    home = servers.home("snapshots")
    with enter(server.start(home)) as board:
        project = board.project("snapshots", CONFIG)
        board.send(project, postings(2))
        board.snapshot(project, tmp_path / "a.json")
        exports = board._wire.client.projects.exports
        (stuck,) = exports.list(project.id)
        # What a server leaves behind that is killed in the middle of one.
        unfinish(home, stuck.id)
        with pytest.raises(AnnotateError, match=r"its snapshot is in_progress after .* deleted: ask again"):
            board._finished(project, stuck.id, 0.3)
        assert exports.list(project.id) == []
        board.snapshot(project, tmp_path / "a.json")
        unfinish(home, exports.list(project.id)[0].id)
        board.snapshot(project, tmp_path / "b.json")
        assert [export.status for export in exports.list(project.id)] == ["completed"]
    server.stop(home)


def unfinish(home: Path, number: int) -> None:
    import sqlite3

    base = sqlite3.connect(home / "data" / "label_studio.sqlite3")
    with base:
        base.execute("update data_export_export set status = 'in_progress' where id = ?", (number,))
    base.close()


@pytest.mark.slow
def test_a_file_of_the_media_folder_is_shown_to_who_is_let_in(board, project):
    folder = board.access.media / "r1"
    folder.mkdir(exist_ok=True)
    (folder / "a b.mp4").write_bytes(b"moving pictures")
    with pytest.raises(AnnotateError, match="no such folder"):
        board.media(project, board.access.media / "r2")
    board.media(project, folder)
    board.media(project, folder)
    assert len(board._wire.client.import_storage.local.list(project=project.id)) == 1
    from annotate.access import Caller, bearer_of

    caller = Caller(board.access.url)
    url = board.media_url(folder / "a b.mp4")
    assert caller.get(url).status == 401
    assert caller.get(url, token=bearer_of(caller, board.access.token)).body == b"moving pictures"


@pytest.mark.slow
def test_a_folder_that_the_server_looks_for_elsewhere_is_told(board, project):
    """A part of the document root is given as all of it: the server takes the folder, and shows nothing of it."""
    root = board.access.media / "part"
    (root / "r1").mkdir(parents=True, exist_ok=True)
    (root / "r1" / "a.mp4").write_bytes(b"moving pictures")
    inside = LabelStudio(replace(board.access, media=root), board._wire)
    with pytest.raises(AnnotateError, match=r"r1/a\.mp4: found status 404, expected .*STREAMVL_STUDIO_MEDIA is to be"):
        inside.media(project, root / "r1")
    outside = LabelStudio(replace(board.access, media=root.parents[1]), board._wire)
    with pytest.raises(RefusedError, match="LOCAL_FILES_DOCUMENT_ROOT"):
        outside.media(project, root.parents[1] / "data")
    (board.access.media / "r1").mkdir(exist_ok=True)
    (board.access.media / "r1" / "a.mp4").write_bytes(b"other pictures")
    board.media(project, board.access.media / "r1")
    with pytest.raises(AnnotateError, match="found other bytes"):
        inside.media(project, root / "r1")


@pytest.mark.slow
def test_a_deleted_project_is_missing_whatever_is_asked(board, project, tmp_path, request):
    board._wire.client.projects.delete(project.id)
    asked = [
        lambda: board.keys(project, ["k"]),
        lambda: board.send(project, postings(1)),
        lambda: list(board.changed(project)),
        lambda: board.mark(project),
        lambda: board.counts(project),
        lambda: board.snapshot(project, tmp_path / "x.json"),
        lambda: board.find(title(request), CONFIG, overlap=2),
    ]
    for ask in asked:
        with pytest.raises(MissingError, match="somebody deleted it"):
            ask()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_who_enters_is_who_the_access_says(sdk, servers):
    access = servers.access()
    with pytest.raises(AnnotateError, match="opens nothing"):
        enter(Access(url=access.url, username="", token="f" * 40, version=""))
    other = Access(url=access.url, username="other@example.org", token=access.token, version="")
    with pytest.raises(AnnotateError, match=f"found the account {access.username}, expected other@example.org"):
        enter(other)
    nameless = Access(url=access.url, username="", token=access.token, version="")
    with enter(nameless) as board:
        assert (board.access.username, board.access.version) == (access.username, "1.23.2")


@pytest.mark.slow
def test_a_request_that_ran_out_of_time_was_carried_out_all_the_same(board, project, monkeypatch):
    monkeypatch.setattr(studio, "SEND_S", 0.2)
    rows = postings(400)
    with pytest.raises(UnknownError, match=r"no answer .ReadTimeout.; it may have been carried out"):
        board.send(project, rows)
    began = time.monotonic()
    while len(board.keys(project, keys_of(rows))) < 400:
        assert time.monotonic() - began < 60
        time.sleep(0.5)


@pytest.mark.slow
def test_a_server_killed_while_it_is_sent_to_loses_and_doubles_nothing(sdk, servers):
    home = servers.home("killed-while-sent-to")
    rows = postings(600, regions=8)
    with enter(server.start(home)) as board:
        project = board.project("killed", CONFIG)
        pid = server.status(home).pid
        assert pid is not None
        Timer(0.4, os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises(UnknownError, match="no answer"):
            board.send(project, rows)
    with enter(server.start(home)) as board:
        there = board.keys(project, keys_of(rows))
        missing = [row for row in rows if row.key not in there]
        if missing:
            board.send(project, missing)
        assert set(board.keys(project, keys_of(rows))) == set(keys_of(rows))
        assert board.counts(project).tasks == 600
    server.stop(home)
