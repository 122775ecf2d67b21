"""A small finished output folder and its exports, made once."""

import pytest

from datasets_build.formats.export import export
from datasets_build.formats.format import Options
from tests.augment.folders import finished


@pytest.fixture(scope="session")
def out(tmp_path_factory):
    """Two short drawn videos to train on and one to test on, with all datasets; read only."""
    return finished(tmp_path_factory.mktemp("formats") / "out", seconds=6)


@pytest.fixture(scope="session")
def exported(out, tmp_path_factory):
    """Gives the export of a dataset in a format with options, made once; read only."""
    made = {}
    folder = tmp_path_factory.mktemp("exports")

    def give(name, dataset="dialogue", **options):
        key = (name, dataset, *sorted(options.items()))
        if key not in made:
            made[key] = folder / f"{len(made)}"
            export(out / dataset, name, made[key], Options(**options))
        return made[key]

    return give
