"""Every knob is checked by name, and the JSON form is exact."""

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SettingsError
from models.memory.settings import MemorySettings
from tests.laws import examples

COUNTS = {
    "last": 1,
    "max_tokens": 1,
    "star_capacity": 1,
    "stream_capacity": 1,
    "cluster_size": 1,
    "cluster_buffer": 1,
    "clusters": 1,
    "host_bytes": 0,
    "chunk_bytes": 1,
}
SHARES = {"scene_motion": 0, "scene_novelty": 0, "motion_weight": 0, "complexity_weight": 0, "cluster_match": -1}
MAYBE = ("window_s", "last", "max_tokens")

values = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.integers(least, 10**9) for name, least in COUNTS.items()},
        **{name: st.floats(low, 1.0) for name, low in SHARES.items()},
        "window_s": st.none() | st.integers(1, 1000) | st.floats(0.01, 1e6),
        "semantic": st.booleans(),
    },
)


def test_every_knob_has_a_test_here():
    assert {field.name for field in fields(MemorySettings)} == {*COUNTS, *SHARES, "window_s", "semantic"}


@settings(max_examples=examples(50))
@given(given=values)
def test_settings_survive_json(given):
    made = MemorySettings(**given)
    back = MemorySettings.from_json(json.loads(json.dumps(made.to_json())))
    assert back == made
    assert hash(back) == hash(made)
    assert back.to_json() == made.to_json()


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_count_is_a_whole_number_from_its_least_on(name):
    MemorySettings(**{name: COUNTS[name]})
    wrong = [COUNTS[name] - 1, 2.0, "2", True, float("nan")] + ([] if name in MAYBE else [None])
    for value in wrong:
        with pytest.raises(SettingsError, match=f"memory setting {name} is "):
            MemorySettings(**{name: value})


@pytest.mark.parametrize("name", sorted(SHARES))
def test_a_share_stays_in_its_range(name):
    MemorySettings(**{name: SHARES[name]})
    for value in (SHARES[name] - 0.01, 1.01, float("nan"), float("inf"), "0.5", None, False):
        with pytest.raises(SettingsError, match=f"memory setting {name} is "):
            MemorySettings(**{name: value})


def test_a_window_is_seconds_above_nothing():
    assert MemorySettings(window_s=0.1).window_ns == 100_000_000
    assert MemorySettings(window_s=30).window_ns == 30_000_000_000
    assert MemorySettings().window_ns is None
    for value in (0, -1.0, float("inf"), "30", True):
        with pytest.raises(SettingsError, match="memory setting window_s is "):
            MemorySettings(window_s=value)


def test_semantic_is_true_or_false():
    assert MemorySettings(semantic=True).semantic
    for value in (1, None, "yes"):
        with pytest.raises(SettingsError, match="memory setting semantic is "):
            MemorySettings(semantic=value)


def test_unknown_fields_are_refused_by_name():
    whole = MemorySettings().to_json()
    with pytest.raises(SettingsError, match=r"unknown field size; expected only chunk_bytes, .*window_s; correct"):
        MemorySettings.from_json(whole | {"size": 3})
    with pytest.raises(SettingsError, match="are a list, expected a JSON object"):
        MemorySettings.from_json([])
    with pytest.raises(SettingsError, match="unknown field 3;"):
        MemorySettings.from_json({3: 4})


@given(st.sets(st.sampled_from(sorted(MemorySettings().to_json()))))
def test_a_field_that_an_older_version_did_not_know_has_its_default(absent):
    written = MemorySettings(last=7, clusters=5, semantic=True).to_json()
    older = MemorySettings.from_json({name: value for name, value in written.items() if name not in absent})
    for name, value in MemorySettings().to_json().items():
        assert older.to_json()[name] == (value if name in absent else written[name])
