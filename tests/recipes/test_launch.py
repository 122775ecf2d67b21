import pytest

from recipes.errors import RecipeError
from recipes.launch import ACCELERATE, launcher_of, processes_of


def test_a_launchers_config_that_is_no_file_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.yaml is no file; expected a config of accelerate"):
        launcher_of(tmp_path / "none.yaml")


def test_one_process_is_the_default(tmp_path):
    assert launcher_of(None).parent == ACCELERATE
    (tmp_path / "mine.yaml").write_text("mixed_precision: bf16\n")
    assert processes_of(launcher_of(tmp_path / "mine.yaml")) == 1


@pytest.mark.parametrize(("name", "count"), [("cpu", 1), ("cpu2", 2), ("gpu1", 1), ("ddp", 8), ("multi_node", 16)])
def test_how_many_processes_a_launcher_starts(name, count):
    assert processes_of(ACCELERATE / f"{name}.yaml") == count
