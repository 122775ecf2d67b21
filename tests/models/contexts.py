"""Lists of blocks for the tests of layouts and masks: one dialogue by hand, and any by chance."""

from fractions import Fraction

import torch
from hypothesis import strategies as st

from models.blocks import Block, Kind, derive
from models.layouts import LAYOUTS, Layout, VisibilityRule
from models.positions import Clock, Grid

# Tests run side by side: threads that wait for each other make tiny products many times slower.
torch.set_num_threads(1)

SECOND = 10**9
CLOCK = Clock(tokens_per_second=Fraction(2))
# `group` in the order in which it is served: a value of the policies that has no name of its own.
LIVE = Layout(
    name="live",
    positions=LAYOUTS["group"].positions,
    visibility=VisibilityRule(order="time", frames_see_text=False, replies_see="past"),
)
# The layouts in which a reply sees what had arrived, and nothing else.
PAST = ["group", "gap", "overlap", "overlap_shared", "branch", "interleave"]
TEXT_KINDS = [Kind.SYSTEM, Kind.QUERY, Kind.REPLY, Kind.DECISION]


def text(kind, known_ns, count, learn=None, weight=1.0):
    return Block(kind=kind, t0_ns=known_ns, t1_ns=known_ns, token_ids=(11,) * count, learn=learn, loss_weight=weight)


def frames(t0_ns, t1_ns, *, grids=1, before=0, after=0, height=2, width=2):
    """Grids at even times in the span, with text tokens before and behind all of them."""
    area = height * width
    inside = tuple(
        Grid(start=before + k * area, height=height, width=width, t_ns=t0_ns + k * (t1_ns - t0_ns) // grids)
        for k in range(grids)
    )
    return Block(
        kind=Kind.FRAMES, t0_ns=t0_ns, t1_ns=t1_ns, token_ids=(9,) * (before + grids * area + after), grids=inside
    )


def numbered(blocks):
    """The same blocks with token ids 0, 1, 2, … over the whole list, so that a token can be recognised anywhere."""
    done, at = [], 0
    for block in blocks:
        stop = at + len(block.token_ids)
        done.append(
            Block(
                kind=block.kind, t0_ns=block.t0_ns, t1_ns=block.t1_ns, token_ids=tuple(range(at, stop)),
                grids=block.grids, pinned=block.pinned, learn=block.learn, loss_weight=block.loss_weight,
            )
        )  # fmt: skip
        at = stop
    return done


def watching(seconds=3, reply=3):
    """A system prompt, a question, then every second a frame and a piece of the answer."""
    blocks = [text(Kind.SYSTEM, 0, 2), text(Kind.QUERY, 0, 2)]
    for second in range(seconds):
        blocks.append(frames(second * SECOND, (second + 1) * SECOND))
        blocks.append(text(Kind.REPLY, (second + 1) * SECOND, reply, learn=(0, reply)))
    return blocks


def dialogue():
    """Irregular frames with wrapper text, a question in the middle, decisions, a frame that nobody comments on."""
    return [
        text(Kind.SYSTEM, 0, 3),
        frames(0, SECOND, grids=2, before=1),
        text(Kind.DECISION, SECOND, 1, learn=(0, 1), weight=0.25),
        frames(SECOND, 3 * SECOND, after=1),
        text(Kind.QUERY, 3 * SECOND, 4),
        text(Kind.DECISION, 3 * SECOND, 1, learn=(0, 1)),
        text(Kind.REPLY, 3 * SECOND, 5, learn=(2, 5), weight=2.0),
        frames(3 * SECOND, 4 * SECOND, height=1, width=3),
        frames(4 * SECOND + 7, 5 * SECOND),
        text(Kind.REPLY, 5 * SECOND, 1, learn=(0, 1)),
        frames(5 * SECOND, 6 * SECOND),
        text(Kind.REPLY, 6 * SECOND, 2, learn=(0, 2)),
        frames(6 * SECOND, 7 * SECOND),
    ]


def derived(name, blocks=None):
    return derive(dialogue() if blocks is None else blocks, LAYOUTS[name], clock=CLOCK)


@st.composite
def block_lists(draw, longest=4):
    """Blocks of any kind in any order of the list; the spans of frames follow one another."""
    blocks, now = [], 0
    for _ in range(draw(st.integers(1, 10))):
        if draw(st.booleans()):
            now += draw(st.integers(0, 2))
            stop = now + draw(st.integers(1, 4))
            blocks.append(
                frames(
                    now * SECOND, stop * SECOND, grids=draw(st.integers(1, 2)), before=draw(st.integers(0, 1)),
                    after=draw(st.integers(0, 1)), height=draw(st.integers(1, 2)), width=draw(st.integers(1, 3)),
                )
            )  # fmt: skip
            now = stop
        else:
            count = draw(st.integers(1, longest))
            start = draw(st.integers(0, count - 1))
            learn = draw(st.none() | st.integers(start + 1, count).map(lambda stop, start=start: (start, stop)))
            known = (now + draw(st.integers(-1, 2))) * SECOND
            blocks.append(text(draw(st.sampled_from(TEXT_KINDS)), max(known, 0), count, learn, draw(st.floats(0, 4))))
    return numbered(draw(st.permutations(blocks)) if draw(st.booleans()) else blocks)


contexts = st.builds(derived, st.sampled_from(sorted(LAYOUTS)), block_lists())
