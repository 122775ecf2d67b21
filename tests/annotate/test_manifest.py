"""What a round says of itself: every setting, and a digest by which a change is seen."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from annotate.manifest import LeftOut, Manifest
from annotate.order import OrderConfig
from annotate.plan import PlanConfig
from annotate.proxy import ProxyConfig
from tests.annotate.rounds_of_items import item, manifest

ITEMS = [item(number, is_gold=number == 1) for number in range(3)]
WEIGHTS = st.floats(0, 1e6, allow_nan=False)
orders = st.none() | st.builds(OrderConfig, random=st.floats(0.1, 9), uncertain=WEIGHTS, seed=st.integers())
proxies = st.builds(ProxyConfig, crf=st.integers(1, 40), most_high=st.integers(2, 4000))
words = st.text(max_size=9)


# Another value of each field.
OTHERS = {
    "round": "r2", "kind": "qa", "data": "x", "seed": 4, "overlap": 1, "sample": 3, "least_ns": 1, "most_ns": 1,
    "proxy": ProxyConfig(crf=30), "order": OrderConfig(), "after": "r0", "gold_sha256": "0" * 64, "labels": ("jump",),
    "config_sha256": "0" * 64, "model_version": "m/2", "items": 4, "items_sha256": "0" * 64, "gold": 2, "made_at": "",
    "parent_round": "r0", "left_out": (LeftOut(code="cut", records=1),), "rejects_sha256": "0" * 64,
}  # fmt: skip


@given(orders, proxies, words, st.lists(words, max_size=3).map(tuple))
def test_what_is_written_is_read_back_and_written_the_same(order, proxy, name, labels):
    made = manifest(ITEMS, order=order, proxy=proxy, data=name, labels=labels).sealed()
    again = Manifest.model_validate_json(made.text)
    assert again == made
    assert again.text == made.text
    assert again.sealed() == made


def test_the_digest_is_of_every_other_field_and_not_of_itself():
    made = manifest(ITEMS).sealed()
    assert len(made.sha256) == 64
    assert made.sealed() == made
    assert made.model_copy(update={"sha256": "other"}).sealed() == made
    assert OTHERS.keys() == Manifest.model_fields.keys() - {"sha256"}
    for name, value in OTHERS.items():
        assert made.model_copy(update={name: value}).sealed().sha256 != made.sha256, name


def test_each_setting_of_a_plan_is_a_field_of_the_same_name_and_type():
    for name, field in PlanConfig.model_fields.items():
        assert name in Manifest.model_fields, name
        if name in ("proxy", "order", "seed"):
            assert Manifest.model_fields[name].annotation == field.annotation


@pytest.mark.parametrize("name", ["seed", "overlap", "sample", "least_ns", "most_ns", "proxy", "order"])
def test_no_setting_is_taken_as_said_where_it_is_missing(name):
    fields = json.loads(manifest(ITEMS).text)
    del fields[name]
    with pytest.raises(ValidationError, match=name):
        Manifest.model_validate_json(json.dumps(fields))


def test_what_a_round_consists_of_stands_in_its_manifest_and_not_which_items_are_gold():
    made = manifest(ITEMS)
    assert (made.items, made.gold, made.overlap, made.seed, made.model_version) == (3, 1, 2, 3, "rules/1")
    assert len(made.items_sha256) == len(made.config_sha256) == 64
    assert not [one.key for one in ITEMS if one.key in made.sealed().text]
    assert not [one.window.video_id for one in ITEMS if f'"{one.window.video_id}"' in made.sealed().text]


@pytest.mark.parametrize("fields", [{"code": "cut", "records": 0}, {"code": "cut", "records": -1}, {"code": "cut"}])
def test_a_reason_without_a_record_is_none(fields):
    with pytest.raises(ValidationError, match="records"):
        LeftOut.model_validate(fields)
