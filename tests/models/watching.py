"""A line of frames without a session: tracks over real rows, and grids that have come in."""

from concurrent.futures import Future

import torch

from models.backbone import Features
from models.engine import Engine
from models.memory.policy import MemorySettings, build_policy
from models.metrics import Meter
from models.prompts import Prompts
from models.row import Row
from models.slots import SlotPool
from models.tiny import byte_tokenizer
from models.track import Arrival, Scene, Track
from models.watchers.clips import Clips
from models.watchers.delayed import Delayed
from models.watchers.incremental import Incremental
from tests.models.memory.streams import picture
from tests.models.small import SECOND, backbone

SYSTEM = "Look."
MODES = ("incremental", "delayed", "clip")


def track_of(family="qwen2_5_vl", *, slots=512, limit=24_000, observer=None, engine=Engine, prompt=SYSTEM):
    """A track alone in a pool of its own."""
    on = backbone(family)
    row = Row(engine(on, SlotPool(on, slots=slots)), clock=on.family.clock, observer=observer)
    prompts = Prompts(byte_tokenizer(), on.family)
    return Track(row, prompts, Meter(), system_prompt=prompt, position_limit=limit)


def features_for(family, tokens, seed, like=None):
    """Features of the family's shape; `like` draws them near one direction."""
    generator = torch.Generator().manual_seed(seed)
    layers = 2 if family == "qwen3_vl" else 1
    drawn = [torch.randn(tokens, 64, generator=generator) for _ in range(layers)]
    if like is not None:
        around = torch.randn(64, generator=torch.Generator().manual_seed(10_000 + like))
        drawn = [0.1 * part + around for part in drawn]
    return Features(embeds=drawn[0], deepstack=tuple(drawn[1:]))


def scene(t_ns, *, family="qwen2_5_vl", height=2, width=2, seed=0, span_ns=SECOND // 2):
    features = features_for(family, height * width, seed)
    return Scene(t0_ns=t_ns, last_ns=t_ns + span_ns, height=height, width=width, features=features)


def arrival(key, *, family="qwen2_5_vl", t_ns=None, side=2, like=None, level=100, ready=True):
    """One grid a second; not ready: its features are still to come."""
    future = Future()
    if ready:
        future.set_result(features_for(family, side * side, key, like))
    t_ns = key * SECOND if t_ns is None else t_ns
    return Arrival(
        key=key, t0_ns=t_ns, last_ns=t_ns + SECOND // 2, height=side, width=side,
        thumbnail=picture(level, key), future=future,
    )  # fmt: skip


def watcher_of(mode, track, *, memory="all", grids=2, keep=True, **knobs):
    """A watcher of each mode over the same track."""
    if mode == "clip":
        return Clips(track, grids)
    policy = build_policy(memory, settings=MemorySettings(**knobs))
    return Delayed(track, policy) if mode == "delayed" else Incremental(track, policy, keep_features=keep)


def held(track, ids):
    """Bytes of keys and values of some entries, in their order."""
    slots = track.row.slots_of(ids)
    return [
        part[0, :, slots].clone() for layer in track.row.pool.pools for part in (layer.pool_keys, layer.pool_values)
    ]
