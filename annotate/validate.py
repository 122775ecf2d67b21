"""What is wrong with a result, before it is sent as a prediction and after it came back as somebody's work.

Label Studio stores any name, type, label and number without a word, so each is checked here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from annotate.screens.regions import Flaw
from annotate.screens.screen import SCREENS
from annotate.tasks import Item
from datasets_build.core.records import Json


def validate(result: Sequence[Json], item: Item, labels: Collection[str], *, is_prediction: bool = False) -> list[Flaw]:
    """All flaws of a result: shapes, names, types, labels, frames, numbers, missing verdicts, duplicates, order.

    What a person cannot see does not count and is not looked at: corrections under another verdict than `fix`, and
    verdicts of a clip that cannot be judged.

    Args:
        result: the list of regions.
        item: what was asked.
        labels: those of the round; only events have any.
        is_prediction: the result goes out rather than comes back, so verdicts may be missing.
    """
    return SCREENS[item.sheet.kind].flaws(result, item, labels, not is_prediction)
