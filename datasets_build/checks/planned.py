"""What a pipeline makes of a folder, worked out anew from its settings: which copies, under which ids and seeds."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from datasets_build.checks.laws import Breach
from datasets_build.checks.told import Told
from datasets_build.core.augmentation import ON_PIXELS, Augmentation, seal_of
from datasets_build.core.records import Json, Video, derive_id

DRAWN = ("made_as_drawn", "seed, operations and scene of an augmented video are those that its pipeline draws")
SEALED = ("map_is_sealed", "the id of a map is that of its content")
COPIES = ("copies_there", "every copy that the pipeline makes of a video is there, or told in the rejects")


class Step(NamedTuple):
    """An operation of a pipeline: how often it is done, whether to pixels, and how rows name it."""

    p: float
    on_pixels: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One augmented video as it has to be made.

    Attributes:
        parent_id: the video that it is a copy of.
        item: how the rejects name the copy.
        seed, operation, scene_id: as its maps tell them.
    """

    parent_id: str
    item: str
    seed: int
    operation: str
    scene_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The settings of a pipeline, as the manifest of its folder has them."""

    seed: int
    copies: int
    views: int
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Plan:
        """The plan that the fields of a manifest tell. Raises ValueError where they tell none."""
        try:
            seed, copies, views = (int(fields[f"config.{name}"]) for name in ("seed", "copies", "views"))
            steps = tuple(_step(each) for each in _listed(fields["config.operations"]))
        except (KeyError, SyntaxError) as error:
            raise ValueError(f"fields tell no pipeline: {error!r}") from error
        return cls(seed=seed, copies=copies, views=views, steps=steps)

    def copies_of(self, video: Video) -> Iterator[tuple[str, Copy]]:
        """Every copy of a video to which chance does something, by its id."""
        for copy, camera in product(range(self.copies), range(self.views)):
            seed = int(derive_id("augment", video.id, self.seed, copy)[:15], 16)
            rng = random.Random(seed)
            done = [step.text for step in self.steps if not step.on_pixels and rng.random() < step.p]
            drawn = self._drawn(seed, camera)
            # A view that looks like an earlier one is none.
            if not drawn and (not done or any(not self._drawn(seed, earlier) for earlier in range(camera))):
                continue
            told = [*done, *drawn]
            yield (
                derive_id("augmented", video.id, seed, *((camera,) if camera else ()), *told),
                Copy(
                    parent_id=video.id,
                    item=f"{video.uri}: copy {copy}",
                    seed=seed,
                    operation=" + ".join(told),
                    scene_id=derive_id("scene", video.id, seed) if self.views > 1 else None,
                ),
            )

    def _drawn(self, seed: int, camera: int) -> list[str]:
        steps = [step for step in self.steps if step.on_pixels]
        chances = [random.Random(derive_id("look", str(seed), camera, k)) for k in range(len(steps))]
        return [step.text for step, chance in zip(steps, chances, strict=True) if chance.random() < step.p]


def _listed(text: str) -> list[dict[str, Json]]:
    """Operations as the manifest writes them: a tuple of classes with their settings, as Python writes them."""
    found = _value(ast.parse(text, mode="eval").body)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"operations {text[:80]}")
    return [each for each in found if isinstance(each, dict)]


def _value(node: ast.expr) -> Json:
    if isinstance(node, ast.Call):
        return {word.arg: _value(word.value) for word in node.keywords if word.arg is not None}
    if isinstance(node, ast.Tuple):
        return [_value(each) for each in node.elts]
    found: Json = ast.literal_eval(node)
    return found


def _step(settings: dict[str, Json]) -> Step:
    return Step(float(str(settings["p"])), settings["kind"] in ON_PIXELS, json.dumps(settings, sort_keys=True))


def planned(plan: Plan, videos: Iterable[Video]) -> dict[str, Copy]:
    """Every augmented video that a pipeline makes of some, by its id."""
    return dict(each for video in videos for each in plan.copies_of(video))


def copies_breaches(
    wanted: Mapping[str, Copy], there: frozenset[str], told: Told
) -> Iterator[tuple[str, list[Breach]]]:
    """Each planned video's id with what keeps it from being there.

    Args:
        wanted: what the pipeline makes, by id.
        there: what is there.
        told: what is left out.
    """
    for made, copy in wanted.items():
        excused = made in there or copy.item in told.items or f"{made}: video file" in told.items
        lost = Breach(
            "no such video", f"copy of {copy.parent_id} with seed {copy.seed}, or {copy.item!r} in the rejects"
        )
        yield made, [] if excused else [lost]


def drawn_breaches(rows: Sequence[Augmentation], copy: Copy | None) -> Iterator[tuple[str, list[Breach]]]:
    """Each map's id with what keeps it from being of a copy that its pipeline makes.

    Args:
        rows: the maps of a video.
        copy: what the pipeline makes under the video's id; None: nothing.
    """
    for row in rows:
        found = []
        if copy is None:
            found.append(Breach(f"video_id {row.video_id}", "the id that parent, seed and operations give"))
        else:
            wanted = {"seed": copy.seed, "operation": copy.operation, "scene_id": copy.scene_id}
            said = {"seed": row.seed, "operation": row.operation, "scene_id": row.scene_id}
            found += [
                Breach(f"{name} {said[name]}", f"{wanted[name]}") for name in wanted if said[name] != wanted[name]
            ]
        if row.looks != rows[0].looks:
            found.append(Breach(f"looks {[look.kind for look in row.looks]}", "those of the video's first piece"))
        yield row.id, found


def seal_breaches(row: Augmentation) -> Iterator[Breach]:
    """Whether a map was changed after it was made."""
    if row.id != seal_of(row):
        yield Breach(f"content of id {seal_of(row)}", f"{row.id}, as it was written")
