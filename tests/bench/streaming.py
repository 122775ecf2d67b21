"""What a stream costs per chunk and per question, as ratios in one run against what is done without a session.

Run by `python -m tests.bench.streaming [--chunks 1024] [--seed 0] [--quick]` (`make bench`). Ours and the baselines
have the same random weights (a Qwen2.5-VL of 4 + 4 layers, float32), the same frames, one thread of torch, and take
turns. A baseline that computes the same function must give the same logits. Exits 1 where a bound is missed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from transformers import PreTrainedConfig

from models.backbone import Features
from models.memory.settings import MemorySettings
from models.row import Event, Fed
from models.session import Session
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from tests.bench.ratios import Line, Paired, show
from tests.bench.stock_streams import (
    GRID_TOKENS,
    SECOND_NS,
    Prompted,
    StockCache,
    StockStream,
    middle_config,
    moving_frames,
)

QUESTION = "What is she doing?"
STEP_NS = 2 * SECOND_NS
# What float32 leaves between two orders of the same sums.
SAME = 1e-4
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured: grids in the window, lengths of streams in grids, rounds of each measurement."""

    window: int = 32
    lengths: tuple[int, ...] = (16, 64, 256, 1024)
    rounds: int = 9
    seed: int = 0


class Stage:
    """The model, the frames, and the question as tokens, shared by all measurements."""

    def __init__(self, plan: Plan, config: PreTrainedConfig | None = None) -> None:
        self.plan = plan
        self.settings = StreamingSettings(
            memory="window", memory_settings=MemorySettings(last=plan.window), window_s=None,
            slots=2 * GRID_TOKENS * plan.window + 512, history_rounds=0, max_new_tokens=1, background=False,
            position_limit=2**20,
        )  # fmt: skip
        chosen = middle_config() if config is None else config
        self.model = StreamingModel.from_random(chosen, seed=plan.seed, settings=self.settings)
        self.stock = StockStream(self.model, self.settings)
        prompts = self.model.prompts
        self.tail = (*prompts.seam(), *prompts.text(QUESTION), *prompts.turn_close(), *prompts.reply_start())
        # Two windows of different grids; longer streams show them again.
        self.frames = moving_frames(4 * plan.window, seed=plan.seed)
        with self.model.session() as session:  # from here on the cache of features knows them
            self.watched(session, 2 * plan.window)

    def pair(self, grid: int) -> list[np.ndarray]:
        """The two frames of a grid."""
        at = 2 * grid % len(self.frames)
        return self.frames[at : at + 2]

    def watched(self, session: Session, grids: int) -> Session:
        """A session that has seen so many grids."""
        for grid in range(grids):
            feed(session, self.pair(grid), grid)
        return session

    def patches(self, grids: int) -> Tensor:
        """The patches of the first grids."""
        return self.stock.patches([frame for grid in range(grids) for frame in self.pair(grid)])

    def features(self) -> list[Features]:
        """The features of all different grids."""
        return self.stock.features(self.frames)

    def prompt(self, grids: int) -> Prompted:
        """A context of so many grids and the question."""
        return self.stock.prompted(grids, step_ns=STEP_NS, tail=self.tail)


def feed(session: Session, pair: Sequence[np.ndarray], grid: int) -> None:
    """One grid, as its two frames come."""
    for half, frame in enumerate(pair):
        session.add_frame(frame, grid * STEP_NS + half * SECOND_NS)


def ask(session: Session) -> None:
    """A question up to its first token."""
    session.ask(QUESTION).close()


def first_logits(session: Session) -> Tensor:
    """Logits (vocabulary,) from which a question's first token is chosen."""
    heard: list[Tensor] = []

    def hear(event: Event) -> None:
        if isinstance(event, Fed) and len(event.logits):
            heard.append(event.logits[-1])

    session.observe(hear)
    ask(session)
    session.observe(None)
    return heard[-1]


def same(what: str, ours: Tensor, theirs: Tensor) -> Line:
    """Whether both say the same: logits within 1e-4 of each other, and the same likeliest token."""
    tokens = int(ours.argmax()), int(theirs.argmax())
    apart = float((ours - theirs).abs().max()) if tokens[0] == tokens[1] else float("inf")
    said = [f"token {token}" for token in tokens]
    return Line(what=f"  same answer {what}: logits apart by", ours=said[0], baseline=said[1], value=apart, most=SAME)


def grid_places(prompt: Prompted, grid: int) -> Tensor:
    """Positions (3, 1, 64) of one grid."""
    at = prompt.system + GRID_TOKENS * grid
    return prompt.positions[..., at : at + GRID_TOKENS]


def times(paired: Paired, ours: str, baseline: str) -> dict[str, str]:
    """Two cells with median milliseconds."""
    return {"ours": f"{paired.ms(ours):.1f} ms", "baseline": f"{paired.ms(baseline):.1f} ms"}


def against_resending(stage: Stage) -> list[Line]:
    """A chunk with a question behind it, against tower and decoder over the whole window again."""
    window, paired = stage.plan.window, Paired()
    with stage.model.session(replace(stage.settings, cache_bytes=0)) as session:
        stage.watched(session, window)
        prompt, patches = stage.prompt(window), stage.patches(window)
        agree = same("before anything leaves", first_logits(session), stage.stock.resend(prompt, patches))

        def chunk_and_question(grid: int) -> None:
            feed(session, stage.pair(grid), grid)
            ask(session)

        for grid in range(window, window + stage.plan.rounds):
            works = {
                "ours": partial(chunk_and_question, grid),
                "resend": partial(stage.stock.resend, prompt, patches),
            }
            paired.round(works)
    return [
        Line(
            what=f"a chunk and a question, window of {window}: incremental, re-sending the window",
            value=paired.ratio("resend", "ours"), least=10, **times(paired, "ours", "resend"),
        ),
        agree,
    ]  # fmt: skip


def against_copying(stage: Stage) -> list[Line]:
    """A chunk whose features are known, against a cache that copies what stays to evict the rest."""
    window, rounds, paired = stage.plan.window, stage.plan.rounds, Paired()
    known, prompt = stage.features(), stage.prompt(window + rounds)
    copied = StockCache(stage.stock, last=window)
    copied.start(prompt)
    with stage.model.session() as session:
        stage.watched(session, window)
        for grid in range(window):
            copied.add(known[grid % len(known)], grid_places(prompt, grid))
        moved = copied.bytes_moved, session.metrics().bytes_moved
        for grid in range(window, window + rounds):
            copy = partial(copied.add, known[grid % len(known)], grid_places(prompt, grid))
            paired.round({"ours": partial(feed, session, stage.pair(grid), grid), "copied": copy})
        ids, places = prompt.ids[-len(stage.tail) :], prompt.positions[..., -len(stage.tail) :]
        agree = same(f"after {rounds} have left", first_logits(session), copied.ask(ids, places))
        ours, theirs = session.metrics().bytes_moved - moved[1], copied.bytes_moved - moved[0]
    return [
        Line(
            what=f"a chunk without its vision, window of {window}: slots, index_select and cat",
            value=paired.ratio("copied", "ours"), **times(paired, "ours", "copied"),
        ),
        Line(
            what="  bytes of the cache copied per chunk, new tokens aside",
            ours=f"{ours // rounds} B", baseline=f"{theirs / rounds / MIB:.1f} MiB", value=float(ours), most=0,
        ),
        agree,
    ]  # fmt: skip


def against_growing(stage: Stage) -> list[Line]:
    """The same, against a cache that keeps every token; its older keys are random, which costs the same."""
    known, lines = stage.features(), []
    with stage.model.session() as session:
        stage.watched(session, stage.plan.window)
        grid = stage.plan.window
        for length in stage.plan.lengths[1:]:
            paired, grown, prompt = Paired(), StockCache(stage.stock), stage.prompt(length + stage.plan.rounds)
            grown.start(prompt)
            grown.fill(length)
            for place in range(length, length + stage.plan.rounds):
                append = partial(grown.add, known[place % len(known)], grid_places(prompt, place))
                paired.round({"ours": partial(feed, session, stage.pair(grid), grid), "grown": append})
                grid += 1
            held = session.metrics().pool_bytes
            lines.append(
                Line(
                    what=f"a chunk without its vision after {length}: slots, cache that grows",
                    ours=f"{paired.ms('ours'):.1f} ms, {held / MIB:.0f} MiB",
                    baseline=f"{paired.ms('grown'):.1f} ms, {grown.nbytes / MIB:.0f} MiB",
                    value=paired.ratio("grown", "ours"),
                )
            )
    return lines


def delayed(stage: Stage) -> list[Line]:
    """Questions about frames that were encoded as they came, against encoding them at the question."""
    window, paired = stage.plan.window, Paired()
    prompt, patches = stage.prompt(window), stage.patches(window)
    features = torch.cat([known.embeds for known in stage.features()[:window]])
    resend, lines = partial(stage.stock.resend, prompt, patches), list[Line]()
    for round_ in range(stage.plan.rounds):
        with stage.model.session(mode="delayed") as session:
            stage.watched(session, window)
            if not round_:
                lines = [same("in delayed mode", first_logits(session), resend())]
                continue
            works = {"resend": resend, "decoder": partial(stage.stock.decode, prompt, features)}
            paired.round({"first": partial(ask, session), **works})
            paired.time("later", partial(ask, session))
    head = f"first token, {window} grids, delayed:"
    return [
        Line(
            what=f"{head} first question, encoding at the question",
            value=paired.ratio("resend", "first"), aim=5, **times(paired, "first", "resend"),
        ),
        Line(
            what="  first question over the decoder alone, features given",
            value=paired.ratio("first", "decoder"), **times(paired, "first", "decoder"),
        ),
        Line(
            what=f"{head} later question, encoding at the question",
            value=paired.ratio("resend", "later"), least=5, **times(paired, "later", "resend"),
        ),
        *lines,
    ]  # fmt: skip


def delayed_long(stage: Stage) -> list[Line]:
    """A first question after a stream longer than memory, against encoding all of it at the question."""
    window, paired = stage.plan.window, Paired()
    grids = 4 * window
    resend = partial(stage.stock.resend, stage.prompt(grids), stage.patches(grids))
    for _ in range(max(2, stage.plan.rounds // 3)):
        with stage.model.session(mode="delayed") as session:
            stage.watched(session, grids)
            paired.round({"ours": partial(ask, session), "resend": resend})
    return [
        Line(
            what=f"first token, {grids} grids, delayed: first question about the last {window}, encoding all",
            value=paired.ratio("resend", "ours"), least=5, **times(paired, "ours", "resend"),
        )
    ]  # fmt: skip


def follow_ups(stage: Stage) -> list[Line]:
    """First token of a follow-up question after streams of different lengths: flat."""
    plan, paired = stage.plan, Paired()
    half = plan.lengths[0] // 2
    memory = MemorySettings(star_capacity=half, stream_capacity=half)
    settings = replace(stage.settings, memory="star_stream", memory_settings=memory, history_rounds=2)
    with ExitStack() as stack:
        sessions = {length: stack.enter_context(stage.model.session(settings)) for length in plan.lengths}
        for length, session in sessions.items():
            stage.watched(session, length)
            for _ in range(3):  # the dialogue is as long as it gets
                session.ask(QUESTION).run()
        seen = {session.ask(QUESTION).run().stats.visible_tokens for session in sessions.values()}
        for _ in range(2 * plan.rounds):
            paired.round({str(length): partial(ask, session) for length, session in sessions.items()})
    found = {length: paired.ms(str(length)) for length in plan.lengths}
    return [
        Line(
            what="first token of a follow-up after " + ", ".join(map(str, found)) + " grids, greatest over least",
            ours=", ".join(f"{ms:.1f}" for ms in found.values()) + " ms",
            baseline=f"{min(seen)} to {max(seen)} tokens seen",
            value=max(found.values()) / min(found.values()), most=1.25,
        )
    ]  # fmt: skip


def duplicates(stage: Stage) -> list[Line]:
    """Chunks that show what was shown before, against chunks that do not."""
    window, rounds, paired = stage.plan.window, stage.plan.rounds, Paired()
    fresh = moving_frames(2 * (window + rounds), seed=stage.plan.seed + 1)
    still = fresh[:2]
    with stage.model.session() as moving, stage.model.session() as frozen:
        for grid in range(window):
            feed(moving, fresh[2 * grid : 2 * grid + 2], grid)
            feed(frozen, still, grid)
        works = 0
        for grid in range(window, window + rounds):
            paired.time("moving", partial(feed, moving, fresh[2 * grid : 2 * grid + 2], grid))
            before = frozen.metrics().vision_encoded
            paired.time("frozen", partial(feed, frozen, still, grid))
            works += frozen.metrics().vision_encoded - before
    return [
        Line(what=f"calls of the tower for {rounds} duplicate chunks", ours=str(works), value=float(works), most=0),
        Line(
            what="a duplicate chunk, a new one",
            value=paired.ratio("moving", "frozen"), **times(paired, "frozen", "moving"),
        ),
    ]  # fmt: skip


def split(stage: Stage) -> list[Line]:
    """Where the time of a chunk goes when every fourth one is followed by a question of eight tokens."""
    chunks = 4 * stage.plan.rounds
    with stage.model.session(replace(stage.settings, cache_bytes=0, max_new_tokens=8)) as session:
        stage.watched(session, stage.plan.window)
        before = session.metrics()
        for grid in range(stage.plan.window, stage.plan.window + chunks):
            feed(session, stage.pair(grid), grid)
            if grid % 4 == 3:
                session.ask(QUESTION).run()
        after = session.metrics()
    parts = [
        ("vision", after.vision_s - before.vision_s),
        ("prefill", after.prefill_s - before.prefill_s),
        ("decode", after.decode_s - before.decode_s),
    ]
    whole = sum(spent for _, spent in parts)
    return [
        Line(
            what=f"  time per chunk: {name}",
            ours=f"{1000 * spent / chunks:.1f} ms", baseline=f"{100 * spent / whole:.0f} %",
        )
        for name, spent in parts
    ]  # fmt: skip


MEASURES: tuple[Callable[[Stage], list[Line]], ...] = (
    against_resending,
    against_growing,
    against_copying,
    delayed,
    delayed_long,
    follow_ups,
    duplicates,
    split,
)


def main(
    chunks: Annotated[int, typer.Option(min=64, help="Grids of the longest stream.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and frames.")] = 0,
    quick: Annotated[bool, typer.Option(help="Short streams and few rounds; noisier.")] = False,
) -> None:
    """Prints the table; exits 1 where a bound is missed."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    lengths = tuple(sorted({max(4, chunks // 4**step) for step in range(4)}))
    plan = Plan(window=32, lengths=lengths, rounds=9, seed=seed)
    if quick:
        plan = replace(plan, lengths=lengths[:2], rounds=3)
    stage = Stage(plan)
    lines = [line for measure in MEASURES for line in measure(stage)]
    stage.model.close()
    passed = show("Streaming: ours, baseline", lines)
    print(f"one thread of {os.cpu_count()} cores, {time.perf_counter() - begun:.0f} s")
    raise typer.Exit(0 if passed else 1)


if __name__ == "__main__":
    typer.run(main)
