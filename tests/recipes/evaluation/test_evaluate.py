"""A package evaluated on real output folders, whole, killed and on data that breaks."""

import json
from dataclasses import replace

import pytest

from models.model_card import ModelCard
from models.streaming import StreamingModel
from models.tiny import tiny_config
from recipes.data.corpus import dataset_digests
from recipes.errors import RecipeError
from recipes.evaluation import evaluate as module
from recipes.evaluation.clip import Pictures, clips_of
from recipes.evaluation.evaluate import evaluate, model_digest, replay_all, trace_key
from recipes.evaluation.replay import Replay, how_to_replay
from recipes.evaluation.report import read_evaluation
from recipes.settings import EvaluateConfig, ServeConfig
from tests.recipes.data.lessons import build, drawn_scene, open_corpus, run_config
from tests.recipes.evaluation.streams import SETTINGS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A short video to learn from, and two to evaluate on, of which the second breaks off."""
    out = tmp_path_factory.mktemp("data") / "out"
    splits = ("train", "test", "test")
    scenes = [drawn_scene(out / "videos", f"film-{k}", frames=75, seed=k, split=s) for k, s in enumerate(splits)]
    broken = out / "videos" / scenes[2].video.uri
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[2 * (len(whole) // 3) :])
    return build(out, scenes)


def package_of(tmp, layout="branch"):
    model = StreamingModel.from_random(tiny_config("qwen2_5_vl"), settings=replace(SETTINGS, layout=layout))
    return model.save(tmp / f"model-{layout}", card=ModelCard(name="tiny", license="unknown"))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return package_of(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def config(folder):
    return run_config(folder).model_copy(
        update={"evaluate": EvaluateConfig(max_new_tokens=2), "serve": ServeConfig(slots=1024)}
    )


@pytest.fixture(scope="module")
def done(package, config, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated")
    return evaluate(package, config, out), out


def test_everything_is_written(done, package, config):
    found, out = done
    assert read_evaluation(out / "evaluation.json") == found
    assert (out / "evaluation.md").read_text().startswith("# Evaluation of model-branch\n")
    assert len(list((out / "plots").glob("*.png"))) == 4
    assert (found.about.videos, found.about.rejected, found.about.layout) == (1, 1, "branch")
    assert found.about.model_sha256 == model_digest(package)
    assert found.about.datasets == dataset_digests(config.data)
    assert len(found.about.datasets) == 5
    assert json.loads(found.about.config)["evaluate"]["max_new_tokens"] == 2
    assert found.figure("accuracy/all").n >= 3
    assert found.figure("events/micro_f1").n == 3


def test_a_video_that_breaks_off_is_told_and_left_out(done):
    _, out = done
    (row,) = (json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines())
    assert row["stage"] == "evaluate"
    assert row["code"] == "VideoError"
    assert "film" in row["reason"]
    assert "evaluate again" in row["action"]


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_and_gives_the_same_bytes(done, package, config, tmp_path, monkeypatch):
    first, out = done
    whole = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.json*")}
    real, calls = module.write_trace, []

    def killed(path, trace):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(path, trace)

    monkeypatch.setattr(module, "write_trace", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate(package, config, tmp_path)
    assert not (tmp_path / "evaluation.json").exists()
    assert len(list(tmp_path.rglob("traces/*/*/*.json"))) == 1
    monkeypatch.setattr(module, "write_trace", real)
    made = []
    trace = Replay.trace
    monkeypatch.setattr(
        Replay, "trace", lambda self, clip, pictures: made.append(pictures.variant) or trace(self, clip, pictures)
    )
    again = evaluate(package, config, tmp_path)
    # Of the good video one trace was there; the other video is tried again.
    assert sorted(made) == ["blind", "seen"]
    assert again == first
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.json*")} == whole


def test_traces_of_another_model_or_other_settings_are_not_taken(package, config, tmp_path):
    how = how_to_replay(SETTINGS, config, events_question="Which?")
    key = trace_key(package, how, config)
    assert key == trace_key(package, how, config)
    assert key != trace_key(package_of(tmp_path, "group"), how, config)
    assert key != trace_key(package, replace(how, max_new_tokens=3), config)
    data = config.data.model_copy(update={"fps": "1"})
    assert key != trace_key(package, how, config.model_copy(update={"data": data}))


def test_where_every_video_fails_nothing_is_reported(package, config, folder, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RecipeError("nothing to see")

    monkeypatch.setattr(Replay, "trace", fails)
    with pytest.raises(RecipeError, match=r"all 2 videos failed, the first with: nothing to see"):
        evaluate(package, config, tmp_path)
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "evaluation.json").exists()


def test_an_error_that_is_none_of_the_videos_is_not_swallowed(package, config, folder, tmp_path):
    class Breaks:
        def trace(self, clip, pictures):
            raise ZeroDivisionError

    clips = clips_of(open_corpus(folder), "test")
    with pytest.raises(ZeroDivisionError):
        replay_all(Breaks(), clips, tmp_path, decoder="pyav")


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["group", "gap", "overlap_shared"])
def test_other_layouts_are_evaluated_too(layout, config, tmp_path):
    found = evaluate(package_of(tmp_path, layout), config, tmp_path / "out")
    assert found.about.layout == layout
    assert found.figure("accuracy/all").n >= 3


@pytest.mark.slow
def test_every_frame_comes_at_its_time_and_none_later(config, folder, package):
    (clip, _) = clips_of(open_corpus(folder), "test")
    with StreamingModel.from_pretrained(package) as model:
        how = how_to_replay(model.settings, config, events_question="Which?")
        given = []

        class Told(Pictures):
            def since(self, place=0):
                for picture, t_ns in super().since(place):
                    given.append(t_ns)
                    yield picture, t_ns

        trace = Replay(model, how).trace(clip, Told(clip, decoder="pyav"))
    assert set(given) == set(clip.times_ns)
    for talk in trace.talks:
        assert {decision.t_ns for decision in talk.decisions} <= set(clip.grids_ns)
