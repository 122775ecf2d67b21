import json
import pickle
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationInfo, field_validator

from datasets_build.core.config import Config, ConfigError, flatten, folder_of, load_config, read_yaml


class Shots(Config):
    threshold: float = Field(default=27.0, gt=0)
    detector: str = "adaptive"
    rates: tuple[str, ...] = ("1", "2")


class Root(Config):
    seed: int = 0
    quiet: bool = False
    shots: Shots = Shots()


def load(tmp_path, text, *overrides):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(Root, path, overrides)


def test_defaults_need_no_file():
    assert load_config(Root, None) == Root()


def test_file_and_command_line_add_up(tmp_path):
    config = load(tmp_path, "seed: 3\nshots:\n  threshold: 2.5\n", "shots.detector=content", "seed=4")
    assert config == Root(seed=4, shots=Shots(threshold=2.5, detector="content"))


def test_an_empty_file_is_all_defaults(tmp_path):
    assert load(tmp_path, "# nothing\n") == Root()


def test_an_empty_section_is_all_defaults(tmp_path):
    assert load(tmp_path, "shots:\n") == Root()
    assert load(tmp_path, "shots:\n", "shots.threshold=2.5").shots == Shots(threshold=2.5)


def test_yaml_merges_work_and_may_be_overridden(tmp_path):
    text = "shots: {<<: {threshold: 2.5, detector: content}, threshold: 3.5}"
    assert load(tmp_path, text).shots == Shots(threshold=3.5, detector="content")


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.0e-4", "0.0001", "+1e-4"])
def test_numbers_are_numbers_however_written(tmp_path, text):
    # PyYAML alone reads 1e-4 as a word.
    assert load(tmp_path, f"shots: {{threshold: {text}}}").shots.threshold == 1e-4
    assert load_config(Root, None, [f"shots.threshold={text}"]).shots.threshold == 1e-4


@given(st.floats(min_value=1e-30, max_value=1e30, allow_nan=False))
def test_any_number_comes_through_the_command_line(value):
    assert load_config(Root, None, [f"shots.threshold={value!r}"]).shots.threshold == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sede: 1", "sede: unknown key"),
        ("shots: {treshold: 1}", r"shots\.treshold: unknown key"),
        ("seed: '1'", r"seed: .*integer, found '1'"),
        ("seed: 1.5", r"seed: .*found 1\.5"),
        ("quiet: 1", "quiet: .*boolean"),
        ("shots: {threshold: hot}", r"shots\.threshold: .*found 'hot'"),
        ("shots: {threshold: -1}", r"shots\.threshold: .*greater than 0"),
        ("shots: 5", "shots: found 5, expected a mapping$"),
        ("shots: [a]", r"shots: found \['a'\], expected a mapping$"),
        ("shots: {rates: 5}", r"shots\.rates: found 5, expected a list$"),
        ("- a\n- b", "expected a mapping"),
        ("seed: [", "not valid YAML"),
        ("seed: 1\nseed: 2", "stands twice"),
        ("shots: {threshold: .inf}", r"shots\.threshold: .*finite"),
        ("seed: 2020-13-45", "not valid YAML"),
        ('shots: {detector: "\\ud800"}', "half a character|not valid YAML"),
        ("seed: 2020-01-01", "seed: found datetime"),
        ("shots: {rates: &a [*a]}", "nested without end"),
        (f"seed: {'[' * 5000}{']' * 5000}", "nested too deep"),
    ],
)
def test_a_wrong_key_is_named_with_its_path_and_file(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed", "expected key=value"),
        ("=3", "expected key=value"),
        ("seed.deep=3", "seed is a value"),
        ("shots.rates=[1", "not valid YAML"),
        ("nope.deep=1", "nope: unknown key"),
    ],
)
def test_a_wrong_override_is_named(tmp_path, override, says):
    with pytest.raises(ConfigError, match=says):
        load(tmp_path, "seed: 1", override)


def test_an_absent_or_binary_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match=r"b\.yaml: cannot be read"):
        read_yaml(tmp_path / "b.yaml")


def test_flattening_names_every_leaf():
    assert flatten(Root()) == {
        "seed": "0",
        "quiet": "False",
        "shots.threshold": "27.0",
        "shots.detector": "'adaptive'",
        "shots.rates": "('1', '2')",
    }


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Root().seed = 3


def test_an_override_of_an_alias_reaches_its_own_place_alone(tmp_path):
    class Part(Config):
        rate: float = 1.0

    class Whole(Config):
        one: Part = Part()
        two: Part = Part()

    path = tmp_path / "c.yaml"
    path.write_text("one: &same {rate: 2.0}\ntwo: *same\n")
    found = load_config(Whole, path, ["one.rate=3.0"])
    assert (found.one.rate, found.two.rate) == (3.0, 2.0)


class Beside(Config):
    """A setting that names a file."""

    file: str

    @field_validator("file")
    @classmethod
    def _whole(cls, file: str, info: ValidationInfo) -> str:
        return str(folder_of(info) / file)


def test_a_validator_finds_the_folder_of_the_file(tmp_path):
    (tmp_path / "some.yaml").write_text("file: a.txt")
    assert load_config(Beside, tmp_path / "some.yaml").file == str(tmp_path / "a.txt")
    assert load_config(Beside, tmp_path / "some.yaml", ["file=b.txt"]).file == str(tmp_path / "b.txt")
    assert load_config(Beside, None, ["file=b.txt"]).file == "b.txt"
    assert Beside(file="c.txt").file == "c.txt"


@pytest.mark.parametrize("text", ["seed: 2020-01-01", "seed: &a [*a]", "quiet: !!binary aGk="])
def test_what_no_setting_is_names_its_file(tmp_path, text):
    with pytest.raises(ConfigError, match=r"c\.yaml: "):
        load(tmp_path, text)


class Named(Config):
    name: str = ""

    @field_validator("name")
    @classmethod
    def _none(cls, name: str) -> str:
        raise ValueError(f"name {name} is none")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\0b", r"a\x00b"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines", r"two\nlines"),
        ("\x9b1m", r"\x9b1m"),
        ("\u202eback", r"\u202eback"),
        ("größe → 3", "größe → 3"),
        ("C:\\x", "C:\\x"),
    ],
)
def test_what_a_file_says_is_told_so_that_it_prints(tmp_path, text, told):
    """A terminal obeys control characters; what prints stays as it is."""
    path = tmp_path / "c.yaml"
    for settings, words in [({"name": text}, f"name: name {told} is none"), ({text: 1}, f"{told}: unknown key")]:
        path.write_text(json.dumps(settings))
        with pytest.raises(ConfigError) as caught:
            load_config(Named, path)
        assert str(caught.value) == f"{path}: {words}"
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


class Rates(Config):
    rates: tuple[float, ...] = Field(min_length=2)


def test_what_is_wrong_inside_is_told_alone(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_config(Rates, None, ["rates=[1.0, fast]"])
    assert "rates.1: " in str(caught.value)
    assert "rates: " not in str(caught.value)
    with pytest.raises(ConfigError, match=r"rates: .* at least 2 items"):
        load_config(Rates, None, ["rates=[1.0]"])


class Circle(Config):
    shape: Literal["circle", "ring"] = "circle"
    # A word that is a shape elsewhere.
    inside: Literal["group", "nothing"] = "nothing"


class Square(Config):
    shape: Literal["square"] = "square"


Shape = Annotated[Circle | Square, Field(discriminator="shape")]


class Group(Config):
    shape: Literal["group"] = "group"
    circle: Shape | None = None


class Drawing(Config):
    shapes: tuple[Shape, ...] = ()
    named: dict[str, Shape] | None = None
    frame: Shape | None = None
    groups: list[Annotated[Circle | Group, Field(discriminator="shape")]] | None = None


class Page(Config):
    drawing: Drawing = Drawing()


@pytest.mark.parametrize(
    ("override", "place", "found"),
    [
        ("drawing.frame={side: 1}", "drawing.frame.shape", "missing in {'side': 1}"),
        ("drawing.frame={shape: oval}", "drawing.frame.shape", "found 'oval'"),
        ("drawing.frame={shape: null}", "drawing.frame.shape", "found None"),
        ("drawing.shapes=[{shape: ring}, {}]", "drawing.shapes.1.shape", "missing in {}"),
        ("drawing.named={a: {shape: 3}}", "drawing.named.a.shape", "found 3"),
        ("drawing.named={shape: {shap: ring}}", "drawing.named.shape.shape", "missing in {'shap': 'ring'}"),
        (
            "drawing.groups=[{shape: group, circle: {inside: group}}]",
            "drawing.groups.0.group.circle.shape",
            "missing in {'inside': 'group'}",
        ),
    ],
)
def test_the_kinds_that_there_are_are_told(override, place, found):
    """Wherever settings of several kinds may stand."""
    with pytest.raises(ConfigError) as caught:
        load_config(Page, None, [override])
    assert str(caught.value) == f"the command line: {place}: {found}, expected 'circle', 'ring' or 'square'"
