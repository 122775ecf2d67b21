"""What a pipeline makes, worked out from its settings as a manifest writes them: the very videos that a maker makes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import AugmentError
from augment.maker import Maker
from augment.making import operation_told
from augment.operation import Operation
from augment.picture_settings import PictureOperation
from augment.settings import AnyOperation, Delay, Pipeline, Skip, Speed
from augment.source import by_size
from datasets_build.checks.planned import Plan, copies_breaches, planned
from datasets_build.checks.told import Left, Told, joined_breaches, named_breaches
from datasets_build.core.augmentation import ON_PIXELS
from datasets_build.core.files import write_jsonl
from datasets_build.core.records import Reject
from tests.augment.clips import clip
from tests.checks.remaking import flatten_fields
from tests.checks.test_remade import pipelines
from tests.laws import examples


def models():
    """Every operation that there is."""
    union = AnyOperation.__origin__.__args__
    return [model for model in union if issubclass(model, Operation)]


def test_what_changes_pixels_is_known_by_its_kind():
    kinds = {model.model_fields["kind"].default for model in models() if issubclass(model, PictureOperation)}
    assert kinds == ON_PIXELS
    assert len(models()) > len(kinds)


@settings(max_examples=examples(40), deadline=None)
@given(pipelines(), st.integers(1, 3), st.floats(0.05, 1))
def test_every_video_that_a_maker_makes_is_planned_and_no_other(pipeline, copies, p):
    some = [each.model_copy(update={"p": p}) for each in pipeline.operations]
    pipeline = pipeline.model_copy(update={"operations": tuple(some), "copies": copies})
    clips = [clip(name, seconds=12.0) for name in "ab"]
    wanted = planned(Plan.of(flatten_fields(pipeline)), [clips[0].video])
    maker, met = Maker(pipeline=pipeline, others=by_size(clips)), set()
    for copy in range(copies):
        for camera in range(pipeline.views):
            try:
                made = maker.make(clips[0], copy, camera)
            except AugmentError:
                # Whether it can be made is not planned.
                return
            if made is not None:
                met.add(made.clip.video.id)
                there = wanted[made.clip.video.id]
                for row in made.maps:
                    assert (row.seed, row.operation, row.scene_id) == (there.seed, there.operation, there.scene_id)
                assert there.item == f"{clips[0].video.uri}: copy {copy}"
    assert met == wanted.keys()


@pytest.mark.parametrize(
    "operation",
    [
        Speed(low=0.25, high=0.3333333333333333),
        Delay(network={"form": "bursts", "good_ms": 1e-7, "bad_ms": 60_000}, model={"form": "constant", "ms": 5}),
        *(model() for model in models() if model is not Delay),
    ],
)
def test_an_operation_is_read_as_its_rows_tell_it(operation):
    (step,) = Plan.of(flatten_fields(Pipeline(operations=(operation,)))).steps
    assert step.text == operation_told(operation)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"config.seed": "many"}, {"config.operations": "(Speed("}, {"config.operations": "'speed'"},
     {"config.operations": "(Speed(kind='speed'),)"}, {"config.operations": "(open('x'), 5)"}],
)  # fmt: skip
def test_settings_that_are_none_are_told(wrong):
    fields = flatten_fields(Pipeline(operations=(Speed(),))) | wrong if wrong else {}
    with pytest.raises(ValueError, match=r"."):
        Plan.of(fields)


def told(*items):
    reason = {"stage": "augment", "code": "cannot", "reason": "because", "action": "none"}
    return Told(Reject(item=item, **reason) for item in items)


def test_a_copy_is_there_or_told():
    video = clip("a", seconds=12.0).video
    plan = Plan.of(flatten_fields(Pipeline(copies=2, operations=(Skip(),))))
    wanted = planned(plan, [video])
    first, second = wanted
    for rejects, lost in (
        (told(), [second]),
        (told(f"{video.uri}: copy 1"), []),
        (told(f"{second}: video file"), []),
        (told(f"{video.uri}: copy 0", f"{second}: Event 5"), [second]),
    ):
        found = [(name, *all_) for name, all_ in copies_breaches(wanted, frozenset([first]), rejects) if all_]
        assert [name for name, *_ in found] == lost
        assert all(video.id in breach.expected for _, breach in found)


def test_rejects_that_name_nothing_are_found():
    records = {"Event": {"e"}, "StreamingQA": {"q"}, "Dialogue": {"d"}, "Annotation": {"a"}}
    good = told("v: Event e", "v: StreamingQA q", "v: Dialogue d", "v: Annotation a", "film.mp4: copy 0")
    assert [row for _, row in good.all()] == list(good.by("v"))
    assert good.by("v")[0] == Left("Event", "e", "cannot", "because")
    assert [all_ for _, all_ in named_breaches(good, {"v"}, {"film.mp4: copy 0"}, records) if all_] == []
    for wrong in ("v: Event q", "w: Event e", "film.mp4: copy 1", "v: Shot s", "nothing"):
        (breach,) = [b for _, all_ in named_breaches(told(wrong), {"v"}, {"film.mp4: copy 0"}, records) for b in all_]
        assert wrong in breach.found


def test_rejects_of_a_folder_are_those_of_its_stages(tmp_path):
    rows = [Reject(stage="index", item=str(k), code="x", reason="y", action="z") for k in range(4)]
    for name, some in (("index", rows[:1]), ("augment", rows[1:])):
        (tmp_path / name).mkdir()
        write_jsonl(tmp_path / name / "rejects.jsonl", some)
    for joined, wrong in (
        (rows, ""),
        (rows[:3], "line 4: none"),
        (rows[::-1], "line 1: 3"),
        ([*rows, rows[0]], "line 5"),
    ):
        write_jsonl(tmp_path / "rejects.jsonl", joined)
        found = list(joined_breaches(tmp_path))
        assert [wrong in breach.found for breach in found] == [True] * bool(wrong)
