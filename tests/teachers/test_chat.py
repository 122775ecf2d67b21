"""The chat model against a real server on loopback that also misbehaves."""

import base64
import email.utils
import time

import pytest

from datasets_build.core.config import ConfigError, load_config
from datasets_build.settings import Settings
from datasets_build.teachers.chat import ChatModel
from datasets_build.teachers.model import Ask, ModelError, Prompt, Reply
from datasets_build.teachers.settings import ChatConfig, TeachersConfig
from tests.teachers.server import KEY, answers, completion, cut, dripping, hang_up, html, says, serving, slow, status


class Word(Reply):
    text: str


PROMPT = Prompt.load("reword")
ASK = Ask(prompt=PROMPT, text="Sentence: The cat sleeps.", pictures=(b"\xff\xd8one", b"\xff\xd8two"), form=Word, seed=7)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as state:
        yield state


def model_at(server, **more):
    given: dict = {"max_retries": 2, "timeout_s": 5.0, "longest_wait_s": 0.05, **more}
    return ChatModel(ChatConfig(base_url=server.url, model="some-vlm", **given))


def test_a_question_arrives_as_openai_has_it(server):
    found = model_at(server, temperature=0.3, max_tokens=55).complete(ASK, attempt=0)
    assert (found.stop, found.tokens_in, found.tokens_out) == ("said", 100, 20)
    assert found.text == '{"text": "Well, the cat sleeps."}'
    (request,) = server.requests
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("some-vlm", 0.3, 55)
    assert request["seed"] == 7
    assert request["response_format"]["json_schema"]["schema"]["required"] == ["text"]
    *pictures, text = request["messages"][0]["content"]
    assert text == {"type": "text", "text": "Sentence: The cat sleeps."}
    urls = [part["image_url"]["url"] for part in pictures]
    assert [base64.b64decode(url.removeprefix("data:image/jpeg;base64,")) for url in urls] == list(ASK.pictures)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_settings_choose_the_form_of_the_answer_and_the_name_of_the_limit(server):
    model_at(server, response_format="json_object", limit_as="max_completion_tokens").complete(ASK, attempt=0)
    model_at(server, response_format="none").complete(ASK, attempt=3)
    first, second = server.requests
    assert first["response_format"] == {"type": "json_object"}
    assert "max_tokens" not in first
    assert first["max_completion_tokens"] == 400
    assert "response_format" not in second
    assert second["seed"] == 10, "another attempt asks for something else"


@pytest.mark.parametrize(
    "step",
    [status(500), status(503), status(429), status(408), cut, hang_up, html, says(None, tokens=(-1, 0))],
    ids=["500", "503", "429", "408", "cut", "hang-up", "html", "negative-tokens"],
)
def test_what_may_pass_is_tried_again(server, step):
    server.steps = [step, step]
    assert model_at(server).complete(ASK, attempt=0).stop == "said"
    assert len(server.requests) == 3


@pytest.mark.parametrize(("step", "told"), [(status(500), "status 500"), (cut, "connection"), (html, "welcome")])
def test_what_does_not_pass_ends_the_build(server, step, told):
    server.steps = [step] * 3
    with pytest.raises(ModelError, match=rf"some-vlm at {server.url}.*{told}.*3 times.*repeat the command"):
        model_at(server).complete(ASK, attempt=0)
    assert len(server.requests) == 3


@pytest.mark.parametrize("step", [slow(8.0), dripping], ids=["slow", "dripping"])
def test_an_answer_has_a_deadline_as_a_whole(server, step):
    server.steps = [step]
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"within 0.3 s"):
        model_at(server, timeout_s=0.3, max_retries=0).complete(ASK, attempt=0)
    assert time.monotonic() - start < 6


def test_nobody_listening_ends_the_build():
    model = ChatModel(ChatConfig(base_url="http://127.0.0.1:9/v1", model="m", max_retries=1, longest_wait_s=0.01))
    with pytest.raises(ModelError, match="no connection"):
        model.complete(ASK, attempt=0)


def test_a_server_that_asks_for_rest_gets_it(server):
    server.steps = [status(429, headers=[("Retry-After", "0.4")])]
    assert model_at(server, longest_wait_s=9.0).complete(ASK, attempt=0).stop == "said"
    first, second = server.times
    assert second - first >= 0.39


def test_a_date_is_understood_and_more_than_the_longest_wait_ends_the_build(server):
    later = email.utils.formatdate(time.time() + 3600, usegmt=True)
    server.steps = [status(429, headers=[("Retry-After", later)])]
    with pytest.raises(ModelError, match=r"wait 3\d\d\d s, longer than longest_wait_s"):
        model_at(server).complete(ASK, attempt=0)
    assert len(server.requests) == 1
    server.steps = [status(429, headers=[("Retry-After", "whenever")])]
    assert model_at(server).complete(ASK, attempt=0).stop == "said"


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_question_that_is_turned_down_is_refused_and_not_repeated(server, code):
    server.steps = [status(code, message="the picture is too large")]
    found = model_at(server).complete(ASK, attempt=0)
    assert (found.stop, len(server.requests)) == ("refused", 1)
    assert f"status {code}" in found.reason
    assert "too large" in found.reason


def test_refusals_and_limits_are_told_apart(server):
    server.steps = [
        says(None, refusal="I cannot help with that"),
        says("half a sent", finish="length"),
        says("", finish="content_filter"),
        says(None),
    ]
    model = model_at(server)
    found = [model.complete(ASK, attempt=0) for _ in range(4)]
    assert [each.stop for each in found] == ["refused", "truncated", "refused", "said"]
    assert found[0].reason == "I cannot help with that"
    assert found[3].text == ""


@pytest.mark.parametrize("code", [401, 403, 404, 405])
def test_a_wrong_key_or_name_ends_the_build_at_once(server, code):
    server.steps = [status(code, message=f"Incorrect key: {KEY}.")]
    with pytest.raises(ModelError, match=rf"status {code}") as caught:
        model_at(server).complete(ASK, attempt=0)
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)
    assert "***" in str(caught.value)
    assert ("the key in OPENAI_API_KEY" in str(caught.value)) == (code in (401, 403))


def test_no_money_left_is_no_rush(server):
    server.steps = [status(429, error_code="insufficient_quota")]
    with pytest.raises(ModelError, match="status 429"):
        model_at(server).complete(ASK, attempt=0)
    assert len(server.requests) == 1


def test_the_key_stands_in_no_answer_reason_or_setting(server, caplog):
    server.steps = [says(f'{{"text": "{KEY}"}}'), status(400, message=KEY), says(None, refusal=KEY)]
    model = model_at(server)
    with caplog.at_level("DEBUG"):
        found = [model.complete(ASK, attempt=0) for _ in range(3)]
    assert KEY not in repr(found) + caplog.text + model.digest + repr(vars(model)["_config"])


def test_without_a_key_a_local_server_is_asked_all_the_same(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    server.steps = [status(401)]
    with pytest.raises(ModelError, match="no key in OPENAI_API_KEY"):
        model_at(server).complete(ASK, attempt=0)
    assert model_at(server).complete(ASK, attempt=0).stop == "said"


def test_another_variable_may_hold_the_key(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "another-key")
    model_at(server, api_key_env="MY_KEY").complete(ASK, attempt=0)
    assert server.headers[0]["Authorization"] == "Bearer another-key"


def test_the_rate_is_kept(server):
    model = model_at(server, requests_per_minute=600.0)
    for _ in range(5):
        model.complete(ASK, attempt=0)
    # The first one opens the connection, which takes a while of its own.
    gaps = [b - a for a, b in zip(server.times[1:], server.times[2:], strict=False)]
    assert sum(gaps) >= 0.29, "three gaps of a tenth of a second"


def test_a_stopped_model_asks_nothing_more(server):
    model = model_at(server)
    model.stop()
    with pytest.raises(ModelError, match="nothing more is asked"):
        model.complete(ASK, attempt=0)
    assert not server.requests


def test_how_hard_it_is_asked_changes_no_answer(server):
    def digest(**more):
        return model_at(server, **more).digest

    assert digest(concurrency=1, timeout_s=9.0, price_in=1.0, requests_per_minute=9.0) == digest()
    others = [digest(revision="2"), digest(temperature=0.1), digest(max_tokens=9), digest(response_format="none")]
    assert len({digest(), *others}) == 5


@pytest.mark.parametrize(
    "url",
    ["http://me:secret@host/v1", "https://host/v1?key=secret", "host:8000/v1", "file:///secret", "http:///secret"],
)
def test_an_address_holds_no_secret(url):
    with pytest.raises(ConfigError, match="base_url") as caught:
        load_config(Settings, None, [f"teachers.chat.base_url={url}"])
    assert "secret" not in str(caught.value)


def test_a_model_has_a_name():
    with pytest.raises(ModelError, match=r"teachers\.chat\.model: is empty"):
        ChatModel(TeachersConfig().chat)


@pytest.mark.parametrize(
    "key", ["sk-SECRET\n0123456789", "sk-SECRET 0123456789", "sk-SECRET-\u00e9-0123", "sk-\x01SECRET"]
)
def test_what_can_be_no_key_is_told_by_its_variable_alone(server, monkeypatch, key):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(ModelError, match="environment variable MY_KEY: holds") as caught:
        model_at(server, api_key_env="MY_KEY")
    assert "SECRET" not in repr(caught.value)
    assert "0123" not in repr(caught.value)
    assert not server.requests


def test_white_space_around_the_key_is_no_part_of_it(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    model_at(server).complete(ASK, attempt=0)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_the_key_stands_in_no_address(server):
    with pytest.raises(ModelError, match="base_url: holds the key, which belongs into OPENAI_API_KEY") as caught:
        ChatModel(ChatConfig(base_url=f"{server.url}/{KEY}", model="m"))
    assert KEY not in str(caught.value)
    # Another server's key is no secret that this process knows of.
    hidden = "sk-of-another-account-0123"
    model = ChatModel(ChatConfig(base_url=f"http://127.0.0.1:9/{hidden}/v1", model="m", max_retries=0))
    with pytest.raises(ModelError, match=r"at http://127\.0\.0\.1:9/\*\*\*/v1: no connection") as caught:
        model.complete(ASK, attempt=0)
    assert hidden not in str(caught.value)


@pytest.mark.parametrize(
    "spelled",
    [repr(KEY + "\n"), KEY.replace("-", "\\u002d"), KEY.replace("-", "\\-"), KEY.replace("-", "%2D"), KEY.upper()],
)
def test_the_key_is_hidden_however_a_server_spells_it(server, spelled):
    server.steps = [status(401, message=f"Incorrect key: {spelled}.")]
    with pytest.raises(ModelError, match=r"Incorrect key: '?\*\*\*") as caught:
        model_at(server).complete(ASK, attempt=0)
    assert "the-key-of" not in str(caught.value).lower()


def used(**usage):
    return answers({**completion('{"text": "x"}'), "usage": usage})


@pytest.mark.parametrize(
    ("step", "counted"),
    [
        (used(prompt_tokens=None, completion_tokens=None), (0, 0)),
        (used(prompt_tokens=7), (7, 0)),
        (used(prompt_tokens=7.0, completion_tokens=2.0, total_tokens=None), (7, 2)),
        (used(), (0, 0)),
        (answers({**completion('{"text": "x"}'), "usage": None}), (0, 0)),
        (says([{"type": "text", "text": '{"text"'}, {"type": "text", "text": ': "x"}'}]), (100, 20)),
        (says([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": '{"text": "x"}'}]), (100, 20)),
    ],
    ids=["null", "half", "floats", "empty", "none", "parts", "reasoning"],
)
def test_what_servers_of_the_field_send_is_read(server, step, counted):
    server.steps = [step]
    found = model_at(server, max_retries=0).complete(ASK, attempt=0)
    assert (found.text, found.stop) == ('{"text": "x"}', "said")
    assert (found.tokens_in, found.tokens_out) == counted


@pytest.mark.parametrize("count", [10**30, 1e30, -1, "many"])
def test_what_can_be_no_count_of_tokens_is_no_completion(server, count):
    server.steps = [used(prompt_tokens=count, completion_tokens=1)]
    assert model_at(server).complete(ASK, attempt=0).tokens_in == 100
    assert len(server.requests) == 2, "asked again"


@pytest.mark.parametrize("asked", ["1e9", "inf", "99999999999999999999999"])
def test_a_server_that_asks_for_ages_ends_the_build(server, asked):
    server.steps = [status(429, headers=[("Retry-After", asked)])]
    with pytest.raises(ModelError, match="longer than longest_wait_s"):
        model_at(server).complete(ASK, attempt=0)
    assert len(server.requests) == 1


@pytest.mark.parametrize("asked", ["nan", "-5", "0", "", "2..5", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_rest_of_no_length_is_none(server, asked):
    server.steps = [status(429, headers=[("Retry-After", asked)])]
    assert model_at(server).complete(ASK, attempt=0).stop == "said"


def test_the_key_does_not_follow_to_another_host(server):
    with serving() as other:
        server.steps = [status(307, headers=[("Location", f"{other.url}/chat/completions")])]
        assert model_at(server).complete(ASK, attempt=0).stop == "said"
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    (headers,) = other.headers
    assert "Authorization" not in headers
    assert KEY not in str(headers)
