import datasets
import pytest

from datasets_build.core.dataset import (
    SPLITS,
    Card,
    Subset,
    from_hf,
    hf_features,
    present_splits,
    read_split,
    to_hf,
    write_card,
    write_split,
)
from datasets_build.core.records import Dialogue, Provenance, StreamingQA
from datasets_build.core.table import TableError

QA = Subset("qa", StreamingQA, "a question")
TALK = Subset("dialogues", Dialogue, "a | conversation")
CARD = Card(title="Test", summary="Some | rows.", built=["by hand"], licences={"CC0-1.0": 2}, notes=[])


def question(number):
    return StreamingQA(
        id=str(number), video_id="v", mode="realtime", task="now", question="What?", ask_ns=number, evidence=(),
        answerable_from_ns=number, answers=(), provenance=Provenance(kind="template", agent="t"),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    counts = {"qa": {}, "dialogues": {}}
    for split, n in (("train", 3), ("validation", 1), ("test", 2)):
        counts["qa"][split] = write_split(tmp_path, QA, split, [question(k) for k in range(n)])
        counts["dialogues"][split] = write_split(tmp_path, TALK, split, [])
    write_card(tmp_path, [QA], counts, CARD)
    return tmp_path


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # datasets leaves its memory maps to the collector
def test_load_dataset_opens_the_folder_with_typed_features(folder, tmp_path_factory):
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path_factory.mktemp("cache")))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 3, "validation": 1, "test": 2}
    assert loaded["train"].features == hf_features(StreamingQA)
    assert list(from_hf(loaded["test"], StreamingQA)) == [question(0), question(1)]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_two_outputs_of_one_name_do_not_share_a_cache(tmp_path):
    # `datasets` keys its cache by the folder's name and its card, not by the rows.
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number) / "streaming_qa"
        counts = {"qa": {split: write_split(folder, QA, split, [question(number)]) for split in SPLITS}}
        write_card(folder, [QA], counts, CARD)
        loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
        found.append(loaded["train"][0]["id"])
    assert found == ["1", "2"]


def test_the_card_names_fields_counts_and_licences(folder):
    text = (folder / "README.md").read_text()
    assert "| `ask_ns` | `int64` |" in text
    assert "| `qa` | a question | 3 | 1 | 2 |" in text
    assert "| CC0-1.0 | 2 |" in text
    assert "- by hand" in text
    assert "## Notes" not in text


def test_a_split_without_rows_is_not_named(tmp_path):
    write_split(tmp_path, QA, "train", [question(1)])
    write_card(tmp_path, [QA], {"qa": {"train": 1, "validation": 0, "test": 0}}, CARD)
    assert "split: validation" not in (tmp_path / "README.md").read_text()
    assert present_splits(tmp_path, QA) == ["train"]
    assert list(read_split(tmp_path, QA, "test")) == []
    assert list(read_split(tmp_path, QA, "train")) == [question(1)]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_subset_without_rows_is_in_the_card_and_keeps_no_other_from_loading(tmp_path):
    counts = {"qa": {split: write_split(tmp_path, QA, split, [question(1)]) for split in SPLITS}}
    write_card(tmp_path, [QA, TALK], {**counts, "dialogues": dict.fromkeys(SPLITS, 0)}, CARD)
    assert datasets.get_dataset_config_names(str(tmp_path)) == ["qa"]
    assert "| `dialogues` | a | conversation | 0 | 0 | 0 |" in (tmp_path / "README.md").read_text()


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(TableError, match="expected a dataset folder"):
        present_splits(tmp_path, QA)


def test_records_go_through_memory():
    rows = [question(1), question(2)]
    assert list(from_hf(to_hf(rows, StreamingQA), StreamingQA)) == rows
