"""What blind guesses are learned with: naive Bayes and a fixed delay, each tried on groups that it never saw."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from datasets_build.checks.shingles import code_of

FOLDS = 5
_BUCKETS = 1 << 14
_MOST_ANSWERS = 64
_SMOOTHING = 0.5
_LEADING = re.compile(r"[\W_]*")
_TRAILING = re.compile(r"[\W_]*$")


def folds_of(groups: Sequence[str]) -> NDArray[np.int64]:
    """A fold for each item; items of one group share theirs, and groups are dealt evenly by their codes."""
    dealt = sorted(set(groups), key=lambda group: (code_of((group,)), group))
    fold = {group: k % FOLDS for k, group in enumerate(dealt)}
    return np.array([fold[group] for group in groups], np.int64)


def features_of(words: Sequence[str]) -> NDArray[np.int64]:
    """The buckets of all single words, pairs and triples, with marks for beginning and end."""
    return _features(tuple(words))


# Questions and options come from few phrasings, so most texts come again.
@lru_cache(maxsize=4096)
def _features(words: tuple[str, ...]) -> NDArray[np.int64]:
    framed = ("^", *words, "$")
    runs = (framed[k : k + length] for length in (1, 2, 3) for k in range(len(framed) - length + 1))
    return np.unique(np.array([code_of(run) % _BUCKETS for run in runs], np.int64))


@lru_cache(maxsize=4096)
def marks_of(text: str, *more: str) -> NDArray[np.int64]:
    """The buckets of what a text looks like, whatever its words: its case, its first and last marks, marks in between.

    Args:
        text: of a question or an option.
        more: what else is seen of it without its words, such as its place among others by length.
    """
    bare = text.strip()
    cases = "".join(sorted({"upper" if letter.isupper() else "lower" for letter in bare if letter.isalpha()}))
    inner = Counter(letter for letter in bare[:-1] if not letter.isalnum() and not letter.isspace())
    seen = [
        f"case {cases}",
        f"begins {bare[:1].isupper()} {_LEADING.match(text).group()!r}",  # type: ignore[union-attr]  # matches nothing, too
        f"ends {_TRAILING.search(text).group()!r}",  # type: ignore[union-attr]  # as above
        f"spaces {'  ' in bare}",
        *(f"{number} of {mark}" for mark, number in inner.items()),
        *more,
    ]
    return np.unique(np.array([code_of((each,)) % _BUCKETS for each in seen], np.int64))


def learned(
    features: Sequence[NDArray[np.int64]], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scores of every item for every label, as the other folds teach: multinomial naive Bayes on present features.

    Args:
        features: of each item, as bucket numbers.
        labels: of each item, from 0. Of more than 64 the most frequent ones can be guessed.
        folds: of each item.

    Returns:
        Log scores, items × labels; `-inf` for a label that cannot be guessed.
    """
    count = int(labels.max()) + 1
    sizes = np.array([len(each) for each in features])
    rows, columns = np.repeat(np.arange(len(features)), sizes), np.concatenate(features)
    width = _BUCKETS
    table = sparse.csr_matrix((np.ones(len(columns)), (rows, columns)), shape=(len(features), width))
    usual = np.sort(np.argsort(-np.bincount(labels, minlength=count), kind="stable")[:_MOST_ANSWERS])
    scores = np.full((len(features), count), -np.inf)
    used = np.unique(columns)
    table = table[:, used]
    for fold in range(FOLDS):
        asked, taught = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if not len(asked):
            continue
        onehot = (labels[taught][:, None] == usual[None, :]).astype(np.float64)
        seen = (table[taught].T @ onehot).T + _SMOOTHING
        weights = np.log(seen / seen.sum(axis=1, keepdims=True))
        prior = np.log((onehot.sum(axis=0) + _SMOOTHING) / (len(taught) + _SMOOTHING * len(usual)))
        scores[np.ix_(asked, usual)] = table[asked] @ weights.T + prior
    return scores


def best_delay(windows: Sequence[tuple[int, int]], folds: NDArray[np.int64]) -> tuple[list[bool], float]:
    """Whether each window holds the delay that the most windows of the other folds hold; and chance.

    Windows are half-open, in ns after the question. Chance is any delay up to the end of the last window.
    """
    spans = np.array(windows, np.int64).reshape(-1, 2)
    reach = max(1, int(spans[:, 1].max(initial=0)))
    chance = float((spans[:, 1] - spans[:, 0]).mean() / reach) if len(spans) else 0.0
    hits = np.zeros(len(spans), bool)
    for fold in range(FOLDS):
        taught, asked = spans[folds != fold], spans[folds == fold]
        if len(taught) and len(asked):
            delay = _fullest(taught)
            hits[folds == fold] = (asked[:, 0] <= delay) & (delay < asked[:, 1])
    return [bool(hit) for hit in hits], chance


def _fullest(spans: NDArray[np.int64]) -> int:
    """The earliest instant that the most spans hold: one of their starts."""
    starts, ends = np.sort(spans[:, 0]), np.sort(spans[:, 1])
    held = np.searchsorted(starts, starts, side="right") - np.searchsorted(ends, starts, side="right")
    return int(starts[int(held.argmax())])
