"""The model card: what is stated stands there, what is not is said to be unstated, and the hub can read it."""

import json
from dataclasses import asdict, replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import PackageError
from models.model_card import Metric, ModelCard, TrainingData, TrainingProvenance, render_card
from models.settings import StreamingSettings
from tests.laws import examples

text = st.text(min_size=1, max_size=20).filter(str.strip)
optional = st.none() | text
data = st.builds(TrainingData, name=text, revision=optional, fingerprint=optional)
metrics = st.builds(Metric, name=text, value=st.floats(allow_nan=False, allow_infinity=False) | st.integers())
sources = st.builds(
    TrainingProvenance,
    base_model=optional,
    base_revision=optional,
    datasets=st.none() | st.lists(data, max_size=3).map(tuple),
    recipe=optional,
    recipe_sha256=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    code_version=optional,
    steps=st.none() | st.integers(0, 2**62),
    date=st.none() | st.dates().map(str),
    metrics=st.none() | st.lists(metrics, max_size=3).map(tuple),
)
cards = st.builds(
    ModelCard,
    name=text.filter(lambda name: "\n" not in name),
    license=st.sampled_from(["apache-2.0", "other", "mit"]),
    license_text=optional,
    summary=st.text(max_size=40),
    provenance=sources,
)
FULL = ModelCard(
    name="Tiny watcher",
    license="apache-2.0",
    license_text="Apache License\n",
    summary="Watches *shapes*.",
    provenance=TrainingProvenance(
        base_model="Qwen/Qwen2.5-VL-3B-Instruct",
        base_revision="66285546d2b8",
        datasets=(TrainingData(name="streamvl/shapes", revision="v1", fingerprint="abc"), TrainingData(name="my disk")),
        recipe="recipes/tiny.yaml",
        recipe_sha256="0" * 64,
        code_version="0.1.0",
        steps=1200,
        date="2026-03-01",
        metrics=(Metric(name="validation_loss", value=0.25),),
    ),
)


def rendered(card):
    return render_card(
        card, family="qwen3_vl", settings=StreamingSettings(slots=77), parameters=187_168, dtype="float32"
    )


def front(page):
    _, head, _ = page.split("---\n", 2)
    return yaml.safe_load(head)


@settings(max_examples=examples(50))
@given(cards)
def test_what_is_written_is_read_back(card):
    assert ModelCard.from_json(json.loads(json.dumps(card.to_json(), allow_nan=False))) == card


@settings(max_examples=examples(50))
@given(cards)
def test_every_card_has_a_head_that_yaml_reads(card):
    page = rendered(card)
    head = front(page)
    assert head["license"] == card.license
    assert head["pipeline_tag"] == "video-text-to-text"
    assert page == rendered(card)
    told = page[page.index("## Training") :]
    assert "not stated" in told or all(value is not None for value in asdict(card.provenance).values())


def test_a_full_card_tells_all_of_it():
    page = rendered(FULL)
    assert front(page) == {
        "license": "apache-2.0",
        "base_model": "Qwen/Qwen2.5-VL-3B-Instruct",
        "datasets": ["streamvl/shapes"],
        "pipeline_tag": "video-text-to-text",
        "library_name": "transformers",
        "tags": ["video", "streaming", "streamvl", "qwen3_vl"],
    }
    for wanted in (
        "# Tiny watcher", "Watches *shapes*.", "(187168 parameters, float32)", "from models.streaming import",
        "python -m models watch", "| `slots` | `77` |", "| recipe | recipes/tiny.yaml |", "| optimizer steps | 1200 |",
        "| date | 2026-03-01 |", "| streamvl/shapes | v1 | abc |", "| my disk | not stated | not stated |",
        "| validation_loss | 0.25 |", "`apache-2.0`, passed on from the base model.",
    ):  # fmt: skip
        assert wanted in page
    assert "unknown" not in page
    assert FULL.license_file == "Apache License\n"


def test_an_unknown_licence_is_said_plainly():
    card = ModelCard(name="Found", license="unknown")
    page = rendered(card)
    assert "The licence of these weights is **unknown**" in page
    assert front(page)["license"] == "unknown"
    assert "unknown" in card.license_file
    assert page.count("not stated") == 9


def test_a_licence_without_its_text_says_where_it_stands():
    card = replace(FULL, license_text=None)
    assert "apache-2.0. Its text stands at https://huggingface.co/Qwen/" in card.license_file
    bare = ModelCard(name="Bare", license="mit")
    assert "the licence's own site" in bare.license_file
    assert "(which is not stated)" in rendered(bare)


def test_none_at_all_is_not_unstated():
    page = rendered(replace(FULL, provenance=TrainingProvenance(datasets=(), metrics=())))
    assert "Datasets: none." in page
    assert "Metrics: none." in page


def test_what_is_stated_cannot_break_the_page():
    nasty = TrainingProvenance(base_model="a | b\n\n# c", datasets=(TrainingData(name="---\nx: y"),))
    page = rendered(replace(FULL, provenance=nasty))
    assert "| base model | a \\| b # c |" in page
    assert "| --- x: y |" in page
    assert "base_model" not in front(page)
    assert "datasets" not in front(page)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": " "}, "name is ' '"),
        ({"name": "a\nb"}, "expected one line"),
        ({"license": ""}, "license is ''"),
        ({"license": "Apache 2.0"}, "license is 'Apache 2.0'"),
        ({"license": None}, "'unknown' where nobody knows"),
        ({"license": "unknown"}, "expected that text's identifier"),
        ({"license_text": ""}, "license_text is ''"),
        ({"summary": None}, "summary is None"),
        ({"provenance": None}, "provenance is None"),
    ],
)
def test_a_wrong_card_is_refused_by_its_field(change, told):
    with pytest.raises(PackageError, match="model card") as caught:
        replace(FULL, **change)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_model", ""), ("base_revision", 3), ("datasets", ["x"]), ("datasets", ("x",)), ("recipe", " "),
        ("recipe_sha256", "abc"), ("code_version", 1), ("steps", -1), ("steps", 1.0), ("steps", True),
        ("date", "yesterday"), ("date", "2026-02-30"), ("date", "20260101"), ("metrics", ({"loss": 1},)),
    ],
)  # fmt: skip
def test_a_wrong_provenance_is_refused_by_its_field(name, value):
    with pytest.raises(PackageError, match=rf"model card: {name} is .*expected"):
        TrainingProvenance(**{name: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", True])
def test_a_metric_is_a_number(value):
    with pytest.raises(PackageError, match="expected a finite number"):
        Metric(name="loss", value=value)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("colour",), 1, "unknown fields ['colour']"),
        (("provenance", "colour"), 1, "card.provenance: unknown fields ['colour']"),
        (("provenance", "datasets"), 1, "expected a JSON list"),
        (("provenance", "datasets"), [1], "card.provenance.datasets is a int"),
        (("provenance", "metrics"), [{"name": "loss"}], "missing fields ['value']"),
        (("provenance",), None, "card.provenance is a NoneType"),
    ],
)
def test_a_card_from_a_file_is_read_strictly(path, value, told):
    card = json.loads(json.dumps(FULL.to_json()))
    place = card
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(PackageError) as caught:
        ModelCard.from_json(card)
    assert told in str(caught.value)
