"""Temporal consistency: what the model decides and says on one frame, and on the next of the same segment, agree.

The future teaches the past: pulling frame t to frame t - 1, as MS-TCN does, smooths as well but makes every change come
later. Gates leave real changes alone, and every sum is over seconds rather than rows, so that the frame rate of a
stream does not change what it says.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from recipes.errors import RecipeError
from recipes.losses.answers import CHUNK
from recipes.losses.part import Part, check_rows, weighted_sum
from recipes.losses.rows import RESPOND, STATES, DecisionRows, decision_logits, follows, widened

# MS-TCN clips a squared difference of log-probabilities here (yabufarha/ms-tcn, model.py).
TRUNCATION = 16.0


def ramp(step: int, warm: int) -> float:
    """Returns min(step / warm, 1), as icefall ramps its consistency term; 1 where warm is 0."""
    return min(step / warm, 1.0) if warm > 0 else 1.0


def gates(rows: DecisionRows, alike: Tensor | None = None) -> Tensor:
    """Seconds for which each row and the next one should agree; 0 where they may differ.

    g_t = 1[same segment(t, t + 1)] 1[both learned] 1[t did not end a response] 1[1 - cos(f_t, f_{t+1}) < tau] dt

    What the model says is a border as well: behind it there is nothing left to say, and a row that responds must not
    learn to be silent from the one behind it.

    Args:
        rows: the decision rows; a segment ends at an annotated event boundary and at a user's turn.
        alike: (n,) bool, the picture hardly changes to the next row (`Decisions.still`); None looks at labels only.

    Returns:
        (n,) seconds; 0 on the last row of a segment.
    """
    # Across documents there are no seconds, whatever their segments' numbers.
    same = follows(rows.segment) & rows.learned
    same &= torch.cat([rows.learned[1:], rows.learned[:1]])
    speaks = rows.states == RESPOND
    same &= ~speaks | torch.cat([speaks[1:], speaks[:1]])
    if alike is not None:
        check_rows(len(rows), {"alike": alike})
        same &= alike
    return rows.steps_s() * same


def future_targets(
    chances: Tensor, rows: DecisionRows, *, gate_s: Tensor, lam: float = 0.7, smoothing: float | None = 0.1
) -> Tensor:
    """What each row should have said, seen from the rows after it: targets of TD(lambda), without gradients.

    c_t = (1 - lam) sum_{k>=1} lam^{k-1} q_{t+k} inside a segment, and the rest of the mass on its end. As a recursion,
    with lam per second: c_t = (1 - lam^dt) q_{t+1} + lam^dt c_{t+1}; at the last row of a segment c is its label,
    smoothed (Maystre et al., "Incremental sequence classification with temporal consistency", NeurIPS 2025). Where a
    gate shuts inside a segment the chain ends too: c there is q itself.

    Args:
        chances: (n, 3) q, distributions over the states.
        rows: the decision rows.
        gate_s: (n,) of `gates`.
        lam: share of the target that lies further than one second ahead, in [0, 1].
        smoothing: mass that the label at the end shares among the three states; None ends chains on q itself, with
            which any constant prediction is consistent.

    Returns:
        (n, 3) distributions.

    Raises:
        RecipeError: lam outside [0, 1].
    """
    if not 0 <= lam <= 1:
        raise RecipeError(f"lam: found {lam}, expected a share in [0, 1]")
    fixed = chances.detach()
    opened = gate_s > 0
    # Rows after a shut gate are the ends of chains; an affine map c_t = keep c_{t+1} + gain stands for each row.
    keep = torch.where(opened, torch.pow(lam, gate_s.to(fixed.dtype)), 0.0)[:, None]
    ahead = torch.cat([fixed[1:], fixed[-1:]])
    gain = torch.where(opened[:, None], (1 - keep) * ahead, _ends(fixed, rows, smoothing=smoothing))
    # Maps are composed in pairs, then fours, then eights (Hillis and Steele): log2(n) steps for any number of rows.
    reach = 1
    while reach < len(fixed):
        beyond = torch.cat([gain[reach:], torch.zeros_like(gain[:reach])])
        gain = gain + keep * beyond
        keep = keep * torch.cat([keep[reach:], torch.zeros_like(keep[:reach])])
        reach *= 2
    return gain


def _ends(chances: Tensor, rows: DecisionRows, *, smoothing: float | None) -> Tensor:
    if smoothing is None:
        return chances
    labels = functional.one_hot(rows.states, STATES).to(chances.dtype)
    smooth = (1 - smoothing) * labels + smoothing / STATES
    inside = follows(rows.document) & follows(rows.segment)
    return torch.where((inside | ~rows.learned)[:, None], chances, smooth)


def decision_consistency(
    logits: Tensor, rows: DecisionRows, *, gate_s: Tensor, lam: float = 0.7, smoothing: float | None = 0.1
) -> Part:
    """Each decision is taught by those that follow it: L = sum_t g_t KL(sg[c_t] || q_t) / sum_t g_t.

    Dividing by the gates rather than by the frames keeps static video from drowning the rest.

    Args:
        logits: (n, 3).
        rows: the decision rows.
        gate_s: (n,) of `gates`; a row of gate 0 gets no gradient.
        lam: of `future_targets`.
        smoothing: of `future_targets`.

    Raises:
        RecipeError: shapes that do not fit, or lam outside [0, 1].
    """
    logs = functional.log_softmax(decision_logits(logits, rows), dim=-1)
    check_rows(len(rows), {"gate_s": gate_s})
    targets = future_targets(logs.exp(), rows, gate_s=gate_s, lam=lam, smoothing=smoothing)
    return weighted_sum((torch.xlogy(targets, targets) - targets * logs).sum(dim=-1), gate_s)


def token_consistency(
    earlier: Tensor,
    later: Tensor,
    *,
    project: Callable[[Tensor], Tensor],
    weights: Tensor,
    chunk: int = CHUNK,
) -> Part:
    """The tokens of one answer, said with the frames up to t, are taught by the same said one frame later.

    L = sum_i w_i KL(sg p(. | V<=t+1, y<i) || p(. | V<=t, y<i)) / sum_i w_i, over rows t with an open gate and t >= t_e.
    The two copies of the answer are hidden from each other (as in LiveStar's SCAM mask): one forward pass gives both.

    Args:
        earlier: (m, d) hidden states of the answer's rows that see the frames up to t.
        later: (m, d) those that see one frame more, row for row.
        project: (k, d) → (k, V), the output projection.
        weights: (m,) at least 0; seconds of the gate, so that the frame rate does not matter.
        chunk: rows of logits at a time.

    Raises:
        RecipeError: shapes that do not fit.
    """
    if earlier.shape != later.shape:
        raise RecipeError(f"pairs of text rows: found {tuple(earlier.shape)} against {tuple(later.shape)}")

    def one(taught: Tensor, teacher: Tensor) -> Tensor:
        with torch.no_grad():
            target = functional.log_softmax(widened(project(teacher)), dim=-1)
        logs = functional.log_softmax(widened(project(taught)), dim=-1)
        return functional.kl_div(logs, target, log_target=True, reduction="none").sum(dim=-1)

    pieces = []
    for start in range(0, max(len(earlier), 1), chunk):
        here = slice(start, start + chunk)
        piece: Tensor = checkpoint(one, earlier[here], later[here], use_reentrant=False, preserve_rng_state=False)
        pieces.append(piece)
    return weighted_sum(torch.cat(pieces), weights)


def feature_consistency(hidden: Tensor, gate_s: Tensor) -> Part:
    """Hidden states of neighbouring decision rows point the same way: L = sum_t g_t (1 - cos(h_t, sg h_{t+1})) / sum g.

    Opt-in, of weight 0.1 at most: it asks for more than decisions need.

    Args:
        hidden: (n, d) states on the decision rows.
        gate_s: (n,) of `gates`.

    Raises:
        RecipeError: shapes that do not fit.
    """
    wide = widened(hidden)
    ahead = torch.cat([wide[1:], wide[:1]]).detach()
    return weighted_sum(1 - functional.cosine_similarity(wide, ahead, dim=-1), gate_s)


def calm_loss(logits: Tensor, rows: DecisionRows, *, gate_s: Tensor) -> Part:
    """Each decision is pulled to the one before it: truncated mean squared error of log-probabilities (T-MSE).

    L = sum_t g_t mean_c min((log q_{t+1}(c) - sg log q_t(c))^2, 16) / sum_t g_t (Abu Farha and Gall, "MS-TCN", CVPR
    2019). Opt-in: it makes decisions calmer and later; hysteresis at decoding costs less.

    Args:
        logits: (n, 3).
        rows: the decision rows.
        gate_s: (n,) of `gates`.

    Raises:
        RecipeError: shapes that do not fit.
    """
    logs = functional.log_softmax(decision_logits(logits, rows), dim=-1)
    ahead = torch.cat([logs[1:], logs[:1]])
    jumps = (ahead - logs.detach()).square().clamp(max=TRUNCATION).mean(dim=-1)
    return weighted_sum(jumps, gate_s)
