"""What a round says of itself: how it came about, what it asks and of how many, and what it leaves out."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Self

from pydantic import Field

from annotate.order import OrderConfig
from annotate.proxy import ProxyConfig
from annotate.tasks import Kind
from datasets_build.core.records import Many, Ns, Part


class LeftOut(Part):
    """How many records of a round's kind go on no screen for one reason, a code of `rejects.jsonl` or `not_taken`."""

    code: str
    records: Annotated[int, Field(gt=0)]


class Manifest(Part):
    """What a round is, written before anything is sent and never changed.

    `data` is the folder of the records, relative to the round's. From `seed` to `order` stands every setting of the
    plan under its own name; `sample` is how many windows were asked for, None for all. `after` is the closed round
    whose disputes the order saw, `gold_sha256` of what was said to be true, None for nothing: how many items are gold
    stands here, which ones stands in `items.jsonl` alone. `config_sha256` is of the labelling configuration,
    `items_sha256` and `rejects_sha256` of the files beside it, `sha256` of all other fields.
    """

    round: str
    kind: Kind
    data: str
    seed: int
    overlap: Annotated[int, Field(ge=1)]
    sample: int | None
    least_ns: Ns
    most_ns: Ns
    proxy: ProxyConfig
    order: OrderConfig | None
    after: str | None = None
    gold_sha256: str | None = None
    labels: Many[str]
    config_sha256: str
    model_version: str
    items: int
    items_sha256: str
    gold: int
    made_at: str
    parent_round: str | None = None
    left_out: Many[LeftOut] = ()
    rejects_sha256: str = ""
    sha256: str = ""

    @property
    def text(self) -> str:
        """Its file."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def sealed(self) -> Self:
        """Itself with the digest of its fields, by which it is seen when somebody changes one."""
        bare = self.model_copy(update={"sha256": ""})
        return bare.model_copy(update={"sha256": hashlib.sha256(bare.text.encode()).hexdigest()})
