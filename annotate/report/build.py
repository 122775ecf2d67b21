"""Write the page of a round: one file with everything inline that opens offline, without a script."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from annotate.journal import plain
from annotate.pull import Reading
from annotate.report.payload import Page, collect
from annotate.report.settings import PageConfig
from annotate.report.words import written
from annotate.rounds import Round
from datasets_build.core.files import write_bytes

_HERE = Path(__file__).parent
_LARGE = 3_000_000
log = logging.getLogger(__name__)


def write_report(
    round_: Round, path: Path, *, reading: Reading | None = None, config: PageConfig | None = None
) -> Path:
    """Write the page of a round as a whole HTML file and return its path.

    It says who said what and which items are gold: it is for the person who runs the round. The same folder gives the
    same bytes.

    Args:
        round_: the round, as far as it is; no server is asked.
        path: of the file.
        reading: how its screen is read; by the folder of its records where None.
        config: what the page holds.

    Raises:
        AnnotateError: a file of the round was changed, or the records that it was made of are gone.
    """
    page = collect(round_, reading, config or PageConfig())
    content = plain(render(page)).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    if len(content) > _LARGE:
        log.warning("%s: %d bytes; smaller with fewer or smaller pictures", path, len(content))
    return path


def render(page: Page) -> str:
    """The page as HTML; every text of the data passes through escaping."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    return _template().render(page=page, style=Markup(style))  # noqa: S704 - our own file


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"written": written, "lasting": lasting, "many": many}
    return environment.from_string((_HERE / "page.html").read_text(encoding="utf-8"))


def lasting(seconds: float) -> str:
    """A length of time for people: `1 h 02 min`, `3 min 04 s`, `5 s`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def many(number: int, one: str, more: str = "") -> str:
    """A number with its noun: `1 item`, `1,200 items`."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
