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
from datasets_build.truth.rivals import CHOSEN, place_of, rivals
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

    Of twins both have the refusal among their options, or its presence would tell.

    Args:
        desk: writes.
        unit: questions that belong together.
        config: how often, and how many.
        ids: of their records.
        seed: which the records store.
    """
    if int(derive_id("choice", ids[0], seed)[:8], 16) >= config.share * _FINE:
        return list(unit)
    refused = next((draft for draft in unit if draft.unanswerable), None)
    found = []
    for draft, name in zip(unit, ids, strict=True):
        rng = random.Random(derive_id("rivals", name, seed))
        texts = _wrong(desk, draft, config.options - 1, rng, refused=refused)
        if not texts:
            return list(unit)
        place = place_of(name, seed, len(texts) + 1)
        options = (*texts[:place], draft.replies[0].text, *texts[place:])
        found.append(replace(draft, options=options, correct_option=place))
    return found


def _wrong(desk: Desk, draft: Draft, most: int, rng: random.Random, *, refused: Draft | None) -> list[str]:
    """The texts of wrong answers, in an order by chance; none where there are none."""
    if draft.task not in CHOSEN or len(draft.replies) != 1:
        return []
    due = due_of(draft.task, draft.about, draft.ask_ns, desk.timeline.grounds)
    assert isinstance(due, Due), "what is asked has an answer"
    texts = []
    if refused is not None and not draft.unanswerable:
        texts.append(_said(desk, draft, Telling(absent=True)))
    tellings = rivals(draft.task, draft.about, draft.ask_ns, due, desk.timeline.grounds)
    tellings = [each for each in tellings if all(told.event.id in desk.timeline.speakable for told in each.told)]
    texts += [_said(desk, draft, telling) for telling in rng.sample(tellings, len(tellings))]
    right = draft.replies[0].text.casefold()
    fit = {text.casefold(): text for text in texts if text and text.casefold() != right}
    chosen = list(fit.values())[:most]
    return rng.sample(chosen, len(chosen))


def _said(desk: Desk, draft: Draft, telling: Telling) -> str | None:
    """A wrong answer in the teacher's words."""
    requests = requests_of(draft.task, draft.about, telling)
    return desk.say(requests[0]) if requests else None
