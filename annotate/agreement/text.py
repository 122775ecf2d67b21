"""How alike two texts are: words in common and character n-grams in common, both from 0 to 1."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_WORD = re.compile(r"\w+")
_ORDERS = range(1, 7)


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores, without case, in Unicode form NFKC."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def token_f1(left: str, right: str) -> float:
    """F1 of the words in common, each as often as it stands in both; 1 where neither text has a word.

    Source: Rajpurkar et al., SQuAD, EMNLP 2016, section 6.1 (articles are kept here).
    """
    ours, theirs = Counter(words(left)), Counter(words(right))
    together = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / together if together else 1.0


def chrf(left: str, right: str, *, beta: float = 1.0) -> float:
    """F score of character n-grams of one to six, white space left out; symmetric for `beta` 1.

    Precision (of `left`) and recall (of `right`) are averaged over the lengths that both texts have. Source: Popović,
    chrF: character n-gram F-score for automatic MT evaluation, WMT 2015. 1 where neither text has a character.
    """
    ours, theirs = "".join(left.split()), "".join(right.split())
    if not ours or not theirs:
        return float(ours == theirs)
    orders = [order for order in _ORDERS if order <= min(len(ours), len(theirs))]
    common = [(_grams(ours, order) & _grams(theirs, order)).total() for order in orders]
    precision = sum(hits / (len(ours) - order + 1) for hits, order in zip(common, orders, strict=True)) / len(orders)
    recall = sum(hits / (len(theirs) - order + 1) for hits, order in zip(common, orders, strict=True)) / len(orders)
    if precision + recall == 0:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def _grams(text: str, order: int) -> Counter[str]:
    return Counter(text[at : at + order] for at in range(len(text) - order + 1))
