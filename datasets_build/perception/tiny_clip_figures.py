"""What the tiny CLIP has learned, on drawn pictures that it was not trained on, with what chance would give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal, get_args

import open_clip
import torch
from PIL.Image import fromarray
from torch import Tensor

from datasets_build.perception.standby import shrink
from datasets_build.sources.world_draw import Picture
from datasets_build.sources.world_shapes import COLOURS, OUTLINES
from datasets_build.sources.world_stills import (
    NUMBERS,
    OPPOSITE,
    Sentence,
    Still,
    tell,
    told_names,
    told_place,
    write_still,
)

Change = Literal["colour", "shape", "number", "place"]
SHOWN_SIDE = 224


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How often the right partner is the nearest one of `pictures`, or among the nearest five."""

    pictures: int
    image_to_text_r1: float
    image_to_text_r5: float
    text_to_image_r1: float
    text_to_image_r5: float
    chance_r1: float
    chance_r5: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """How often a picture is nearer to its sentence than to one in which one thing is changed; chance gives a half."""

    pictures: int
    colour: float
    shape: float
    number: float
    place: float
    chance: float = 0.5


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is measured."""

    retrieval: Retrieval
    pairs: Pairs


def shown(still: Still) -> Picture:
    """A still of the size that keyframe candidates have."""
    return shrink(still.draw(), SHOWN_SIDE)


def held_out(count: int, seed: int) -> tuple[list[Still], list[Sentence]]:
    """Stills that were not trained on, each with a sentence that is true of it alone."""
    rng = Random(f"tiny-clip/held/{seed}")
    stills: list[Still] = []
    sentences: list[Sentence] = []
    while len(stills) < count:
        still = write_still(rng)
        sentence = tell(still, rng)
        taken = any(still.fits(other) for other in sentences) or any(other.fits(sentence) for other in stills)
        if not taken:
            stills.append(still)
            sentences.append(sentence)
    return stills, sentences


def changed(still: Still, change: Change, rng: Random) -> tuple[Sentence, Sentence] | None:
    """A true sentence and one that differs from it in one thing; None where the picture has no such thing."""
    if change == "place":
        if len(still.names) != 2 or not still.relations:
            return None
        one, where, other = rng.choice(sorted(still.relations))
        state = rng.getstate()
        true = told_place((one, where, other), rng)
        rng.setstate(state)
        return true, told_place((one, OPPOSITE[where], other), rng)
    names = _other_names(still.names, change, rng)
    return None if names is None else (told_names(still.names, rng), told_names(names, rng))


def _other_names(names: tuple[str, ...], change: Change, rng: Random) -> tuple[str, ...] | None:
    if not names:
        return None
    name = rng.choice(names)
    colour, kind = name.split()
    if change == "number":
        return None if names.count(name) == max(NUMBERS) else tuple(sorted((*names, name)))
    if change == "colour":
        other = f"{rng.choice([one for one in COLOURS if one != colour])} {kind}"
    else:
        other = f"{colour} {rng.choice([one for one in OUTLINES if one != kind])}"
    rest = list(names)
    rest.remove(name)
    return tuple(sorted((*rest, other)))


class _Judge:
    """The model of a folder, through open_clip's own loading and preprocessing."""

    def __init__(self, folder: Path) -> None:
        self._model, self._preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        self._tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self._model.eval()

    def see(self, stills: list[Still]) -> Tensor:
        pictures = torch.stack([self._preprocess(fromarray(shown(still))) for still in stills])
        with torch.inference_mode():
            vectors: Tensor = self._model.encode_image(pictures, normalize=True)
        return vectors

    def read(self, sentences: list[Sentence]) -> Tensor:
        tokens = self._tokenizer([sentence.text for sentence in sentences])
        with torch.inference_mode():
            vectors: Tensor = self._model.encode_text(tokens, normalize=True)
        return vectors


def measure(folder: Path, *, count: int, seed: int) -> Figures:
    """Retrieval both ways and pairs that differ in one thing, each on `count` stills."""
    judge = _Judge(folder)
    stills, sentences = held_out(count, seed)
    likeness = judge.see(stills) @ judge.read(sentences).T
    retrieval = Retrieval(
        pictures=count,
        image_to_text_r1=_recall(likeness, 1),
        image_to_text_r5=_recall(likeness, 5),
        text_to_image_r1=_recall(likeness.T, 1),
        text_to_image_r5=_recall(likeness.T, 5),
        chance_r1=1 / count,
        chance_r5=5 / count,
    )
    right = {change: _told_apart(judge, change, count=count, seed=seed) for change in get_args(Change)}
    return Figures(retrieval, Pairs(pictures=count, **right))


def _told_apart(judge: _Judge, change: Change, *, count: int, seed: int) -> float:
    rng = Random(f"tiny-clip/pairs/{change}/{seed}")
    stills: list[Still] = []
    pairs: list[tuple[Sentence, Sentence]] = []
    while len(pairs) < count:
        still = write_still(rng)
        if (pair := changed(still, change, rng)) is not None:
            stills.append(still)
            pairs.append(pair)
    seen = judge.see(stills)
    true, false = ((seen * judge.read([pair[k] for pair in pairs])).sum(1) for k in (0, 1))
    return round(float((true > false).float().mean()), 3)


def _recall(likeness: Tensor, k: int) -> float:
    right = likeness.diagonal()[:, None]
    return round(float(((likeness > right).sum(1) < k).float().mean()), 3)
