"""The result of the checks, as tables: whatever `check.json` holds, laid out without knowing its fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_build.core.files import read_json
from datasets_build.core.records import Json

MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Grid:
    """A plain table; `left_out` counts the rows beyond the page's limit."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check: how many laws were broken where the file says so, and everything it holds as tables."""

    broken: int | None
    grids: tuple[Grid, ...]


def read_check(out: Path) -> Checked | None:
    """The content of `OUT/check.json`; None when no check has been run. Raises DataError when it is not JSON."""
    path = out / "check.json"
    if not path.exists():
        return None
    content = read_json(path)
    broken = content.get("broken") if isinstance(content, dict) else None
    return Checked(broken if type(broken) is int else None, tuple(grids(content)))


def grids(content: Json, title: str = "") -> Iterator[Grid]:
    """Lay out JSON: single values as one table of names and values, every list as a table of its own."""
    if isinstance(content, list):
        yield _list_grid(content, title)
    elif isinstance(content, dict):
        single = [(name, text(value)) for name, value in content.items() if not isinstance(value, list | dict)]
        if single:
            yield Grid(title, ("", ""), tuple(single))
        for name, value in content.items():
            if isinstance(value, list | dict):
                yield from grids(value, f"{title} / {name}" if title else name)
    else:
        yield Grid(title, ("",), ((text(content),),))


def _list_grid(items: Sequence[Json], title: str) -> Grid:
    shown, left_out = items[:MOST_ROWS], max(0, len(items) - MOST_ROWS)
    if not any(isinstance(item, dict) for item in shown):
        return Grid(title, ("",), tuple((text(item),) for item in shown), left_out)
    columns = tuple(dict.fromkeys(name for item in shown if isinstance(item, dict) for name in item))
    rows = [tuple(text(item.get(name)) for name in columns) for item in shown if isinstance(item, dict)]
    return Grid(title, columns, tuple(rows), left_out)


def text(value: Json) -> str:
    """One value of any kind for people."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {text(item)}" for name, item in value.items()) or "–"
    if isinstance(value, list):
        return ", ".join(text(item) for item in value) or "–"
    return f"{value:,}" if isinstance(value, int) else str(value)
