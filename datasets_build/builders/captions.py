"""Captions by a model that looks: one sentence for each shot, from pictures inside it, known when the shot is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from datasets_build.core.clock import FrameClock
from datasets_build.core.config import Config
from datasets_build.core.perceived import Keyframe, Shot
from datasets_build.core.records import Event, Provenance, Reject, Video, derive_id
from datasets_build.core.wording import absolute_time_in
from datasets_build.teachers.interview import Kept
from datasets_build.teachers.model import Ask, Model, Prompt, Reply

PROMPT = Prompt.load("describe")


class CaptionsConfig(Config):
    """What a model is shown of a shot, and what it may say: at most `pictures` keyframes, at most `max_chars`.

    Nothing measures how sure it is, so every caption gets the same `confidence`.
    """

    pictures: int = Field(default=4, ge=1, le=32)
    max_chars: int = Field(default=160, ge=20)
    language: str = Field(default="English", min_length=1)
    confidence: float = Field(default=0.5, ge=0, le=1)
    seed: int = Field(default=0, ge=0)


class Description(Reply):
    """What the model answers."""

    caption: str


@dataclass(frozen=True, slots=True)
class Look:
    """A shot and what of it is shown, in order of time."""

    shot: Shot
    keyframes: tuple[Keyframe, ...]

    def ask(self, config: CaptionsConfig) -> Ask:
        """The question to the model. It holds pictures and no time."""
        values: dict[str, str | int] = {
            "pictures": len(self.keyframes),
            "most": config.max_chars,
            "language": config.language,
        }
        pictures = tuple(keyframe.jpeg for keyframe in self.keyframes)
        return Ask(prompt=PROMPT, text=PROMPT.fill(values), pictures=pictures, form=Description, seed=config.seed)


def looks_at(shots: Sequence[Shot], keyframes: Sequence[Keyframe], config: CaptionsConfig) -> list[Look]:
    """Every shot with keyframes of its own, evenly chosen: none from before it begins, none from its end on."""
    looks = []
    for shot in shots:
        inside = sorted((row for row in keyframes if shot.span.contains(row.t_ns)), key=lambda row: row.t_ns)
        count = min(len(inside), config.pictures)
        looks.append(Look(shot, tuple(inside[k * len(inside) // count] for k in range(count))))
    return looks


def caption_of(
    video: Video, clock: FrameClock, look: Look, answer: Kept | None, model: Model, config: CaptionsConfig
) -> Event | Reject:
    """The event that a model's answer makes, known at the shot's end; or why there is none.

    Args:
        video: whose shot it is.
        clock: of the video.
        look: what the model was shown.
        answer: what it said; None where there was nothing to show.
        model: who said it.
        config: what it may say.
    """
    shot = look.shot
    if answer is None:
        return _reject(video, shot, "no_picture", "the shot holds no keyframe to show")
    if answer.outcome != "said":
        return _reject(video, shot, "no_caption", f"{model.name}: {answer.outcome}, {answer.reason}")
    caption = " ".join(Description.model_validate_json(answer.text).caption.split())
    if wrong := _unfit(caption, config):
        return _reject(video, shot, "caption_unfit", f"{model.name} said {caption[:120]!r}: {wrong}")
    span = clock.snap_span(shot.span)
    agent = f"{model.kind}:{model.name}"
    return Event(
        id=derive_id("event", video.id, agent, shot.id, caption),
        video_id=video.id,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        label="caption",
        label_set=agent,
        caption=caption,
        is_point=span.duration_ns == 0,
        # Who says what happens in a shot has seen all of it.
        known_from_ns=span.end_ns,
        confidence=config.confidence,
        source="model",
        provenance=Provenance(
            kind="model",
            agent=agent,
            version=model.revision,
            prompt_sha256=PROMPT.sha256,
            seed=answer.seed,
            inputs=(shot.id, *(keyframe.id for keyframe in look.keyframes)),
        ),
    )


def _unfit(caption: str, config: CaptionsConfig) -> str | None:
    if not caption or not caption.isprintable():
        return "no words"
    if len(caption) > config.max_chars:
        return f"{len(caption)} characters, more than {config.max_chars}"
    if found := absolute_time_in(caption):
        return f"it names a time, {found!r}"
    return "it holds quotation marks" if '"' in caption else None


def _reject(video: Video, shot: Shot, code: str, reason: str) -> Reject:
    return Reject(
        stage="events",
        item=f"{video.uri}: shot {shot.id}",
        code=code,
        reason=reason,
        action="the shot gets no caption; its other events stay",
        at_ns=shot.start_ns,
    )
