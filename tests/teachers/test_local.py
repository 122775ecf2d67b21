"""A vision-language model in this process: tiny, of the real architecture, with random weights."""

import io

import pytest
import torch
from PIL import Image

from datasets_build.builders.build import build_events, build_streaming_qa
from datasets_build.builders.captions import CaptionsConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.core.files import read_rejects
from datasets_build.core.layout import dataset_rows
from datasets_build.core.records import StreamingQA
from datasets_build.teachers.local import LocalModel
from datasets_build.teachers.model import Ask, ModelError, Prompt, Reply
from datasets_build.teachers.reword import Wording
from datasets_build.teachers.settings import LocalConfig, TeachersConfig
from models.tiny import tiny_config, tiny_processor
from tests.builders.made import lively, write_out


class Word(Reply):
    text: str


TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As that of the real family, which has a place for pictures; the tiny package's has one for video only."""


def picture(level):
    held = io.BytesIO()
    Image.new("RGB", (64, 48), (level, 40, 200)).save(held, "JPEG")
    return held.getvalue()


def ask(text="Say a word.", *, seed=0, pictures=()):
    return Ask(prompt=Prompt.load("reword"), text=text, pictures=pictures, form=Word, seed=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint as transformers saves it."""
    from transformers import AutoModelForImageTextToText

    made = tmp_path_factory.mktemp("weights") / "tiny-vlm"
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(tiny_config("qwen2_5_vl")).save_pretrained(made)
    processor = tiny_processor("qwen2_5_vl")
    processor.chat_template = processor.tokenizer.chat_template = TEMPLATE
    processor.save_pretrained(made)
    return made


def local(folder, **more):
    return LocalModel(LocalConfig(model=str(folder), device="cpu", **{"max_tokens": 12, **more}))


def test_the_same_question_gets_the_same_answer_and_another_seed_another(folder):
    model = local(folder)
    first = model.complete(ask(pictures=(picture(10), picture(200))), attempt=0)
    numbers = torch.random.get_rng_state()
    again = local(folder).complete(ask(pictures=(picture(10), picture(200))), attempt=0)
    assert again == first
    assert torch.equal(numbers, torch.random.get_rng_state()), "nobody else's numbers move"
    assert first.text
    assert first.stop == "truncated"
    assert first.tokens_out == 12
    others = [
        model.complete(ask(seed=1, pictures=(picture(10), picture(200))), attempt=0),
        model.complete(ask(pictures=(picture(10), picture(200))), attempt=1),
    ]
    assert all(other.text != first.text for other in others)


def test_pictures_are_seen(folder):
    model = local(folder, temperature=0.0)
    none = model.complete(ask(), attempt=0)
    one = model.complete(ask(pictures=(picture(10),)), attempt=0)
    two = model.complete(ask(pictures=(picture(10), picture(200))), attempt=0)
    assert none.tokens_in < one.tokens_in < two.tokens_in


def test_greedy_knows_no_seed(folder):
    model = local(folder, temperature=0.0)
    assert model.complete(ask(), attempt=0) == model.complete(ask(seed=5), attempt=2)


def test_a_folder_is_known_by_its_weights(folder, tmp_path):
    model = local(folder)
    assert (model.name, len(model.revision)) == ("tiny-vlm", 12)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert local(tmp_path).revision == model.revision
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert local(tmp_path).revision != model.revision
    assert local(folder, revision="mine").revision == "mine"
    assert len({local(folder).digest, local(folder, temperature=0.0).digest, local(folder, max_tokens=9).digest}) == 3


def test_what_cannot_be_loaded_is_said(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"teachers\.local\.model: .*cannot be loaded"):
        local(tmp_path).complete(ask(), attempt=0)
    with pytest.raises(ModelError, match=r"teachers\.local\.model: is empty"):
        LocalModel(LocalConfig())


def test_a_template_without_a_place_for_pictures_is_said(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tiny_processor("qwen2_5_vl").save_pretrained(tmp_path)
    model = local(tmp_path)
    assert model.complete(ask(), attempt=0).tokens_out == 12
    with pytest.raises(ModelError, match="its processor refuses"):
        model.complete(ask(pictures=(picture(1),)), attempt=0)


def test_a_stopped_model_answers_nothing_more(folder):
    model = local(folder)
    model.stop()
    with pytest.raises(ModelError, match="nothing more"):
        model.complete(ask(), attempt=0)


def test_random_weights_build_a_dataset_in_the_templates_words(folder, tmp_path):
    scene = lively("one", seconds=8)
    keys = [row.model_copy(update={"jpeg": picture(90)}) for row in scene.keyframes]
    scene.keyframes[:] = keys
    out = write_out(tmp_path / "out", [scene])
    given = TeachersConfig(
        local=LocalConfig(model=str(folder), device="cpu", max_tokens=4), attempts=1, max_unanswered=1.0
    )
    build_events(out, EventsConfig(teacher="local", captions=CaptionsConfig(pictures=1)), teachers=given)
    told = [row for row in read_rejects(out / "events/rejects.jsonl") if row.code == "no_caption"]
    assert len(told) == len(scene.shots)
    assert all("tiny-vlm" in row.reason for row in told)
    stage = build_streaming_qa(out, StreamingQAConfig(teacher="local", least=4, per_minute=4.0), teachers=given)
    rows = list(dataset_rows(out, "streaming_qa/qa", StreamingQA))
    lines = list(dataset_rows(out, "streaming_qa/words", Wording))
    assert rows
    assert {row.provenance.kind for row in rows} == {"template"}
    assert all(line.kept for line in lines)
    assert stage.counts()["teacher_unanswered"] == stage.counts()["teacher_questions"] > 0
    assert stage.counts()["teacher_cost_millionths"] == 0
