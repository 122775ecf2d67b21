"""Configuration: YAML plus `key=value` becomes a checked, frozen pydantic object."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from datasets_build.core.files import DataError
from datasets_build.core.records import Json


class ConfigError(DataError):
    """A setting that is unknown, ill-typed or out of range; the message names its full path.

    It quotes files, so what does not print stands in it as an escape: a terminal would obey control characters.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(each if each.isprintable() else ascii(each)[1:-1] for each in message))


class Config(BaseModel):
    """Base of all settings: frozen, no unknown key, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


C = TypeVar("C", bound=BaseModel)
_FOLDER = "folder"


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads `1e-4` as a number (YAML 1.2) and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """Build a mapping; PyYAML's own keeps the last of two equal keys without a word."""
        named = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=True) for key in named]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        mapping: dict[object, object] = super().construct_mapping(node, deep)
        return mapping


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _parse(text: str, where: str) -> Json:
    try:
        value: Json = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    # PyYAML lets a date or number that cannot be (2020-13-45) out as a ValueError.
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: not valid YAML ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: nested too deep to read") from error
    return value


def read_yaml(path: Path) -> dict[str, Json]:
    """Read a YAML mapping. Raises ConfigError when the file is absent, not YAML or not a mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a config file ({error})") from error
    value = _parse(text, str(path))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, found {type(value).__name__}")
    return value


def _assign(tree: dict[str, Json], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise ConfigError(f"{override!r}: expected key=value, such as perceive.shots.threshold=2.5")
    *folders, leaf = key.split(".")
    node = tree
    for step in folders:
        child = node.setdefault(step, {})
        if child is None:
            child = node[step] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"{key}: {step} is a value, not a group of settings")
        node = child
    node[leaf] = _parse(text, key)


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    lines = []
    items = error.errors()
    for item in items:
        inside = [each for each in items if each["loc"][: len(item["loc"])] == item["loc"]]
        if item["type"] == "too_short" and len(inside) > 1:
            # Too short for want of what is wrong in it.
            continue
        lines.append(_told(item, model))
    return f"{where}: " + "; ".join(lines)


def _told(item: ErrorDetails, model: type[BaseModel]) -> str:
    """One thing that is wrong, in the words of who writes YAML: pydantic speaks of arrays, objects and tags."""
    path, given = ".".join(str(step) for step in item["loc"]), item["input"]
    match item["type"]:
        case "extra_forbidden":
            return f"{path}: unknown key"
        case "missing":
            return f"{path}: missing"
        case "value_error":
            # Our own validators say what was found.
            return ": ".join(filter(None, [path, item["msg"].removeprefix("Value error, ")]))
        case "union_tag_not_found" | "union_tag_invalid":
            key = item["ctx"]["discriminator"].strip("'")
            found = f"found {given[key]!r}" if key in given else f"missing in {given!r}"
            return f"{path}.{key}: {found}, expected {_any_of(_kinds(model, item['loc'], key))}"
        case "tuple_type" | "list_type":
            return f"{path}: found {given!r}, expected a list"
        case "model_type" | "dict_type":
            return f"{path}: found {given!r}, expected a mapping"
        case "too_short":
            least = item["ctx"]["min_length"]
            return f"{path}: found {given!r}, expected at least {least} item{'s' * (least != 1)}"
    return f"{path}: {item['msg']}, found {given!r}"


def _any_of(words: Sequence[str]) -> str:
    *most, last = map(repr, words)
    return " or ".join(filter(None, [", ".join(most), last]))


def _kinds(model: type[BaseModel], place: Sequence[int | str], key: str) -> list[str]:
    """What may stand under the key by which settings of several kinds are told apart at a place."""
    found = [model]
    for step in place:
        if isinstance(step, int):
            continue
        # In the place of settings of several kinds there stands the kind that was read, before the names in it.
        named = [each for each in found if len(found) > 1 and step in _words(each, found)]
        below = [each.model_fields[step].annotation for each in found if step in each.model_fields]
        # What is neither is the key of a mapping.
        found = named or [deeper for each in below for deeper in _models(each)] or found
    return [word for each in found for word in typing.get_args(each.model_fields[key].annotation)]


def _words(model: type[BaseModel], among: Sequence[type[BaseModel]]) -> set[object]:
    """The words of those of its settings that all kinds have: what tells them apart is one."""
    shared = [name for name in model.model_fields if all(name in each.model_fields for each in among)]
    return {word for name in shared for word in typing.get_args(model.model_fields[name].annotation)}


def _models(annotation: object) -> list[type[BaseModel]]:
    """The settings that an annotation names, in its order."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for each in typing.get_args(annotation) for found in _models(each)]


def load_config(model: type[C], path: Path | None, overrides: Sequence[str] = ()) -> C:
    """Read settings of `model` from a YAML file (None = defaults) and lay `key.path=value` overrides over them.

    A section that is named and left empty stands for its defaults. Validators find the file's folder by `folder_of`.

    Raises:
        ConfigError: unknown key, ill-typed or missing value, with its full path and where it came from.
    """
    # An alias (*name) puts one mapping in two places; an override of one must not reach the other.
    tree: dict[str, Json] = json.loads(_as_json(read_yaml(path), str(path))) if path else {}
    for override in overrides:
        _assign(tree, override)
    for name, field in model.model_fields.items():
        section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        if section and tree.get(name, ...) is None:
            tree[name] = {}
    where = " and ".join([str(path)] * bool(path) + ["the command line"] * bool(overrides)) or "defaults"
    try:
        return model.model_validate_json(_as_json(tree, where), context={_FOLDER: path.parent if path else Path()})
    except ValidationError as error:
        raise ConfigError(_explain(error, model, where)) from error


def folder_of(info: ValidationInfo) -> Path:
    """The folder of the YAML file that is read, from which its relative paths count; else the current one."""
    folder = (info.context or {}).get(_FOLDER)
    return folder if isinstance(folder, Path) else Path()


def _as_json(tree: dict[str, Json], where: str) -> str:
    # Validating as JSON lets a YAML list fill a tuple, while strict mode still refuses "3" for 3.
    try:
        _refuse_foreign(tree, "")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: nested without end; an alias (*name) stands inside what it names") from error
    return json.dumps(tree)


def _refuse_foreign(value: object, path: str) -> None:
    """YAML knows dates, sets and bytes; a setting is none of these."""
    if isinstance(value, dict):
        for key, child in value.items():
            _refuse_foreign(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            _refuse_foreign(child, f"{path}.{number}")
    elif isinstance(value, str) and not value.isprintable() and "\ud800" <= max(value) <= "\udfff":
        raise ConfigError(f"{path}: holds half a character ({value!r})")
    elif not isinstance(value, str | int | float | None):
        raise ConfigError(
            f"{path}: found {value!r} ({type(value).__name__}), expected text, a number, a list or a mapping"
        )


def flatten(config: BaseModel, prefix: str = "") -> dict[str, str]:
    """Every leaf setting under its full path, as text: `{"shots.threshold": "27.0", …}`, in declaration order."""
    flat: dict[str, str] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        path = f"{prefix}{name}"
        if isinstance(value, BaseModel):
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = repr(value)
    return flat
