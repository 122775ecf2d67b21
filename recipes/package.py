"""From a trained model to a package that streams, with a card that says where it comes from."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from datetime import date
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor

from datasets_build.core.files import DataError, read_json, write_json
from datasets_build.core.stage import package_version
from models.manifest import read_manifest
from models.model_card import Metric, ModelCard, TrainingData, TrainingProvenance
from models.package import SaveOptions, load_package, save_package
from models.settings import StreamingSettings
from recipes.base import DECISIONS
from recipes.errors import RecipeError
from recipes.evaluation.report import MAIN
from recipes.evaluation.stages import evaluation_there, write_recipe
from recipes.settings import STAGES, RunConfig, StageName
from recipes.training.logs import read_curves
from recipes.training.loop import is_sharded
from recipes.training.material import Trainee, begins_with, layout_of, make_trainee, open_base, open_corpus
from recipes.training.modules import merge
from recipes.training.step import Running

log = logging.getLogger(__name__)
PACKAGE, BEGAN = "package", "began.json"


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
        write_began(run, stage)
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

    The main figures of its evaluation, where there is one, go into its card.

    Raises:
        RecipeError: there is none, or the last one was trained from an earlier stage that has been made anew since.
    """
    done = [name for name in STAGES if (folder / name / PACKAGE).is_dir()]
    chosen = stage or (done[-1] if done else None)
    if chosen is None or chosen not in done:
        there = f"finished are {', '.join(done)}" if done else "no stage is finished"
        raise RecipeError(f"{folder}: has no package of {chosen or 'any stage'}, {there}; train it to its last step")
    if stage is None:
        check_chain(folder, chosen)
    loaded = load_package(folder / chosen / PACKAGE)
    assert loaded.card is not None
    provenance = loaded.card.provenance
    metrics = (*(provenance.metrics or ()), *_measured(folder, chosen))
    return save_package(
        folder / PACKAGE,
        model=loaded.model,
        processor=loaded.processor,
        settings=loaded.settings,
        card=replace(loaded.card, provenance=replace(provenance, metrics=metrics)),
        options=SaveOptions(overwrite=True),
    )


def weights_digest(package: Path) -> str:
    """SHA-256 over the names and hashes of a package's weights: the same whenever it was packaged."""
    kept = read_manifest(package).weights
    return hashlib.sha256("\0".join(f"{file.name}={file.sha256}" for file in kept).encode()).hexdigest()


def write_began(run: RunConfig, stage: StageName) -> None:
    """Writes beside a stage's package which package it was trained from."""
    folder = begins_with(run, stage)
    known = folder is not None and layout_of(folder) is not None
    digest = weights_digest(folder) if folder is not None and known else None
    write_json(Path(run.out) / stage / BEGAN, {"begin_with": run.stage(stage).begin_with, "weights_sha256": digest})


def check_chain(run: Path, stage: StageName) -> None:
    """Refuses a stage whose package was trained from an earlier stage of the run that has been made anew since.

    Raises:
        RecipeError: the package of the stage that it, or one before it, began with holds other weights now.
    """
    path = run / stage / BEGAN
    content = read_json(path) if path.is_file() else None
    if not isinstance(content, dict):
        log.warning(
            "%s: does not say which package it began with; whether it is the newest cannot be told", run / stage
        )
        return
    earlier = next((name for name in STAGES if name == content.get("begin_with")), None)
    if earlier is None:
        return
    package = run / earlier / PACKAGE
    if package.is_dir() and weights_digest(package) != content.get("weights_sha256"):
        number = STAGES.index(stage) + 1
        raise RecipeError(
            f"{run / stage / PACKAGE}: was trained from another package of stage {earlier} than {package}, which was "
            f"made anew since; delete {run / stage} and train stage {number} again, or take it all the same with "
            f"--stage {number}"
        )
    check_chain(run, earlier)


def _measured(run: Path, stage: StageName) -> tuple[Metric, ...]:
    """The main figures of the evaluation of a stage's package, by split and name."""
    found = evaluation_there(run, stage)
    if found is None:
        return ()
    return tuple(
        Metric(name=f"{found.about.split}/{figure.name}", value=figure.value)
        for figure in found.figures
        if figure.name in MAIN and figure.value is not None
    )
