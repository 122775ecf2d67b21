"""Characters that nobody sees and that spoil the text around them: they are taken out of what a source says."""

from __future__ import annotations

import re

# Embeddings, overrides and isolates turn the reading order of all that follows, in questions and answers too.
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")


def without_unseen(text: str) -> tuple[str, list[str]]:
    """A text without control characters and marks that change its direction, and which those were, each once.

    Tabs and line ends stay; a separator that is a control character becomes a space.
    """
    found = _UNSEEN.findall(text)
    if not found:
        return text, []
    kept = _UNSEEN.sub(lambda match: " " if match[0].isspace() else "", text)
    return kept.strip(), [f"U+{ord(letter):04X}" for letter in sorted(set(found))]
