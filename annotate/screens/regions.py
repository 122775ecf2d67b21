"""What a screen sends and gets back: Label Studio's lists of regions, read strictly.

The server checks nothing of what it stores, so a name, type, number or frame may be anything. Reading a result never
fails: what is wrong with it is a list of flaws, and a screen makes work only of a result without any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from annotate.errors import AnnotateError
from annotate.frames import first_frame
from annotate.tasks import Item, Window
from datasets_build.core.clock import format_ns
from datasets_build.core.records import Json, Part

CLIP = "clip"
VIDEO = "video"
NOT_USABLE = "not usable"
VERDICTS = ("accept", "fix", "reject")
USABLE = ("usable", NOT_USABLE)
KEY_FIELD = "item_key"
"""The field of a task's data that says which item it is."""
MEDIA = "/data/local-files/?d=proxies/"

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_SHOWN = 120  # characters of a found value that a message repeats


class ScreenError(AnnotateError):
    """Labels that no screen can show, an item that it cannot hold, or a result that means nothing."""


class Flaw(Part):
    """Something wrong with a result: the region and field, what stands there, and what should.

    `code`: `shape`, `foreign`, `type`, `duplicate`, `label`, `frames`, `number`, `text`, `choice`, `missing`,
    `unchanged` or `order`.
    """

    code: str
    where: str
    found: str
    expected: str

    @property
    def detail(self) -> str:
        """One sentence for a person."""
        return f"{self.where}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An item as the server gets it: the data that the configuration names, and what people find filled in."""

    data: Mapping[str, Json]
    result: tuple[Json, ...] = ()
    model_version: str = "records"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A part of a screen that answers: the type of its regions and what it says something about."""

    type: str
    to_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A region of a result whose name and type are those of a control."""

    id: str
    name: str
    value: Mapping[str, Json]

    @property
    def where(self) -> str:
        """How messages call it."""
        return f"region {self.id}, {self.name}"


CLIP_CONTROL = Control(type="choices", to_name=VIDEO)


class Reading:
    """A result while it is read: its regions, and the flaws that were found so far.

    Args:
        result: what the server or a screen's `encode` gave.
        controls: the parts of the screen by name.
    """

    def __init__(self, result: Sequence[Json], controls: Mapping[str, Control]) -> None:
        self.flaws: list[Flaw] = []
        self.regions: list[Region] = []
        for number, entry in enumerate(result):
            region = self._region(f"entry {number}", entry, controls)
            if region:
                self.regions.append(region)

    def flaw(self, code: str, where: str, found: object, expected: str) -> None:
        """Note a flaw."""
        text = found if isinstance(found, str) and code != "text" else repr(found)
        self.flaws.append(Flaw(code=code, where=where, found=_short(text), expected=expected))

    def _region(self, where: str, entry: Json, controls: Mapping[str, Control]) -> Region | None:
        if not isinstance(entry, dict):
            self.flaw("shape", where, entry, "a region: an object")
            return None
        id_, name, value = entry.get("id"), entry.get("from_name"), entry.get("value")
        if not isinstance(id_, str) or not _is_text(id_):
            self.flaw("shape", f"{where}, id", repr(id_), "a text that is not empty")
            return None
        where = f"region {id_}"
        if not isinstance(name, str) or name not in controls:
            self.flaw("foreign", f"{where}, from_name", repr(name), "a part of this screen")
            return None
        control = controls[name]
        for field, wanted in (("type", control.type), ("to_name", control.to_name)):
            if entry.get(field) != wanted:
                self.flaw("type", f"{where}, {name}, {field}", repr(entry.get(field)), wanted)
                return None
        if not isinstance(value, dict):
            self.flaw("shape", f"{where}, {name}, value", repr(value), "an object")
            return None
        return Region(id=id_, name=name, value=value)

    def single(self, names: Collection[str]) -> dict[str, Region]:
        """The regions of controls that answer once, by name; a second answer or a second use of an id is a flaw."""
        chosen = [region for region in self.regions if region.name in names]
        for id_, count in Counter(region.id for region in chosen).items():
            if count > 1:
                self.flaw("duplicate", f"region {id_}", f"{count} answers of this id", "one")
        for name, count in Counter(region.name for region in chosen).items():
            if count > 1:
                self.flaw("duplicate", name, f"{count} answers", "one")
        return {region.name: region for region in chosen}

    def choice(self, region: Region | None, allowed: Collection[str]) -> str | None:
        """The one choice of a region; None where there is none or it is a flaw."""
        if region is None:
            return None
        found = region.value.get("choices")
        if isinstance(found, list) and len(found) == 1 and isinstance(found[0], str) and found[0] in allowed:
            return found[0]
        self.flaw("choice", region.where, repr(found), "one of " + ", ".join(allowed))
        return None

    def text(self, region: Region | None) -> str | None:
        """The text of a region without the blanks around it; None where there is none or it is a flaw."""
        if region is None:
            return None
        found = region.value.get("text")
        if isinstance(found, list) and len(found) == 1 and isinstance(found[0], str) and _is_text(found[0].strip()):
            return found[0].strip()
        self.flaw("text", region.where, found, "one text that is not empty")
        return None

    def whole(self, region: Region | None, field: str, most: int) -> int | None:
        """A whole number of 1 to `most`; None where there is none or it is a flaw."""
        if region is None:
            return None
        found = region.value.get(field)
        if is_whole(found) and 1 <= found <= most:
            return found
        self.flaw("number", region.where, repr(found), f"a whole number from 1 to {most}")
        return None

    def is_usable(self, region: Region | None) -> bool:
        """Whether the clip can be judged, which it can where nobody says otherwise."""
        return self.choice(region, USABLE) != NOT_USABLE

    def check(self) -> None:
        """Raises ScreenError with the first flaw and how many there are."""
        if self.flaws:
            more = f" (and {len(self.flaws) - 1} more)" if len(self.flaws) > 1 else ""
            raise ScreenError(self.flaws[0].detail + more)


def is_whole(value: Json) -> TypeGuard[int]:
    """Whether a value is a whole number and no truth value; JSON writes a browser's whole numbers without a point."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: str) -> bool:
    """Whether a text is not empty and can be written; JSON may hold half a character, which no file takes."""
    return bool(value) and not any("\ud800" <= sign <= "\udfff" for sign in value)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def render(name: str, labels: Sequence[Mapping[str, str]] = ()) -> str:
    """A labelling configuration from the template of a name beside this file; labels are a text and a colour each."""
    return _TEMPLATES.get_template(f"{name}.xml").render(labels=labels)


def data_of(item: Item, video: str | None = None) -> dict[str, Json]:
    """What every screen's data has: the key, the proxy's address and its rate.

    `video` is where the server finds the proxy; without it, by its content in the folder `proxies` of the server's
    local files.
    """
    window = item.window
    return {
        KEY_FIELD: item.key,
        "video": video if video is not None else f"{MEDIA}{window.proxy_sha256}.mp4",
        "fps": window.fps_num / window.fps_den,
    }


def sent(control: Control, id_: str, name: str, value: dict[str, Json]) -> Json:
    """A region of a prediction."""
    return {"id": id_, "from_name": name, "to_name": control.to_name, "type": control.type, "value": value}


def moment(window: Window, t_ns: int) -> str:
    """When something is on the proxy, for people: its frame and time there, or that it is outside."""
    if t_ns < window.start_ns:
        return "before this clip"
    if t_ns > window.end_ns:
        return "after this clip"
    return f"at frame {first_frame(window, t_ns)} ({format_ns(window.time_map.apply(t_ns))})"
