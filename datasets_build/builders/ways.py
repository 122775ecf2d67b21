"""Ways of asking in a dialogue: by name, each a function from a desk and an instant to a draft, or None."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from datasets_build.builders import counting, looks, pointing, questions, sequences, twins
from datasets_build.builders.facts import Desk, Draft
from datasets_build.builders.streaming_qa import pick_topic
from datasets_build.core.clock import NS_PER_S

Ask = Callable[[Desk, int], Draft | None]
Way = Literal[
    "tell",
    "next",
    "now",
    "yet",
    "last",
    "count",
    "is_on",
    "before",
    "subject",
    "refused",
    "vain",
    "order",
    "who",
    "attribute",
    "where",
    "read",
    "clue",
    "watch",
    "colour",
    "shape",
    "tally",
    "shots",
    "narrate",
]
USUAL: tuple[Way, ...] = (
    *("tell", "next", "now", "yet", "last", "count", "is_on", "before", "subject", "refused", "vain"),
    *("order", "who", "attribute", "where", "read", "clue"),
)
LONG: tuple[Way, ...] = ("narrate", "tell", "next", "clue", "watch")
"""What must wait for its answer."""
_SOON_NS = NS_PER_S // 2


def _now(desk: Desk, t: int) -> Draft | None:
    """What is happening; asked early, or the answer is out only when it is over."""
    line = desk.timeline
    soon = desk.during([*line.scene.told, *line.camera.told], soon_ns=_SOON_NS)
    return questions.now_at(desk, t if soon is None else soon)


def _is_on(desk: Desk, t: int) -> Draft | None:
    keys = desk.timeline.closed
    wanted = desk.rng.random() < 0.5
    topic = pick_topic(desk, [key for key in keys if any(item.off_ns > item.known_ns for item in keys[key].told)])
    soon = desk.during(keys[topic].told, soon_ns=_SOON_NS) if topic and wanted else t
    return questions.is_on_at(desk, soon, topic, wanted=wanted) if topic and soon is not None else None


def _doing(ask: Ask) -> Ask:
    """Asked soon after somebody begins to do something, or the answer is out only when it is over."""

    def early(desk: Desk, t: int) -> Draft | None:
        acts = [item for track in desk.timeline.acts.values() for item in track.told]
        soon = desk.during(acts, soon_ns=_SOON_NS)
        return ask(desk, t if soon is None else soon)

    return early


def _read(desk: Desk, t: int) -> Draft | None:
    soon = desk.during(desk.timeline.texts.told, soon_ns=_SOON_NS)
    return pointing.read_at(desk, t if soon is None else soon)


def _yet(desk: Desk, t: int) -> Draft | None:
    del t
    topic = pick_topic(desk, list(desk.timeline.closed))
    return questions.yet_near(desk, topic, wanted=desk.rng.random() < 0.5) if topic else None


def _yet_now(desk: Desk, t: int) -> Draft | None:
    topic = pick_topic(desk, list(desk.timeline.closed))
    wanted = topic is not None and bool(desk.timeline.closed[topic].done(t))
    return questions.yet_at(desk, t, topic, wanted=wanted) if topic else None


def _is_on_now(desk: Desk, t: int) -> Draft | None:
    topic = pick_topic(desk, list(desk.timeline.closed))
    wanted = topic is not None and bool(desk.timeline.closed[topic].on(t))
    return questions.is_on_at(desk, t, topic, wanted=wanted) if topic else None


def _refused(desk: Desk, t: int) -> Draft | None:
    pair = twins.twins_at(desk, t)
    return pair[1] if pair else None


WAYS: Mapping[Way, Ask] = {
    "tell": questions.tell_at,
    "next": questions.next_at,
    "now": _now,
    "yet": _yet,
    "last": questions.last_at,
    "count": counting.count_at,
    "is_on": _is_on,
    "before": questions.before_at,
    "subject": questions.subject_at,
    "refused": _refused,
    "vain": questions.vain_at,
    "order": sequences.order_at,
    "who": _doing(pointing.who_at),
    "attribute": _doing(pointing.attribute_at),
    "where": pointing.where_at,
    "read": _read,
    "clue": sequences.clue_at,
    "watch": questions.watch_at,
    "colour": looks.colour_at,
    "shape": looks.shape_at,
    "tally": counting.tally_at,
    "shots": partial(counting.count_at, shots=True),
    "narrate": questions.narrate_at,
}
BARGING: Mapping[Way, Ask] = {
    way: WAYS[way]
    for way in ("count", "last", "before", "subject", "refused", "colour", "shape", "tally", "shots", "order", "where")
} | {"yet": _yet_now, "is_on": _is_on_now}
"""How a user who barges in may ask: it is answered at once, at the very instant."""
