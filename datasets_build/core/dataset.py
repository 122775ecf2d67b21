"""A published dataset: a folder that `datasets.load_dataset` opens, with splits, typed features and a card."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import jinja2

from datasets_build.core.files import sha256_file
from datasets_build.core.records import Part, Split
from datasets_build.core.table import TableError, arrow_schema, read_table, write_table

if TYPE_CHECKING:
    import datasets

R = TypeVar("R", bound=Part)
SPLITS: tuple[Split, ...] = get_args(Split)
CARD = Path(__file__).with_name("card.md")


@dataclass(frozen=True, slots=True)
class Subset:
    """One table of a dataset: a name that `load_dataset(folder, name)` takes, its record, what it holds."""

    name: str
    model: type[Part]
    about: str


@dataclass(frozen=True, slots=True)
class Card:
    """What a dataset card says beside the fields, which are derived from the records."""

    title: str
    summary: str
    built: Sequence[str]
    licences: Mapping[str, int]
    notes: Sequence[str]


def hf_features(model: type[Part]) -> datasets.Features:
    """The typed features of a record class for Hugging Face `datasets`."""
    import datasets

    return datasets.Features.from_arrow_schema(arrow_schema(model).remove_metadata())


def to_hf(rows: Sequence[R], model: type[R]) -> datasets.Dataset:
    """Records as an in-memory Hugging Face dataset with typed features."""
    import datasets

    return datasets.Dataset.from_list([row.model_dump() for row in rows], features=hf_features(model))


def from_hf(dataset: datasets.Dataset, model: type[R]) -> Iterator[R]:
    """The records that a Hugging Face dataset holds, validated. Raises pydantic.ValidationError for a foreign row."""
    for row in dataset:
        yield model.model_validate(row)


def write_split(folder: Path, subset: Subset, split: Split, rows: Sequence[R]) -> int:
    """Write one split of one subset to `folder/<subset>/<split>.parquet`; an empty split leaves no file."""
    if not rows:
        # `load_dataset` refuses a split without rows, so an empty one is not named at all.
        return 0
    (folder / subset.name).mkdir(parents=True, exist_ok=True)
    return write_table(folder / subset.name / f"{split}.parquet", subset.model, rows)


def read_split(folder: Path, subset: Subset, split: Split) -> Iterator[Part]:
    """The records of one split; nothing when the split is empty."""
    path = folder / subset.name / f"{split}.parquet"
    if path.exists():
        yield from read_table(path, subset.model)


def write_card(folder: Path, subsets: Sequence[Subset], counts: Mapping[str, Mapping[Split, int]], card: Card) -> None:
    """Write `README.md`: the YAML that `load_dataset` reads, then fields, units, counts, licences and how it was built.

    Args:
        folder: the dataset's folder.
        subsets: the first is the default one.
        counts: rows per subset name and split.
        card: the words.
    """
    template = jinja2.Environment(  # noqa: S701 - Markdown, where escaping would print entities
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    ).from_string(CARD.read_text(encoding="utf-8"))
    text = template.render(
        card=card,
        subsets=subsets,
        counts=counts,
        splits=SPLITS,
        fields=_fields,
        first=subsets[0],
        content=content_digest(folder),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def content_digest(folder: Path) -> str:
    """Twenty hex digits over the tables: `datasets` keys its cache by the card alone, so the card must name them."""
    digest = hashlib.blake2b(digest_size=10)
    for path in sorted(folder.rglob("*.parquet")):
        digest.update(path.relative_to(folder).as_posix().encode() + sha256_file(path).encode())
    return digest.hexdigest()


def _fields(model: type[Part]) -> list[tuple[str, str]]:
    return [(field.name, str(field.type).replace("|", "\\|")) for field in arrow_schema(model)]


def present_splits(folder: Path, subset: Subset) -> list[Split]:
    """The splits that hold rows. Raises TableError when the folder holds none."""
    found = [split for split in SPLITS if (folder / subset.name / f"{split}.parquet").exists()]
    if not found:
        raise TableError(
            f"{folder}: holds no {subset.name}/*.parquet; expected a dataset folder such as OUT/streaming_qa"
        )
    return found
