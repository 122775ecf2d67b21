"""Building anew: the same bytes where nothing was changed, and what was changed is named."""

import json
import shutil

import pytest

from datasets_build.__main__ import _builds
from datasets_build.builders.build import build_events, build_streaming_qa
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.checks.laws import Ledger
from datasets_build.checks.rebuild import check_rebuild
from datasets_build.core.augmentation import AUGMENTED
from datasets_build.core.files import DataError
from datasets_build.core.records import StreamingQA, Video
from datasets_build.settings import Settings
from tests.builders.made import lively, write_out
from tests.checks.planted import edit, within
from tests.teachers.server import KEY, serving

BUILDS = {
    "events": lambda out: build_events(out, EventsConfig()),
    "streaming_qa": lambda out: build_streaming_qa(out, StreamingQAConfig()),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    out = write_out(tmp_path_factory.mktemp("good") / "out", [within(lively("one", seconds=12))])
    for build in BUILDS.values():
        build(out)
    return out


@pytest.fixture
def out(good, tmp_path):
    shutil.copytree(good, tmp_path / "out")
    return tmp_path / "out"


def found(out):
    ledger = Ledger(50)
    check_rebuild(out, BUILDS, ledger)
    return {violation.file: violation.found for violation in ledger.violations}, ledger.checked["rebuilds_alike"]


def files(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*"))


def test_the_same_bytes_and_nothing_is_left(out):
    before = files(out)
    breaches, checked = found(out)
    assert breaches == {}
    assert checked >= 6
    assert files(out) == before


def test_one_byte_is_found(out):
    path = out / "streaming_qa" / "README.md"
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    assert found(out)[0] == {"streaming_qa/README.md": "other bytes"}


def test_one_record_is_found(out):
    edit(out, "streaming_qa/qa/train.parquet", StreamingQA, lambda rows: rows[:-1])
    assert set(found(out)[0]) == {"streaming_qa/qa/train.parquet", "streaming_qa/manifest.json"}


def test_files_that_are_gone_or_too_many_are_found(out):
    (out / "events" / "more.txt").write_text("x")
    (out / "streaming_qa" / "README.md").unlink()
    breaches = found(out)[0]
    assert breaches["events/more.txt"] == "a file that is not made"
    assert breaches["streaming_qa/README.md"] == "no such file"


def test_other_settings_are_named_instead(out):
    path = out / "streaming_qa" / "manifest.json"
    content = json.loads(path.read_text())
    content["fields"]["config.seed"] = "7"
    path.write_text(json.dumps(content))
    assert found(out)[0] == {"streaming_qa/manifest.json": "made with another config.seed"}


def test_a_stage_that_was_never_built_is_not_asked_for(out):
    shutil.rmtree(out / "streaming_qa")
    breaches, checked = found(out)
    assert breaches == {}
    assert checked >= 2


def test_an_augmented_folder_is_refused(out):
    edit(
        out, "index/videos.parquet", Video, lambda rows: [row.model_copy(update={"source": AUGMENTED}) for row in rows]
    )
    with pytest.raises(DataError, match="was augmented from another folder"):
        found(out)


def test_an_imported_folder_is_refused(out):
    (out / "import").mkdir()
    (out / "import" / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="was imported from a file"):
        found(out)


def test_words_of_a_model_are_those_that_the_folder_keeps(good, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    out = shutil.copytree(good, tmp_path / "out")
    with serving() as server:
        config = Settings(
            streaming_qa={"teacher": "chat"},
            teachers={"chat": {"base_url": server.url, "model": "some-vlm", "max_retries": 0}},
        )
        build_streaming_qa(out, config.streaming_qa, teachers=config.teachers, force=True)
        asked = len(server.requests)
        check_rebuild(out, _builds(config, out), ledger := Ledger(50))
        assert (ledger.violations, len(server.requests)) == ([], asked)
    assert asked > 0
    assert ledger.checked["rebuilds_alike"] >= 6


def test_what_a_killed_check_left_does_not_matter(out):
    left = out / ".work" / "rebuild" / "events"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text("{}")
    assert found(out)[0] == {}
    assert not (out / ".work").exists()
