"""A pipeline of augmentations as a YAML file says it: operations in order, each with how often and how much."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augment.latency import Latency
from augment.operation import Count, Factor, Positive, Share
from augment.operation import Operation as Operation
from augment.picture_settings import (
    Aspect,
    Blur,
    Colour,
    Compress,
    Noise,
    PictureOperation,
    Resolution,
    Shake,
    Window,
)
from datasets_build.core.config import Config

_DAY_S = 86_400


class Speed(Operation):
    """Faster or slower, drawn between `low` and `high` on a logarithmic scale.

    `constant` takes one factor; `ramp` goes steadily from one to another; `pieces` changes it `changes` times.
    """

    kind: Literal["speed"] = "speed"
    form: Literal["constant", "ramp", "pieces"] = "constant"
    low: Factor = 0.5
    high: Factor = 2.0
    changes: Count = 2

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high {self.high} lies below low {self.low}")
        return self


class Skip(Operation):
    """Frames that are not shown.

    `every` keeps one frame in `n`; `random` loses `share` of them; `bursts` loses runs of about `length_s` until
    `share` is gone; `motion` keeps a frame once the picture has changed by `change` since the last one that was kept,
    and one every `longest_s` at least.
    """

    kind: Literal["skip"] = "skip"
    form: Literal["every", "random", "bursts", "motion"] = "random"
    n: Annotated[int, Field(ge=2)] = 2
    share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    length_s: Annotated[float, Field(ge=0.01, le=86_400)] = 1.0
    change: Positive = 0.05
    longest_s: Positive = 1.0


class Jitter(Operation):
    """Frames that come early or late by about `sd_ms`, as long as their order stays."""

    kind: Literal["jitter"] = "jitter"
    sd_ms: Positive = 10.0


class Crop(Operation):
    """A stretch of the video, `least` to `most` of its length, that cuts nothing in two where that can be."""

    kind: Literal["crop"] = "crop"
    least: Annotated[float, Field(gt=0, le=1)] = 0.5
    most: Annotated[float, Field(gt=0, le=1)] = 0.9

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most < self.least:
            raise ValueError(f"most {self.most} lies below least {self.least}")
        return self


class Concat(Operation):
    """`others` other videos of the same split and the same size behind it."""

    kind: Literal["concat"] = "concat"
    others: Annotated[int, Field(ge=1, le=100)] = 1


class Loop(Operation):
    """The video `times` times."""

    kind: Literal["loop"] = "loop"
    times: Annotated[int, Field(ge=2, le=100)] = 2


class Freeze(Operation):
    """A stream that stalls `stalls` times, each for between `least_s` and `most_s`."""

    kind: Literal["freeze"] = "freeze"
    stalls: Count = 1
    least_s: Positive = 0.5
    most_s: Positive = 3.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most_s < self.least_s:
            raise ValueError(f"most_s {self.most_s} lies below least_s {self.least_s}")
        if self.stalls * self.most_s > _DAY_S:
            raise ValueError(f"found {self.stalls} stalls of up to {self.most_s:g} s, expected a day of them at most")
        return self


class Reverse(Operation):
    """Backwards, once in a pipeline; what happens has no name backwards, so only the picture's own events survive."""

    kind: Literal["reverse"] = "reverse"


class Reconnect(Operation):
    """A stream that is gone `gaps` times, each for between `least_s` and `most_s`: what happens meanwhile is not seen.

    The last frame stays on screen; where a conversation is held, it goes on with what was seen before.
    """

    kind: Literal["reconnect"] = "reconnect"
    gaps: Count = 1
    least_s: Positive = 1.0
    most_s: Positive = 4.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.most_s < self.least_s:
            raise ValueError(f"most_s {self.most_s} lies below least_s {self.least_s}")
        return self


class Delay(Operation):
    """What comes late: frames over the `network`, while people speak without delay, and replies of the `model`.

    Frames arrive in order. A question is heard when it is asked, and answered with what has arrived by then.
    """

    kind: Literal["delay"] = "delay"
    network: Latency | None = None
    model: Latency | None = None

    @model_validator(mode="after")
    def _delays(self) -> Self:
        if self.network is None and self.model is None:
            raise ValueError("found neither network nor model, expected what is late")
        return self


class LateAnswer(Operation):
    """What becomes of a reply that would begin behind its window: without this, the exchange is dropped.

    `retime` says it at the last moment at which it may begin; `reword` when it comes, in words that say of when they
    speak; `drop` leaves the exchange out.
    """

    kind: Literal["late_answer"] = "late_answer"
    policy: Literal["retime", "reword", "drop"] = "reword"


class Interrupt(Operation):
    """People who barge in: into a `share` of the replies, with another of the conversation's questions.

    It may also be one that can be asked of any video. The reply ends in the middle of a word. `resume` says it again
    once the other question is answered, as long as it is right, `abandon` does not.
    """

    kind: Literal["interrupt"] = "interrupt"
    share: Share = 0.3
    then: Literal["resume", "abandon"] = "resume"


class DroppedAnswer(Operation):
    """Replies that never come, to a `share` of the questions: after `patience_s` they are asked again."""

    kind: Literal["dropped_answer"] = "dropped_answer"
    share: Share = 0.2
    patience_s: Positive = 3.0


class WrongThenCorrected(Operation):
    """Replies that are wrong, to a `share` of the questions, and are not learned; then the right one comes.

    `user`: somebody says so and asks again; `self`: the assistant notices by itself.
    """

    kind: Literal["wrong_then_corrected"] = "wrong_then_corrected"
    share: Share = 0.2
    by: Literal["self", "user"] = "self"


Temporal = Speed | Skip | Jitter | Crop | Concat | Loop | Freeze | Reverse | Reconnect
Interaction = LateAnswer | Interrupt | DroppedAnswer | WrongThenCorrected
TEMPORAL = (Speed, Skip, Jitter, Crop, Concat, Loop, Freeze, Reverse, Reconnect)
INTERACTION = (LateAnswer, Interrupt, DroppedAnswer, WrongThenCorrected)
Pictorial = Resolution | Aspect | Window | Colour | Blur | Compress | Shake | Noise
AnyOperation = Annotated[Temporal | Delay | Interaction | Pictorial, Field(discriminator="kind")]


class Pipeline(Config):
    """What is done to each video, in order, and how many augmented videos are made of it.

    What is done to pixels is done, in its order, to the frames that the changes of time have left. A copy is made of a
    scene `views` times, each with the same changes of time and with other looks.
    """

    seed: int = 0
    copies: Annotated[int, Field(ge=1, le=10_000)] = 1
    views: Annotated[int, Field(ge=1, le=100)] = 1
    gone: Literal["drop", "unanswerable"] = "drop"
    operations: tuple[AnyOperation, ...]

    @property
    def in_time(self) -> tuple[Operation, ...]:
        """What changes the times of frames."""
        return tuple(operation for operation in self.operations if not isinstance(operation, PictureOperation))

    @property
    def on_pixels(self) -> tuple[PictureOperation, ...]:
        """What changes the frames themselves."""
        return tuple(operation for operation in self.operations if isinstance(operation, PictureOperation))

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.operations:
            raise ValueError("operations: found none, expected one or more")
        if not any(operation.p for operation in self.operations):
            raise ValueError("operations: each has p 0, so nothing would be made; expected one above 0")
        return self

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        kinds = [operation.kind for operation in self.operations]
        for kind in ("delay", *(each.model_fields["kind"].default for each in INTERACTION)):
            if kinds.count(kind) > 1:
                raise ValueError(f"operations: found {kind} {kinds.count(kind)} times, expected it once")
        if kinds.count("reverse") > 1:
            # Backwards a picture holds for the frames lost before it; forwards again, for those lost behind it.
            raise ValueError(
                f"operations: found reverse {kinds.count('reverse')} times, expected it once: turned back, a picture "
                "that stood for lost frames would stand where its labels are not; take both out"
            )
        if "delay" in kinds:
            later = [each.kind for each in self.operations[kinds.index("delay") :] if isinstance(each, TEMPORAL)]
            if later:
                raise ValueError(f"operations: found {later[0]} behind delay, expected it before: a network comes last")
        return self

    @model_validator(mode="after")
    def _views_differ(self) -> Self:
        if self.views > 1 and not any(operation.p for operation in self.on_pixels):
            raise ValueError(
                f"views: found {self.views}, but no operation on pixels, so that all would look alike; expected 1, or "
                "one such as colour"
            )
        return self
