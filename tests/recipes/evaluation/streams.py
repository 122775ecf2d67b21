"""Tiny models, and clips whose pictures are drawn in memory."""

import numpy as np

from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config
from recipes.evaluation.replay import How, Replay
from recipes.evaluation.script import Heard, Script
from tests.recipes.evaluation.made import S, ask, clip

SETTINGS = StreamingSettings(slots=1024, memory="all", window_s=None, background=False, max_gap_s=2.0)
FRAMES = 12
TIMES = tuple(k * S // 2 for k in range(FRAMES))
GRIDS = TIMES[1::2]
_MODELS = {}


def model_of(family="qwen2_5_vl"):
    if family not in _MODELS:
        _MODELS[family] = StreamingModel.from_random(tiny_config(family), settings=SETTINGS)
    return _MODELS[family]


def replay_of(*, layout="branch", words=4, events="", chars_per_s=20, threshold=None, slots=1024):
    from dataclasses import replace

    settings = replace(SETTINGS, layout=layout, speak_threshold=threshold, slots=slots)
    how = How(settings=settings, max_new_tokens=words, chars_per_s=chars_per_s, events_question=events)
    return Replay(model_of(), how)


class Drawn:
    """Pictures as `Pictures` gives them, from memory; counts how often each was given."""

    def __init__(self, seed=0, *, variant="seen", frames=FRAMES):
        self.frames = np.random.default_rng(seed).integers(0, 256, (frames, 28, 56, 3), np.uint8)
        self.variant = variant

    def since(self, place=0):
        yield from zip(self.frames[place:], TIMES[place:], strict=True)

    def changed_after(self, t_ns):
        other = Drawn()
        other.frames = self.frames.copy()
        for k, t in enumerate(TIMES):
            if t > t_ns:
                other.frames[k] = 255 - other.frames[k]
        return other


def asks(*times_s):
    return tuple(ask(f"k{t}", "yes", t_s=t) for t in times_s)


def script_of(*turns_s, key="q", begins=None, system=""):
    heard = tuple(
        Heard(text=f"Tell me {t}?", begins_ns=round((t if begins is None else b) * S), t_ns=round(t * S))
        for t, b in zip(turns_s, begins or turns_s, strict=True)
    )
    return Script(key=key, kind="standing", task="t", mode="forward", heard=heard, dues=(), system=system)


def clip_of(*, asks=(), scripts=(), on=False):
    from dataclasses import replace

    made = clip(asks=asks, scripts=scripts, on=[(t, ("move",)) for t in GRIDS] if on else ())
    return replace(made, times_ns=TIMES, grids_ns=GRIDS)
