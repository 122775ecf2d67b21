"""Small rounds for tests: items by number, a posting and a reading that need no screen."""

import hashlib
from dataclasses import dataclass

from annotate.board import Posting
from annotate.errors import AnnotateError
from annotate.manifest import Manifest
from annotate.proxy import ProxyConfig
from annotate.pull import Reading
from annotate.push import Patience
from annotate.rounds import create, items_sha256
from annotate.tasks import Item, Mark, Sheet, Window, Work, key_of
from datasets_build.core.augmentation import Knot
from datasets_build.core.records import Problem

CONFIG = "<View/>"
# For a real server, which looks at what it is given.
CONFIG_OF_VIDEOS = """<View>
  <Video name="video" value="$video" framerate="$fps"/>
  <TimelineLabels name="events" toName="video"><Label value="jump"/><Label value="fall"/></TimelineLabels>
</View>"""


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def item(number, *, is_gold=False):
    window = Window(
        video_id=f"v{number}",
        start_ns=0,
        end_ns=4_000_000_000,
        proxy_sha256=f"{number:064x}",
        width=64,
        height=48,
        fps_num=25,
        fps_den=1,
        frames=100,
        knots=(Knot(source="0", target="0"), Knot(source="4000000000", target="4000000000")),
    )
    sheet = Sheet(kind="events", marks=(Mark(id=f"e{number}", label="jump", start_ns=0, end_ns=10**9),))
    key = key_of(window, sheet, sha256(CONFIG))
    truth = Work(kind="events") if is_gold else None
    return Item(key=key, window=window, sheet=sheet, split="train", is_gold=is_gold, truth=truth)


def manifest(of, name="r1", **changes):
    fields = {
        "round": name,
        "kind": "events",
        "data": "../../data",
        "seed": 3,
        "overlap": 2,
        "sample": None,
        "least_ns": 120 * 10**9,
        "most_ns": 300 * 10**9,
        "proxy": ProxyConfig(),
        "order": None,
        "labels": ("jump", "fall"),
        "config_sha256": sha256(CONFIG),
        "model_version": "rules/1",
        "items": len(of),
        "items_sha256": items_sha256(of),
        "gold": sum(one.is_gold for one in of),
        "made_at": "2026-01-01T00:00:00Z",
    }
    return Manifest(**{**fields, **changes})


def some_round(root, count=5, name="r1", *, config=CONFIG):
    items = [item(number, is_gold=number == 1) for number in range(count)]
    return create(root, manifest(items, name, config_sha256=sha256(config)), items)


def posting(one):
    # Whoever makes a task sees no gold.
    assert not one.is_gold
    assert one.truth is None
    return Posting(key=one.key, data={"video": f"/{one.window.video_id}.mp4", "fps": 25})


def patience(board, tries=12):
    return Patience(tries=tries, first_s=1.0, most_s=2.0, settle_s=5.0, sleep=board.sleep)


@dataclass
class Counter:
    """How often results were validated."""

    validated: int = 0


def reading(counter=None):
    """A result is a list of labels; `fall` is refused by the validator, `trip` by the decoder."""

    def validate(result, one):
        if counter is not None:
            counter.validated += 1
        return [Problem(code="label", detail="found fall") for label in result if label == "fall"]

    def decode(result, one):
        if "trip" in result:
            raise AnnotateError("region 0: found trip")
        return Work(
            kind="events",
            marks=tuple(Mark(id=f"m{at}", label=str(label), start_ns=0, end_ns=1) for at, label in enumerate(result)),
        )

    return Reading(validate=validate, decode=decode, untouched=lambda work, one: len(work.marks) == 1)


def tree(folder):
    """The bytes of a folder's files, locks apart."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }
