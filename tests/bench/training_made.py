"""Documents for training without a dataset: a made film with a question beside it after each grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.layouts import LAYOUTS
from models.patches import FrameFormat
from models.positions import SECOND_NS
from models.prompts import Prompts
from models.transcript import Reply, Sight, Transcript
from recipes.data.collate import Shown
from recipes.data.example import Example, GridRef, Said

ANSWERS = ("A red circle enters.", "None.", "It moves to the left.", "Two so far.")


def document(
    key: str, prompts: Prompts, frames: FrameFormat, *, decision_ids: tuple[int, int, int], grids: int, side: int
) -> Example:
    """One film of so many grids of two square frames, and a question beside it after each.

    Args:
        key: names it.
        prompts: of the model.
        frames: how pixels become patches.
        decision_ids: of silence, standby and respond.
        grids: how many, one a second.
        side: of a frame, in pixels.
    """
    script = Transcript(prompts, LAYOUTS["branch"], system_prompt="", decision_tokens=decision_ids)
    rows, columns = frames.grid(side, side)
    refs, said = [], []
    for number in range(grids):
        begin, end = number * SECOND_NS, number * SECOND_NS + SECOND_NS // 2
        ref = GridRef(video_id=key, t0_ns=begin, t1_ns=end)
        refs.append(ref)
        script.see(
            Sight(t0_ns=begin, last_ns=end, height=rows // frames.merge, width=columns // frames.merge, feature=ref.key)
        )
        text = ANSWERS[(number + len(key)) % len(ANSWERS)]
        script.ask("What has just happened?", Reply(text=text), t_ns=end, aside=True)
        said.append(Said(t_ns=end, task="caption", text=text, asked=True, grid=number))
    return Example(
        key=key, source="captions", video_id=key, blocks=script.blocks(), grids=tuple(refs), said=tuple(said)
    )


def shown_of(
    examples: Sequence[Example], *, side: int, features: tuple[int, int] | None = None
) -> dict[GridRef, Shown]:
    """What they show: random pictures, each of its own, or random features.

    Args:
        examples: the documents.
        side: of a frame, in pixels.
        features: tokens of a grid and their width; None gives pixels.
    """
    shown = {}
    for number, ref in enumerate(dict.fromkeys(ref for example in examples for ref in example.grids)):
        chance = torch.Generator().manual_seed(number)
        pixels = torch.randint(0, 256, (2, side, side, 3), generator=chance, dtype=torch.uint8)
        shown[ref] = Shown(
            pixels=pixels if features is None else None,
            features=None if features is None else torch.randn(features, generator=chance),
            thumbnail=torch.randn(8, generator=chance),
            content=ref.key.encode(),
        )
    return shown
