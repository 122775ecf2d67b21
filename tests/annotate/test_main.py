"""The command line as a user meets it: a round from push to merge, and one clear sentence for whatever is wrong."""

import errno
import logging
import shutil
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from annotate import __main__ as command
from annotate import server
from annotate.access import write_access
from annotate.errors import AnnotateError
from annotate.merged import merged_page
from annotate.plan import Gold
from annotate.rounds import load
from annotate.standing import finished
from annotate.tasks import Work
from datasets_build.core.layout import table_path
from datasets_build.core.records import Event
from datasets_build.core.table import read_table, write_table
from tests.annotate.desks import Desk, worked
from tests.annotate.planned import planned
from tests.annotate.rounds_of_items import tree

SHORT = ("least_ns=500000000", "most_ns=1000000000")
VERBS = get_command(command.app).commands


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Nobody's own server, and nothing of this machine's."""
    for name in (
        "STREAMVL_STUDIO_URL",
        "STREAMVL_STUDIO_TOKEN",
        "STREAMVL_STUDIO_MEDIA",
        "STREAMVL_ANNOTATOR_PASSWORD",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STREAMVL_STUDIO", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def annotate(home, monkeypatch, capfd):
    """Runs the command line in this process; the exit code and what it says."""
    logs = [logging.getLogger(name) for name in ("annotate", "datasets_build")]

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["annotate", *map(str, words)])
        before = [(log.handlers[:], log.level, log.propagate) for log in logs]
        try:
            code = command.main()
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            for log, (handlers, level, propagate) in zip(logs, before, strict=True):
                log.handlers[:], log.level, log.propagate = handlers, level, propagate
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A server in memory that every verb enters."""
    found = Desk(media=tmp_path / "media")
    monkeypatch.setattr(command, "_access", lambda: found.access)
    monkeypatch.setattr(command, "enter", lambda access: found)
    return found


@pytest.fixture
def folder(clips, tmp_path):
    """A copy of the small folder, which stays as it is."""
    data = shutil.copytree(clips, tmp_path / "data")
    before = tree(data)
    yield data
    assert tree(data) == before


def refused(done):
    """One sentence on stderr, exit code 1."""
    code, out, err = done
    assert (code, out) == (1, "")
    errors = [line for line in err.splitlines() if not line.startswith("INFO ")]
    assert len(errors) == 1, err
    assert errors[0].startswith("error: ")
    return errors[0]


def misused(done):
    """Exit code 2 and what is wrong, with no traceback."""
    code, out, err = done
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    return " ".join(err.replace("│", " ").split())


# Help


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_says_what_it_does_and_what_each_option_is_for(annotate, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = annotate(verb, "--help")
    assert (code, err) == (0, "")
    assert VERBS[verb].help.split("\n")[0] in " ".join(out.split())
    for parameter in VERBS[verb].params:
        assert parameter.help, f"{verb} {parameter.name}"
        assert max(parameter.opts, key=len).lstrip("-") in out.lower() or parameter.metavar in out


def test_without_a_verb_the_page_of_verbs_is_shown_and_an_unknown_one_is_named(annotate):
    code, out, err = annotate()
    assert code in (0, 2)
    assert all(verb in out + err for verb in VERBS)
    assert "No such command 'pusch'" in misused(annotate("pusch"))


# A round from one end to the other


def pushed(annotate, folder, tmp_path, *words, kind="events", name="r1"):
    rounds = ("--rounds", tmp_path / "rounds")
    return annotate("push", name, "--data", folder, "--kind", kind, *rounds, *SHORT, *words)


def test_a_round_goes_out_comes_back_is_judged_and_merged(annotate, board, folder, tmp_path, monkeypatch):
    rounds = ("--rounds", tmp_path / "rounds")
    code, out, _ = pushed(annotate, folder, tmp_path, "overlap=2")
    assert (code, out) == (0, "round r1: 7 items, 7 sent\nhttp://127.0.0.1:9/projects/1/data\n")
    assert pushed(annotate, folder, tmp_path, "overlap=2")[1].startswith("round r1: 7 items, 0 sent\n")
    assert [path.name for _, path in board.shown] == [load(tmp_path / "rounds", "r1").title.replace(" ", "-")] * 2
    assert "pushed: 7, open: 7, annotated: none" in annotate("status", "r1", *rounds)[1]

    first = load(tmp_path / "rounds", "r1")
    worked(first, board, 7)
    worked(first, board, 8, lambda item: Work(kind="events", marks=item.sheet.marks[1:]))
    assert annotate("pull", "r1", *rounds)[:2] == (0, "new: 14, changed: 0, deleted: 0, flagged: 0\n")
    assert annotate("pull", "r1", *rounds)[1] == "new: 0, changed: 0, deleted: 0, flagged: 0\n"
    assert annotate("pull", "r1", "--everything", *rounds)[1] == "new: 0, changed: 0, deleted: 0, flagged: 0\n"
    assert "open: 0, annotated: 7 by 2" in annotate("status", "r1", *rounds)[1]
    assert "open to pulls" in annotate("status", "r1", *rounds)[1]

    assert "is not closed yet" in refused(annotate("adjudicate", "r1", "r2", *rounds))
    assert "is not closed yet" in refused(annotate("merge", "r1", *rounds))
    assert annotate("close", "r1", *rounds)[1].startswith("closed: 7 tasks, 14 annotations, sha256 ")
    assert annotate("status", "r1", *rounds)[1].endswith("closed\n")

    # The server in memory has its tasks in no project, and a sheet that is asked again unchanged has its key.
    board.tasks.clear()
    code, out, _ = annotate("adjudicate", "r1", "r2", *rounds)
    second = load(tmp_path / "rounds", "r2")
    assert (code, out.splitlines()[0]) == (0, f"round r2: {len(second.items)} items, {len(second.items)} sent")
    worked(second, board, 9)
    assert annotate("close", "r2", *rounds)[0] == 0
    assert len(finished(second, command.reading_of(second))) == len(second.items)

    built = []
    monkeypatch.setattr(command, "rebuild", built.append)
    code, out, err = annotate("merge", "r1", "--second", "r2", *rounds)
    assert (code, built) == (0, [tmp_path / "data-r1"]), err
    assert out.startswith(f"{tmp_path / 'data-r1'}: 7 items merged, 0 disputed, 0 unusable\n")
    assert len(merged_page(tmp_path / "data-r1").merged) == 7
    code, out, _ = annotate("merge", "r1", "--to", tmp_path / "alone", *rounds)
    assert f"{7 - len(second.items)} items merged, {len(second.items)} disputed" in out

    code, out, err = annotate("report", "r1", *rounds)
    assert (code, out) == (0, f"{first.folder / 'report.html'}\n"), err

    order = ("order.uncertain=0", "order.diverse=0", "order.disputed=1", f"sample={len(second.items)}")
    assert pushed(annotate, folder, tmp_path, "--after", "r1", *order, name="r3")[0] == 0
    third = load(tmp_path / "rounds", "r3")
    assert {item.window.start_ns for item in third.items} == {item.window.start_ns for item in second.items}
    assert [item.window for item in third.items] != [item.window for item in first.items][: len(third.items)]


def test_gold_goes_with_a_round_and_is_in_no_task(annotate, board, folder, tmp_path):
    item = planned(tmp_path / "drafts", folder).items[2]
    window = item.window
    truth = Gold(
        video_id=window.video_id,
        start_ns=window.start_ns,
        end_ns=window.end_ns,
        work=Work(kind="events", marks=item.sheet.marks),
    )
    (tmp_path / "gold.jsonl").write_text(truth.model_dump_json() + "\n")
    assert pushed(annotate, folder, tmp_path, "--gold", tmp_path / "gold.jsonl")[0] == 0
    assert load(tmp_path / "rounds", "r1").manifest.gold == 1
    assert "gold" not in str([task.data for task in board.tasks.values()])


def test_a_push_tells_what_goes_on_no_screen_and_an_other_one_of_the_same_name_what_is_other(
    annotate, board, folder, tmp_path
):
    code, _, err = pushed(annotate, folder, tmp_path, kind="qa")
    rejects = tmp_path / "rounds" / "r1" / "rejects.jsonl"
    (told,) = [line for line in err.splitlines() if "go on no screen" in line]
    counts = ", ".join(f"{one.records} {one.code}" for one in load(tmp_path / "rounds", "r1").manifest.left_out)
    assert code == 0
    assert counts
    assert told.endswith(f"round r1: of kind qa go on no screen: {counts}; see {rejects}")
    assert rejects.read_text().count("\n") == sum(
        one.records for one in load(tmp_path / "rounds", "r1").manifest.left_out
    )
    assert "(proxy.crf: 23 → 30), each what it has → what was asked for" in refused(
        pushed(annotate, folder, tmp_path, "proxy.crf=30", kind="qa")
    )


def test_rounds_lie_in_a_folder_of_their_own_where_none_is_named(annotate, tmp_path, folder, monkeypatch):
    planned(tmp_path / "out" / "rounds", folder, sample=1)
    monkeypatch.chdir(tmp_path)
    assert "items: 1, pushed: 0" in annotate("status", "r1")[1]
    assert "is empty, expected a path" in misused(annotate("status", "r1", "--rounds", " "))


# Bad input


@pytest.mark.parametrize("verb", ["status", "pull", "close", "merge", "report"])
@pytest.mark.parametrize(
    ("name", "words"), [("r9", "r9: no round of this name; make it with annotate-push"), ("../r", "not a name")]
)
def test_a_round_that_is_not_there_is_one_sentence(annotate, board, tmp_path, verb, name, words):
    assert words in refused(annotate(verb, name, "--rounds", tmp_path))
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sample=0"], "sample"), (["overlap=0"], "overlap"), (["speed=3"], "speed"), (["sample"], "sample"),
        (["=3"], "=3"), (["sample=many"], "sample"), (["order.disputed=-1"], "order.disputed"),
        (["most_ns=600000000"], "twice that or more"), (["proxy.crf=99"], "proxy.crf"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"), (["--gold", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--after", "r0"], "--after: counts only under an order"),
        (["--after", "r0", "order.disputed=1"], "r0: no round of this name"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named_and_nothing_is_written(annotate, board, folder, tmp_path, words, told):
    assert told in refused(pushed(annotate, folder, tmp_path, *words))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    assert not board.tasks


def test_another_setting_of_a_round_that_is_there_is_refused_by_name(annotate, board, folder, tmp_path):
    pushed(annotate, folder, tmp_path, "sample=2")
    before, tasks = tree(tmp_path / "rounds"), len(board.tasks)
    assert "overlap: 1 → 2" in refused(pushed(annotate, folder, tmp_path, "sample=2", "overlap=2"))
    assert (tree(tmp_path / "rounds"), len(board.tasks)) == (before, tasks)


def test_a_folder_that_is_none_or_augmented_is_one_sentence(annotate, board, tmp_path):
    assert "holds no finished index" in refused(pushed(annotate, tmp_path / "nowhere", tmp_path))
    for stage in ("index", "events", "augment"):
        (tmp_path / "data" / stage).mkdir(parents=True)
        (tmp_path / "data" / stage / "manifest.json").write_text("{}")
    assert "is augmented" in refused(pushed(annotate, tmp_path / "data", tmp_path))
    assert "is empty, expected a path" in misused(pushed(annotate, "", tmp_path))


@pytest.mark.parametrize("line", ["{", '{"video_id": "v"}', "\x00"])
def test_a_broken_line_of_gold_is_one_sentence_with_its_number(annotate, board, folder, tmp_path, line):
    (tmp_path / "gold.jsonl").write_text(line + "\n")
    assert "gold.jsonl:1: " in refused(pushed(annotate, folder, tmp_path, "--gold", tmp_path / "gold.jsonl"))
    assert not (tmp_path / "rounds").exists()


def test_what_the_command_line_itself_refuses_ends_with_2(annotate, folder, tmp_path):
    assert "'boxes' is not one of 'events', 'qa', 'dialogue'" in misused(
        pushed(annotate, folder, tmp_path, kind="boxes")
    )
    assert "Missing option '--data'" in misused(annotate("push", "r1", "--kind", "qa"))
    assert "Missing argument 'ROUND'" in misused(annotate("pull"))
    assert "No such option: --all" in misused(annotate("pull", "r1", "--all"))
    for port in ("0", "-1", "65536", "80a"):
        assert "'--port'" in misused(annotate("serve", f"--port={port}"))


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device", "items.jsonl")


@pytest.mark.parametrize("where", ["plan", "show_clips", "push", "posting_of"])
def test_a_full_disk_is_one_sentence_and_a_repetition_goes_on(annotate, board, folder, tmp_path, monkeypatch, where):
    with monkeypatch.context() as patched:
        patched.setattr(command, where, full)
        assert "No space left on device" in refused(pushed(annotate, folder, tmp_path, "sample=1"))
    assert "1 items, 1 sent" in pushed(annotate, folder, tmp_path, "sample=1")[1]


def test_data_that_went_away_is_one_sentence(annotate, board, clips, tmp_path):
    data = shutil.copytree(clips, tmp_path / "data")
    pushed(annotate, data, tmp_path, "sample=1")
    data.rename(tmp_path / "elsewhere")
    assert "data: holds no finished index" in refused(annotate("pull", "r1", "--rounds", tmp_path / "rounds"))


def test_data_that_was_changed_since_the_push_is_refused_and_nothing_is_written(annotate, board, folder, tmp_path):
    rounds = ("--rounds", tmp_path / "rounds")
    assert pushed(annotate, folder, tmp_path)[0] == 0
    round_ = load(tmp_path / "rounds", "r1")
    worked(round_, board, 7)
    assert annotate("close", "r1", *rounds)[0] == 0
    path = table_path(folder, Event)
    seen = {mark.id for item in round_.items for mark in item.sheet.marks}
    rows = list(read_table(path, Event))
    lost = next(row.id for row in rows if row.id in seen)
    write_table(path, Event, [row for row in rows if row.id != lost])
    told = refused(annotate("merge", "r1", *rounds))
    assert (
        f"was changed since the round was made: 1 of the records that people saw are gone or others, such as {lost}"
        in told
    )
    write_table(path, Event, rows)
    assert not [name for name in (one.name for one in tmp_path.iterdir()) if name.startswith((".data-r1", "data-r1"))]


def test_a_project_that_is_not_there_any_more_is_one_sentence(annotate, board, folder, tmp_path):
    planned(tmp_path / "rounds", folder, sample=1)
    assert "it was not pushed yet" in refused(annotate("pull", "r1", "--rounds", tmp_path / "rounds"))
    pushed(annotate, folder, tmp_path, "sample=1")
    board.projects.clear()
    for verb in ("pull", "close"):
        assert "is gone from the server" in refused(annotate(verb, "r1", "--rounds", tmp_path / "rounds"))
    assert "is gone from the server" in refused(pushed(annotate, folder, tmp_path, "sample=1"))


def test_work_on_a_task_that_shows_something_else_by_now_is_flagged(annotate, board, folder, tmp_path):
    rounds = ("--rounds", tmp_path / "rounds")
    pushed(annotate, folder, tmp_path, "sample=2")
    round_ = load(tmp_path / "rounds", "r1")
    worked(round_, board, 7)
    assert annotate("pull", "r1", *rounds)[1] == "new: 2, changed: 0, deleted: 0, flagged: 0\n"
    task = board.tasks[board.of_key(round_.items[0].key)[0]]
    before = task.data
    task.data, task.updated_at = {**before, "video": "/clips/other.mp4"}, board.now
    assert annotate("pull", "r1", *rounds)[1] == "new: 0, changed: 0, deleted: 0, flagged: 1\n"
    assert "other_data" in (round_.folder / "journal.jsonl").read_text()
    assert "annotated: 1 by 1" in annotate("status", "r1", *rounds)[1]
    task.data, task.updated_at = before, board.now
    annotate("pull", "r1", *rounds)
    assert "annotated: 2 by 1" in annotate("status", "r1", *rounds)[1]


def test_where_the_server_does_not_show_the_clips_no_task_is_sent(annotate, board, folder, tmp_path, monkeypatch):
    def hidden(project, clips):
        raise AnnotateError("found status 404")

    with monkeypatch.context() as patched:
        patched.setattr(board, "media", hidden)
        assert "found status 404" in refused(pushed(annotate, folder, tmp_path, "sample=1"))
    assert (board.sends, board.tasks) == (0, {})
    assert "1 items, 1 sent" in pushed(annotate, folder, tmp_path, "sample=1")[1]
    with monkeypatch.context() as patched:
        patched.setattr(board, "media", hidden)
        assert "found status 404" in refused(pushed(annotate, folder, tmp_path, "sample=1"))


def test_the_screen_of_a_round_is_printed_as_it_was_made(annotate, board, folder, tmp_path):
    pushed(annotate, folder, tmp_path, "sample=1")
    code, out, err = annotate("screen", "r1", "--rounds", tmp_path / "rounds")
    assert (code, err) == (0, "")
    assert [config for _, config in board.projects.values()] == [out.removesuffix("\n")]


def test_a_folder_that_cannot_be_copied_is_one_sentence(annotate, monkeypatch):
    def fail(home):
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'"), ("c", "d", "the same")])

    monkeypatch.setattr(server, "stop", fail)
    assert refused(annotate("stop")) == "error: [Errno 28] No space left on device: 'b'"


def test_pseudonyms_that_are_gone_are_not_given_anew(annotate, board, home, folder, tmp_path):
    rounds = ("--rounds", tmp_path / "rounds")
    pushed(annotate, folder, tmp_path, "sample=2")
    assert annotate("pull", "r1", *rounds)[0] == 0  # nobody was there: nobody has a pseudonym
    assert annotate("pull", "r1", *rounds)[0] == 0
    round_ = load(tmp_path / "rounds", "r1")
    worked(round_, board, 7)
    annotate("pull", "r1", *rounds)
    people = home / "people" / "127.0.0.1-9.json"
    people.rename(home / "elsewhere.json")
    before = tree(round_.folder)
    for verb in ("pull", "close"):
        told = refused(annotate(verb, "r1", *rounds))
        assert f"{people}: no such file, expected the pseudonyms of round r1" in told
    assert tree(round_.folder) == before
    (home / "elsewhere.json").rename(people)
    assert annotate("close", "r1", *rounds)[0] == 0


# The server


@pytest.mark.parametrize("verb", [("pull", "r1"), ("close", "r1")])
def test_without_a_server_there_is_one_sentence(annotate, home, folder, tmp_path, verb):
    planned(tmp_path / "rounds", folder, sample=1)
    told = refused(annotate(*verb, "--rounds", tmp_path / "rounds"))
    assert f"{home}: no Label Studio is running; start it with make label-studio" in told
    assert "no Label Studio is running" in refused(pushed(annotate, folder, tmp_path))


def test_an_address_without_a_token_or_without_a_server_is_one_sentence(annotate, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMVL_STUDIO_URL", f"http://127.0.0.1:{server.free_port()}")
    assert "STREAMVL_STUDIO_TOKEN: not set" in refused(pushed(annotate, folder, tmp_path))
    monkeypatch.setenv("STREAMVL_STUDIO_TOKEN", "secret")
    told = refused(pushed(annotate, folder, tmp_path))
    assert "no Label Studio answers there" in told
    assert "secret" not in told
    assert not (tmp_path / "rounds").exists()


def test_a_server_whose_media_nobody_knows_gets_nothing(annotate, board, folder, tmp_path, monkeypatch):
    bare = Desk()
    monkeypatch.setattr(command, "_access", lambda: bare.access)
    assert "STREAMVL_STUDIO_MEDIA: not set" in refused(pushed(annotate, folder, tmp_path, "sample=1"))
    for verb in ("pull", "close"):
        monkeypatch.setattr(command, "enter", lambda access: bare)
        monkeypatch.setattr(command, "find_project", lambda *_, **__: None)
        assert "STREAMVL_STUDIO_MEDIA: not set" in refused(annotate(verb, "r1", "--rounds", tmp_path / "rounds"))
    assert not board.tasks


def test_the_media_folder_is_a_whole_path(monkeypatch, home, tmp_path):
    seen = {}
    monkeypatch.setattr(command, "connect", lambda url, token, *, media: seen.update(media=media))
    monkeypatch.setenv("STREAMVL_STUDIO_URL", "http://there")
    monkeypatch.setenv("STREAMVL_STUDIO_TOKEN", "t")
    monkeypatch.chdir(tmp_path)
    for text, media in (("clips", tmp_path / "clips"), ("~/clips", Path.home() / "clips"), ("", None)):
        monkeypatch.setenv("STREAMVL_STUDIO_MEDIA", text)
        command._access()
        assert seen["media"] == media


def test_ones_own_server_is_entered_where_it_listens_now(monkeypatch, home):
    write_access(home, Desk().access)
    found = server.Status(home=home, is_installed=True, pid=1, url="http://127.0.0.1:7777", version="1.23.2")
    monkeypatch.setattr(server, "status", lambda home: found)
    access = command._access()
    assert (access.url, access.token) == ("http://127.0.0.1:7777", "t")


def test_each_server_has_its_own_file_of_people(monkeypatch, home):
    def file_of(url, own=None):
        found = server.Status(home=home, is_installed=True, pid=1, url=own, version=None)
        monkeypatch.setattr(server, "status", lambda home: found)
        return command._people(command.replace(Desk().access, url=url)).path

    urls = ["http://a:1", "http://a:2", "http://b:1", "http://a:1/x", "http://[::1]:8080", "http://[::2]:8080"]
    assert len({file_of(url) for url in urls}) == len(urls)
    assert {file_of(url).parent for url in urls} == {home / "people"}
    assert file_of("http://localhost:1") == file_of("http://127.0.0.1:1")
    assert file_of("http://localhost:1", "http://127.0.0.1:1") == file_of("http://a:1", "http://a:1")
    # One's own moves to another port and has the same people.
    assert file_of("http://a:1", "http://a:1") == file_of("http://a:2", "http://a:2")


def test_what_is_said_of_ones_own_server(annotate, home, monkeypatch):
    assert "not installed in" in annotate("server")[1]
    assert annotate("stop")[:2] == (0, "none was running\n")
    for url, told in ((None, "not running; make label-studio starts it"), ("http://x:1", "running at http://x:1")):
        found = server.Status(home=home, is_installed=True, pid=3, url=url, version=None)
        monkeypatch.setattr(server, "status", lambda home, found=found: found)
        assert told in annotate("server")[1]


def test_serve_says_the_address_and_no_secret(annotate, home, monkeypatch):
    access = command.replace(Desk().access, password="hidden-word", token="hidden-token")
    monkeypatch.setattr(server, "install", lambda home, *, tell: tell("installing"))
    monkeypatch.setattr(server, "start", lambda home, port, *, tell: access)
    code, out, err = annotate("serve", "--port", "8123")
    assert code == 0
    assert "Label Studio 1.23.2 at http://127.0.0.1:9, account me@here" in out
    assert "hidden" not in out + err


def test_a_person_is_invited_with_a_password_that_is_on_no_command_line(annotate, board, monkeypatch):
    seen = []
    monkeypatch.setattr(command, "invite", lambda access, email, password: seen.append((email, password)) or 4)
    assert "STREAMVL_ANNOTATOR_PASSWORD: found fewer than 8 characters" in refused(annotate("invite", "a@b"))
    monkeypatch.setenv("STREAMVL_ANNOTATOR_PASSWORD", "long enough")
    assert annotate("invite", "a@b") == (0, "account 4: a@b\n", "")
    assert seen == [("a@b", "long enough")]


def test_any_error_of_ours_is_one_sentence(annotate, monkeypatch):
    def fail(home):
        raise AnnotateError("no such thing")

    monkeypatch.setattr(server, "stop", fail)
    assert refused(annotate("stop")) == "error: no such thing"
