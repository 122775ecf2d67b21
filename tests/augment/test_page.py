"""docs/augmentation.md is true: its examples run, its tables are the code's, and every operation has a picture."""

import re
import shutil

import pytest
import yaml
from PIL import Image

from augment.settings import Delay, Freeze, Pipeline, Skip, Speed
from datasets_build.core.config import ConfigError, load_config
from recipes.training.command import read_run
from tests.augment.folders import applied
from tests.augmentation_page import PAGE, PICTURES, kind_of, operations, page_with_operations, pictures
from tests.readme_tree import ROOT

TEXT = PAGE.read_text(encoding="utf-8")
CONFIGS = sorted(PICTURES.glob("*.yaml"))


def example(word):
    """The one block of Python with a word in it."""
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if word in block]
    return found


@pytest.fixture(scope="module")
def checkout(parent, tmp_path_factory):
    """A folder in which the examples find what they name."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "out").mkdir()
    shutil.copytree(parent, root / "out" / "demo")
    applied(root / "out" / "demo", root / "out" / "slowed", Speed(low=0.5, high=0.8), Freeze(stalls=2))
    return root


def test_the_operations_are_those_of_the_code():
    assert page_with_operations(TEXT) == TEXT, "run: python -m tests.augmentation_page --write"


def test_the_limits_of_what_stands_in_a_list_are_told(tmp_path):
    """Those that the table says are those that are refused."""
    (row,) = re.findall(r"^\| `heights` \| (.*?) \|", TEXT, re.MULTILINE)
    low, high = map(int, re.fullmatch(r"a list of even whole numbers ≥ (\d+) ≤ (\d+)", row).groups())
    path = tmp_path / "pipeline.yaml"
    for height, fits in [(low, True), (high, True), (low - 2, False), (high + 2, False), (low + 1, False)]:
        path.write_text(f"operations: [{{kind: resolution, heights: [{height}]}}]")
        if fits:
            assert load_config(Pipeline, path).operations[0].heights == (height,)
        else:
            with pytest.raises(ConfigError, match=f"heights.0: .*{height}"):
                load_config(Pipeline, path)


def test_mapping_back_is_as_the_page_says(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    seen = []
    code = example("open_showings").replace("frames([question.ask_ns])", 'frames([question.ask_ns], decoder="pyav")')
    assert code != example("open_showings")
    names = {"seen": seen}
    exec(code + "    seen.append((question, view, source, t, parent, places, pixels))\n", names)
    assert seen
    for question, view, source, t, parent, places, pixels in seen:
        assert source == view.pieces[0].source
        assert parent != question.id
        assert (0, question.ask_ns) in places
        assert view.back(question.ask_ns) == (source, t)
        assert pixels.shape == (1, 48, 64, 3)


def test_the_dataset_is_as_the_page_says(checkout, monkeypatch):
    """With its two workers."""
    monkeypatch.chdir(checkout)
    code = example("AugmentedDataset").replace("fps=Fraction(2))", 'fps=Fraction(2), decoder="pyav")')
    assert "pyav" in code
    assert "num_workers=2, persistent_workers=True" in code
    names = {"seen": []}
    exec(code + "        seen.append((epoch, item))\n", names)
    assert [epoch for epoch, _ in names["seen"]] == [0, 0, 1, 1]
    items = [item for _, item in names["seen"]]
    assert all(item.reason == "" and len(item.pixels) == len(item.times_ns) > 9 for item in items)
    # The videos of both epochs are the same, and what is made of them is not.
    parents = [[row.parent_id for row in item.maps] for item in items]
    assert parents[:2] == parents[2:]
    assert len({item.clip.video.id for item in items}) == 4


def blocks_of_yaml():
    """The examples in YAML: a pipeline, and a part of a recipe."""
    found = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert len(found) == 2
    return found


def test_the_pipeline_on_the_page_is_one(tmp_path):
    (tmp_path / "whole.yaml").write_text(blocks_of_yaml()[0])
    assert len(load_config(Pipeline, tmp_path / "whole.yaml").operations) == 2


@pytest.mark.parametrize("shipped", ["tiny", "qwen2_5_vl_3b"])
def test_the_recipe_on_the_page_is_a_part_of_one(tmp_path, shipped):
    """Laid over a recipe that is shipped, it is one whose stage has this pipeline, and else as it was."""
    path = ROOT / "recipes" / "configs" / f"{shipped}.yaml"
    plain, part = yaml.safe_load(path.read_text(encoding="utf-8")), yaml.safe_load(blocks_of_yaml()[1])
    assert list(part) == ["stream"]
    plain["stream"] = {**plain.get("stream", {}), **part["stream"]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(plain))
    run = read_run(tmp_path / "recipe.yaml", [], "stream")
    before = read_run(path, [], "stream")
    assert before.stream.augment is None
    assert run.stream.augment.copies == 2
    assert [type(operation) for operation in run.stream.augment.operations] == [Skip, Delay]
    assert run.model_copy(update={"stream": before.stream}) == before


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_picture_is_there_with_its_pipeline(path):
    pipeline = load_config(Pipeline, path)
    # A picture is of what its name says, done for certain.
    assert all(operation.p == 1 for operation in pipeline.operations)
    assert path.with_suffix(".png") in pictures(pipeline.operations[-1].kind)
    with Image.open(path.with_suffix(".png")) as picture:
        assert picture.width == 1100
        assert picture.height > 300


def test_every_operation_has_a_picture():
    without = {kind_of(operation) for operation in operations() if not pictures(kind_of(operation))}
    assert without == set()


def test_the_pictures_are_light():
    paths = sorted(PICTURES.glob("*.png"))
    assert {path.stem for path in paths} == {path.stem for path in CONFIGS}
    assert sum(path.stat().st_size for path in paths) < 1_500_000


def test_every_code_of_a_reject_is_explained():
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "augment").glob("*.py")))
    # Plain words in the place of the code: what is passed on has a name without quotes.
    called = re.findall(r'\b_?(?:left|leave)\([^"()]*(?:\([^()]*\)[^"()]*)?, "([a-z_]+)",', source)
    codes = {*called, *re.findall(r'\bcode="([a-z_]+)"', source)}
    assert {"gone", "not_shown", "not_true", "alone", "turn", "empty", "cut", "cannot"} <= codes
    rows = set(re.findall(r"^\| `([a-z_]+)` \| [a-z]", TEXT, re.MULTILINE))
    assert codes <= rows


def test_the_commands_of_the_page_are_commands():
    from augment.__main__ import app

    verbs = set(re.findall(r"python -m augment ([a-z]+)", TEXT))
    assert verbs == {"apply", "figures"}
    assert verbs <= {command.name for command in app.registered_commands}
    for path in re.findall(r"--config (\S+)", TEXT):
        assert (ROOT / path).is_file()
