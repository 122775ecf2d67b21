"""One of two processes that hold a model in shards: its gradients against those of a model in one piece."""

import json
import os
import sys

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from recipes.training.blank import blank_batch
from tests.recipes.training.feeds import LOSSES
from tests.recipes.training.small import batches_of, example, in_windows, objective_of


def passed(objective, batches, *, scale):
    carried = None
    for batch in batches:
        totals, found = objective(batch, 3, carried if batch.past else None)
        carried = found.cache
        (totals.sum() * scale).backward()


def compared(family, *, tied):
    """How many gradients there are, and the greatest difference relative to the greatest entry."""
    sharded, whole = (objective_of(family, LOSSES, tied=tied) for _ in range(2))
    mesh = init_device_mesh("cpu", (2,))
    assert sharded._no_split_modules == [type(sharded.learner.backbone.text.layers[0]).__name__]
    for layer in sharded.learner.backbone.text.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    made = [example("a", family=family)], [in_windows(example("b", family=family, video="u"))]
    every = [batches_of([row], family=family) for row in made]
    mine = every[dist.get_rank()]
    blanks = [blank_batch(torch.device("cpu"))] * (max(map(len, every)) - len(mine))
    passed(sharded, [*mine, *blanks], scale=2)
    for batches in every:
        passed(whole, batches, scale=1)
    worst, count = 0.0, 0
    for one, other in zip(sharded.parameters(), whole.parameters(), strict=True):
        if other.requires_grad:
            gap = (one.grad.full_tensor() - other.grad).abs().max() / other.grad.abs().max().clamp(min=1e-9)
            worst, count = max(worst, float(gap)), count + 1
    return {"family": family, "tied": tied, "count": count, "worst": worst}


def main():
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    found = [compared(family, tied=tied) for family in ("qwen2_5_vl", "qwen3_vl") for tied in (False, True)]
    if dist.get_rank() == 0:
        print(json.dumps(found))
    dist.destroy_process_group()
    # Threads of gloo may still run and abort a process that ends in the usual way, long after all was found.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
