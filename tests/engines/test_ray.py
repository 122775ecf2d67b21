"""The cluster is real. `STREAMVL_TEST_RAY` names a folder for an environment with Ray, where this one has none."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from datasets_build.core.files import DataError
from datasets_build.engines.local import Local
from datasets_build.engines.ray import ATTEMPTS
from datasets_build.run import open_engine
from datasets_build.sources.world import WorldConfig, draw_world
from tests.engines.calls import fates
from tests.engines.cluster import Cluster, interpreter, waited
from tests.pipeline import command, tree_bytes

ENVIRONMENT = os.environ.get("STREAMVL_TEST_RAY")
QUICK = "index.check_decoders=[]"
slow = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        ENVIRONMENT is None and find_spec("ray") is None, reason="STREAMVL_TEST_RAY names no folder for an environment"
    ),
]


def marked(test):
    for mark in slow:
        test = mark(test)
    return test


def test_without_the_package_one_sentence_says_so(tmp_path, monkeypatch):
    planted = tmp_path / "path" / "ray"
    planted.mkdir(parents=True)
    (planted / "__init__.py").write_text("raise ImportError('planted')")
    monkeypatch.syspath_prepend(planted.parent)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    said = r"^--engine ray: cannot join a cluster at auto \(ImportError: planted\); it needs the extra `ray`"
    with pytest.raises(DataError, match=said), open_engine("ray", tmp_path):
        pytest.fail("it was opened")
    assert os.listdir(tmp_path) == ["path"]


@pytest.mark.parametrize("address", ["local", "ray://127.0.0.1:10001"])
def test_an_address_of_another_kind_is_refused(tmp_path, monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    said = f"^RAY_ADDRESS={address}: expected HOST:PORT of a running cluster"
    with pytest.raises(DataError, match=said), open_engine("ray", tmp_path):
        pytest.fail("it was opened")
    assert os.listdir(tmp_path) == []


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one processor each."""
    found = Cluster(interpreter(ENVIRONMENT))
    try:
        found.add("one")
        found.add("two")
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    draw_world(folder, WorldConfig(videos=6, seconds=10, width=320, height=240))
    (folder / "torn.mp4").write_bytes(b"not a video")
    return folder


def typed(verb, out, videos, engine, python=sys.executable):
    extra = ["--engine", engine, *([QUICK] if verb == "index" else [])]
    return [python, *command(verb, out, videos, *extra)[1:]]


@pytest.fixture(scope="module")
def expected(videos, tmp_path_factory):
    """What the local engine makes: after index, and after perceive."""
    out = tmp_path_factory.mktemp("local") / "out"
    found = []
    for verb in ("index", "perceive"):
        subprocess.run(typed(verb, out, videos, "local"), check=True, capture_output=True)
        found.append(tree_bytes(out))
    return found


def run(cluster, verb, out, videos, meanwhile=lambda: None):
    """A stage on the cluster, with something that happens meanwhile; what it said."""
    words = typed(verb, out, videos, "ray", cluster.python)
    stage = subprocess.Popen(words, env=cluster.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        meanwhile()
        said, _ = stage.communicate(timeout=600)
    finally:
        stage.kill()
    assert stage.returncode == 0, said
    return said


def program(cluster, folder, cases, *more):
    """A command that runs cases of `calls`, whose functions a worker finds by name: so it is no script itself."""
    code = "import sys; from tests.engines.calls import main; main(*sys.argv[1:])"
    return [cluster.python, "-c", code, "ray", str(folder), cases, *more]


def tried(cluster, folder, cases, *more):
    """What came of each case, and what was said."""
    done = subprocess.run(
        program(cluster, folder, cases, *more),
        env=cluster.environ, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Ray tells of processes that died beside it.
    (found,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return found, done.stderr


@marked
def test_a_cluster_gives_the_bytes_of_one_machine(cluster, videos, expected, tmp_path):
    out = tmp_path / "out"
    for verb, whole in zip(("index", "perceive"), expected, strict=True):
        assert "called again" not in run(cluster, verb, out, videos)
        assert tree_bytes(out) == whole
    assert sorted(path.name for path in out.iterdir()) == ["index", "perceive", "rejects.jsonl"]


@marked
def test_calls_end_as_on_one_machine(cluster, tmp_path):
    found, _ = tried(cluster, tmp_path, "fates,nothing,longer,disk,early")
    assert found[:4] == [fates(Local(2)), [], [1.0], "No space left on device"]
    first, rest = found[4]
    assert (first, sorted(rest)) == (2, [6, 8])


@marked
@pytest.mark.parametrize(("workers", "most"), [([], 4), (["1"], 1)])
def test_no_more_are_on_their_way_than_the_cluster_can_run(cluster, tmp_path, workers, most):
    assert tried(cluster, tmp_path, "many", *workers)[0] == [[most, [2 * item for item in range(60)]]]


@marked
def test_a_killed_worker_costs_nothing(cluster, videos, expected, tmp_path):
    out = tmp_path / "out"

    def kill_one():
        waited(lambda: cluster.titled("ray::examine"))[0].kill()

    assert "examine, item" in run(cluster, "index", out, videos, kill_one)
    assert tree_bytes(out) == expected[0]

    def kill_three():
        for _ in range(3):
            waited(lambda: cluster.titled("ray::perceive_one"))[0].kill()
            time.sleep(1)

    said = run(cluster, "perceive", out, videos, kill_three)
    assert said.count("called again") >= 3
    assert "(WorkerCrashedError)" in said
    assert tree_bytes(out) == expected[1]


@marked
def test_a_lost_node_costs_nothing(videos, expected, tmp_path):
    cluster, out = Cluster(interpreter(ENVIRONMENT)), tmp_path / "out"
    rest = []
    try:
        cluster.add("one")
        cluster.add("two")
        run(cluster, "index", out, videos)

        def cut_off():
            waited(lambda: cluster.titled("ray::perceive_one", "two"))
            rest.extend(cluster.kill("two"))

        said = run(cluster, "perceive", out, videos, cut_off)
        assert "called again" in said
        assert tree_bytes(out) == expected[1]
        # Nor does what ran there go on.
        waited(lambda: not [each for each in rest if alive(each) and "core.worker" in " ".join(each.cmdline())])
    finally:
        cluster.close()


@marked
def test_what_kills_its_worker_each_time_is_an_error_of_its_own(cluster, tmp_path):
    (found,), said = tried(cluster, tmp_path, "poison")
    assert found == [[-3, -3], [-2, -2], [-1, -1], [7, f"the process or its node was lost {ATTEMPTS} times"]]
    assert (tmp_path / "attempts-7").read_text() == "x" * ATTEMPTS
    assert said.count("kill_above, item 2 of 4: lost with its process or node") == ATTEMPTS
    assert "given up" in said


def alive(process):
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@marked
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_ends_early_leaves_no_process(cluster, tmp_path, how):
    words = program(cluster, tmp_path, "held")
    driver = subprocess.Popen(words, env=cluster.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waited(lambda: len(list(tmp_path.glob("*.pid"))) == 2 and all(path.read_text() for path in tmp_path.glob("*.pid")))
    at_work = [psutil.Process(int(path.read_text())) for path in tmp_path.glob("*.pid")]
    at_work += [each.parent() for each in at_work]
    assert len(at_work) == 4
    driver.send_signal(how)
    driver.wait(60)
    waited(lambda: not any(alive(each) for each in at_work))
    # The third never began.
    assert len(list(tmp_path.glob("*.pid"))) == 2
    if how != signal.SIGKILL:
        assert sorted(path.suffix for path in tmp_path.iterdir()) == [".pid", ".pid"]
    # And the cluster serves the next.
    assert tried(cluster, tmp_path, "longer")[0] == [[1.0]]


@marked
def test_a_cluster_that_is_gone_is_told_before_any_work(cluster, videos, tmp_path):
    environ = {**cluster.environ, "RAY_ADDRESS": "127.0.0.1:9"}
    words = typed("index", tmp_path / "out", videos, "ray", cluster.python)
    done = subprocess.run(words, env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error: --engine ray: cannot join a cluster at 127.0.0.1:9 (no result within 30 s)" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def may_unshare():
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this user may give no process a view of files of its own")


def refused(cluster, videos, out, before):
    """What the command says where a third node has another view of the files."""
    cluster.add("three", before=before)
    try:
        words = typed("index", out, videos, "ray", cluster.python)
        done = subprocess.run(words, env=cluster.environ, capture_output=True, text=True)
    finally:
        cluster.remove("three")
    assert done.returncode == 1
    # Nothing was begun.
    assert not out.exists()
    return done.stderr.splitlines()[-1]


@marked
def test_a_node_that_does_not_share_out_is_refused_by_name(cluster, videos, tmp_path, may_unshare):
    said = refused(cluster, videos, tmp_path / "out", f"mount -t tmpfs none {tmp_path}")
    assert said.startswith("error: node three ")
    assert f"does not see OUT at {tmp_path}/out, expected a folder that all nodes share" in said


@marked
def test_a_node_that_does_not_share_the_videos_is_refused_by_name(cluster, videos, tmp_path, may_unshare):
    said = refused(cluster, videos, tmp_path / "out", f"mount -t tmpfs none {videos}")
    assert said.startswith("error: node three ")
    assert f"cannot read {videos}/" in said


@marked
def test_a_node_of_other_code_is_refused_by_name(cluster, videos, tmp_path, may_unshare):
    root = Path(__file__).resolve().parents[2]
    other = tmp_path / "run.py"
    other.write_text((root / "datasets_build/run.py").read_text() + "\n# changed\n")
    said = refused(cluster, videos, tmp_path / "out", f"mount --bind {other} {root}/datasets_build/run.py")
    assert said.startswith("error: node three ")
    assert "runs other code of streamvl" in said


@marked
def test_a_node_without_the_project_is_refused_by_name(cluster, videos, tmp_path, may_unshare):
    root = Path(__file__).resolve().parents[2]
    said = refused(cluster, videos, tmp_path / "out", f"mount -t tmpfs none {root}")
    assert said.startswith("error: node three ")
    assert "cannot run streamvl (No module named 'datasets_build')" in said


@marked
def test_a_node_of_other_code_that_comes_later_ends_the_run_by_name(cluster, tmp_path, may_unshare):
    root = Path(__file__).resolve().parents[2]
    other = tmp_path / "run.py"
    other.write_text((root / "datasets_build/run.py").read_text() + "\n# changed\n")
    words = program(cluster, tmp_path, "slowly")
    driver = subprocess.Popen(words, env=cluster.environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    waited(lambda: cluster.titled("ray::long"))
    cluster.add("three", before=f"mount --bind {other} {root}/datasets_build/run.py")
    try:
        _, said = driver.communicate(timeout=300)
    finally:
        driver.kill()
        cluster.remove("three")
    assert driver.returncode == 1
    said = said.splitlines()[-1]
    assert "DataError: node three " in said
    assert "runs other code of streamvl" in said
    assert said.endswith("; it came after the run had begun")
