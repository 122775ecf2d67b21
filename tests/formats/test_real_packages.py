"""The files load in the packages that they are for. `STREAMVL_TEST_PACKAGES` names the folder of their environments."""

import copy
import os
from pathlib import Path

import pytest

from tests.formats.real_packages import PACKAGES, compare, differences

ENVIRONMENTS = os.environ.get("STREAMVL_TEST_PACKAGES")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(ENVIRONMENTS is None, reason="STREAMVL_TEST_PACKAGES names no folder for environments")
@pytest.mark.parametrize("name", PACKAGES)
def test_the_real_package_loads_what_was_exported(out, tmp_path, name):
    wrong, count = compare(name, Path(ENVIRONMENTS), out, tmp_path)
    assert wrong == []
    assert count > 10


def rows_as_loaded(exported):
    """What a loader gives that changes nothing, of ms-swift's form."""
    import io
    import json

    from PIL import Image

    from datasets_build.formats.rows import ROWS

    found = []
    raws = [json.loads(line) for line in (exported / "train.jsonl").read_text().splitlines()]
    for row, raw in zip(ROWS["ms-swift"](exported, "train"), raws, strict=True):
        marks = iter([each["loss"] for each in raw["messages"] if each["role"] == "assistant"])
        learned = [said.content for said in row.messages if said.role == "assistant" and next(marks)]
        found.append({
            "id": row.id,
            "messages": [[said.role, said.content] for said in row.messages],
            "images": [list(Image.open(io.BytesIO(content)).size) for content in row.images],
            "learned": "".join(f"{words}<|im_end|>\n" for words in learned),
        })  # fmt: skip
    return found


def test_the_comparison_finds_what_a_loader_changes(exported):
    folder = exported("ms-swift", fps="1")
    right = rows_as_loaded(folder)
    assert differences("ms-swift", folder, right) == []
    for plant in (
        lambda rows: rows.pop(),
        lambda rows: rows[0]["messages"].pop(),
        lambda rows: rows[0]["images"].pop(),
        lambda rows: rows[0].update(id="other"),
        lambda rows: rows[0].update(learned=rows[0]["learned"] + "more<|im_end|>\n"),
    ):
        wrong = copy.deepcopy(right)
        plant(wrong)
        assert len(differences("ms-swift", folder, wrong)) == 1
