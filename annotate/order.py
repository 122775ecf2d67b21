"""Which items the next round takes first: the uncertain, the diverse, the disputed, or any."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from annotate.agreement.figure import Positive, Share
from annotate.errors import AnnotateError
from annotate.sheets import is_seen
from annotate.source import Film
from datasets_build.core.clock import Span
from datasets_build.core.config import Config
from datasets_build.core.records import Many, Ns, Part

Floats = npt.NDArray[np.float32]
Weight = Annotated[float, Field(ge=0.0)]


class OrderConfig(Config):
    """How much each reason counts, and how it is measured.

    `uncertain`, `diverse`, `disputed`, `random`: weights, of which only the ratios matter. `width_ns`: a boundary that
    is uncertain by as much counts a half. `diverse_first`: so many places are chosen with an eye on what was chosen
    before; the rest follow by the other reasons. `seed`: of `random`.
    """

    uncertain: Weight = 1.0
    diverse: Weight = 1.0
    disputed: Weight = 1.0
    random: Weight = 0.0
    width_ns: Positive = 1_000_000_000
    diverse_first: Annotated[int, Field(ge=0)] = 2000
    seed: int = 0

    @model_validator(mode="after")
    def _weighs(self) -> Self:
        if self.uncertain + self.diverse + self.disputed + self.random <= 0:
            raise ValueError("all weights are 0, expected one of uncertain, diverse, disputed, random above it")
        return self


class Candidate(Part):
    """What is known of an item before people see it.

    `confidences` and `widths_ns` (uncertainty of boundaries) are those of its events, `embedding` the mean direction of
    its keyframes, empty where there is none, `dispute` the score of the last round, None where there was none.
    """

    key: str
    confidences: Many[float] = ()
    widths_ns: Many[Ns] = ()
    embedding: Many[float] = ()
    dispute: Share | None = None


class Place(Part):
    """An item's place: its reasons in 0..1 as they stood when it was chosen, and their weighted mean."""

    key: str
    score: Share
    uncertain: Share
    diverse: Share
    disputed: Share
    random: Share


def candidate(key: str, film: Film, span: Span, *, dispute: float | None = None) -> Candidate:
    """What the records of a film say of one of its windows; only those that reach into it count."""
    seen = [event for event in film.events if is_seen(event, span)]
    inside = [frame.embedding for frame in film.keyframes if span.contains(frame.t_ns) and frame.embedding]
    return Candidate(
        key=key,
        confidences=tuple(event.confidence for event in seen),
        widths_ns=tuple(max(event.onset_uncertainty_ns, event.offset_uncertainty_ns) for event in seen),
        embedding=direction(key, inside),
        dispute=dispute,
    )


def order(candidates: Sequence[Candidate], config: OrderConfig | None = None) -> list[Place]:
    """Put items in the order in which people should see them; the same set gives the same order.

    Uncertain: 1 minus the lowest confidence, or `w / (w + width_ns)` of the widest boundary if that is more. Diverse:
    half the cosine distance to the nearest item before it, 1 for the first, 0 without an embedding: the greedy
    farthest-point order (Gonzalez, Theoretical Computer Science 38, 1985; Sener and Savarese, ICLR 2018) where it
    counts alone. With other reasons, each place goes to the greatest weighted mean, as in maximal marginal relevance
    (Carbonell and Goldstein, SIGIR 1998). Ties fall by key.

    Raises:
        AnnotateError: a key stands twice, or embeddings differ in length.
    """
    config = config or OrderConfig()
    ranked = sorted(candidates, key=lambda one: one.key)
    if len({one.key for one in ranked}) != len(ranked):
        raise AnnotateError(
            f"order: {len(ranked)} items have {len({one.key for one in ranked})} keys, expected one each"
        )
    weights = np.array([config.uncertain, config.diverse, config.disputed, config.random])
    scores = np.array(
        [[_uncertain(one, config), 0.0, one.dispute or 0.0, _chance(one.key, config.seed)] for one in ranked]
    )
    if not ranked:
        return []
    plain = scores @ weights
    vectors = _vectors(ranked)
    chosen = _greedy(plain, vectors, scores, config) if config.diverse > 0 else []
    taken = set(chosen)
    rest = [at for at in range(len(ranked)) if at not in taken]
    chosen += sorted(rest, key=lambda at: (-plain[at], at))
    return [_place(ranked[at].key, scores[at], weights) for at in chosen]


def _greedy(
    plain: npt.NDArray[np.float64], vectors: Floats, scores: npt.NDArray[np.float64], config: OrderConfig
) -> list[int]:
    """Choose places one by one and note in `scores` how far each was from those before it."""
    known = np.asarray(vectors.any(axis=1), dtype=bool)
    far = np.where(known, 1.0, 0.0)
    free = np.ones(len(plain), dtype=bool)
    chosen: list[int] = []
    for _ in range(min(len(plain), config.diverse_first)):
        # The first of equals, and so the least key.
        at = int(np.argmax(np.where(free, plain + config.diverse * far, -np.inf)))
        scores[at, 1] = far[at]
        free[at] = False
        chosen.append(at)
        if known[at]:
            # Rounded, so that the last bits of a machine decide nothing.
            distance = np.round(np.clip((1 - vectors @ vectors[at]) / 2, 0.0, 1.0), 6)
            far = np.where(known, np.minimum(far, distance), 0.0)
    return chosen


def _place(key: str, scores: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> Place:
    uncertain, diverse, disputed, random = (float(score) for score in scores)
    mean = float(np.clip(scores @ weights / weights.sum(), 0.0, 1.0))
    return Place(key=key, score=mean, uncertain=uncertain, diverse=diverse, disputed=disputed, random=random)


def _uncertain(one: Candidate, config: OrderConfig) -> float:
    doubt = 1 - min(one.confidences, default=1.0)
    widest = max(one.widths_ns, default=0)
    return float(np.clip(max(doubt, widest / (widest + config.width_ns)), 0.0, 1.0))


def _chance(key: str, seed: int) -> float:
    """A number in 0..1 that hangs on the seed and the key alone, and not on what else is there."""
    digest = hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


def direction(key: str, vectors: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The mean of some vectors, each made 1 long; empty for none. Raises AnnotateError where they differ in length."""
    if not vectors:
        return ()
    if len({len(vector) for vector in vectors}) > 1:
        raise AnnotateError(f"{key}: keyframes have embeddings of several lengths, expected those of one embedder")
    table = np.array(vectors, dtype=np.float64)
    units = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return tuple(float(value) for value in units.mean(axis=0))


def _vectors(candidates: Sequence[Candidate]) -> Floats:
    """`(items, size) float32` of length 1, zeros where there is no embedding."""
    lengths: Mapping[int, str] = {len(one.embedding): one.key for one in candidates if one.embedding}
    if len(lengths) > 1:
        named = ", ".join(f"{size} ({key})" for size, key in sorted(lengths.items()))
        raise AnnotateError(f"order: embeddings of several lengths, found {named}, expected those of one embedder")
    size = next(iter(lengths), 1)
    table = np.zeros((len(candidates), size), dtype=np.float32)
    for row, one in enumerate(candidates):
        if one.embedding:
            table[row] = one.embedding
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    return np.asarray(table / np.where(norms > 0, norms, 1.0), dtype=np.float32)
