import json

import pytest
import torch

from recipes.errors import CheckpointError, RecipeError
from recipes.training.loop import Job, set_up, with_references
from recipes.training.reference import FILE, reference_scores
from recipes.training.step import take_step
from recipes.training.terms import TERMS
from tests.recipes.training.feeds import MODULES, config_of, fresh_accelerator
from tests.recipes.training.small import ALL_LOSSES, batches_of, objective_of, pair


def prepared(folder, **more):
    config = config_of(folder, losses=ALL_LOSSES, **more)
    running = set_up(fresh_accelerator(), objective_of(losses=ALL_LOSSES, modules=MODULES), Job.of(config, "align"))
    return running, Job.of(config, "align")


def pairs():
    return [batch for key in ("p", "q") for batch in batches_of([list(pair(key, video=key))])]


def test_scores_are_made_once_and_kept_whatever_is_learned_later(tmp_path):
    running, job = prepared(tmp_path)
    first = reference_scores(running, pairs(), job, began="b")
    assert set(first) == {"p/better", "p/worse", "q/better", "q/worse"}
    assert all(scores.shape == (2,) and (scores < 0).all() for scores in first.values())
    take_step(running, pairs(), step=0, stop=False)
    again = reference_scores(running, [], job, began="b")
    assert all(torch.equal(again[key], scores) for key, scores in first.items())
    (job.folder / FILE).unlink()
    learned = reference_scores(running, pairs(), job, began="b")
    assert any(not torch.allclose(learned[key], scores) for key, scores in first.items())


def test_with_references_the_margin_starts_from_nothing(tmp_path):
    running, job = prepared(tmp_path)
    references = reference_scores(running, pairs(), job, began="b")
    with_them = take_step(with_references(running, references), pairs(), step=0, stop=False)
    fresh, _ = prepared(tmp_path / "other")
    without = take_step(fresh, pairs(), step=0, stop=False)
    assert with_them.losses["interaction"] != pytest.approx(without.losses["interaction"])
    assert with_them.losses["answer"] == pytest.approx(without.losses["answer"])
    likelihood = sum(float(references[f"{key}/better"].sum()) for key in ("p", "q")) / 2
    chosen = ALL_LOSSES.interaction
    expected = -torch.nn.functional.logsigmoid(torch.tensor(-chosen.eta * 0.8)) - chosen.mu * likelihood
    assert with_them.losses["interaction"] == pytest.approx(float(expected), rel=1e-4)
    assert "interaction" in TERMS


def test_a_pair_without_a_score_is_refused(tmp_path):
    running, job = prepared(tmp_path)
    half = reference_scores(running, pairs()[:1], job, began="b")
    with pytest.raises(RecipeError, match="no reference score for q/better"):
        take_step(with_references(running, half), pairs(), step=0, stop=False)


@pytest.mark.parametrize(
    ("content", "told"),
    [("{", "not valid JSON"), ("[]", "holds no scores"), ('{"digest": "x", "scores": {}}', "with other settings")],
)
def test_strange_scores_are_refused(tmp_path, content, told):
    running, job = prepared(tmp_path)
    job.folder.mkdir(parents=True)
    (job.folder / FILE).write_text(content)
    with pytest.raises(CheckpointError, match=told):
        reference_scores(running, pairs(), job, began="b")


def test_more_steps_keep_the_scores_and_other_losses_do_not(tmp_path):
    running, job = prepared(tmp_path)
    reference_scores(running, pairs(), job, began="b")
    _, longer = prepared(tmp_path, steps=50)
    assert set(reference_scores(running, [], longer, began="b")) == {"p/better", "p/worse", "q/better", "q/worse"}
    _, other = prepared(tmp_path, begin_with="elsewhere")
    with pytest.raises(CheckpointError, match="other settings"):
        reference_scores(running, [], other, began="b")
    assert json.loads((job.folder / FILE).read_text())["digest"]


def test_scores_of_another_beginning_are_refused(tmp_path):
    running, job = prepared(tmp_path)
    reference_scores(running, pairs(), job, began="b")
    with pytest.raises(CheckpointError, match="for another model"):
        reference_scores(running, [], job, began="c")
