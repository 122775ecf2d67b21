"""The teacher that is a model: a template that remembers, words that stay apart, and nothing without its folder."""

import builtins
import json
import random

import pytest

from datasets_build.core.config import ConfigError, load_config
from datasets_build.settings import Settings
from datasets_build.teachers.choose import cache_folder, open_model, open_teacher, refuse_silence, spent
from datasets_build.teachers.interview import Tally
from datasets_build.teachers.model import ModelError, Prompt
from datasets_build.teachers.reword import Drafts
from datasets_build.teachers.settings import ChatConfig, LocalConfig, TeachersConfig
from datasets_build.teachers.teacher import Happening, Request
from datasets_build.teachers.template import load_template
from tests.teachers.server import KEY, completion, sentence_in, serving

HIT = Happening("collide", "world", "red circle and blue star", "The red circle and the blue star collide.")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as state:
        yield state


def teacher_at(server, **more):
    return open_teacher(
        "chat", TeachersConfig(chat=ChatConfig(base_url=server.url, model="vlm", max_retries=0), **more)
    )


def drafted(count=3):
    drafts = Drafts(load_template())
    rng = random.Random(0)
    for intent in ("ask_yet", "say_yes", "say_not_yet")[:count]:
        drafts.write(Request(intent=intent, about=HIT), rng)
    return drafts


def test_drafts_are_the_templates_words_remembered():
    drafts, template = drafted(), load_template()
    rng = random.Random(0)
    same = [template.write(Request(intent=i, about=HIT), rng) for i in ("ask_yet", "say_yes", "say_not_yet")]
    assert list(drafts.sentences) == same
    asked, yes, no = drafts.sentences.values()
    assert (asked.by_user, yes.by_user) == (True, False)
    assert yes.named == ("red", "circle", "blue", "star", "collided")
    assert no.intent == "say_not_yet"
    assert drafts.write(Request(intent="ask_yet"), rng) is None, "no words for nothing"
    assert (drafts.digest, drafts.language) == (template.digest, template.language)
    assert drafts.topic(HIT) == template.topic(HIT)
    assert drafts.absent_subjects() == template.absent_subjects()
    assert drafts.provenance(seed=1, inputs=["e"]) == template.provenance(seed=1, inputs=["e"])


def test_it_writes_as_any_teacher_does(server, tmp_path):
    teacher = teacher_at(server)
    with teacher.working(tmp_path):
        text = teacher.write(Request(intent="say_yes", about=HIT), random.Random(2))
        assert teacher.write(Request(intent="ask_yet"), random.Random(1)) is None
    draft = load_template().write(Request(intent="say_yes", about=HIT), random.Random(1))
    assert text != draft
    assert text.startswith("Yes")
    assert teacher.topic(HIT) == load_template().topic(HIT)
    assert (teacher.language, list(teacher.absent_subjects())) == ("en", list(load_template().absent_subjects()))


def test_nothing_is_asked_outside_its_folder(server, tmp_path):
    teacher = teacher_at(server)
    with pytest.raises(ModelError, match="only while its folder is held"):
        teacher.write(Request(intent="say_yes", about=HIT), random.Random(1))
    with teacher.working(tmp_path):
        pass
    with pytest.raises(ModelError, match="only while its folder is held"):
        teacher.reword([], lambda _: 0)


def test_what_the_model_is_told(server, tmp_path):
    teacher = teacher_at(server, room=2.0)
    drafts = drafted()
    with teacher.working(tmp_path):
        teacher.reword(list(drafts.sentences.values()), lambda _: 3)
    texts = [request["messages"][0]["content"][-1]["text"] for request in server.requests]
    for sentence in drafts.sentences.values():
        (text,) = [each for each in texts if f"Sentence: {sentence.text}\n" in each]
        assert f"At most {2 * len(sentence.text)} characters" in text
        assert ("as the person would" in text) == sentence.by_user
    assert {request["seed"] for request in server.requests} == {3}


def test_two_sentences_never_become_one(server, tmp_path):
    drafts = Drafts(load_template())
    for seed in range(40):
        drafts.write(Request(intent="say_yes", about=HIT), random.Random(seed))
    sentences = list(drafts.sentences.values())
    assert len(sentences) > 1
    server.answer = lambda _: completion('{"text": "Yes indeed, the red circle and the blue star have collided."}')
    teacher = teacher_at(server)
    with teacher.working(tmp_path):
        found = teacher.reword(sentences, lambda _: 0)
    texts = [each.text for each in found.values()]
    assert len(set(texts)) == len(texts)
    assert sum(each.kept is None for each in found.values()) == 1
    assert "says the same as another sentence" in {
        (each.kept or "").removeprefix("unfaithful: ") for each in found.values()
    }


def test_a_sentence_does_not_take_anothers_draft(server, tmp_path):
    drafts = Drafts(load_template())
    for seed in range(40):
        drafts.write(Request(intent="say_yes", about=HIT), random.Random(seed))
    first, second, *_ = drafts.sentences.values()
    server.answer = lambda request: completion(
        json.dumps({"text": second.text if sentence_in(request) == first.text else first.text})
    )
    teacher = teacher_at(server)
    with teacher.working(tmp_path):
        found = teacher.reword([first, second], lambda _: 0)
    assert [each.text for each in found.values()] == [first.text, second.text]


def test_variants_bound_the_questions(server, tmp_path):
    teacher = teacher_at(server, variants=3)
    seeds = {teacher.seed_for("One sentence.", f"video {k}", 0) for k in range(50)}
    assert seeds == {0, 1, 2}
    assert {teacher.seed_for("One sentence.", f"video {k}", 2) for k in range(50)} == {6, 7, 8}
    (sentence, *_) = drafted().sentences.values()
    with teacher.working(tmp_path):
        teacher.reword_all([([sentence], lambda text, k=k: teacher.seed_for(text, f"v{k}", 0)) for k in range(30)])
    assert len(server.requests) == 3


def test_what_decides_the_words_is_in_the_digest(server):
    digests = {teacher_at(server, **more).digest for more in ({}, {"variants": 3}, {"room": 2.0}, {"attempts": 1})}
    assert len(digests) == 4
    assert teacher_at(server, cache="elsewhere", max_unanswered=1.0).digest == teacher_at(server).digest


def test_without_the_package_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name in ("openai", "datasets_build.teachers.chat"):
            raise ModuleNotFoundError("No module named 'openai'")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=r"pip install 'streamvl\[teachers\]'"):
        open_model("chat", TeachersConfig(chat=ChatConfig(model="m")))
    assert open_model("local", TeachersConfig(local=LocalConfig(model="m"))).name == "m"


def test_costs_and_folders(tmp_path):
    config = TeachersConfig(chat=ChatConfig(price_in=2.5, price_out=10.0))
    tally = Tally(asked=4, refused=2, tokens_in=1000, tokens_out=200)
    assert spent(tally, "chat", config)["teacher_cost_millionths"] == 4500
    assert spent(tally, "local", config)["teacher_cost_millionths"] == 0
    refuse_silence(tally, "chat", config)
    refuse_silence(Tally(), "chat", config)
    with pytest.raises(ModelError, match="3 of 4 questions"):
        refuse_silence(Tally(asked=4, refused=3), "chat", config)
    assert cache_folder(tmp_path, config) == tmp_path / ".teachers"
    assert cache_folder(tmp_path, TeachersConfig(cache="/there")).as_posix() == "/there"


def test_a_prompt_has_no_open_places():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        Prompt.load("reword").fill({"speaker": "me"})
    text = Prompt.load("reword").fill({"speaker": "me", "sentence": '<b> & "quoted"', "most": 9})
    assert '<b> & "quoted"' in text


@pytest.mark.parametrize(
    "setting", ["teachers.chat.api_key=sk-secret", "teachers.room=0.5", "teachers.chat.concurrency=0"]
)
def test_settings_are_checked_and_no_key_is_one(setting):
    with pytest.raises(ConfigError) as caught:
        load_config(Settings, None, [setting])
    assert "sk-secret" not in str(caught.value)
