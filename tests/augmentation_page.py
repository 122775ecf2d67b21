"""The part of docs/augmentation.md that follows from the code: `python -m tests.augmentation_page [--write]`."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

from annotated_types import Ge, Gt, Le, Lt, MinLen, MultipleOf
from pydantic.fields import FieldInfo

from augment.settings import Operation, Pipeline
from datasets_build.core.config import Config
from tests.readme_tree import ROOT

PAGE = ROOT / "docs" / "augmentation.md"
PICTURES = ROOT / "docs" / "augmentation"
BEGIN, END = "<!-- operations: python -m tests.augmentation_page --write -->", "<!-- end of operations -->"
_SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}


def parts(annotation: object, base: type) -> list[type]:
    """The classes below `base` that an annotation names, in its order."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return [annotation] if issubclass(annotation, base) else []
    return list(dict.fromkeys(found for each in typing.get_args(annotation) for found in parts(each, base)))


def operations() -> list[type[Operation]]:
    """Every operation that a pipeline may have."""
    return parts(Pipeline.model_fields["operations"].annotation, Operation)


def kind_of(operation: type[Config]) -> str:
    """The word that names a class in YAML."""
    return str(
        next(operation.model_fields[name].default for name in ("kind", "form") if name in operation.model_fields)
    )


def pictures(kind: str) -> list[Path]:
    """The pictures of an operation, those of its forms too."""
    kinds = {kind_of(each) for each in operations()}
    # The longest kind that begins the name: `late_answer` is not a picture of `late`.
    found = [
        path
        for path in sorted(PICTURES.glob("*.yaml"))
        if max((each for each in kinds if (path.stem + "_").startswith(each + "_")), key=len, default="") == kind
    ]
    return [path.with_suffix(".png") for path in found]


def _values(field: FieldInfo) -> str:
    """What a setting may be."""
    annotation = field.annotation
    configs = parts(annotation, Config)
    if configs:
        return " or ".join(f"`{kind_of(each)}`" if "form" in each.model_fields else each.__name__ for each in configs)
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{each}`" for each in typing.get_args(annotation))
    lengths = [f"{each.min_length} or more" for each in field.metadata if isinstance(each, MinLen)]
    items = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple:
        # `Annotated[int, …]`, as often as one likes.
        item, *told = typing.get_args(items[0])
        limits = [limit for each in told if isinstance(each, FieldInfo) for limit in each.metadata]
        return " ".join(["a list of", *_limited(item, limits, plural="s"), *lengths])
    return " ".join([*_limited(annotation, field.metadata), *lengths])


def _limited(annotation: object, limits: Sequence[object], *, plural: str = "") -> list[str]:
    """What a value is, and its limits."""
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    steps = [each.multiple_of for each in limits if isinstance(each, MultipleOf)]
    assert all(step == 2 for step in steps), "no word for another step is known"
    bounds = [
        f"{sign} {getattr(each, kind.__name__.lower()):g}"
        for each in limits
        for kind, sign in _SIGNS.items()
        if isinstance(each, kind)
    ]
    return ["even"] * bool(steps) + [names.get(annotation, str(annotation)) + plural, *bounds]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    if field.default is None:
        return "none"
    return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def table(model: type[Config]) -> list[str]:
    """The settings of a class, a row for each."""
    fields = {name: field for name, field in model.model_fields.items() if name not in ("kind", "p", "operations")}
    if not fields:
        return ["It has no settings but `p`."]
    rows = [f"| `{name}` | {_values(field)} | {_default(field)} |" for name, field in fields.items()]
    return ["| setting | values | default |", "|--|--|--|", *rows]


def section(operation: type[Operation]) -> list[str]:
    """An operation: what it does, its settings, its pictures."""
    kind = kind_of(operation)
    lines = [f"### `{kind}`", "", *inspect.cleandoc(operation.__doc__ or "").splitlines(), "", *table(operation), ""]
    for path in pictures(kind):
        setting = path.with_suffix(".yaml").read_text(encoding="utf-8").splitlines()
        said = setting[0].removeprefix("# ").removesuffix(".")
        lines += [f"![{said}](augmentation/{path.name})", "", f"*{said}:* `augmentation/{path.stem}.yaml`", ""]
    return lines


def generated() -> str:
    """All operations, and below them what several of them take."""
    found = ["### A pipeline", "", *inspect.cleandoc(Pipeline.__doc__ or "").splitlines(), "", *table(Pipeline), ""]
    found += [line for operation in operations() for line in section(operation)]
    shared = dict.fromkeys(
        config
        for operation in operations()
        for field in operation.model_fields.values()
        for config in parts(field.annotation, Config)
    )
    for config in shared:
        found += [
            f"#### `form: {kind_of(config)}`",
            "",
            *inspect.cleandoc(config.__doc__ or "").splitlines(),
            "",
            *table(config),
            "",
        ]
    return "\n".join(found)


def page_with_operations(text: str) -> str:
    """The page with that part brought up to date."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{generated()}\n{END}{tail}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page_with_operations(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(generated())
