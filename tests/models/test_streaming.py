"""Streaming models: made, saved, loaded and opened; what does not fit is refused by name."""

import gc
import threading
import weakref
from dataclasses import replace

import pytest
import torch

from models.errors import PackageError, PoolFullError, QuestionError, SettingsError
from models.memory.settings import MemorySettings
from models.package import SaveOptions
from models.settings import StreamingSettings
from models.streaming import KEPT_ENCODERS, StreamingModel
from models.tiny import tiny_config, tiny_processor
from tests.models.packages import CARD
from tests.models.sessions import BASE, FAMILIES, answered, fed, hot, model_of
from tests.models.watched import WAIT


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_saved_answers_as_it_did(family, tmp_path):
    model = model_of(family)
    chosen = replace(BASE, memory="window", window_s=9.0, system_prompt="Look closely.")
    made = StreamingModel(model.backbone, model.processor, chosen)
    folder = made.save(tmp_path / "package", card=CARD)
    loaded = StreamingModel.from_pretrained(folder)
    assert loaded.settings == chosen
    assert loaded.folder == folder
    assert answered(fed(loaded.session(), 5)) == answered(fed(made.session(), 5))
    again = StreamingModel.from_pretrained(str(loaded.save(tmp_path / "again", card=CARD)), attention="eager")
    assert answered(fed(again.session(), 5)) == answered(fed(made.session(), 5))


def test_a_package_is_not_overwritten_unasked(tmp_path):
    model = model_of()
    folder = model.save(tmp_path / "package", card=CARD)
    with pytest.raises(PackageError, match="package"):
        model.save(folder, card=CARD)
    model.save(folder, card=CARD, options=SaveOptions(overwrite=True))
    (folder / "streaming.json").unlink(missing_ok=True)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(PackageError):
        StreamingModel.from_pretrained(folder)


def test_a_package_can_be_cast(tmp_path):
    folder = model_of().save(tmp_path / "package", card=CARD)
    loaded = StreamingModel.from_pretrained(folder, dtype=torch.bfloat16)
    assert loaded.backbone.dtype is torch.bfloat16
    assert fed(loaded.session(), 4).ask("What?", options=hot()).run().token_ids


@pytest.mark.parametrize("family", FAMILIES)
def test_random_models_are_the_same_for_the_same_seed(family):
    state = torch.get_rng_state()
    one, same, other = (StreamingModel.from_random(tiny_config(family), seed=seed, settings=BASE) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state), "nobody else's chance is touched"
    said = [answered(fed(model.session(), 4)) for model in (one, same, other)]
    assert said[0] == said[1]
    assert said[0] != said[2]


def test_a_random_model_keeps_its_attention_and_dtype():
    config = tiny_config("qwen2_5_vl")
    config._attn_implementation = "eager"
    model = StreamingModel.from_random(config, dtype=torch.bfloat16, processor=tiny_processor("qwen2_5_vl"))
    assert model.backbone.config._attn_implementation == "eager"
    assert model.backbone.dtype is torch.bfloat16
    assert model.settings == StreamingSettings()


TINY = tiny_config("qwen2_5_vl")
WRONG_MODELS = {
    "no configuration": (lambda: StreamingModel.from_random("qwen2_5_vl"), "expected Qwen2_5_VLConfig"),
    "another family": (lambda: StreamingModel.from_random(TINY.text_config), "expected Qwen2_5_VLConfig"),
    "settings a dict": (lambda: StreamingModel.from_random(TINY, settings={}), "StreamingSettings"),
    "seed a text": (lambda: StreamingModel.from_random(TINY, seed="3"), "seed"),
    "seed below zero": (lambda: StreamingModel.from_random(TINY, seed=-1), "seed"),
    "seed of 100 bits": (lambda: StreamingModel.from_random(TINY, seed=2**100), "seed"),
    "seed a bool": (lambda: StreamingModel.from_random(TINY, seed=True), "seed"),
    "no processor": (lambda: StreamingModel.from_random(TINY, processor="auto"), "processor"),
    "false processor": (lambda: StreamingModel.from_random(TINY, processor=False), "processor"),
    "dtype a text": (lambda: StreamingModel.from_random(TINY, dtype="float32"), "dtype"),
    "dtype an integer": (lambda: StreamingModel.from_random(TINY, dtype=torch.int8), "dtype"),
    "no such device": (lambda: StreamingModel.from_random(TINY, device="gpu"), "take one such as cpu"),
    "a device without data": (lambda: StreamingModel.from_random(TINY, device="meta"), "take one such as cpu"),
    "a device that is a number": (lambda: StreamingModel.from_random(TINY, device=2.5), "take one such as cpu"),
    "source a number": (lambda: StreamingModel.from_pretrained(3), "source"),
    "no source": (lambda: StreamingModel.from_pretrained(None), "source"),
    "package on no device": (lambda: StreamingModel.from_pretrained("x", device="gpu"), "take one such as cpu"),
    "package in no dtype": (lambda: StreamingModel.from_pretrained("x", dtype="bf16"), "dtype"),
}


@pytest.mark.parametrize("name", WRONG_MODELS)
def test_models_of_the_wrong_things_are_refused(name):
    make, told = WRONG_MODELS[name]
    with pytest.raises(SettingsError, match=told):
        make()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(PackageError, match="check the path"):
        StreamingModel.from_pretrained(tmp_path / "nowhere")


WRONG_SESSIONS = {
    "settings a dict": ({"settings": {"mode": "delayed"}}, "StreamingSettings"),
    "settings a text": ({"settings": "delayed"}, "StreamingSettings"),
    "unknown mode": ({"mode": "fast"}, "mode"),
    "mode a number": ({"mode": 3}, "mode"),
    "mode a list": ({"mode": ["delayed"]}, "mode"),
    "unknown memory": ({"memory": "elephant"}, "memory"),
    "memory a record": ({"memory": MemorySettings()}, "memory"),
    "unknown router": ({"router": "oracle"}, "router"),
    "router a number": ({"router": 0}, "router"),
    "router without weights": ({"router": "indexer"}, "weights"),
    "router while frames come": ({"mode": "parallel", "router": "recency"}, "mode incremental"),
    "no window": ({"window_s": 0}, "window_s"),
    "window that looks ahead": ({"window_s": -1.0}, "window_s"),
    "window without end": ({"window_s": float("inf")}, "window_s"),
    "window a text": ({"window_s": "60"}, "window_s"),
    "window a bool": ({"window_s": True}, "window_s"),
    "pool a number": ({"pool": 4096}, r"model's pool\(\)"),
    "pixels too few": ({"settings": replace(BASE, max_pixels=4)}, "pixels"),
    "pixels too many": ({"settings": replace(BASE, min_pixels=10**9)}, "pixels"),
    "no such device": ({"settings": replace(BASE, vision_device="nowhere")}, "vision_device"),
    "a device without data": ({"settings": replace(BASE, vision_device="meta")}, "vision_device"),
    "a device too far": ({"settings": replace(BASE, vision_device="cuda:77")}, "vision_device"),
}


@pytest.mark.parametrize("name", WRONG_SESSIONS)
def test_sessions_of_the_wrong_things_are_refused_and_take_no_row(name):
    given, told = WRONG_SESSIONS[name]
    model = model_of()
    pool = model.pool()
    with pytest.raises(SettingsError, match=told):
        model.session(**{"pool": pool, **given})
    assert answered(fed(model.session(pool=pool), 4)) == answered(fed(model.session(), 4))


@pytest.mark.parametrize(
    "made",
    [{"slots": 0}, {"slots": -1}, {"slots": 2.5}, {"slots": "8"}, {"slots": True}, {"sessions": 0}, {"sessions": True}],
)
def test_pools_of_the_wrong_size(made):
    with pytest.raises(SettingsError, match="pool"):
        model_of().pool(**made)


@pytest.mark.parametrize("other", ["another family", "more layers", "the same again"])
def test_a_pool_serves_its_own_model_only(other):
    """Keys are turned by the model's own frequencies, so that a pool of the same shape would not do either."""
    config = {
        "another family": tiny_config("qwen3_vl"),
        "more layers": tiny_config("qwen2_5_vl", layers=3),
        "the same again": tiny_config("qwen2_5_vl"),
    }[other]
    pool = StreamingModel.from_random(config, settings=BASE).pool()
    with pytest.raises(SettingsError, match=r"model's pool\(\)"):
        model_of().session(pool=pool)


def test_arguments_go_before_settings():
    model = model_of()
    chosen = replace(BASE, memory_settings=MemorySettings(window_s=9.0, last=4))
    session = model.session(chosen, mode="delayed", memory="window", window_s=2.0, router="recency")
    told = session.settings
    assert (told.mode, told.memory, told.window_s, told.router) == ("delayed", "window", 2.0, "recency")
    assert told.memory_settings == MemorySettings(window_s=2.0, last=4)
    assert model.session().settings == model.settings == BASE
    assert model.session(chosen).settings == chosen


@pytest.mark.parametrize(("memory", "left"), [("window", 2), ("star_stream", 4)])
def test_a_window_in_seconds_is_kept(memory, left):
    chosen = replace(BASE, memory_settings=MemorySettings(star_capacity=2))
    session = fed(model_of().session(chosen, memory=memory, window_s=2.0), 40)
    assert session.metrics().evicted >= 20 - left - 2
    assert session.ask("What?").stats.frames in (left, left - 1)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("memory", ["window", "star_stream", "clusters", "retrieval"])
@pytest.mark.parametrize("mode", ["incremental", "delayed"])
def test_memory_leaves_room_in_the_pool_for_a_question(family, memory, mode):
    """However long the stream and however much text stands around each grid."""
    session = fed(model_of(family).session(replace(BASE, slots=256, mode=mode, memory=memory)), 40)
    answer = session.ask("What is it that moves there?", options=hot()).run()
    assert answer.stats.frames >= 4
    assert session.metrics().slots_used <= 256


def test_sessions_share_an_encoder_where_they_see_alike():
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=BASE)
    one, other, apart = model.session(), model.session(mode="delayed"), model.session(replace(BASE, cache_bytes=1))
    assert one._state.intake.encoder is other._state.intake.encoder
    assert one._state.intake.encoder is not apart._state.intake.encoder
    fed(one, 4)
    fed(other, 4)
    other.ask("What?")
    assert other.metrics().vision_encoded == 2
    assert other.metrics().vision_exact_hits == 2


def test_encoders_that_nobody_uses_end_and_the_newest_keep_what_they_saw():
    with StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=BASE) as model:
        before = set(threading.enumerate())
        for size in range(9):
            model.session(replace(BASE, background=True, max_pixels=10_000 + size)).close()
        gc.collect()
        begun = [thread for thread in threading.enumerate() if thread not in before]
        while len(begun) > KEPT_ENCODERS:
            begun.pop(0).join(timeout=WAIT)
        assert sum(thread.is_alive() for thread in threading.enumerate() if thread not in before) == KEPT_ENCODERS
        for _ in range(2):
            session = fed(model.session(), 4)
            found = session.metrics()
            session.close()
        assert (found.vision_encoded, found.vision_exact_hits) == (2, 2)


@pytest.mark.parametrize("background", [True, False])
def test_a_model_that_is_let_go_gives_its_weights_back(background):
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=replace(BASE, background=background))
    session = fed(model.session(), 4)
    assert answered(session).words
    session.close()
    weights = weakref.ref(model.backbone.model)
    del model, session
    gc.collect()
    assert weights() is None


@pytest.mark.parametrize("question", ["", " ", 3, None, "\ud800"])
def test_words_for_a_router_are_text(question):
    with pytest.raises(QuestionError, match="question"):
        model_of().question_features(question)
    assert model_of().question_features("red").shape == (3, model_of().backbone.width)


def test_the_shared_tower_does_not_move_under_a_session():
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=BASE)
    session = model.session(replace(BASE, vision_device="cpu"))
    with pytest.raises(SettingsError, match="vision_device"):
        model.session(replace(BASE, vision_device="meta"))
    assert answered(fed(session, 4)).words


def test_a_pool_has_as_many_rows_as_it_was_made_with():
    model = model_of()
    pool = model.pool(slots=64, sessions=3)
    sessions = [model.session(pool=pool) for _ in range(3)]
    assert [session.metrics().slots for session in sessions] == [64] * 3
    with pytest.raises(PoolFullError, match="3 rows"):
        model.session(pool=pool)
