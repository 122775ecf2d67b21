"""What can be known of stages before the first costs time: where they begin, their data, and where they write."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from recipes.base import check_family
from recipes.data.corpus import check_folder
from recipes.data.mix import needs
from recipes.errors import CheckpointError, CorpusError, RecipeError
from recipes.settings import RunConfig, StageName
from recipes.training.checkpoint import check_same, newest, settings_of
from recipes.training.material import begins_with


def check_run(run: RunConfig, stages: Sequence[StageName], *, processes: int = 1) -> None:
    """Refuses stages of which one would fail, however late.

    Looked at are manifests and sizes of files; no table is read, no video opened, no model loaded.

    Args:
        run: the settings.
        stages: those that are to be trained, one behind the other.
        processes: that take part.

    Raises:
        RecipeError: a stage has nothing to begin with, not the datasets that its sources need, fewer rows than there
            are processes, or a checkpoint of other settings; or the folder of the run cannot be written.
    """
    for place, stage in enumerate(stages):
        settings = run.stage(stage)
        if settings.begin_with not in stages[:place]:
            folder = begins_with(run, stage)
            if folder is not None:
                check_family(folder, run.model)
        if settings.pack.rows < processes:
            raise RecipeError(
                f"{stage}.pack.rows: found {settings.pack.rows}, expected at least one row for each of "
                f"{processes} processes"
            )
        for name in run.data.folders:
            try:
                check_folder(Path(name), sorted(needs(settings.mix)))
            except CorpusError as error:
                raise CorpusError(f"stage {stage}: {error}") from error
        _check_checkpoint(run, stage, before=stages[:place])
    # Last, so that what is refused leaves no folder behind.
    check_out(Path(run.out))


def check_out(out: Path) -> None:
    """Makes the folder of a run and refuses one that cannot be written to. Raises RecipeError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, prefix=".writable-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        raise RecipeError(
            f"out: {out} cannot be written to ({error}); name another folder, or mend this one"
        ) from error


def _check_checkpoint(run: RunConfig, stage: StageName, *, before: Sequence[StageName]) -> None:
    """Refuses a checkpoint that the stage will refuse."""
    found = newest(Path(run.out) / stage)
    if found is None:
        return
    path, saved = found
    settings = settings_of(run)
    # The model that it begins with is not known yet.
    check_same(saved, path, settings=settings, began=saved.began, stage=stage)
    for earlier in before:
        name, done = f"{earlier}.steps", newest(Path(run.out) / earlier)
        longer = done is not None and done[1].step < run.stage(earlier).steps
        if run.stage(stage).begin_with == earlier and longer and saved.settings.get(name) != settings[name]:
            raise CheckpointError(
                f"{path}: began with stage {earlier} of {saved.settings.get(name)} steps, which is to be trained to "
                f"{settings[name]}; delete {path.parent} to begin the stage anew, or use another out"
            )
