"""Talks made by hand or drawn by Hypothesis, on videos that are records alone."""

from pathlib import Path

from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Evidence, Turn
from datasets_build.formats.format import Reel
from datasets_build.formats.steps import Talk
from tests.builders.made import steady, video_of

SECOND = NS_PER_S


def at(seconds):
    """Seconds in ns."""
    return round(seconds * SECOND)


def said(name, role, start_s, text, *, end_s=None, **more):
    """A turn; an instant unless it is given an end."""
    start = at(start_s)
    end = start if end_s is None else at(end_s)
    return Turn(id=name, role=role, start_ns=start, end_ns=end, text=text, **more)


def talk_of(*turns, seconds=4.0, video="made", kind="dialogue", system="", name="talk"):
    """A talk over the whole of a video."""
    ordered = sorted(turns, key=lambda turn: (turn.start_ns, turn.role == "assistant"))
    made = video_of(video, steady(seconds)).id
    return Talk(id=name, kind=kind, video_id=made, start_ns=0, end_ns=at(seconds), system=system, turns=tuple(ordered))


def reel_of(*talks, seconds=4.0, video="made"):
    """A reel of a video without a file."""
    clock = steady(seconds)
    return Reel(video=video_of(video, clock), clock=clock, path=Path("nowhere.mp4"), talks=talks)


def shown(start_s, end_s):
    """What a turn's evidence is."""
    return (Evidence(start_ns=at(start_s), end_ns=at(end_s)),)


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12
).filter(str.strip)
tagged = st.sampled_from(["<image>", "a <video> b", "<|im_end|>", "</Silence>", "<IMAGE>", "x </Response> y"])


@st.composite
def talks(draw, *, seconds=4.0, kind="dialogue"):
    """A talk of up to ten turns with words of any kind, each turn's words its own."""
    turns = []
    for k in range(draw(st.integers(0, 10))):
        start = draw(st.integers(0, at(seconds) - 1))
        role = draw(st.sampled_from(["user", "assistant"]))
        text = f"{k}. {draw(texts | tagged)}"
        turns.append(
            Turn(
                id=f"t{k}",
                role=role,
                start_ns=start,
                end_ns=draw(st.integers(start, at(seconds))),
                text=text,
                learn=draw(st.booleans()),
                loss_weight=draw(st.sampled_from([1.0, 0.5, 2.0])),
            )
        )
    return talk_of(*turns, seconds=seconds, kind=kind)
