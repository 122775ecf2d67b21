"""Asking many questions: each once, several at a time, checked, kept, and the same whatever the order."""

import json
import threading
import time
from dataclasses import dataclass, field

import pytest

from datasets_build.core.files import DataError
from datasets_build.core.stage import StageError
from datasets_build.teachers.chat import ChatModel
from datasets_build.teachers.interview import interview
from datasets_build.teachers.model import Ask, ModelError, Prompt, Reply
from datasets_build.teachers.settings import ChatConfig
from tests.teachers.server import KEY, completion, says, sentence_in, serving, status


class Word(Reply):
    text: str


PROMPT = Prompt.load("reword")


def ask(sentence, *, seed=0, pictures=()):
    return Ask(prompt=PROMPT, text=f"Sentence: {sentence}", pictures=pictures, form=Word, seed=seed)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving() as state:
        yield state


def model_at(server, **more):
    return ChatModel(ChatConfig(base_url=server.url, model="m", **{"max_retries": 0, "longest_wait_s": 0.05, **more}))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_question_is_asked_once(server, tmp_path):
    asks = [ask("One."), ask("Two."), ask("One.")]
    with interview(model_at(server), tmp_path, attempts=2) as held:
        first = held.ask(asks)
        again = held.ask(asks)
        assert first == again
        assert first[0] == first[2] != first[1]
        assert (held.tally.asked, held.tally.sent, held.tally.cached) == (2, 2, 0)
    with interview(model_at(server), tmp_path, attempts=2) as held:
        assert held.ask(asks) == first
        assert (held.tally.asked, held.tally.sent, held.tally.cached) == (2, 0, 2)
        assert (held.tally.tokens_in, held.tally.tokens_out) == (200, 40), "what was paid for once is still told"
    assert len(server.requests) == 2


def test_whatever_decides_an_answer_is_in_its_key(server, tmp_path):
    class Other(Reply):
        text: str
        more: int = 0

    base = ask("One.")
    others = [
        ask("Two."),
        ask("One.", seed=1),
        ask("One.", pictures=(b"a",)),
        ask("One.", pictures=(b"a", b"b")),
        ask("One.", pictures=(b"ab",)),
        Ask(prompt=Prompt.load("describe"), text=base.text, form=Word, seed=0),
        Ask(prompt=PROMPT, text=base.text, form=Other, seed=0),
    ]
    keys = {each.key("m") for each in [base, *others]} | {base.key("other model")}
    assert len(keys) == len(others) + 2


@pytest.mark.parametrize("parallel", [1, 3, 16])
def test_any_number_at_once_gives_the_same_files(server, tmp_path, parallel):
    server.delay_s = 0.05
    asks = [ask(f"The thing number {k} moves.") for k in range(12)]
    with interview(model_at(server, concurrency=parallel), tmp_path / "here", attempts=1) as held:
        found = held.ask(asks)
    assert [json.loads(each.text)["text"] for each in found] == [
        f"Well, the thing number {k} moves." for k in range(12)
    ]
    assert server.most_at_once <= parallel
    assert parallel == 1 or server.most_at_once > 1
    with interview(model_at(server, concurrency=1), tmp_path / "there", attempts=1) as held:
        held.ask(list(reversed(asks)))
    assert files(tmp_path / "here") == files(tmp_path / "there")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no json at all", "no JSON object"),
        ("", "no JSON object"),
        ('{"text": "half', "no JSON object"),
        ('{"words": "x"}', "text: Field required"),
        ('{"text": 3}', "text: Input should be a valid string"),
        ('{"text": "a", "more": "b"}', "more: Extra inputs"),
        ("[1, 2]", "no JSON object"),
        ("{" * 5000, "no JSON object"),
    ],
)
def test_another_form_is_asked_for_again_and_then_told(server, tmp_path, text, reason):
    server.answer = lambda _: completion(text)
    with interview(model_at(server), tmp_path, attempts=3) as held:
        (found,) = held.ask([ask("One.")])
    assert (found.outcome, len(server.requests)) == ("invalid", 3)
    assert reason in found.reason
    assert found.tokens_in == 300, "every attempt is paid for"
    assert [request["seed"] for request in server.requests] == [0, 1, 2]


@pytest.mark.parametrize("text", ['```json\n{"text": "a b"}\n```', 'Sure: {"text": "a b"} Bye', ' {"text":"a b"}'])
def test_json_may_stand_between_words(server, tmp_path, text):
    server.steps = [says(text)]
    with interview(model_at(server), tmp_path, attempts=1) as held:
        (found,) = held.ask([ask("One.")])
    assert (found.outcome, found.text) == ("said", '{"text":"a b"}')


def test_a_second_attempt_may_succeed_and_a_refusal_is_final(server, tmp_path):
    server.steps = [says("no"), says("x", finish="length"), says('{"text": "yes"}')]
    with interview(model_at(server), tmp_path, attempts=3) as held:
        assert held.ask([ask("One.")])[0].outcome == "said"
        server.steps = [says(None, refusal="never")]
        refused = held.ask([ask("Two.")])[0]
        assert (refused.outcome, refused.reason) == ("refused", "never")
        server.steps = [says("x", finish="length")] * 3
        assert held.ask([ask("Three.")])[0].outcome == "truncated"
        assert (held.tally.asked, held.tally.refused) == (3, 2)
        assert held.tally.first_reason == "refused, never"
    assert len(server.requests) == 3 + 1 + 3
    with interview(model_at(server), tmp_path, attempts=3) as held:
        assert held.ask([ask("Two.")])[0].outcome == "refused"
    assert len(server.requests) == 7, "a refusal is kept as well"


def test_a_build_that_was_cut_short_goes_on(server, tmp_path):
    asks = [ask(f"The thing {k} moves.") for k in range(6)]

    def dies_after_four(request):
        return completion('{"text": "x"}') if len(server.requests) <= 4 else None

    server.answer = dies_after_four
    with pytest.raises(ModelError), interview(model_at(server, concurrency=1), tmp_path, attempts=1) as held:
        held.ask(asks)
    assert len(files(tmp_path)) == 4
    server.answer = lambda _: completion('{"text": "x"}')
    with interview(model_at(server), tmp_path, attempts=1) as held:
        held.ask(asks)
        assert (held.tally.sent, held.tally.cached) == (2, 4)


def test_when_the_server_has_gone_everything_waiting_ends_soon(server, tmp_path):
    server.steps = [status(401)]
    server.delay_s = 0.2
    start = time.monotonic()
    with (
        pytest.raises(ModelError, match="401"),
        interview(model_at(server, concurrency=2), tmp_path, attempts=1) as held,
    ):
        held.ask([ask(f"Thing {k}.") for k in range(200)])
    assert len(server.requests) < 50
    assert time.monotonic() - start < 30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("teacher")]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": "x"}', b"\xff"])
def test_a_broken_file_of_the_cache_is_named(server, tmp_path, content):
    with interview(model_at(server), tmp_path, attempts=1) as held:
        held.ask([ask("One.")])
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(content)
    with (
        pytest.raises(DataError, match=rf"{path.name}.*; delete it to have it asked anew$"),
        interview(model_at(server), tmp_path, attempts=1) as held,
    ):
        held.ask([ask("One.")])


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"text": 3}', '{"text": "a", "more": 1}', '"text"'])
def test_an_answer_on_disk_has_the_form_that_was_asked_for(server, tmp_path, text):
    with interview(model_at(server), tmp_path, attempts=1) as held:
        held.ask([ask("One.")])
    (path,) = tmp_path.rglob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "text": text}))
    with (
        pytest.raises(DataError, match=rf"{path.name}: field .*; delete it to have it asked anew$"),
        interview(model_at(server), tmp_path, attempts=1) as held,
    ):
        held.ask([ask("One.")])
    path.unlink()
    with interview(model_at(server), tmp_path, attempts=1) as held:
        assert held.ask([ask("One.")])[0].outcome == "said"


def test_an_answer_on_disk_that_is_none_has_no_form(server, tmp_path):
    server.steps = [says(None, refusal="never")]
    with interview(model_at(server), tmp_path, attempts=1) as held:
        held.ask([ask("One.")])
    with interview(model_at(server), tmp_path, attempts=1) as held:
        assert held.ask([ask("One.")])[0].text == ""


def test_a_file_under_another_name_is_not_believed(server, tmp_path):
    with interview(model_at(server), tmp_path, attempts=1) as held:
        held.ask([ask("One.")])
        (path,) = tmp_path.rglob("*.json")
        key = ask("Two.").key(held.model.digest)
        (tmp_path / key[:2]).mkdir(exist_ok=True)
        (tmp_path / key[:2] / f"{key}.json").write_bytes(path.read_bytes())
        with pytest.raises(DataError, match="expected"):
            held.ask([ask("Two.")])


def test_two_builds_do_not_share_a_folder_at_once(server, tmp_path):
    with (
        interview(model_at(server), tmp_path, attempts=1),
        pytest.raises(StageError, match="another run"),
        interview(model_at(server), tmp_path, attempts=1),
    ):
        pass


def test_no_file_holds_the_key_however_it_was_spelled(server, tmp_path):
    spelled = ["".join(f"\\u{ord(character):04x}" for character in KEY), KEY.replace("-", "\\u002D")]
    server.steps = [says(f'{{"text": "a {each}"}}') for each in spelled]
    with interview(model_at(server), tmp_path, attempts=1) as held:
        found = held.ask([ask("One."), ask("Two.")])
    assert [each.outcome for each in found] == ["said", "said"]
    assert not any(KEY in json.loads(content)["text"] for content in files(tmp_path).values())


def test_no_file_holds_the_key(server, tmp_path):
    server.answer = lambda request: completion(json.dumps({"text": f"{KEY} {sentence_in(request)}"}))
    server.steps = [status(400, message=KEY)]
    with interview(model_at(server), tmp_path, attempts=1) as held:
        held.ask([ask("One."), ask("Two.")])
    assert len(files(tmp_path)) == 2
    assert not any(KEY.encode() in content for content in files(tmp_path).values())


@dataclass
class Bomb:
    """A model that is stopped by hand."""

    kind: str = "chat"
    name: str = "m"
    revision: str = ""
    digest: str = "m"
    parallel: int = 2
    stopped: threading.Event = field(default_factory=threading.Event)

    def complete(self, ask, *, attempt):
        if ask.seed == 0:
            raise KeyboardInterrupt
        assert self.stopped.wait(20)
        raise ModelError("stopped")

    def stop(self):
        self.stopped.set()

    def close(self):
        assert self.stopped.is_set()


def test_ctrl_c_wakes_what_waits(tmp_path):
    with pytest.raises(KeyboardInterrupt), interview(Bomb(), tmp_path, attempts=1) as held:
        held.ask([ask("One.", seed=k) for k in range(3)])
