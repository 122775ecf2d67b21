"""Two short drawn videos with all datasets, and a stage made ready on them, each once."""

import pytest

from tests.recipes.data.lessons import build, drawn_scene
from tests.recipes.verify.benches import Ready


@pytest.fixture(scope="session")
def lessons(tmp_path_factory):
    """The folder of the data."""
    out = tmp_path_factory.mktemp("verify") / "out"
    return build(out, [drawn_scene(out / "videos", f"film-{k}", frames=100 - 10 * k, seed=k) for k in range(2)])


@pytest.fixture(scope="session")
def ready(lessons, tmp_path_factory):
    """`ready(stage, layout, family)` gives a stage up to its first step, made once."""
    made = {}
    scratch = tmp_path_factory.mktemp("run")

    def make(stage="stream", layout="branch", family="qwen2_5_vl"):
        key = stage, layout, family
        if key not in made:
            made[key] = Ready(lessons, scratch, stage=stage, layout=layout, family=family)
        return made[key]

    return make
