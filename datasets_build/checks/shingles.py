"""Text as words and runs of words: what is compared where the same thing may be said with other marks and cases."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b

# A Chinese, Japanese or Korean character is a word of its own: these scripts put no space between words.
_WORD = re.compile(r"[぀-ヿ㐀-鿿가-힯]|[^\W_]+(?:['’][^\W_]+)*")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in order, without case, marks and width."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def contains(words: Sequence[str], part: Sequence[str]) -> bool:
    """Whether some words stand in a row among others."""
    return bool(part) and any(tuple(words[k : k + len(part)]) == tuple(part) for k in range(len(words) - len(part) + 1))


def code_of(words: Sequence[str]) -> int:
    """Sixty-three bits that stand for words in a row, the same on every machine."""
    return int.from_bytes(blake2b(" ".join(words).encode(), digest_size=8).digest()) >> 1


def shingles_of(words: Sequence[str], length: int) -> frozenset[int]:
    """The codes of all runs of so many words (Broder 1997); the whole text where it is shorter."""
    last = max(1, len(words) - length + 1)
    return frozenset(code_of(words[k : k + length]) for k in range(last)) if words else frozenset()
