"""Bring the pictures in docs/layouts.md up to date: `python -m tests.models.layout_pictures [--write]`."""

import re
import sys
from pathlib import Path

from models.masks import draw
from tests.models.contexts import derived, watching

DOC = Path(__file__).resolve().parents[2] / "docs" / "layouts.md"
EXAMPLE = watching(seconds=3, reply=3)
PICTURE = re.compile(r"<!-- picture: (\w+) -->\n```\n.*?```\n", re.DOTALL)


def picture(name):
    return f"<!-- picture: {name} -->\n```\n{draw(derived(name, EXAMPLE))}```\n"


def with_pictures(text):
    """The text with each picture drawn anew."""
    return PICTURE.sub(lambda found: picture(found[1]), text)


def pictured():
    """The layouts that have a picture, in the order of the text."""
    return PICTURE.findall(DOC.read_text(encoding="utf-8"))


if __name__ == "__main__":
    new = with_pictures(DOC.read_text(encoding="utf-8"))
    if "--write" in sys.argv:
        DOC.write_text(new, encoding="utf-8")
    else:
        print(new, end="")
