"""All scores of a video, and the figures and intervals of many."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import RecipeError
from recipes.evaluation.evaluate import Replayed, evaluation_of
from recipes.evaluation.report import (
    MAIN,
    About,
    Scored,
    count_figures,
    markdown,
    read_evaluation,
    write_evaluation,
)
from recipes.evaluation.scores import figures_of, interval, score_video
from recipes.losses.interaction import Prices
from recipes.settings import DataConfig, EvaluateConfig, MadeConfig, ModelConfig, RunConfig
from tests.recipes.evaluation.made import GRIDS, S, ask, clip, due, empty_trace, perfect_trace, script, speech, talk

CONFIG = RunConfig(
    model=ModelConfig(made=MadeConfig()), data=DataConfig(folders=("a",)), evaluate=EvaluateConfig(tious=(0.5,))
)
ABOUT = About(
    package="out/model", model_sha256="ab" * 32, layout="branch", split="test", videos=3, rejected=0,
    datasets={"a/index": "1"}, config=CONFIG.model_dump_json(),
)  # fmt: skip
ON = [(t, ("move: red circle",) if 2 * S <= t < 6 * S else ()) for t in GRIDS]


def whole_clip(video_id, shift=0):
    return clip(
        video_id,
        asks=[
            ask("a", "The red circle moves."), ask("b", "So far, 2.", task="count_so_far", mode="counting"),
            ask("c", "I cannot tell.", task="before", mode="backward", unanswerable=True),
        ],
        scripts=[
            script(due(3 + shift, end_s=6 + shift), key="s"),
            script(
                due(2, heard=0, end_s=4, text="2."), due(8 + shift, end_s=10 + shift), key="d", kind="dialogue",
                mode="dialogue", asked_s=(2,),
            ),
        ],
        borders=(3 * S, 6 * S),
        on=ON,
    )  # fmt: skip


CLIPS = [whole_clip(name, shift) for name, shift in (("v", 0), ("w", 1), ("x", 2))]


def scored(trace_of, clips=tuple(CLIPS)):
    return [score_video(one, trace_of(one), prices=Prices()) for one in clips]


def values(scores):
    return {name: counted(scores)[0] for name, counted in figures_of(scores, (0.5,)).items()}


ONE = ("accuracy/", "exact/", "decisions/precision", "decisions/recall", "decisions/f1", "decisions/silence",
       "decisions/state", "decisions/at_once", "decisions/utility", "events/", "interaction/dialogue",
       "interaction/standing")  # fmt: skip
ZERO = ("decisions/early_rate", "decisions/late_rate", "decisions/missed_rate", "decisions/false", "decisions/dup",
        "decisions/delay", "stability/", "cut/")  # fmt: skip


def test_a_perfect_trace_scores_one_everywhere():
    for name, value in values(scored(perfect_trace)).items():
        if name.startswith(ONE):
            assert value == 1, name
        elif name.startswith(ZERO):
            assert value == 0, name
        else:
            assert name == "interaction/stops"
            assert value is None


def test_accuracy_of_a_task_is_over_all_its_modes():
    made = clip(asks=[ask("a", "red", task="colour"), ask("b", "blue", task="colour", mode="probe")])
    trace = perfect_trace(made)
    half = replace(trace, replies=(trace.replies[0], replace(trace.replies[1], text="red")))
    found = values([score_video(made, half, prices=Prices())])
    assert (found["accuracy/colour"], found["accuracy/colour/realtime"], found["accuracy/colour/probe"]) == (0.5, 1, 0)


def test_what_was_cut_too_short_is_counted_apart():
    made = clip(scripts=[script(due(4, text="red circle moves left"), due(10))])
    trace = replace(perfect_trace(made), talks=(talk(speech(4, "re", cut=True), speech(10)),))
    found = values([score_video(made, trace, prices=Prices())])
    assert (found["accuracy/all"], found["exact/all"], found["cut/left_out"]) == (1, 1, 0.5)


def test_an_empty_trace_recalls_nothing():
    found = values(scored(empty_trace))
    for name in ("accuracy/all", "decisions/recall", "decisions/f1", "events/micro_f1", "events/map@0.5"):
        assert found[name] == 0
    assert found["decisions/precision"] is None
    assert found["decisions/silence_accuracy"] == 1
    assert found["decisions/missed_rate"] == 1
    assert found["interaction/dialogue"] == 0


@settings(max_examples=10)
@given(st.permutations(range(3)))
def test_permuting_videos_changes_nothing(order):
    mixed = [perfect_trace, empty_trace, perfect_trace]
    plain = [score_video(one, trace(one), prices=Prices()) for one, trace in zip(CLIPS, mixed, strict=True)]
    found, again = values(plain), values([plain[k] for k in order])
    assert found.keys() == again.keys()
    for name, value in found.items():
        assert again[name] == (None if value is None else pytest.approx(value)), name


def test_a_trace_of_other_questions_is_refused():
    for other in (clip("v"), clip("w", asks=CLIPS[0].asks, scripts=CLIPS[0].scripts)):
        with pytest.raises(RecipeError, match="another video or other questions"):
            score_video(CLIPS[0], perfect_trace(other), prices=Prices())


def test_an_interval_holds_the_value_and_narrows_to_it():
    mixed = [score_video(c, (perfect_trace if k else empty_trace)(c), prices=Prices()) for k, c in enumerate(CLIPS)]
    table = figures_of(mixed, (0.5,))
    for name in MAIN:
        low, high = interval(mixed, table[name], seed=0)
        assert low <= table[name](mixed)[0] + 1e-9
        assert high >= table[name](mixed)[0] - 1e-9
        assert interval(mixed, table[name], seed=0) == (low, high)
    assert interval(mixed, table["accuracy/all"], seed=0) == pytest.approx((0, 1))
    assert interval(scored(perfect_trace), table["accuracy/all"], seed=0) == (1, 1)
    assert interval(mixed[:1], table["accuracy/all"], seed=0) is None
    assert interval(mixed, table["interaction/stops"], seed=0) is None


def test_an_interval_is_that_of_scipy():
    import numpy as np
    from scipy import stats

    # Seven of ten videos have all their answers right.
    right = scored(perfect_trace)[0]
    wrong = scored(empty_trace)[0]
    scores = [replace(right if k < 7 else wrong, video_id=str(k)) for k in range(10)]
    found = interval(scores, figures_of(scores, (0.5,))["accuracy/all"], seed=3)
    flat = np.array([1.0] * 7 + [0.0] * 3)
    theirs = stats.bootstrap(
        (flat,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found == pytest.approx((theirs.low, theirs.high), abs=0.11)


def test_an_interval_leaves_out_draws_without_anything_to_count():
    none = score_video(clip("y"), empty_trace(clip("y")), prices=Prices())
    some = scored(perfect_trace)[:1]
    counted = figures_of(some, (0.5,))["decisions/f1"]
    assert interval([*some, none], counted, seed=0) == (1, 1)


def test_the_whole_report(tmp_path):
    replayed = [Replayed(clip=one, seen=perfect_trace(one), blind=empty_trace(one, "blind")) for one in CLIPS]
    found = evaluation_of(replayed, CLIPS, about=ABOUT, config=CONFIG)
    accuracy = found.figure("accuracy/all")
    assert (accuracy.value, accuracy.blind, accuracy.clock, accuracy.low, accuracy.high) == (1, 0, None, 1, 1)
    # Of two things due in each dialogue, one is the commonest.
    assert accuracy.majority == pytest.approx(15 / 18)
    timing = found.figure("decisions/f1")
    assert (timing.value, timing.blind, timing.majority, timing.n) == (1, 0, None, 6)
    assert 0 < timing.clock <= 1
    assert found.figure("decisions/state_accuracy").clock is None
    assert found.figure("interaction/stops").value is None
    assert found.delays_s == (0.0,) * 6
    assert len(found.sweep) == 19
    assert (found.served.precision, found.served.recall, found.served.flip_rate) == (1, 1, 0)
    with pytest.raises(RecipeError, match="figure nonsense: found none"):
        found.figure("nonsense")
    write_evaluation(tmp_path / "e.json", found)
    assert read_evaluation(tmp_path / "e.json") == found
    text = markdown(found)
    assert text.startswith("# Evaluation of model\n")
    assert "| accuracy/all | 1.000 [1.000, 1.000] | 18 | 0.000 | – | 0.833 |" in text
    assert text.count("\n|") == len(found.figures) + 2


def test_without_a_training_split_the_fitted_baselines_know_nothing():
    replayed = [Replayed(clip=one, seen=perfect_trace(one), blind=empty_trace(one)) for one in CLIPS]
    found = evaluation_of(replayed, [], about=ABOUT, config=CONFIG)
    assert found.figure("accuracy/all").majority == 0
    assert found.figure("decisions/recall").clock == 0


def test_of_one_video_there_is_no_interval():
    scores = scored(perfect_trace)[:1]
    figures = count_figures(Scored(seen=scores, blind=scores, clock=scores, majority=scores), tious=(0.5,), seed=0)
    assert all(figure.low is None and figure.high is None for figure in figures)


def test_a_report_of_another_version_is_refused(tmp_path):
    replayed = [Replayed(clip=one, seen=perfect_trace(one), blind=empty_trace(one)) for one in CLIPS[:1]]
    path = tmp_path / "e.json"
    write_evaluation(path, evaluation_of(replayed, [], about=ABOUT, config=CONFIG))
    path.write_bytes(path.read_bytes().replace(b'"version": 2', b'"version": 9'))
    with pytest.raises(RecipeError, match="version is 9, expected 2"):
        read_evaluation(path)
    path.write_text("{")
    with pytest.raises(RecipeError, match="no whole evaluation"):
        read_evaluation(path)
