"""Pipelines as files say them: each wrong value is told in one sentence, with its field and what was found."""

import re

import pytest

from augment.operation import Operation
from augment.picture_settings import Aspect
from augment.settings import INTERACTION, TEMPORAL, Crop, Delay, Freeze, Loop, Pipeline, Reconnect, Reverse, Skip, Speed
from datasets_build.core.config import ConfigError, flatten, load_config


def read(tmp_path, text, *overrides):
    path = tmp_path / "pipeline.yaml"
    path.write_text(text)
    return load_config(Pipeline, path, overrides)


def with_one(operation):
    return "operations:\n  - {" + operation + "}\n"


PYDANTIC = re.compile("array|object|[Tt]uple|dictionary|instance|tag|discriminator|validation")
"""Words for its types, which nobody who writes YAML has met."""
# What the file says of its one operation; which field is told, what was found there, what was expected.
WRONG = [
    ("kind: speed, low: 0", "operations.0.speed.low", "found 0", "greater than or equal to 0.25"),
    ("kind: speed, low: -1", "operations.0.speed.low", "found -1", "greater than or equal to 0.25"),
    ("kind: speed, high: 9", "operations.0.speed.high", "found 9", "less than or equal to 4"),
    ("kind: speed, low: 2, high: 1", "operations.0.speed", "high 1.0 lies below low 2.0", ""),
    ("kind: speed, low: fast", "operations.0.speed.low", "found 'fast'", "number"),
    ("kind: speed, form: wobble", "operations.0.speed.form", "found 'wobble'", "'constant', 'ramp' or 'pieces'"),
    ("kind: speed, changes: 0", "operations.0.speed.changes", "found 0", "greater than or equal to 1"),
    ("kind: speed, p: 1.5", "operations.0.speed.p", "found 1.5", "less than or equal to 1"),
    ("kind: speed, p: -0.1", "operations.0.speed.p", "found -0.1", "greater than or equal to 0"),
    ("kind: speed, factor: 2", "operations.0.speed.factor", "unknown key", ""),
    ("kind: teleport", "operations.0.kind", "found 'teleport'", "expected 'speed', 'skip', "),
    ("kind: 3", "operations.0.kind", "found 3", "'shake' or 'noise'"),
    ("p: 1", "operations.0.kind", "missing in {'p': 1}", "expected 'speed', 'skip', "),
    ("knd: fly", "operations.0.kind", "missing in {'knd': 'fly'}", "'shake' or 'noise'"),
    (
        "kind: delay, model: {ms: 5}",
        "operations.0.delay.model.form",
        "missing in {'ms': 5}",
        "expected 'constant', 'lognormal', 'bursts' or 'trace'",
    ),
    (
        "kind: delay, network: {form: slow}",
        "operations.0.delay.network.form",
        "found 'slow'",
        "expected 'constant', 'lognormal', 'bursts' or 'trace'",
    ),
    ("kind: delay, network: 3", "operations.0.delay.network", "found 3", "expected a mapping"),
    ("kind: resolution, heights: 144", "operations.0.resolution.heights", "found 144", "expected a list"),
    ("kind: aspect, ratios: []", "operations.0.aspect.ratios", "found []", "expected at least 1 item"),
    ("kind: skip, n: 1", "operations.0.skip.n", "found 1", "greater than or equal to 2"),
    ("kind: skip, n: 2.5", "operations.0.skip.n", "found 2.5", "integer"),
    ("kind: skip, share: 0", "operations.0.skip.share", "found 0", "greater than 0"),
    ("kind: skip, share: 1", "operations.0.skip.share", "found 1", "less than 1"),
    ("kind: skip, form: all", "operations.0.skip.form", "found 'all'", "'every', 'random', 'bursts' or 'motion'"),
    ("kind: skip, length_s: 0", "operations.0.skip.length_s", "found 0", "equal to 0.01"),
    ("kind: skip, change: 0", "operations.0.skip.change", "found 0", "greater than 0"),
    ("kind: skip, longest_s: -1", "operations.0.skip.longest_s", "found -1", "greater than 0"),
    ("kind: jitter, sd_ms: 0", "operations.0.jitter.sd_ms", "found 0", "greater than 0"),
    ("kind: crop, least: 0", "operations.0.crop.least", "found 0", "greater than 0"),
    ("kind: crop, most: 1.1", "operations.0.crop.most", "found 1.1", "less than or equal to 1"),
    ("kind: crop, least: 0.8, most: 0.2", "operations.0.crop", "most 0.2 lies below least 0.8", ""),
    ("kind: concat, others: 0", "operations.0.concat.others", "found 0", "greater than or equal to 1"),
    ("kind: loop, times: 1", "operations.0.loop.times", "found 1", "greater than or equal to 2"),
    ("kind: freeze, stalls: 0", "operations.0.freeze.stalls", "found 0", "greater than or equal to 1"),
    ("kind: freeze, least_s: 3, most_s: 1", "operations.0.freeze", "most_s 1.0 lies below least_s 3.0", ""),
    ("kind: freeze, least_s: 0", "operations.0.freeze.least_s", "found 0", "greater than 0"),
    ("kind: reconnect, gaps: 0", "operations.0.reconnect.gaps", "found 0", "greater than or equal to 1"),
    ("kind: reconnect, least_s: 5", "operations.0.reconnect", "most_s 4.0 lies below least_s 5.0", ""),
    ("kind: delay", "operations.0.delay", "found neither network nor model", "expected what is late"),
    (
        "kind: late_answer, policy: lie",
        "operations.0.late_answer.policy",
        "found 'lie'",
        "'retime', 'reword' or 'drop'",
    ),
    ("kind: freeze, stalls: 10001", "operations.0.freeze.stalls", "found 10001", "less than or equal to 10000"),
    ("kind: freeze, stalls: 2, most_s: 43201", "operations.0.freeze", "2 stalls of up to 43201 s", "a day of them"),
    ("kind: reconnect, gaps: 1000000000000", "operations.0.reconnect.gaps", "found 1000000000000", "10000"),
    ("kind: skip, form: bursts, length_s: 1.0e-300", "operations.0.skip.length_s", "found 1e-300", "equal to 0.01"),
    ("kind: aspect, ratios: [4:3]", "operations.0.aspect.ratios.0", "found 243", 'in quotes from "1:10" to "10:1"'),
    ('kind: aspect, ratios: ["4:3", "0:1"]', "operations.0.aspect.ratios.1", "found '0:1'", 'such as "4:3"'),
    ('kind: aspect, ratios: ["9999:1"]', "operations.0.aspect.ratios.0", "found '9999:1'", '"10:1"'),
    ('kind: aspect, ratios: ["1:11"]', "operations.0.aspect.ratios.0", "found '1:11'", '"1:10"'),
    ("kind: interrupt, share: 2", "operations.0.interrupt.share", "found 2", "less than or equal to 1"),
    ("kind: dropped_answer, patience_s: 0", "operations.0.dropped_answer.patience_s", "found 0", "greater than 0"),
    ("kind: wrong_then_corrected, by: nobody", "operations.0.wrong_then_corrected.by", "found 'nobody'", "'self' or"),
]


@pytest.mark.parametrize(("operation", "field", "found", "expected"), WRONG)
def test_a_wrong_value_of_an_operation_is_told(tmp_path, operation, field, found, expected):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, with_one(operation))
    words = str(caught.value)
    assert words.startswith(str(tmp_path / "pipeline.yaml"))
    for part in (f"{field}:", found, expected):
        assert part in words
    assert words.count("operations.0") == 1
    assert "\n" not in words
    assert not PYDANTIC.search(words)


SPEED = "{kind: speed}"
LATE = "{kind: delay, model: {form: constant, ms: 5}}"
WRONG_PIPELINES = [
    ("operations: []\n", "operations: found none, expected one or more"),
    ("seed: 1\n", "operations: missing"),
    ("operations: speed\n", "operations: found 'speed', expected a list"),
    ("operations: 3\n", "operations: found 3, expected a list"),
    ("operations: {kind: speed}\n", "operations: found {'kind': 'speed'}, expected a list"),
    ("operations: [speed]\n", "operations.0: found 'speed', expected a mapping"),
    (f"copies: 0\noperations: [{SPEED}]\n", "copies: Input should be greater than or equal to 1, found 0"),
    (f"seed: soon\noperations: [{SPEED}]\n", "seed: Input should be a valid integer"),
    (f"gone: keep\noperations: [{SPEED}]\n", "gone: Input should be 'drop' or 'unanswerable', found 'keep'"),
    (f"operation: [{SPEED}]\noperations: [{SPEED}]\n", "operation: unknown key"),
    ("operations: [{kind: speed, p: 0}, {kind: loop, p: 0}]\n", "each has p 0, so nothing would be made"),
    (f"operations: [{LATE}, {LATE}]\n", "found delay 2 times, expected it once"),
    (f"operations: [{LATE}, {SPEED}]\n", "found speed behind delay, expected it before: a network comes last"),
    ("operations: [{kind: interrupt}, {kind: interrupt}]\n", "found interrupt 2 times, expected it once"),
    ("operations: [{kind: reverse}, {kind: skip, form: bursts}, {kind: reverse}]\n", "found reverse 2 times, expected"),
    ("operations: [{kind: reverse}, {kind: reverse, p: 0.5}]\n", "take both out"),
    (f"views: 2\noperations: [{SPEED}]\n", "views: found 2, but no operation on pixels"),
]


@pytest.mark.parametrize(("text", "words"), WRONG_PIPELINES)
def test_a_wrong_pipeline_is_told(tmp_path, text, words):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not PYDANTIC.search(str(caught.value))


def test_an_override_is_read_like_the_file(tmp_path):
    assert read(tmp_path, with_one("kind: speed"), "seed=7", "copies=3").seed == 7
    with pytest.raises(ConfigError, match="copies: Input should be greater than or equal to 1, found 0"):
        read(tmp_path, with_one("kind: speed"), "copies=0")


def test_each_kind_is_read_as_what_it_is(tmp_path):
    for model in TEMPORAL + INTERACTION:
        kind = model.model_fields["kind"].default
        (operation,) = read(tmp_path, with_one(f"kind: {kind}")).operations
        assert type(operation) is model
        assert isinstance(operation, Operation)
        assert operation.p == 1.0


def test_operations_keep_their_order_and_settings(tmp_path):
    pipeline = read(
        tmp_path,
        "seed: 4\noperations:\n  - {kind: loop}\n  - {kind: speed, p: 0.5, low: 1, high: 1}\n  - {kind: loop}\n",
    )
    assert pipeline.operations == (Loop(), Speed(p=0.5, low=1.0, high=1.0), Loop())
    assert pipeline.in_time == pipeline.operations
    assert pipeline.on_pixels == ()


def test_bounds_themselves_are_allowed():
    assert Speed(low=0.25, high=4.0).high == 4.0
    assert Speed(low=2.0, high=2.0).low == 2.0
    assert Crop(least=1.0, most=1.0).most == 1.0
    assert Freeze(least_s=1.0, most_s=1.0).least_s == 1.0
    assert Reconnect(least_s=4.0, most_s=4.0).gaps == 1
    assert Skip(n=2, share=0.999, length_s=0.01).n == 2
    assert Freeze(stalls=2, most_s=43_200.0).stalls == 2
    assert Aspect(ratios=("1:10", "10:1", "1000:9999")).ratios[0] == "1:10"
    assert Delay(model={"form": "constant", "ms": 0.0}).network is None


def test_settings_are_told_flat_so_that_a_fingerprint_sees_each():
    one, two = (flatten(Pipeline(operations=(Speed(high=high), Reverse()))) for high in (2.0, 3.0))
    assert {name for name in one if one[name] != two[name]} == {"operations"} or any("high" in name for name in one)
    assert one != two
