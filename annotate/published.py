"""A folder of records beside its parent: the same videos and what was perceived of them, other records."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from pathlib import Path
from subprocess import run

import yaml

from annotate.errors import AnnotateError
from datasets_build.core.files import read_json, write_bytes
from datasets_build.core.layout import ANSWERS, TEACHERS, video_root
from datasets_build.core.records import Json

LINKED = ("index", "perceive")
IMPORT = "import"
"""Where records were imported: from it they are made anew, as others are by the builders."""
BUILT = ("events", "streaming_qa", "frame_events", "dialogue")
SETTINGS = "build.yaml"
"""The settings of the parent, in a merged folder."""
_CONFIG = "config."
_MODELS = ("chat", "local")


def link_inputs(data: Path, to: Path) -> None:
    """Give a folder the index and the perception of another one, and a way to its videos.

    Files are hard links where the file system allows them, else copies. The folder of the videos is a symbolic link
    where the index names it relative to its own folder.

    Args:
        data: the finished folder.
        to: an empty folder.
    """
    for stage in (*LINKED, IMPORT):
        if (data / stage / "manifest.json").is_file():
            shutil.copytree(data / stage, to / stage, copy_function=_link)
    content = read_json(data / "index" / "source.json")
    root = Path(str(content.get("root")) if isinstance(content, dict) else "")
    if root.is_absolute():
        return
    there = Path(os.path.realpath(video_root(data)))
    # Videos that lie in the parent itself are linked one by one, beside the stages.
    names = [root] if root.parts else [Path(name) for name in sorted(_tops(data))]
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).symlink_to(there / name if not root.parts else there)


def _tops(data: Path) -> set[str]:
    """The first steps of the paths of a folder's videos."""
    inputs = read_json(data / "index" / "inputs.json")
    return {Path(name).parts[0] for name in inputs} if isinstance(inputs, dict) else set()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, target)


def write_settings(data: Path, to: Path) -> None:
    """Write the settings with which a folder's records were built as `TO/build.yaml`.

    Raises:
        AnnotateError: a manifest does not tell them.
    """
    tree: dict[str, Json] = {}
    imported = (data / IMPORT / "manifest.json").is_file()
    for stage in BUILT:
        manifest = data / stage / "manifest.json"
        # Records that were imported have no settings of builders.
        if manifest.is_file() and not imported:
            tree[stage] = _settings(manifest)
    worded = [name for name, config in tree.items() if isinstance(config, dict) and config.get("teacher") in _MODELS]
    if worded:
        tree["teachers"] = _teachers(data, worded[0])
    write_bytes(to / SETTINGS, yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode())


def _teachers(data: Path, stage: str) -> Json:
    """The settings of the models that worded a folder, which find the answers that were given then."""
    path = data / TEACHERS
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise AnnotateError(
            f"{path}: does not tell which model worded {stage} ({error}), expected its settings; build {stage} again"
        ) from error
    settings = content.get("teachers") if isinstance(content, dict) else None
    if not isinstance(settings, dict):
        raise AnnotateError(f"{path}: field teachers is missing, expected the settings of the model of {stage}")
    return settings | {"cache": str(Path(str(settings.get("cache") or data / ANSWERS)).expanduser().absolute())}


def _settings(manifest: Path) -> dict[str, Json]:
    content = read_json(manifest)
    fields = content.get("fields") if isinstance(content, dict) else None
    if not isinstance(fields, dict):
        raise AnnotateError(f"{manifest}: field fields is missing, expected the settings that it was built with")
    tree: dict[str, Json] = {}
    for name, text in fields.items():
        if not name.startswith(_CONFIG):
            continue
        *path, leaf = name.removeprefix(_CONFIG).split(".")
        node = tree
        for step in path:
            node = _below(node, step)
        try:
            node[leaf] = _plain(ast.literal_eval(str(text)))
        except (ValueError, SyntaxError) as error:
            raise AnnotateError(f"{manifest}: field fields.{name} is {text!r}, expected a value") from error
    return tree


def _below(node: dict[str, Json], step: str) -> dict[str, Json]:
    child = node.setdefault(step, {})
    assert isinstance(child, dict), "no setting is both a value and a group"
    return child


def _plain(value: object) -> Json:
    """A value as YAML writes it. Raises ValueError for one that it does not."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ValueError(f"{value!r} is no setting")


def rebuild(to: Path) -> None:
    """Build what depends on corrections, with the settings of the parent, and prove the laws on it.

    What the builders show goes where this process writes. What is finished is not built again, so a run that was
    killed goes on.

    Raises:
        AnnotateError: a build or the check failed; it has said why.
    """
    path = str(to.resolve())
    for verb in (["build", path, "--config", str(to.resolve() / SETTINGS)], ["check", path]):
        code = run([sys.executable, "-m", "datasets_build", *verb], check=False).returncode
        if code:
            raise AnnotateError(f"{to}: python -m datasets_build {verb[0]} ended with {code}; see what it says above")
