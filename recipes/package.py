"""From a trained model to a package that streams, with a card that says where it comes from."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from datetime import date
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor

from datasets_build.core.files import DataError, read_json
from datasets_build.core.stage import package_version
from models.model_card import Metric, ModelCard, TrainingData, TrainingProvenance
from models.package import SaveOptions, load_package, save_package
from models.settings import StreamingSettings
from recipes.base import DECISIONS
from recipes.errors import RecipeError
from recipes.evaluation.stages import write_recipe
from recipes.settings import STAGES, RunConfig, StageName
from recipes.training.logs import read_curves
from recipes.training.loop import is_sharded
from recipes.training.material import Trainee, make_trainee, open_base, open_corpus
from recipes.training.modules import merge
from recipes.training.step import Running

log = logging.getLogger(__name__)
PACKAGE = "package"


def streaming_settings(run: RunConfig) -> StreamingSettings:
    """How the model of a run is streamed: as it was trained."""
    serve = run.serve
    return StreamingSettings(
        layout=run.layout,
        memory=serve.memory,
        window_s=serve.window_s,
        slots=serve.slots,
        history_rounds=serve.history_rounds,
        max_new_tokens=serve.max_new_tokens,
        system_prompt=run.system_prompt,
        decision_tokens=DECISIONS,
        speak_threshold=run.evaluate.threshold,
        max_gap_s=run.data.max_gap_s,
        min_pixels=run.data.min_pixels,
        max_pixels=run.data.max_pixels,
    )


def card_of(run: RunConfig, stage: StageName, recipe: Path) -> ModelCard:
    """The card of a finished stage.

    Args:
        run: the settings.
        stage: which.
        recipe: the configuration's file.
    """
    done = STAGES[: STAGES.index(stage) + 1]
    curves = {name: read_curves(Path(run.out) / name) for name in done}
    steps = sum(int(str(lines[-1]["step"])) for lines in curves.values() if lines)
    metrics = [
        Metric(name=f"{name}_training_loss", value=float(str(lines[-1]["loss"])))
        for name, lines in curves.items()
        if lines
    ]
    return ModelCard(
        name=f"{run.name}, stage {stage}",
        license=run.license,
        summary=f"Trained by the staged recipes of streamvl, stages {', '.join(done)}; layout {run.layout}.",
        provenance=TrainingProvenance(
            base_model=run.model.source,
            base_revision=run.model.revision,
            datasets=tuple(data for folder in run.data.folders for data in _datasets(Path(folder))),
            recipe=str(recipe),
            recipe_sha256=hashlib.sha256(recipe.read_bytes()).hexdigest(),
            code_version=package_version(),
            steps=steps,
            date=date.today().isoformat(),
            metrics=tuple(metrics),
        ),
    )


def _datasets(folder: Path) -> list[TrainingData]:
    """The datasets of an output folder with the fingerprints in their manifests."""
    found = []
    for path in sorted(folder.glob("*/manifest.json")):
        try:
            content = read_json(path)
        except DataError:
            continue
        fingerprint = content.get("fingerprint") if isinstance(content, dict) else None
        if isinstance(fingerprint, str):
            found.append(TrainingData(name=f"{folder.name}/{path.parent.name}", fingerprint=fingerprint))
    return found


def package_stage(run: RunConfig, stage: StageName, trainee: Trainee, running: Running, *, recipe: Path) -> Path:
    """Writes the package of a finished stage; all processes call it, one writes.

    Adapters are merged into the model, so afterwards it trains no more.
    """
    accelerator, folder = running.accelerator, Path(run.out) / stage / PACKAGE
    if is_sharded(accelerator):
        trainee = _whole(run, stage, accelerator, running)
    if accelerator.is_main_process:
        model = merge(trainee.tuner, trainee.base.model)
        save_package(
            folder,
            model=model,
            processor=trainee.base.processor,
            settings=streaming_settings(run),
            card=card_of(run, stage, recipe),
            options=SaveOptions(overwrite=True),
        )
        write_recipe(run, stage)
        log.info("package: %s", folder)
    accelerator.wait_for_everyone()
    return folder


def _whole(run: RunConfig, stage: StageName, accelerator: Accelerator, running: Running) -> Trainee:
    """The trained model on one device, where its weights are in shards: made anew and filled."""
    state: dict[str, Tensor] = accelerator.get_state_dict(running.model)
    corpus = open_corpus(run, stage)
    fresh = make_trainee(run, stage, open_base(run, stage, corpus), (1, 1, 1))
    if accelerator.is_main_process:
        fresh.objective.load_state_dict(state, strict=True)
    return fresh


def package_run(folder: Path, stage: StageName | None) -> Path:
    """Puts the package of a run's last finished stage, or of the one that is named, at `RUN/package`.

    What `RUN/evaluation.json` says under `metrics`, numbers by name, goes into its card.

    Raises:
        RecipeError: there is none.
    """
    done = [name for name in STAGES if (folder / name / PACKAGE).is_dir()]
    chosen = stage or (done[-1] if done else None)
    if chosen is None or chosen not in done:
        there = f"finished are {', '.join(done)}" if done else "no stage is finished"
        raise RecipeError(f"{folder}: has no package of {chosen or 'any stage'}, {there}; train it to its last step")
    loaded = load_package(folder / chosen / PACKAGE)
    assert loaded.card is not None
    provenance = loaded.card.provenance
    metrics = (*(provenance.metrics or ()), *_measured(folder / "evaluation.json"))
    return save_package(
        folder / PACKAGE,
        model=loaded.model,
        processor=loaded.processor,
        settings=loaded.settings,
        card=replace(loaded.card, provenance=replace(provenance, metrics=metrics)),
        options=SaveOptions(overwrite=True),
    )


def _measured(path: Path) -> tuple[Metric, ...]:
    if not path.exists():
        return ()
    content = read_json(path)
    metrics = content.get("metrics") if isinstance(content, dict) else None
    rows = metrics.items() if isinstance(metrics, dict) else ()
    return tuple(Metric(name=name, value=value) for name, value in rows if isinstance(value, int | float))
