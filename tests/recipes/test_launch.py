import pytest

from recipes.errors import RecipeError
from recipes.launch import launch


def test_a_launchers_config_that_is_no_file_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.yaml is no file; expected a config of accelerate"):
        launch("align", tmp_path / "run.yaml", [], accelerate=tmp_path / "none.yaml")
