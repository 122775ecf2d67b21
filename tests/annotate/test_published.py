"""A folder beside its parent: inputs are links, videos are found, and the settings are the parent's."""

import json
import os
from pathlib import Path

import pytest
import yaml

from annotate.errors import AnnotateError
from annotate.published import IMPORT, LINKED, SETTINGS, link_inputs, rebuild, write_settings
from datasets_build.builders.build import build_dialogue, build_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.facts import FactsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.config import load_config
from datasets_build.core.files import write_json
from datasets_build.core.layout import dataset_rows, read_videos, video_path
from datasets_build.core.records import Dialogue, StreamingQA
from datasets_build.core.stage import Fingerprint
from datasets_build.formats.importing import ImportConfig, import_file
from datasets_build.settings import Settings
from datasets_build.teachers.settings import ChatConfig, TeachersConfig
from tests.augment.folders import tree
from tests.builders.made import lively, write_out
from tests.checks.planted import within
from tests.teachers.server import KEY, serving


def data_of(folder, root="videos"):
    """An index of one video whose file lies below a root of the folder, or somewhere else."""
    out = write_out(folder, [lively("one", seconds=1)])
    write_json(out / "index" / "source.json", {"root": root})
    place = out / root
    place.mkdir(parents=True, exist_ok=True)
    (place / "one.mp4").write_text("a film")
    write_json(out / "index" / "inputs.json", {"one.mp4": "0"})
    return out


def linked(data, to):
    to.mkdir(parents=True)
    link_inputs(data, to)
    return to


@pytest.mark.parametrize("root", ["videos", "deep/er", "."])
def test_videos_are_found_from_the_new_folder(root, tmp_path):
    data = data_of(tmp_path / "data", root)
    to = linked(data, tmp_path / "far" / "away" / "to")
    (video,) = read_videos(to)
    assert video_path(to, video).read_text() == "a film"
    assert not (to / "merge.json").exists()
    again = linked(to, tmp_path / "again")
    assert video_path(again, video).read_text() == "a film"


def test_videos_of_somewhere_else_need_no_link(tmp_path):
    data = data_of(tmp_path / "data", str(tmp_path / "films"))
    to = linked(data, tmp_path / "to")
    assert {path.name for path in to.iterdir()} == set(LINKED)
    assert video_path(to, read_videos(to)[0]).read_text() == "a film"


def test_inputs_are_hard_links(tmp_path):
    data = data_of(tmp_path / "data")
    to = linked(data, tmp_path / "to")
    for stage in LINKED:
        assert tree(to / stage) == tree(data / stage)
        for path in (path for path in (data / stage).rglob("*") if path.is_file()):
            assert (to / path.relative_to(data)).samefile(path)


def test_where_no_link_can_be_made_files_are_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    data = data_of(tmp_path / "data")
    monkeypatch.setattr(os, "link", refuse)
    to = linked(data, tmp_path / "to")
    for stage in LINKED:
        assert tree(to / stage) == tree(data / stage)
    assert not (to / "index" / "source.json").samefile(data / "index" / "source.json")


def test_a_folder_that_was_never_looked_at_has_no_perception(tmp_path):
    data = data_of(tmp_path / "data")
    (data / "perceive" / "manifest.json").unlink()
    assert not (linked(data, tmp_path / "to") / "perceive").exists()


SOME = {
    "events": EventsConfig(signals=False, black_contrast=1e-7),
    "streaming_qa": StreamingQAConfig(seed=3, teacher="terse", tasks=("now", "next"), facts=FactsConfig(recent_ns=7)),
    "dialogue": DialogueConfig(grids=("native", "30000/1001"), ways=("tell",), per_minute=0.1 + 0.2),
}


def test_settings_come_back_as_they_were(tmp_path):
    for stage, config in SOME.items():
        (tmp_path / stage).mkdir()
        fields = dict(Fingerprint.of(config, code="c", inputs={"index": "i"}).fields)
        write_json(tmp_path / stage / "manifest.json", {"fields": fields})
    write_settings(tmp_path, tmp_path)
    assert list(yaml.safe_load((tmp_path / SETTINGS).read_text())) == list(SOME)
    assert load_config(Settings, tmp_path / SETTINGS) == Settings(**SOME)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({}, "field fields is missing"),
        ({"fields": {"config.seed": "nonsense("}}, r"field fields\.config\.seed is 'nonsense\('"),
        ({"fields": {"config.seed": "b'x'"}}, "expected a value"),
    ],
)
def test_a_manifest_that_does_not_tell_is_refused(content, why, tmp_path):
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(AnnotateError, match=why):
        write_settings(tmp_path, tmp_path)


def worded(folder, server, **more):
    """A folder whose questions and conversations are in the words of a model."""
    data = write_out(folder, [within(lively("one", seconds=12))])
    (data / "videos").mkdir()
    build_events(data, EventsConfig())
    teachers = TeachersConfig(chat=ChatConfig(base_url=server.url, model="some-vlm", max_retries=0), **more)
    build_streaming_qa(data, StreamingQAConfig(teacher="chat"), teachers=teachers)
    build_dialogue(data, DialogueConfig(teacher="chat"), teachers=teachers)
    return data, teachers


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as state:
        yield state


@pytest.mark.parametrize("cache", ["", "elsewhere"])
def test_the_model_of_a_folder_goes_along_with_its_answers_and_without_its_key(tmp_path, server, cache):
    data, teachers = worded(tmp_path / "data", server, cache=str(tmp_path / cache) if cache else "")
    to = linked(data, tmp_path / "to")
    write_settings(data, to)
    found = load_config(Settings, to / SETTINGS).teachers
    assert found.model_copy(update={"cache": ""}) == teachers.model_copy(update={"cache": ""})
    assert found.cache == str(tmp_path / cache if cache else data / ".teachers")
    assert list(Path(found.cache).rglob("*.json"))
    for path in (data / "teachers.yaml", to / SETTINGS):
        assert KEY not in path.read_text()


@pytest.mark.parametrize("content", [None, "[", "other: 1", "teachers: 7"])
def test_a_folder_that_does_not_tell_its_model_is_refused(tmp_path, server, content):
    data, _ = worded(tmp_path / "data", server)
    (data / "teachers.yaml").unlink() if content is None else (data / "teachers.yaml").write_text(content)
    with pytest.raises(AnnotateError, match=r"teachers\.yaml: .*streaming_qa"):
        write_settings(data, data)


def test_what_a_template_worded_has_no_settings_of_models(tmp_path):
    data = write_out(tmp_path / "data", [lively("one", seconds=2)])
    build_events(data, EventsConfig())
    build_streaming_qa(data, StreamingQAConfig())
    assert not (data / "teachers.yaml").exists()
    write_settings(data, data)
    assert "teachers" not in yaml.safe_load((data / SETTINGS).read_text())


@pytest.mark.slow
def test_what_a_model_worded_is_built_anew_in_its_words_and_costs_nothing(tmp_path, server):
    data, _ = worded(tmp_path / "data", server)
    asked = len(server.requests)
    assert asked > 5
    to = linked(data, tmp_path / "to")
    write_settings(data, to)
    rebuild(to)
    assert len(server.requests) == asked
    for table, model in (("streaming_qa/qa", StreamingQA), ("dialogue/dialogues", Dialogue)):
        before, after = (list(dataset_rows(out, table, model)) for out in (data, to))
        assert before == after
        assert any(row.provenance.agent != "template" for row in after)
    # A round of a round finds the same answers.
    again = linked(to, tmp_path / "again")
    write_settings(to, again)
    assert load_config(Settings, again / SETTINGS).teachers.cache == str(data / ".teachers")


def imported(tmp_path):
    """A folder whose records were imported."""
    data = write_out(tmp_path / "data", [lively("one", seconds=1)])
    (data / "videos").mkdir()
    rows = [{"video_uid": "one", "conversation": [{"role": "user", "content": "Hello?", "time": 0.2}]}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    import_file(tmp_path / "rows.json", data, ImportConfig(format="videollm_online"))
    return data


def test_what_was_imported_goes_along_and_needs_no_settings(tmp_path):
    data = imported(tmp_path)
    to = linked(data, tmp_path / "to")
    assert tree(to / IMPORT) == tree(data / IMPORT)
    write_settings(data, to)
    assert yaml.safe_load((to / SETTINGS).read_text()) == {}
    assert load_config(Settings, to / SETTINGS) == Settings()


@pytest.mark.slow
def test_imported_records_are_made_anew_from_their_file(tmp_path):
    data = imported(tmp_path)
    to = linked(data, tmp_path / "to")
    write_settings(data, to)
    rebuild(to)
    before, after = (list(dataset_rows(out, "dialogue/dialogues", Dialogue)) for out in (data, to))
    assert before == after
    assert after[0].turns[0].text == "Hello?"
