"""What a viewer cannot tell any more under some looks: events that are left out, and questions that rest on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from augment.looks import untellable_labels, untellable_tasks
from datasets_build.core.augmentation import Look
from datasets_build.core.clock import FrameClock
from datasets_build.core.records import About, Annotation, Event
from datasets_build.core.topics import CAMERA, MOTION, PICTURE_SET, quoted
from datasets_build.teachers.template import load_template
from datasets_build.truth.due import due_of
from datasets_build.truth.grounds import Grounds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Untold:
    """What cannot be told of a video.

    Attributes:
        labels: of the picture's own events.
        tasks: that have no true answer.
        grounds: all that happens in it, what cannot be told included.
        reason: why the events are left out, for people.
    """

    labels: frozenset[str]
    tasks: frozenset[str]
    grounds: Grounds
    reason: str

    def hides(self, event: Event) -> bool:
        """Whether nobody can tell that an event happens."""
        return event.label_set == PICTURE_SET and event.label in self.labels

    def parents(self) -> list[Event]:
        """The hidden events, once each, under the ids of those that they were made of."""
        hidden = [fact.event for fact in self.grounds.by_id.values() if self.hides(fact.event)]
        made = {event.provenance.inputs[0]: event for event in hidden}
        return [event.model_copy(update={"id": name}) for name, event in made.items()]

    def why_not(self, task: str, about: About, ask_ns: int, told: Grounds) -> str | None:
        """Why a question cannot be asked; None where its answer rests on nothing that cannot be told.

        Args:
            task: what is asked.
            about: what it is about, fit for the task.
            ask_ns: when.
            told: all that can be told.
        """
        if task in self.tasks:
            return f"an answer to {task}, which the looks change"
        if self._is_about(about) or any(self.hides(fact.event) for fact in self.grounds.of(about)):
            return "what cannot be told under the looks"
        if due_of(task, about, ask_ns, told) != due_of(task, about, ask_ns, self.grounds):
            return "that nothing happens which cannot be told under the looks"
        return None

    def _is_about(self, about: About) -> bool:
        if about.kind in ("camera", "changes"):
            return bool(self.labels & (CAMERA if about.kind == "camera" else self.labels - MOTION))
        if about.kind == "label":
            return about.subject is None and about.label in self.labels
        return about.kind == "caption" and _quoted(about.text) in self._captions()

    def _captions(self) -> Iterable[str]:
        return {_quoted(load_template().caption_of(label)) for label in self.labels}


def untold_of(
    looks: Sequence[Look], events: Sequence[Event], clock: FrameClock, *, boxes: Sequence[Annotation] = ()
) -> Untold | None:
    """What cannot be told of a video under looks, given all that happens in it; None where everything can.

    Args:
        looks: of the video.
        events: all that happens in it.
        clock: of it.
        boxes: where things are in it.
    """
    labels, tasks = untellable_labels(looks), untellable_tasks(looks)
    if not labels and not tasks:
        return None
    hiding = [look.kind for look in looks if untellable_labels([look]) or untellable_tasks([look])]
    reason = f"under {' and '.join(dict.fromkeys(hiding))} nobody can tell whether it happens"
    return Untold(labels=labels, tasks=tasks, grounds=Grounds(events, clock, boxes), reason=reason)


def _quoted(text: str | None) -> str:
    return quoted(text or "").casefold()
