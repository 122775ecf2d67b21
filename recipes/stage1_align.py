"""Stage 1, alignment: captions and frame events teach the merger and the language model what video says.

    accelerate launch --config_file recipes/accelerate/cpu.yaml -m recipes.stage1_align
        --config recipes/configs/tiny.yaml steps=200 lr=1e-5

or plainly `python -m recipes.stage1_align --config FILE`, or with torchrun. It goes on from its newest checkpoint.
"""

from __future__ import annotations

import logging
from typing import Final

import typer

from recipes.package import package_stage
from recipes.training.command import ConfigOption, OverridesArgument, held_folder, read_run, run_stage, set_up_process
from recipes.training.loop import Job, make_accelerator, set_up, train
from recipes.training.material import StageFeed, begins_with, make_trainee, open_base, open_corpus, write_examples
from recipes.training.ready import check_run
from recipes.training.stop import stopping

STAGE: Final = "align"
log = logging.getLogger(f"recipes.{STAGE}")


def main(config: ConfigOption, overrides: OverridesArgument = None) -> None:
    """Train stage 1 to its last step and package it."""
    run = read_run(config, overrides or [], STAGE)
    # What this stage goes on from, its datasets and its folder must be there before anything else costs time.
    check_run(run, (STAGE,))
    began = begins_with(run, STAGE)
    with stopping() as stop, held_folder(run, STAGE):
        accelerator = make_accelerator()
        set_up_process(run, quiet=not accelerator.is_main_process)
        log.info(
            "stage %s of %s, from %s, on %d process(es)", STAGE, run.out, began or "base", accelerator.num_processes
        )

        # Data first: what is wrong with it is told before the model is loaded.
        corpus = open_corpus(run, STAGE)
        base = open_base(run, STAGE, corpus)
        mix = write_examples(run, STAGE, corpus, base)
        log.info("%s", mix.report.text())

        # The model under its freeze map, with the losses of the stage.
        trainee = make_trainee(run, STAGE, base, mix.counts)
        job = Job.of(run, STAGE)
        feed = StageFeed(run, STAGE, mix, corpus, trainee, accelerator=accelerator)
        running = set_up(accelerator, trainee.objective, job)
        ended = train(running, feed, job, stop=stop, began=trainee.began)
        if ended.stopped:
            log.warning("stopped after step %d, which is saved; repeat the command to go on", ended.step)
            raise typer.Exit(stop.exit_code)
        package_stage(run, STAGE, trainee, running, recipe=config)


if __name__ == "__main__":
    run_stage(main)
