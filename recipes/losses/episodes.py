"""Decision rows grouped into episodes: the wait for one answer, its window, and a new start after each response."""

from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.losses.rows import RESPOND, DecisionRows, follows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episodes:
    """Which rows wait for which answer.

    Attributes:
        number: (n,) int64, number of the row's episode, from 0, rising.
        before: (n,) bool: to respond here is a false start. Nothing that could be said is known.
        window: (n,) bool: to respond here is right.
        delay_s: (n,) seconds since the evidence on rows of a window, else 0.
        censored: (n,) bool: rows of a window that the end of the stream or an unlearned row cuts, with no response
            in it. They say nothing.
    """

    number: Tensor
    before: Tensor
    window: Tensor
    delay_s: Tensor
    censored: Tensor


def episodes(rows: DecisionRows) -> Episodes:
    """Groups rows into episodes, from the labels alone.

    An episode begins with a document, after each labelled response, and where the rows wait for something else (another
    pair of evidence and window). Three kinds follow:

    - With a labelled response, which ends it: the window runs from the evidence to the response, which is in it
      wherever it stands. After it the answer is part of what the model sees, so later rows of the response window wait
      for the next answer. To leave the model a choice of moments, write answers late in their windows.
    - With an answer due and none labelled: the window runs from the evidence to the window's end. It is censored where
      the stream ends with a row of it missing. Rows after it are neither here nor there.
    - With nothing due (no evidence, or it was answered in the episode before): every row is to be silent.

    Rows that are not learned are in no group. A window with such a row is censored as a whole, for what came before
    the rows that are learned is not known.
    """
    began = _begins(rows)
    number = began.long().cumsum(0) - 1
    count = int(began.sum())
    answered = _any(rows.states == RESPOND, number, count)
    due = rows.evidence_s <= rows.window_s
    # The same evidence after a response means that it was answered, unless one more response to it is labelled.
    due &= ~_any(began & _repeats(rows), number, count) | answered
    known = rows.time_s >= rows.evidence_s
    window = torch.where(answered, known | (rows.states == RESPOND), due & known & (rows.time_s <= rows.window_s))
    passed = due & (rows.time_s > rows.window_s) & ~answered
    cut = (due & ~answered & _ends_inside(rows)) | _any(window & ~rows.learned, number, count)
    delay = (rows.time_s - rows.evidence_s).clamp(min=0)
    return Episodes(
        number=number,
        before=~window & ~passed & rows.learned,
        window=window & ~cut,
        delay_s=torch.where(window, delay, 0.0),
        censored=window & cut,
    )


def _same_wait(rows: DecisionRows) -> Tensor:
    # (n,) bool: the next row is of the same document and waits for the same.
    return follows(rows.document) & follows(rows.evidence_s) & follows(rows.window_s)


def _begins(rows: DecisionRows) -> Tensor:
    goes_on = _same_wait(rows) & (rows.states != RESPOND)
    return torch.cat([goes_on.new_ones(min(1, len(rows))), ~goes_on[:-1]])


def _repeats(rows: DecisionRows) -> Tensor:
    # (n,) bool: the row before it responded to the very evidence that this row still names.
    again = _same_wait(rows) & (rows.states == RESPOND)
    return torch.cat([again.new_zeros(min(1, len(rows))), again[:-1]])


def _any(flags: Tensor, number: Tensor, count: int) -> Tensor:
    # (n,) bool: whether the flag stands anywhere in the row's episode.
    found = torch.zeros(count, dtype=torch.int64, device=flags.device).index_add_(0, number, flags.long())
    return found[number] > 0


def _ends_inside(rows: DecisionRows) -> Tensor:
    # (n,) bool: after the document's last row, one more at the same pace would still be inside the row's window.
    if not len(rows):
        return rows.learned
    steps = rows.steps_s()
    last = ~follows(rows.document)
    which = torch.cat([last.new_zeros(1), last[:-1]]).long().cumsum(0)
    end, pace = rows.time_s[last][which], torch.cat([steps[:1], steps[:-1]])[last][which]
    # A document of one row has no pace; any window that goes on after it is cut.
    return torch.where(pace > 0, end + pace <= rows.window_s, end < rows.window_s)
