"""Sessions to talk to: tiny models of the three families whose tokenizer merges, and a film for them to watch."""

from dataclasses import replace
from functools import cache

import torch

from models.answer import AnswerOptions
from models.blocks import Kind
from models.decode import Sampling, StopRule
from models.positions import SECOND_NS
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config, tiny_processor
from tests.models.oracle import Oracle, drawn_frames
from tests.models.small import merging_tokenizer

CLOSE = 1e-4
# Positions of every family's marks in the configuration, by the token that stands for them in the tokenizer.
MARKS = {
    "qwen2_5_vl": ("<|vision_start|>", "<|video_pad|>", "<|vision_end|>"),
    "qwen2_5_omni": ("<|vision_bos|>", "<|VIDEO|>", "<|vision_eos|>"),
    "qwen3_vl": ("<|vision_start|>", "<|video_pad|>", "<|vision_end|>"),
}
TALK = StreamingSettings(slots=1024, max_new_tokens=6, background=False, memory="all", window_s=None, max_gap_s=60.0)
FILM = drawn_frames(12)


SAID = "ab .!?。中é\n h s"


@cache
def model_of(family: str = "qwen2_5_vl", *, chatty: bool = False) -> StreamingModel:
    """One model for all tests, its weights random; a chatty one draws nearly nothing but the letters of `SAID`."""
    config, processor = tiny_config(family), tiny_processor(family)
    processor.tokenizer = merging_tokenizer()
    start, pad, end = processor.tokenizer.convert_tokens_to_ids(list(MARKS[family]))
    config.vision_start_token_id, config.video_token_id, config.vision_end_token_id = start, pad, end
    model = StreamingModel.from_random(config, processor=processor, settings=TALK)
    if chatty:
        weight = model.backbone.head.weight
        liked = merging_tokenizer()(SAID)["input_ids"]
        scale = torch.zeros(len(weight), 1)
        scale[liked] = 10.0
        weight.data = weight.data * scale
    return model


def watch(session, first: int, last: int) -> None:
    """Shows the film from one frame to before another, two a second."""
    for index in range(first, last):
        session.add_frame(FILM[index], index * SECOND_NS // 2)


def drawn(count: int = 8, *, seed: int = 0, stop: tuple[str, ...] = (), **more) -> AnswerOptions:
    """A reply drawn at random, so that it is longer and more varied than the likeliest."""
    rule = StopRule(max_new_tokens=count, texts=stop)
    return AnswerOptions(sampling=Sampling(temperature=9.0, top_k=5, seed=seed), stop=rule, **more)


def listen(session) -> Oracle:
    """The oracle that hears all that the session feeds; a session that `opened` made has one from its beginning."""
    row = session._state.row
    if row.observer is None:
        session.observe(Oracle(row.engine.backbone))
    return row.observer


def fed_ids(oracle: Oracle, *kinds: Kind) -> list[int]:
    """Tokens in the order of feeding, of some kinds or of all."""
    blocks = [event.entry.block for event in oracle.fed]
    return [token for block in blocks if not kinds or block.kind in kinds for token in block.token_ids]


def in_cache(session) -> list[int]:
    """Tokens of the dialogue that the next question will see, in order of their positions, the end not fed yet last."""
    state = session._state
    known = {}
    for key in state.dialogue.visible():
        entry = state.row.entry(key)
        known |= dict(zip(entry.positions[0].tolist(), entry.block.token_ids, strict=True))
    unfed = state.dialogue.rounds[-1].unfed if state.dialogue.rounds else ()
    return [*(known[place] for place in sorted(known)), *unfed]


def used(session) -> int:
    """Slots that are taken."""
    return session.metrics().slots_used


def decoded(tokens) -> str:
    """Their text, without special tokens."""
    return merging_tokenizer().decode(list(tokens), skip_special_tokens=True)


def said_in_cache(session) -> list[int]:
    """The last of the replies in the cache, without its header and the end of its turn."""
    prompts, ids = session._state.prompts, in_cache(session)
    header, close = list(prompts.reply_start()), list(prompts.turn_close())
    starts = [place for place in range(len(ids)) if ids[place : place + len(header)] == header]
    assert ids[-len(close) :] == close
    return ids[starts[-1] + len(header) : -len(close)]


def opened(frames: int = 4, *, family: str = "qwen2_5_vl", **changes):
    """A session of a chatty model that has seen some frames, with an oracle that heard all of it."""
    session = model_of(family, chatty=True).session(replace(TALK, **({"slots": 512} | changes)))
    listen(session)
    watch(session, 0, frames)
    return session
