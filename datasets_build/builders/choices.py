"""Options to choose from: the right answer among others that the same video suggests, ordered by the stored seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from datasets_build.builders.facts import Desk, Draft
from datasets_build.core.config import Config
from datasets_build.core.records import derive_id
from datasets_build.truth.due import Due, due_of
from datasets_build.truth.rivals import (
    CHOSEN,
    COUNTED,
    folded,
    is_refusable,
    least_count,
    numbers_around,
    place_of,
    rivals,
    told_key,
)
from datasets_build.truth.words import Telling, requests_of

_FINE = 1 << 32


class ChoicesConfig(Config):
    """Which share of the questions that can have options has some, and how many each has at most.

    Pairs and twins have them both or neither; every other question is in free form.
    """

    share: float = Field(default=0.5, ge=0, le=1)
    options: int = Field(default=4, ge=2, le=26)


def with_options(
    desk: Desk, unit: Sequence[Draft], config: ChoicesConfig, *, ids: Sequence[str], seed: int
) -> list[Draft]:
    """Some questions with options, or as they are: by chance, or where the video suggests no wrong answer.

    Args:
        desk: writes.
        unit: questions that belong together.
        config: how often, and how many.
        ids: of their records.
        seed: which the records store.
    """
    if int(derive_id("choice", ids[0], seed)[:8], 16) >= config.share * _FINE:
        return list(unit)
    found = []
    for asked, name in zip(unit, ids, strict=True):
        draft = _answered_once(asked)
        texts = _wrong(desk, draft, config.options, name=name, seed=seed)
        if not texts:
            return list(unit)
        place = place_of(name, seed, len(texts) + 1)
        options = (*texts[:place], draft.replies[0].text, *texts[place:])
        found.append(replace(draft, options=options, correct_option=place))
    return found


def _answered_once(draft: Draft) -> Draft:
    """A question with its first answer alone: a count is chosen from numbers once, and not followed."""
    if draft.task != "count_so_far":
        return draft
    first, about = draft.replies[:1], draft.about.model_copy(update={"every": False})
    until = first[0].valid_until_ns
    probes = tuple(probe for probe in draft.probes if until is None or probe.t_ns < until)
    return replace(draft, replies=first, about=about, probes=probes)


def _wrong(desk: Desk, draft: Draft, count: int, *, name: str, seed: int) -> list[str]:
    """The texts of wrong answers, in an order by chance; none where there are none."""
    if draft.task not in CHOSEN or len(draft.replies) != 1:
        return []
    due = due_of(draft.task, draft.about, draft.ask_ns, desk.timeline.grounds)
    assert isinstance(due, Due), "what is asked has an answer"
    rng = random.Random(derive_id("rivals", name, seed))
    tellings = rivals(draft.task, draft.about, draft.ask_ns, due, desk.timeline.grounds)
    tellings = [each for each in rng.sample(tellings, len(tellings)) if _can_be_said(desk, each)]
    if draft.task == "count_so_far":
        least = least_count(draft.about)
        numbers = numbers_around(due.number or 0, least, count=min(count, COUNTED), name=name, seed=seed)
        tellings = [each for each in tellings if each.number in numbers]
    if not tellings:
        return []
    can_refuse = is_refusable(draft.task, draft.about) and not draft.unanswerable
    tellings = [Telling(absent=True)] * can_refuse + tellings
    met, said = set[tuple[object, ...]](), {folded(draft.replies[0].text): ""}
    for telling in tellings:
        if len(said) < count and (key := told_key(telling)) not in met:
            met.add(key)
            if text := _said(desk, draft, telling):
                said.setdefault(folded(text), text)
    texts = [text for text in said.values() if text]
    return rng.sample(texts, len(texts))


def _can_be_said(desk: Desk, telling: Telling) -> bool:
    """Whether an answer of this teacher could tell of it: in words, and of no more than answers tell of."""
    told = telling.told
    return len(told) <= desk.limits.max_told and all(fact.event.id in desk.timeline.speakable for fact in told)


def _said(desk: Desk, draft: Draft, telling: Telling) -> str | None:
    """A wrong answer in the teacher's words."""
    requests = requests_of(draft.task, draft.about, telling)
    return desk.say(requests[0]) if requests else None
