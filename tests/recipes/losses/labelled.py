"""Decision rows for tests: written out, or drawn by Hypothesis."""

import math
from collections.abc import Sequence

import torch
from hypothesis import strategies as st

from recipes.losses.rows import RESPOND, SILENCE, STANDBY, DecisionRows

FIELDS = ("states", "document", "segment", "time_s", "evidence_s", "window_s", "learned", "weight")
LETTERS = {"s": SILENCE, "b": STANDBY, "R": RESPOND}


def rows(
    states: str,
    *,
    fps: float = 1.0,
    evidence_s: float | Sequence[float] = math.inf,
    window_s: float | Sequence[float] = math.inf,
    segment: Sequence[int] | None = None,
    learned: Sequence[bool] | None = None,
    weight: Sequence[float] | None = None,
) -> DecisionRows:
    """One document that begins at 0 s; `states` spells s silence, b standby, R respond."""
    n = len(states)
    return DecisionRows(
        states=torch.tensor([LETTERS[letter] for letter in states], dtype=torch.int64),
        document=torch.zeros(n, dtype=torch.int64),
        segment=torch.tensor(segment if segment is not None else [0] * n, dtype=torch.int64),
        time_s=torch.arange(n, dtype=torch.float64) / fps,
        evidence_s=torch.tensor([evidence_s] * n if isinstance(evidence_s, float) else evidence_s, dtype=torch.float64),
        window_s=torch.tensor([window_s] * n if isinstance(window_s, float) else window_s, dtype=torch.float64),
        learned=torch.tensor(learned if learned is not None else [True] * n, dtype=torch.bool),
        weight=torch.tensor(weight if weight is not None else [1.0] * n, dtype=torch.float64),
    )


def packed(*documents: DecisionRows) -> DecisionRows:
    """Documents one after another in one batch, numbered anew."""
    parts = {name: torch.cat([getattr(one, name) for one in documents]) for name in FIELDS}
    parts["document"] = torch.cat([torch.full((len(one),), number) for number, one in enumerate(documents)])
    return DecisionRows(**parts)


def later(one: DecisionRows, seconds: float) -> DecisionRows:
    """The same document, begun later."""
    moved = {name: getattr(one, name) for name in FIELDS}
    moved |= {name: moved[name] + seconds for name in ("time_s", "evidence_s", "window_s")}
    return DecisionRows(**moved)


@st.composite
def documents(draw: st.DrawFn, *, most: int = 10) -> DecisionRows:
    """Any document, sensible or not: random states, waits that change anywhere, segments, rows not learned."""
    n = draw(st.integers(1, most))
    steps = draw(st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=n, max_size=n))
    breaks = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    waits = draw(
        st.lists(
            st.tuples(st.sampled_from([math.inf, 0.0, 1.5, 3.0, 6.0]), st.sampled_from([0.0, 1.0, 4.0])), min_size=n
        )
    )
    changes = [0]
    for change in draw(st.lists(st.booleans(), min_size=n, max_size=n))[1:]:
        changes.append(changes[-1] + change)
    evidence = [waits[number][0] for number in changes]
    return DecisionRows(
        states=torch.tensor(draw(st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=n, max_size=n))),
        document=torch.zeros(n, dtype=torch.int64),
        segment=torch.tensor(breaks).long().cumsum(0),
        time_s=torch.tensor(steps, dtype=torch.float64).cumsum(0),
        evidence_s=torch.tensor(evidence, dtype=torch.float64),
        window_s=torch.tensor(
            [begin + waits[number][1] for begin, number in zip(evidence, changes, strict=True)], dtype=torch.float64
        ),
        learned=torch.tensor(draw(st.lists(st.sampled_from([True, True, True, False]), min_size=n, max_size=n))),
        weight=torch.tensor(draw(st.lists(st.sampled_from([1.0, 1.0, 0.5]), min_size=n, max_size=n))).double(),
    )


def logits_of(n: int, seed: int = 0) -> torch.Tensor:
    """Random logits (n, 3) float64 that want gradients."""
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, requires_grad=True)


def gradient(value: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    """d value / d of."""
    return torch.autograd.grad(value, of)[0]
