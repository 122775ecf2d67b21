"""A tower that can be watched, stopped and broken, and pictures for it."""

import threading
from contextlib import contextmanager
from dataclasses import replace

import torch

from models.backbone import MODEL_CLASSES, Backbone, family_of
from models.patches import FrameFormat
from models.tiny import tiny_config, tiny_processor
from models.tower import Tower
from models.vision import Encoder, VisionSettings

# Tiny products gain nothing from threads, and lose much where the cores are shared.
torch.set_num_threads(1)

FAMILIES = tuple(MODEL_CLASSES)
PLAIN = VisionSettings(cache_bytes=10**6, background=False)
THREAD = replace(PLAIN, background=True)
# Seconds that no test waits on a machine however slow, and that end one in which a thread is stuck.
WAIT = 200


def tiny_backbone(family, dtype=torch.float32):
    torch.manual_seed(0)
    model = MODEL_CLASSES[family](tiny_config(family))
    with torch.no_grad():
        for weight in model.model.visual.parameters():
            # Fresh biases are 0 and fresh norms 1: left out or mixed up, they would not be missed.
            if weight.ndim == 1:
                weight.add_(torch.randn_like(weight), alpha=0.2)
    return Backbone(model.to(dtype))


def tiny_format(family):
    return FrameFormat.from_processor(tiny_processor(family), family_of(tiny_config(family)))


class Watched(Tower):
    """A tower that counts its calls, waits at a gate, and fails when told to."""

    def __init__(self, backbone):
        super().__init__(backbone)
        self.calls = []
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.gate.set()
        self.broken = False

    def encode(self, patches, grids):
        self.begun.set()
        assert self.gate.wait(WAIT)
        self.calls.append(len(grids))
        if self.broken:
            raise RuntimeError("out of memory, say")
        return super().encode(patches, grids)

    @property
    def grids(self):
        return sum(self.calls)


@contextmanager
def encoders(tower, form):
    """Makes encoders of one tower, and closes them all; no thread is left."""
    made, before = [], set(threading.enumerate())

    def make(chosen=PLAIN, **changes):
        made.append(Encoder(tower, form, replace(chosen, **changes)))
        return made[-1]

    yield make
    tower.gate.set()
    for one in made:
        one.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "vision" and thread not in before]


def picture(seed, size=(16, 24)):
    return torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def grey(value):
    return torch.full((2, 16, 24, 3), value, dtype=torch.uint8)


def same(one, other):
    parts = zip((one.embeds, *one.deepstack), (other.embeds, *other.deepstack), strict=True)
    return all(torch.equal(a, b) for a, b in parts)


def counts(encoder):
    stats = encoder.stats()
    answered = stats.encoded + stats.exact_hits + stats.similar_hits + stats.cancelled + stats.failed
    assert stats.submitted == answered + stats.pending
    return stats
