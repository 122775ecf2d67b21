"""Streaming settings: what is written is read back, and what is wrong is refused by its name."""

import json
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SettingsError
from models.memory.policy import POLICIES
from models.memory.settings import MemorySettings
from models.router import ROUTERS
from models.settings import MODES, StreamingSettings, served_layouts
from tests.laws import examples

names = st.text("abcdefgh_", min_size=1, max_size=12)
counts = st.integers(1, 2**40)
shares = st.floats(0, 1, allow_nan=False)


@st.composite
def drawn(draw):
    least = draw(st.none() | st.integers(1, 10_000))
    mode = draw(st.sampled_from(MODES))
    return StreamingSettings(
        mode=mode,
        memory=draw(st.sampled_from(sorted(POLICIES))),
        memory_settings=MemorySettings(window_s=draw(st.none() | st.integers(1, 10**6)), clusters=draw(counts)),
        router=draw(st.none() | st.sampled_from(sorted(ROUTERS))),
        layout=draw(st.sampled_from(served_layouts(mode))),
        top_k=draw(counts),
        window_s=draw(st.none() | st.floats(0.001, 1e6) | st.integers(1, 1000)),
        frames_per_chunk=2 * draw(counts),
        clip_frames=2 * draw(st.integers(2, 8)),
        max_gap_s=draw(st.floats(0.001, 1e6)),
        system_prompt=draw(st.text(max_size=20)),
        temperature=draw(shares),
        seed=draw(st.integers(0, 2**63 - 1)),
        decision_tokens=tuple(draw(st.lists(names, min_size=3, max_size=3, unique=True))),
        speak_threshold=draw(st.none() | shares),
        similarity=draw(st.none() | st.floats(0.001, 255)),
        min_pixels=least,
        max_pixels=draw(st.none() | st.integers(least or 1, 10**9)),
        background=draw(st.booleans()),
        vision_device=draw(st.none() | st.sampled_from(["cpu", "cuda", "cuda:1"])),
    )


@settings(max_examples=examples(50))
@given(drawn())
def test_what_is_written_is_read_back(made):
    text = json.dumps(made.to_json(), allow_nan=False)
    assert StreamingSettings.from_json(json.loads(text)) == made
    assert list(json.loads(text)) == [field.name for field in fields(made)]


@settings(max_examples=examples(30))
@given(drawn(), st.data())
def test_an_absent_field_has_its_default(made, data):
    left_out = data.draw(st.sampled_from([field.name for field in fields(made)]))
    value = {name: part for name, part in made.to_json().items() if name != left_out}
    default = asdict(StreamingSettings())[left_out]
    if left_out == "min_pixels" or (left_out == "max_pixels" and made.min_pixels):
        value.pop("max_pixels", None)
        value.pop("min_pixels", None)
    assert asdict(StreamingSettings.from_json(value))[left_out] == default


@settings(max_examples=examples(25))
@given(st.text(min_size=1).filter(lambda name: name not in StreamingSettings().to_json()))
def test_an_unknown_field_is_named(name):
    with pytest.raises(SettingsError, match="unknown field") as caught:
        StreamingSettings.from_json({name: 1})
    assert name in str(caught.value)


WRONG = [
    ("mode", "fast"), ("mode", None), ("memory", ""), ("memory", 3), ("memory", "everything"),
    ("memory", []), ("mode", []), ("memory_settings", None), ("router", ""), ("router", 1),
    ("router", "oracle"), ("layout", "zigzag"), ("layout", None),
    ("top_k", 0), ("top_k", True), ("top_k", 2.0), ("top_k", "8"), ("window_s", 0), ("window_s", -1.0),
    ("window_s", float("inf")), ("window_s", float("nan")), ("window_s", "60"), ("frames_per_chunk", 0),
    ("frames_per_chunk", 3),
    ("clip_frames", 3), ("clip_frames", 5), ("clip_frames", 17),
    ("max_gap_s", 0), ("max_gap_s", None), ("slots", 0), ("slots", 2**63),
    ("history_rounds", -1), ("system_prompt", None), ("system_prompt", "\ud800"),
    ("max_new_tokens", 0), ("temperature", -0.1),
    ("temperature", True), ("top_p", 0), ("top_p", 1.5), ("top_k_sampling", -1), ("repetition_penalty", 0),
    ("seed", -1), ("decision_tokens", ("a", "b")), ("decision_tokens", ("a", "a", "b")),
    ("decision_tokens", ("a", "", "b")), ("decision_tokens", "abc"), ("decision_tokens", ("a", 1, "b")),
    ("speak_threshold", 1.1), ("position_limit", 0), ("min_pixels", 0), ("max_pixels", 1.5), ("cache_bytes", -1),
    ("similarity", 0), ("similarity", 256), ("background", 1), ("background", "yes"), ("max_pending", 0),
    ("vision_device", "CUDA 1"),
    ("vision_device", "cuda:"), ("vision_device", ""), ("vision_device", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG, ids=str)
def test_a_wrong_field_is_refused_by_its_name(name, value):
    with pytest.raises(SettingsError, match=rf"setting {name} is .*expected"):
        replace(StreamingSettings(), **{name: value})
    with pytest.raises(SettingsError, match=rf"{name.replace('_', '.')}.* (is|are) .*expected"):
        StreamingSettings.from_json({name: value})


def test_every_field_has_a_wrong_value_here():
    # A new field that nobody checks would show up as a gap.
    assert {name for name, _ in WRONG} == {field.name for field in fields(StreamingSettings)}


def test_pixels_have_to_be_ordered():
    with pytest.raises(SettingsError, match="max_pixels is 99, expected an integer of 100"):
        StreamingSettings(min_pixels=100, max_pixels=99)
    assert StreamingSettings(min_pixels=100, max_pixels=100).max_pixels == 100


@pytest.mark.parametrize("value", [None, [], "mode", 3])
def test_settings_that_are_no_object_are_refused(value):
    with pytest.raises(SettingsError, match="expected a JSON object"):
        StreamingSettings.from_json(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [({"colour": 1}, "colour"), (MemorySettings().to_json() | {"clusters": 0}, "clusters"), ([], "list")],
)
def test_what_is_wrong_in_the_memory_settings_is_named(value, told):
    with pytest.raises(SettingsError, match=told):
        StreamingSettings.from_json({"memory_settings": value})


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        StreamingSettings().mode = "clip"
