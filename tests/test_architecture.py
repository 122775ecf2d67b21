"""Laws of the house that no linter knows: sizes, names, the README's tree, configs that load, words that stay out."""

import ast
import re
from pathlib import Path

import pytest

from datasets_build.core.config import load_config
from datasets_build.settings import Settings
from tests.readme_tree import ROOT, readme_with_tree, tracked

PACKAGES = ("datasets_build", "augment", "annotate", "recipes", "models")
SOURCES = [name for name in tracked() if name.endswith(".py") and name.split("/")[0] in PACKAGES]
TEXTS = [
    name for name in tracked() if name != "LICENSE" and not name.endswith((".png", ".gif", ".npz", ".safetensors"))
]


def parsed(name):
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def test_the_top_level_is_fixed():
    assert {name.split("/")[0] for name in tracked()} <= {
        "pyproject.toml", "datasets_build", "augment", "annotate", "recipes", "models", "tests", "Makefile",
        "README.md", "LICENSE", "docs", ".ci", ".gitignore", "constraints.txt",
    }  # fmt: skip


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_of_that_name_elsewhere_does_not_shadow_ours(package):
    # Other wheels install a top-level `recipes`.
    module = __import__(package)
    assert Path(module.__file__).parent.parent == ROOT


def test_the_readme_shows_the_tree_as_it_is():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == readme_with_tree(text), "run: python -m tests.readme_tree --write"


@pytest.mark.parametrize("name", SOURCES)
def test_files_and_functions_stay_small(name):
    assert (ROOT / name).read_text(encoding="utf-8").count("\n") <= 400
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{name}:{node.lineno} {node.name} is too long"
            # A ParamSpec is typed through and through; anything else hides what a function takes.
            kwarg = node.args.kwarg
            typed = kwarg is None or (kwarg.annotation is not None and ast.unparse(kwarg.annotation) == "P.kwargs")
            assert typed, f"{name}:{node.lineno} passes **kwargs through"


@pytest.mark.parametrize("name", [name for name in SOURCES if name.endswith("__init__.py")])
def test_init_files_hold_a_docstring_and_nothing_else(name):
    (only,) = parsed(name).body
    assert isinstance(only, ast.Expr)


def test_packages_are_listed_by_hand():
    listed = set(re.findall(r'^    "([a-z_.]+)",$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    folders = {str(Path(name).parent).replace("/", ".") for name in SOURCES}
    # The four packages that later work fills are importable from the checkout and ship once they hold something.
    assert {folder for folder in folders if folder.startswith("datasets_build")} <= listed


def test_names_say_something():
    banned = {"utils", "util", "helpers", "misc", "common"}
    assert not [name for name in SOURCES if Path(name).stem in banned]


@pytest.mark.parametrize("path", sorted((ROOT / "datasets_build/configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_config_loads(path):
    assert isinstance(load_config(Settings, path), Settings)


def test_the_default_config_names_every_section():
    assert load_config(Settings, ROOT / "datasets_build/configs/default.yaml") == Settings()
    text = (ROOT / "datasets_build/configs/default.yaml").read_text()
    assert all(f"\n{section}:" in text for section in Settings.model_fields)


@pytest.mark.parametrize("name", TEXTS)
def test_the_project_speaks_of_itself_alone(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for pattern in (
        r"/wo" r"rk/",
        r"/tmp/" r"w/",
        r"pypi\." r"org",
        r"--(extra-)?index" r"-url",
        r"\bTO" r"DO\b",
        r"\bFIX" r"ME\b",
    ):
        assert not re.search(pattern, text), f"{name}: holds {pattern}"


@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith(".md")])
def test_every_figure_of_a_page_is_filled_in(name):
    found = re.findall(r"@[A-Z_]+@|\?\?\?", (ROOT / name).read_text(encoding="utf-8"))
    assert not found, f"{name}: still to be filled in: {found}"
