"""Datasets in a model's words: the same draws, the same laws, told who wrote what, and the same bytes however asked."""

import json

import pytest

from datasets_build.builders.build import build_dialogue, build_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.dataset import Subset, read_split
from datasets_build.core.layout import by_video, dataset_rows, read_videos, table_path
from datasets_build.core.records import Dialogue, Event, StreamingQA
from datasets_build.core.table import read_table
from datasets_build.teachers.faithful import unfaithful
from datasets_build.teachers.model import ModelError
from datasets_build.teachers.reword import PROMPT, Wording
from datasets_build.teachers.settings import ChatConfig, TeachersConfig
from datasets_build.teachers.template import load_template
from tests.builders.made import lively, write_out
from tests.builders.worlds import breaches
from tests.teachers.server import KEY, completion, obedient, says, sentence_in, serving, status

QA = StreamingQAConfig(teacher="chat")
TALK = DialogueConfig(teacher="chat", per_minute=40, least=10, interruptions=1.0)
SCENES = [lively("first", seconds=48), lively("second", seconds=16, seed=3, split="test")]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as state:
        yield state


@pytest.fixture
def out(tmp_path):
    folder = write_out(tmp_path / "out", SCENES)
    build_events(folder, EventsConfig())
    return folder


def teachers(server, *, concurrency=8, cache="", **more):
    chat = ChatConfig(
        base_url=server.url,
        model="some-vlm",
        revision="r1",
        concurrency=concurrency,
        max_retries=0,
        price_in=2.0,
        price_out=5.0,
    )
    return TeachersConfig(chat=chat, cache=cache, **more)


def questions(out):
    return list(dataset_rows(out, "streaming_qa/qa", StreamingQA))


def dialogues(out):
    return list(dataset_rows(out, "dialogue/dialogues", Dialogue))


def wordings(out, stage):
    return list(dataset_rows(out, f"{stage}/words", Wording))


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def broken(out, *, qa=(), talk=()):
    events = by_video(read_table(table_path(out, Event), Event))
    asked, held = by_video(qa), by_video(talk)
    found = []
    for scene in SCENES:
        made = scene.video.id
        found += breaches(scene, events[made], questions=asked[made], dialogues=held[made])
    return found


def test_questions_are_the_templates_in_other_words(out, server, tmp_path):
    stage = build_streaming_qa(out, QA, teachers=teachers(server))
    found = questions(out)
    plain = write_out(tmp_path / "plain", SCENES)
    build_events(plain, EventsConfig())
    build_streaming_qa(plain, StreamingQAConfig())
    drawn = {row.id: row for row in questions(plain)}
    assert {row.id for row in found} == set(drawn), "the draw does not depend on the model"
    assert not broken(out, qa=found)
    lines = {(line.record_id, line.place): line for line in wordings(out, "streaming_qa")}
    changed = 0
    for row in found:
        old = drawn[row.id]
        same = {"question": old.question, "answers": old.answers, "provenance": old.provenance}
        assert row.model_copy(update=same) == old, "nothing but words is another"
        assert [each.t_ns for each in row.answers] == [each.t_ns for each in old.answers]
        texts = [("question", row.question, old.question)]
        texts += [
            (f"answers.{k}", a.text, b.text) for k, (a, b) in enumerate(zip(row.answers, old.answers, strict=True))
        ]
        for place, new, draft in texts:
            if row.options and place != "question":
                assert new == draft, "what is an option stays as it is"
                continue
            line = lines.pop((row.id, place))
            assert (line.text, line.draft) == (new, draft)
            assert (line.kept is None) == (new != draft)
            changed += new != draft
        whose = {line.provenance.kind for line in wordings(out, "streaming_qa") if line.record_id == row.id}
        assert row.provenance.kind == ("model" if "model" in whose else "template")
    assert not lines, "no sentence but those of the records"
    assert changed > len(found) / 2
    counts = stage.counts()
    assert counts["reworded"] + counts["fell_back"] >= counts["teacher_questions"], "videos may share a question"
    assert counts["words"] >= counts["reworded"] + counts["fell_back"], "a sentence may stand in two places"
    assert counts["teacher_questions"] == len(server.requests)
    assert counts["teacher_tokens_in"] == 100 * len(server.requests)
    assert counts["teacher_cost_millionths"] == len(server.requests) * (100 * 2 + 20 * 5)


def test_every_sentence_says_who_wrote_it(out, server):
    build_streaming_qa(out, QA, teachers=teachers(server))
    build_dialogue(out, TALK, teachers=teachers(server))
    for stage, rows in (("streaming_qa", questions(out)), ("dialogue", dialogues(out))):
        inputs = {row.id: row.provenance.inputs for row in rows}
        lines = wordings(out, stage)
        assert {line.provenance.kind for line in lines} == {"model", "template"}
        for line in lines:
            made = line.provenance
            assert made.inputs == inputs[line.record_id]
            if line.kept is None:
                assert (made.agent, made.version, made.prompt_sha256) == ("chat:some-vlm", "r1", PROMPT.sha256)
                assert made.seed in range(8)
                by_user = line.intent.startswith("ask_")
                assert unfaithful(line.draft, line.text, (), by_user=by_user, most=int(1.6 * len(line.draft))) is None
            else:
                assert line.text == line.draft
    assert {row.provenance.agent for row in dialogues(out)} == {"chat:some-vlm"}


def test_dialogues_keep_every_law_and_speak_at_their_own_speed(out, server):
    build_dialogue(out, TALK, teachers=teachers(server))
    found = dialogues(out)
    assert not broken(out, talk=found)
    lines = {line.place: line for line in wordings(out, "dialogue")}
    turns = [turn for row in found for turn in row.turns]
    assert any(lines[turn.id].kept is None for turn in turns)
    systems = {line.record_id: line.text for line in wordings(out, "dialogue") if line.place == "system"}
    assert {row.id: row.system for row in found} == systems
    whole = [turn for turn in turns if turn.role == "assistant" and turn.truncated_at_char is None]
    for turn in whole:
        # Snapped to a grid of 25 frames a second or slower.
        spoken = len(turn.text) * NS_PER_S // TALK.speech.assistant_chars_per_s
        assert spoken <= turn.end_ns - turn.start_ns <= spoken + NS_PER_S or turn.start_ns == 0
    assert [turn for turn in turns if turn.truncated_at_char is not None], "one is cut short"


@pytest.mark.parametrize("concurrency", [1, 32])
def test_the_bytes_do_not_depend_on_how_many_are_asked_at_once(out, server, concurrency, tmp_path):
    server.delay_s = 0.005
    build_streaming_qa(out, QA, teachers=teachers(server, cache=str(tmp_path / "one")))
    build_dialogue(out, TALK, teachers=teachers(server, cache=str(tmp_path / "one")))
    other = write_out(tmp_path / "other", SCENES)
    build_events(other, EventsConfig())
    build_streaming_qa(other, QA, teachers=teachers(server, concurrency=concurrency))
    build_dialogue(other, TALK, teachers=teachers(server, concurrency=concurrency))
    for stage in ("streaming_qa", "dialogue"):
        assert tree(out / stage) == tree(other / stage)
    assert tree(tmp_path / "one") == tree(other / ".teachers")
    assert not (out / ".teachers").exists()


def test_a_repeated_build_asks_nothing_and_gives_the_same_bytes(out, server):
    build_streaming_qa(out, QA, teachers=teachers(server))
    first, asked = tree(out / "streaming_qa"), len(server.requests)
    assert build_streaming_qa(out, QA, teachers=teachers(server, concurrency=1)).reused
    build_streaming_qa(out, QA, teachers=teachers(server), force=True)
    assert (tree(out / "streaming_qa"), len(server.requests)) == (first, asked)


def test_a_server_that_goes_away_stops_the_build_and_it_goes_on_where_it_was(out, server, tmp_path):
    unanswered = []

    def goes_away(request):
        if len(server.requests) <= 10:
            return obedient(request)
        return unanswered.append(request)

    server.answer = goes_away
    with pytest.raises(ModelError, match=r"some-vlm at http://127.0.0.1:.*repeat the command to go on"):
        build_streaming_qa(out, QA, teachers=teachers(server, concurrency=1))
    assert not (out / "streaming_qa").exists(), "nothing is published"
    assert len(list((out / ".teachers").rglob("*.json"))) == 10
    server.answer = obedient
    build_streaming_qa(out, QA, teachers=teachers(server))
    whole = write_out(tmp_path / "whole", SCENES)
    build_events(whole, EventsConfig())
    asked = len(server.requests)
    build_streaming_qa(whole, QA, teachers=teachers(server))
    assert tree(out / "streaming_qa") == tree(whole / "streaming_qa")
    assert asked - len(unanswered) == len(server.requests) - asked, "nothing that was answered is asked twice"


def test_a_refused_sentence_stays_the_templates_and_is_told(out, server):
    server.steps = [says(None, refusal="I cannot"), status(400, message="bad words")]
    stage = build_streaming_qa(out, QA, teachers=teachers(server, concurrency=1))
    told = {line.kept for line in wordings(out, "streaming_qa")}
    assert {"refused: I cannot"} < told
    assert any(text and text.startswith("refused: status 400") for text in told)
    assert stage.counts()["teacher_unanswered"] == 2
    assert stage.counts()["fell_back"] >= 2


def test_a_model_that_lies_says_nothing(out, server):
    server.answer = lambda request: completion(json.dumps({"text": sentence_in(request).replace("has", "has not")}))
    build_streaming_qa(out, QA, teachers=teachers(server))
    lines = wordings(out, "streaming_qa")
    assert any(line.kept and "denies" in line.kept for line in lines)
    template = load_template()
    for row in questions(out):
        assert "has not" not in row.question
        assert row.provenance == template.provenance(seed=row.provenance.seed, inputs=row.provenance.inputs)
    assert not broken(out, qa=questions(out)), "the check holds a template's words against the truth"


def test_one_answer_for_everything_is_given_once_at_most(out, server):
    server.answer = lambda request: completion('{"text": "So what happened?"}')
    build_dialogue(out, TALK, teachers=teachers(server))
    for row in dialogues(out):
        made = {line.draft for line in wordings(out, "dialogue") if line.record_id == row.id and line.kept is None}
        assert len(made) <= 1
    assert not broken(out, talk=dialogues(out))


def test_too_much_silence_stops_the_build(out, server):
    server.answer = lambda request: completion("I do not know JSON.")
    with pytest.raises(ModelError, match=r"of the right form \(the first: invalid, no JSON.*max_unanswered = 0.5"):
        build_streaming_qa(out, QA, teachers=teachers(server))
    assert not (out / "streaming_qa").exists()
    build_streaming_qa(out, QA, teachers=teachers(server, max_unanswered=1.0))
    assert {row.provenance.kind for row in questions(out)} == {"template"}


def test_no_file_holds_the_key_and_no_request_a_time(out, server):
    server.steps = [status(400, message=KEY), says(None, refusal=KEY)]
    build_streaming_qa(out, QA, teachers=teachers(server))
    build_dialogue(out, TALK, teachers=teachers(server))
    assert not [path for path, content in tree(out).items() if KEY.encode() in content]
    times = {str(row.ask_ns) for row in questions(out) if row.ask_ns}
    for request in server.requests:
        text = request["messages"][0]["content"][-1]["text"]
        assert not [t for t in times if t in text]
        assert not any(video.uri in text for video in read_videos(out))


def test_the_subset_of_words_opens_as_a_dataset(out, server):
    build_streaming_qa(out, QA, teachers=teachers(server))
    rows = list(read_split(out / "streaming_qa", Subset("words", Wording, ""), "train"))
    assert rows
    assert {row.video_id for row in rows} == {SCENES[0].video.id}
    assert "in the words of `chat:some-vlm` (revision r1)" in (out / "streaming_qa/README.md").read_text()
