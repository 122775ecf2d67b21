"""A second round, of what people did not agree about: blind, for one more person to decide."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from annotate.disputes import Disputed, open_sheet
from annotate.errors import AnnotateError
from annotate.proxy import check_proxy, proxy_path
from annotate.rounds import Round, create, folder_of, items_sha256
from annotate.tasks import Item, Window, key_of
from datasets_build.core.files import whole_file


def second_round(root: Path, name: str, first: Round, disputed: Sequence[Disputed]) -> Round:
    """Make a round of the items that are in dispute, the worst first; or find the same one again.

    Who decides sees what is agreed and what was proposed, in order of time, and neither a name nor a vote.

    Raises:
        AnnotateError: nothing is in dispute; a round of this name was made of something else; a proxy was changed.
    """
    if not disputed:
        raise AnnotateError(f"round {first.manifest.round}: nothing is in dispute, so nothing is left to decide")
    by_key, config = first.by_key, first.manifest.config_sha256
    items = [_item(by_key[one.key], one, config) for one in disputed]
    if name == first.manifest.round:
        raise AnnotateError(f"round {name}: is the one that people did not agree in; name the second one otherwise")
    folder = folder_of(root, name)
    (folder / "proxies").mkdir(parents=True, exist_ok=True)
    for item in items:
        _take(first.proxies, item.window, folder / "proxies")
    changed = {
        "round": name,
        "overlap": 1,
        "sample": None,
        "order": None,
        "after": None,
        "gold_sha256": None,
        "left_out": (),
        "items": len(items),
        "items_sha256": items_sha256(items),
        "gold": 0,
        "data": os.path.relpath((first.folder / first.manifest.data).resolve(), folder.resolve()),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "parent_round": first.manifest.round,
    }
    return create(root, first.manifest.model_copy(update=changed), items)


def _item(item: Item, disputed: Disputed, config_sha256: str) -> Item:
    sheet = open_sheet(item, disputed)
    return Item(
        key=key_of(item.window, sheet, config_sha256),
        window=item.window,
        sheet=sheet,
        split=item.split,
        priority=disputed.score,
    )


def _take(proxies: Path, window: Window, folder: Path) -> None:
    proxy = proxy_path(proxies, window)
    if not (folder / proxy.name).exists():
        check_proxy(proxies, window)
        with whole_file(folder / proxy.name) as aside:
            shutil.copyfile(proxy, aside)


def parents_of(second: Round, first: Round, disputed: Sequence[Disputed]) -> Mapping[str, Disputed]:
    """Which dispute each item of a second round is about, by the item's key.

    Raises:
        AnnotateError: the rounds do not belong together.
    """
    if second.manifest.parent_round != first.manifest.round:
        raise AnnotateError(
            f"round {second.manifest.round}: parent_round: found {second.manifest.parent_round}, "
            f"expected {first.manifest.round}"
        )
    by_key, config = first.by_key, first.manifest.config_sha256
    return {_item(by_key[one.key], one, config).key: one for one in disputed}
