"""Exports beside the folder that they were made of: good ones pass, and what is planted in their files is found."""

import json

import pytest

from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.checks.exported import Exports
from datasets_build.core.files import DataError, sha256_file
from datasets_build.formats.export import export
from datasets_build.formats.format import Options
from datasets_build.formats.verify import check_export
from tests.augment.folders import finished


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("source") / "out", splits=("train",), seconds=8, qa=False, frames=False)


@pytest.fixture
def exported(source, tmp_path):
    export(source / "dialogue", "ms-swift", tmp_path / "export", Options(fps="1"))
    return tmp_path / "export"


def broken(out, folder):
    return {
        law.name: law.broken
        for law in run_checks(out, CheckConfig(), exports=Exports([folder], check_export)).laws
        if law.broken
    }


def rewrite(folder, change):
    """Change the messages of each row, with a manifest that does not give it away."""
    path = folder / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == path.name:
            entry["bytes"], entry["sha256"] = path.stat().st_size, sha256_file(path)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def foretold(row):
    """The last words of the assistant stand in its first message as well."""
    said = [each for each in row["messages"] if each["role"] == "assistant"]
    last = next(each for each in reversed(said) if "</Response>" in each["content"])
    said[0]["content"] = last["content"]


def untagged(row):
    user = next(each for each in row["messages"] if "<image>" in each["content"])
    user["content"] = user["content"].replace("<image>", "", 1) or "now"


def swapped(row):
    """The last frame is shown first as well."""
    row["images"][-1] = row["images"][0]


def test_a_good_export_breaks_nothing(source, exported):
    result = run_checks(source, CheckConfig(), exports=Exports([exported], check_export))
    assert result.broken == 0, result.violations[:3]
    assert {"export_causal", "export_loads"} <= {law.name for law in result.laws}


@pytest.mark.parametrize(
    ("change", "name"), [(foretold, "export_causal"), (swapped, "export_causal"), (untagged, "export_loads")]
)
def test_what_is_planted_in_an_export_is_found(source, exported, change, name):
    rewrite(exported, change)
    assert name in broken(source, exported)


def test_a_folder_that_is_no_export_is_refused(source, tmp_path):
    with pytest.raises(DataError):
        run_checks(source, CheckConfig(), exports=Exports([tmp_path], check_export))
