"""What a package says about itself: where it comes from, under which licence, and its README for the model hub."""

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Final

import jinja2

from models.errors import PackageError
from models.settings import StreamingSettings

NOT_STATED: Final = "not stated"
UNKNOWN_LICENSE: Final = "unknown"
_TEMPLATE: Final = Path(__file__).with_name("model_card.md.j2")
_HUB_NAME: Final = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_LICENSE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# YAML would read these from a name as line ends, and JSON leaves them as they are.
_LINE_ENDS: Final = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """One dataset that a model was trained on; `fingerprint` is the one its own files carry. None: not stated."""

    name: str
    revision: str | None = None
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is not text."""
        _check_text("datasets.name", self.name)
        _check_text("datasets.revision", self.revision, optional=True)
        _check_text("datasets.fingerprint", self.fingerprint, optional=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measured number, such as `validation_loss`."""

    name: str
    value: float

    def __post_init__(self) -> None:
        """Refuse a number that is none."""
        _check_text("metrics.name", self.name)
        if type(self.value) not in (int, float) or not math.isfinite(self.value):
            raise PackageError(f"model card: metrics.value of {self.name} is {self.value!r}, expected a finite number")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProvenance:
    """Where the weights come from. None is "not stated", an empty tuple is "none". Raises PackageError.

    Attributes:
        base_model: hub name of the model that training began with.
        base_revision: its commit.
        datasets: what it was trained on.
        recipe: path of the recipe's configuration.
        recipe_sha256: of that file, 64 hex digits.
        code_version: of the training code.
        steps: optimizer steps.
        date: `YYYY-MM-DD`, told by the caller; no clock is read.
        metrics: what was measured at the end.
    """

    base_model: str | None = None
    base_revision: str | None = None
    datasets: tuple[TrainingData, ...] | None = None
    recipe: str | None = None
    recipe_sha256: str | None = None
    code_version: str | None = None
    steps: int | None = None
    date: str | None = None
    metrics: tuple[Metric, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a field of the wrong kind, naming it."""
        _check_text("base_model", self.base_model, optional=True)
        _check_text("base_revision", self.base_revision, optional=True)
        _check_text("recipe", self.recipe, optional=True)
        _check_text("code_version", self.code_version, optional=True)
        _check_records("datasets", self.datasets, TrainingData)
        _check_records("metrics", self.metrics, Metric)
        if self.recipe_sha256 is not None and not _fits(_SHA256, self.recipe_sha256):
            raise PackageError(f"model card: recipe_sha256 is {self.recipe_sha256!r}, expected 64 hex digits")
        if self.steps is not None and (type(self.steps) is not int or self.steps < 0):
            raise PackageError(f"model card: steps is {self.steps!r}, expected an integer of 0 or more")
        if self.date is not None and not _is_date(self.date):
            raise PackageError(f"model card: date is {self.date!r}, expected such as 2026-01-31")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What the caller of `save_package` has to say about a model. Raises PackageError.

    Attributes:
        name: a short title.
        license: identifier of the weights' licence, which the base model passes on, such as `apache-2.0`; `unknown`
            where nobody knows, and the card then says so.
        license_text: the licence's full text, which becomes the file LICENSE; None leaves the identifier alone there.
        summary: a few sentences of Markdown.
        provenance: where the weights come from.
    """

    name: str
    license: str
    license_text: str | None = None
    summary: str = ""
    provenance: TrainingProvenance = field(default_factory=TrainingProvenance)

    def __post_init__(self) -> None:
        """Refuse a card without name or licence."""
        _check_text("name", self.name)
        if "\n" in self.name:
            raise PackageError(f"model card: name is {self.name!r}, expected one line")
        if not _fits(_LICENSE, self.license):
            raise PackageError(
                f"model card: license is {self.license!r}, expected an identifier such as apache-2.0, "
                f"or {UNKNOWN_LICENSE!r} where nobody knows"
            )
        _check_text("license_text", self.license_text, optional=True)
        if self.license == UNKNOWN_LICENSE and self.license_text is not None:
            raise PackageError(
                "model card: license is 'unknown' beside a license_text, expected that text's identifier"
            )
        if type(self.summary) is not str:
            raise PackageError(f"model card: summary is {self.summary!r}, expected text")
        if type(self.provenance) is not TrainingProvenance:
            raise PackageError(f"model card: provenance is {self.provenance!r}, expected TrainingProvenance")

    @property
    def license_file(self) -> str:
        """What the file LICENSE holds."""
        if self.license_text is not None:
            return self.license_text
        if self.license == UNKNOWN_LICENSE:
            return "The licence of these weights is unknown. Ask their author before you use them.\n"
        base = self.provenance.base_model
        where = "the licence's own site" if base is None else f"https://huggingface.co/{base}"
        return f"License of these weights: {self.license}. Its text stands at {where}.\n"

    def to_json(self) -> dict[str, object]:
        """All fields by name, ready for `json.dump`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> "ModelCard":
        """The card that `to_json` wrote. Raises PackageError for a field too many, too few or ill-typed."""
        given = _exactly("card", value, cls)
        source = _exactly("card.provenance", given["provenance"], TrainingProvenance)
        data, metrics = source["datasets"], source["metrics"]
        if data is not None:
            source["datasets"] = tuple(
                TrainingData(**_exactly("card.provenance.datasets", row, TrainingData)) for row in _rows(data)
            )
        if metrics is not None:
            source["metrics"] = tuple(
                Metric(**_exactly("card.provenance.metrics", row, Metric)) for row in _rows(metrics)
            )
        return cls(**given | {"provenance": TrainingProvenance(**source)})


def render_card(card: ModelCard, *, family: str, settings: StreamingSettings, parameters: int, dtype: str) -> str:
    """The README.md of a package: front matter of the Hugging Face hub, then Markdown; the same input, the same text.

    Args:
        card: what the caller has to say.
        family: the model's family.
        settings: how the model is streamed.
        parameters: how many the model has.
        dtype: of the weights, as in `bfloat16`.
    """
    environment = jinja2.Environment(  # noqa: S701 - Markdown, where nothing is escaped as in HTML
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"quoted": _quoted, "cell": _cell, "stated": _stated}
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    base = card.provenance.base_model
    return template.render(
        card=card,
        provenance=card.provenance,
        base=base if base is not None and _fits(_HUB_NAME, base) else None,
        datasets=[data.name for data in card.provenance.datasets or () if _fits(_HUB_NAME, data.name)],
        family=family,
        settings=settings.to_json(),
        parameters=parameters,
        dtype=dtype,
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(_LINE_ENDS)


def _cell(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # A bar would end the table's cell, a backtick the code in it.
    return "`" + text.replace("|", "\\|").replace("`", "\\u0060") + "`"


def _stated(value: object) -> str:
    return NOT_STATED if value is None else " ".join(str(value).split()).replace("|", "\\|")


def _fits(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _is_date(text: object) -> bool:
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _check_text(name: str, value: str | None, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    if type(value) is not str or not value.strip():
        raise PackageError(f"model card: {name} is {value!r}, expected text{' or None' if optional else ''}")


def _check_records(name: str, rows: object, wanted: type) -> None:
    if rows is None:
        return
    if type(rows) is not tuple or not all(type(row) is wanted for row in rows):
        raise PackageError(f"model card: {name} is {rows!r}, expected None or a tuple of {wanted.__name__}")


def _exactly(name: str, value: object, wanted: type) -> dict[str, Any]:
    names = [setting.name for setting in fields(wanted)]
    if not isinstance(value, dict):
        raise PackageError(f"{name} is a {type(value).__name__}, expected a JSON object")
    unknown, missing = sorted(set(value) - set(names)), sorted(set(names) - set(value))
    if unknown or missing:
        raise PackageError(f"{name}: unknown fields {unknown}, missing fields {missing}; expected exactly {names}")
    return dict(value)


def _rows(value: object) -> list[object]:
    if not isinstance(value, list):
        raise PackageError(f"card.provenance: found a {type(value).__name__}, expected a JSON list")
    return value
