"""One question about the same frames, asked in four ways: what each costs, and whether the answers agree."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.answer import Answer
from models.errors import QuestionError
from models.film import Frame
from models.memory.settings import MemorySettings
from models.patches import FrameFormat
from models.session import Session
from models.settings import StreamingSettings
from models.streaming import StreamingModel

# Share of a pool that memory gives to video, see `models.streaming.RESERVE`, rounded down to leave room.
_VIDEO_SHARE = 0.6
_TEXT_SLOTS = 1024
# A tower that fails tells so at the question; nobody waits for it longer than this.
_PATIENCE_S = 60.0
Film = Sequence[tuple[Frame, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What one way of asking cost. Seconds are wall-clock.

    Attributes:
        name: `one-shot`, `delayed`, `incremental` or `clip`.
        frames: grids of frames that the question saw.
        visible_tokens: tokens that it saw, its own included.
        ahead_s: work done before the question came: taking frames in, encoding them, filling the cache.
        vision_s: of all the seconds, those in the vision tower.
        first_token_s: from the question to the first token of its answer.
        total_s: from the question to the last one.
        cache_bytes: what the tokens seen take in the cache.
        token_ids: the answer.
        text: the same as text.
        differs_at: the first token that is not the one-shot answer's; None where all are the same.
    """

    name: str
    frames: int
    visible_tokens: int
    ahead_s: float
    vision_s: float
    first_token_s: float
    total_s: float
    cache_bytes: int
    token_ids: tuple[int, ...]
    text: str
    differs_at: int | None


def compare(model: StreamingModel, film: Film, question: str, *, max_new_tokens: int) -> list[Way]:
    """Ask one-shot, delayed, incremental and clip, always with the likeliest token, each with nothing kept before.

    One-shot is the baseline: all frames come together with the question, and nothing was done before it; its vision
    encoding and its prefill therefore count. The other three take each frame when it comes, as a stream has it: its
    encoding and, in incremental mode, the prefill of all but the newest are done when the question comes.
    All but clip remember all frames; clip looks at the newest ones alone, so its answer may well differ.

    Args:
        model: any package or checkpoint.
        film: frames with their times, at least one.
        question: plain text.
        max_new_tokens: of each answer.

    Raises:
        QuestionError: there is no frame. StreamError: what the session refuses.
    """
    if not film:
        raise QuestionError("compare: found no frame, expected at least one; choose another film or a higher rate")
    whole = _settings(model, film, max_new_tokens)
    modes = {"one-shot": "delayed", "delayed": "delayed", "incremental": "incremental", "clip": "clip"}
    ways: list[Way] = []
    try:
        with model.session(whole) as session:
            _ask(session, "one-shot", film, question)  # a first pass pays for much that later ones find done
        for name, mode in modes.items():
            settings = replace(whole, mode=mode, background=name != "one-shot")
            model.close()  # no features of the way before
            with model.session(settings) as session:
                way = _ask(session, name, film, question)
            first = ways[0].token_ids if ways else way.token_ids
            ways.append(replace(way, differs_at=first_difference(first, way.token_ids)))
    finally:
        model.close()  # its thread, too, when this is stopped
    return ways


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Where two sequences part: the first place that differs, or the shorter one's end; None if they are the same."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return None if len(one) == len(other) else min(len(one), len(other))


def _settings(model: StreamingModel, film: Film, max_new_tokens: int) -> StreamingSettings:
    given = model.settings
    frame_format = FrameFormat.from_processor(
        model.processor, model.backbone.family, min_pixels=given.min_pixels, max_pixels=given.max_pixels
    )
    height, width = film[0][0].shape[:2]
    # Irregular times may leave each frame without a partner, so that it makes a grid of its own; and text stands by.
    room = len(film) * (frame_format.tokens(height, width) + 16)
    slots = int(room / _VIDEO_SHARE) + _TEXT_SLOTS + max_new_tokens
    return replace(
        given,
        memory="all",
        memory_settings=MemorySettings(),
        window_s=None,
        router=None,
        slots=slots,
        temperature=0.0,
        repetition_penalty=1.0,
        max_new_tokens=max_new_tokens,
        similarity=None,
    )


def _ask(session: Session, name: str, film: Film, question: str) -> Way:
    begun = time.perf_counter()
    for frame, t_ns in film:
        session.add_frame(frame, t_ns)
        if name != "one-shot":
            _catch_up(session)
    ahead_s = time.perf_counter() - begun
    answer: Answer = session.ask(question)
    seen = answer.stats.visible_tokens
    metrics = session.metrics()
    answer.run()
    stats = answer.stats
    # What was done for the one-shot answer before its question was done for it alone.
    late_s = ahead_s if name == "one-shot" else 0.0
    return Way(
        name=name,
        frames=stats.frames,
        visible_tokens=seen,
        ahead_s=ahead_s - late_s,
        vision_s=metrics.vision_s,
        first_token_s=late_s + stats.time_to_first_token_s,
        total_s=late_s + stats.total_s,
        cache_bytes=seen * (metrics.pool_bytes // metrics.slots),
        token_ids=answer.token_ids,
        text=answer.text,
        differs_at=None,
    )


def _catch_up(session: Session) -> None:
    """Wait until the tower has encoded what came, as it has between the frames of a stream that it can follow."""
    limit = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < limit:
        metrics = session.metrics()
        if (
            metrics.vision_encoded + metrics.vision_exact_hits + metrics.vision_similar_hits + metrics.vision_failed
            >= metrics.chunks
        ):
            return
        time.sleep(0.0005)
