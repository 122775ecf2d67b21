"""A real Label Studio, a real pusher and a real puller, killed at random moments: every item has one task, no more."""

import os
import random
import shutil
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager

import psutil
import pytest

from annotate import server
from annotate.access import read_access
from annotate.board import UnknownError
from annotate.closing import close, latest, read_closed
from annotate.errors import AnnotateError
from annotate.people import People
from annotate.pull import pull
from annotate.push import find_project, push
from annotate.standing import status
from annotate.studio import enter
from tests.annotate.rounds_of_items import CONFIG_OF_VIDEOS, posting, reading, some_round, tree
from tests.annotate.servers import needs_sdk

# A first start of the server and forty starts of a program, on a machine that may be busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ITEMS, KILLS, WORKED = 2000, 20, 60

PUSHER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from annotate.access import read_access
    from annotate.push import push
    from annotate.rounds import load
    from annotate.studio import enter
    from tests.annotate.rounds_of_items import CONFIG_OF_VIDEOS, posting
    with enter(read_access(Path(sys.argv[1]))) as board:
        print("begun", flush=True)
        push(load(Path(sys.argv[2]), sys.argv[3]), board, config=CONFIG_OF_VIDEOS, posting=posting)
""")
PULLER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from annotate.access import read_access
    from annotate.people import People
    from annotate.pull import pull
    from annotate.push import find_project
    from annotate.rounds import load
    from annotate.studio import enter
    from tests.annotate.rounds_of_items import CONFIG_OF_VIDEOS, reading
    round_ = load(Path(sys.argv[2]), sys.argv[3])
    with enter(read_access(Path(sys.argv[1]))) as board:
        project = find_project(round_, board, config=CONFIG_OF_VIDEOS)
        people = People(Path(sys.argv[2]) / "../people.json")
        print("begun", flush=True)
        pull(round_, board, project=project, reading=reading(), people=people, everything=True)
""")


@pytest.fixture(scope="module")
def home(servers):
    needs_sdk()
    home = servers.home("killed")
    server.start(home)
    return home


@pytest.fixture(scope="module")
def round_(home, tmp_path_factory):
    # Its own name: a server that is used again may hold the project of another run.
    name = f"r{os.getpid()}-{time.time_ns() % 10**9}"
    return some_round(tmp_path_factory.mktemp("killed") / "rounds", ITEMS, name=name, config=CONFIG_OF_VIDEOS)


@contextmanager
def running(script, home, root, name):
    """A process of its own; whatever is left of it at the end is killed."""
    path = os.pathsep.join(path for path in sys.path if path)
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(home), str(root), name],
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        # The library takes seconds to load; it is the work that is to be killed.
        assert child.stdout.readline() == b"begun\n"
        yield child
    finally:
        child.kill()
        child.communicate()


def ended_within(child, seconds):
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def kill_the_server(home):
    process = psutil.Process(server.status(home).pid)
    process.kill()
    process.wait(20)


def all_tasks(board, project):
    return list(board.changed(project))


def work(board, project, tasks, rng):
    """Somebody works, through the server's own interface."""
    for task in tasks:
        client = board._wire.client
        client.annotations.create(id=task.task_id, result=[] if rng.random() < 0.2 else [region(task.task_id)])


def region(number):
    value = {"ranges": [{"start": 1 + number % 9, "end": 20}], "timelinelabels": ["jump"]}
    return {"id": f"n{number}", "from_name": "events", "to_name": "video", "type": "timelinelabels", "value": value}


def test_every_item_has_one_task(home, round_):
    rng, root, kills, servers_killed = random.Random(7), round_.folder.parent, 0, 0
    while kills < KILLS:
        with running(PUSHER, home, root, round_.folder.name) as pusher:
            if ended_within(pusher, rng.uniform(0.1, 3.0)):
                # All is there before all kills are made: take some away, so that there is something to send.
                with enter(read_access(home)) as board:
                    project = find_project(round_, board, config=CONFIG_OF_VIDEOS)
                    for task in rng.sample(all_tasks(board, project), 300):
                        board._wire.client.tasks.delete(id=str(task.task_id))
                continue
            if rng.random() < 0.3:
                kill_the_server(home)
                servers_killed += 1
                # The pusher may notice or not, and may die beside it.
                if rng.random() < 0.5:
                    pusher.kill()
                server.start(home)
                # A pusher that lives waits for the server, and goes on.
                ended_within(pusher, rng.uniform(0.5, 6.0))
            else:
                pusher.kill()
            kills += 1
    with enter(read_access(home)) as board:
        done = push(round_, board, config=CONFIG_OF_VIDEOS, posting=posting)
        assert done.duplicates == {}
        time.sleep(2)
        keys = [task.key for task in all_tasks(board, done.project)]
        assert len(keys) == ITEMS
        assert sorted(keys) == sorted(item.key for item in round_.items)
        began = time.monotonic()
        assert push(round_, board, config=CONFIG_OF_VIDEOS, posting=posting).sent == 0
        print(
            f"{kills} kills, {servers_killed} of the server; a second push of {ITEMS}: {time.monotonic() - began:.1f} s"
        )
    assert servers_killed > 0


def test_a_puller_that_was_killed_ends_in_the_same_bytes(home, round_, tmp_path):
    rng, root = random.Random(8), round_.folder.parent
    with enter(read_access(home)) as board:
        project = find_project(round_, board, config=CONFIG_OF_VIDEOS)
        work(board, project, rng.sample(all_tasks(board, project), WORKED), rng)
        whole = tmp_path / "rounds"
        shutil.copytree(root, whole)
    for attempt in range(5):
        with running(PULLER, home, root, round_.folder.name) as puller:
            ended_within(puller, rng.uniform(0.1, 4.0))
            if attempt == 2:
                kill_the_server(home)
                assert ended_within(puller, 60)
                server.start(home)
    with running(PULLER, home, root, round_.folder.name) as puller:
        assert ended_within(puller, 120)
        assert puller.returncode == 0
    with running(PULLER, home, whole, round_.folder.name) as puller:
        assert ended_within(puller, 120)
        assert puller.returncode == 0
    assert tree(root) == tree(whole)
    assert len(latest(round_)) == WORKED
    assert status(round_).pushed == ITEMS


def known(round_, board):
    return {
        "project": find_project(round_, board, config=CONFIG_OF_VIDEOS),
        "reading": reading(),
        "people": People(round_.folder.parent / "../people.json"),
    }


def test_a_small_change_is_a_small_pull(home, round_):
    with enter(read_access(home)) as board:
        words = known(round_, board)
        time.sleep(12)  # what was done before lies behind the server's mark
        work(board, words["project"], [all_tasks(board, words["project"])[5]], random.Random(1))
        pull(round_, board, **words)
        time.sleep(12)
        work(board, words["project"], [all_tasks(board, words["project"])[9]], random.Random(1))
        done = pull(round_, board, **words)
        assert done.new == 1
        assert done.tasks < 10


def test_what_a_stranger_does_is_flagged_and_a_deleted_annotation_is_a_row(home, round_):
    with enter(read_access(home)) as board:
        words, client = known(round_, board), board._wire.client
        client.projects.import_tasks(id=words["project"].id, request=[{"data": {"video": "/x.mp4", "fps": 25}}])
        (foreign,) = [task for task in all_tasks(board, words["project"]) if task.key is None]
        work(board, words["project"], [foreign], random.Random(1))
        (key, number), *_ = latest(round_)
        client.annotations.delete(id=number)
        done = pull(round_, board, **words)
        assert (done.new, done.deleted, done.flagged) == (1, 1, 1)
        assert (key, number) not in latest(round_)
        client.tasks.delete(id=str(foreign.task_id))


def test_the_round_is_closed_with_the_servers_own_checksum(home, round_):
    with enter(read_access(home)) as board:
        words = known(round_, board)
        closed = close(round_, board, **words)
        assert closed.tasks == ITEMS
        assert closed.differences == ()
        assert closed.annotations == len(latest(round_))
        assert read_closed(round_) == closed
        work(board, words["project"], [all_tasks(board, words["project"])[3]], random.Random(1))
        with pytest.raises(AnnotateError, match="the round is closed"):
            pull(round_, board, **words)


def test_a_server_that_is_gone_is_told(home, round_):
    access = read_access(home)
    with enter(access) as board:
        words = known(round_, board)
        server.stop(home)
        with pytest.raises(UnknownError, match="no answer"):
            pull(round_, board, **words)
        server.start(home)
