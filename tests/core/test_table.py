import os
import string

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core import table
from datasets_build.core.dataset import from_hf, hf_features, to_hf
from datasets_build.core.kinds import KINDS
from datasets_build.core.perceived import Embedder, Keyframe, Shot, Signals
from datasets_build.core.records import Answer, Evidence, Provenance, Record, StreamingQA
from datasets_build.core.table import (
    TableError,
    TableWriter,
    arrow_schema,
    concat_tables,
    count_rows,
    read_table,
    write_table,
)

WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
TIMES = st.integers(0, 2**62)


@st.composite
def questions(draw):
    spans = [sorted((draw(TIMES), draw(TIMES))) for _ in range(draw(st.integers(0, 3)))]
    roles = st.sampled_from(["necessary", "sufficient", "distractor"])
    return StreamingQA(
        id=draw(st.text(string.hexdigits, min_size=1, max_size=20)),
        video_id=draw(WORDS),
        mode=draw(st.sampled_from(["backward", "realtime", "forward", "proactive", "counting"])),
        task=draw(WORDS),
        question=draw(WORDS),
        ask_ns=draw(TIMES),
        evidence=tuple(
            Evidence(start_ns=a, end_ns=b, event_id=draw(st.none() | WORDS), role=draw(roles)) for a, b in spans
        ),
        answerable_from_ns=draw(TIMES),
        answers=tuple(Answer(text=draw(WORDS), t_ns=a, window_start_ns=a, window_end_ns=b) for a, b in spans),
        options=tuple(draw(st.lists(WORDS, max_size=4))),
        correct_option=draw(st.none() | st.integers(0, 3)),
        unanswerable=draw(st.booleans()),
        provenance=Provenance(kind="template", agent="t", seed=draw(st.none() | st.integers(0, 2**31))),
    )


@given(st.lists(questions(), max_size=7))
def test_parquet_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "qa.parquet"
    assert write_table(path, StreamingQA, rows, rows_per_group=3) == len(rows)
    assert list(read_table(path, StreamingQA)) == rows
    assert count_rows(path, StreamingQA) == len(rows)


@pytest.mark.slow
@given(st.lists(questions(), min_size=1, max_size=5))
def test_hugging_face_round_trip(rows):
    dataset = to_hf(rows, StreamingQA)
    assert dataset.features == hf_features(StreamingQA)
    assert list(from_hf(dataset, StreamingQA)) == rows


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=9))
def test_four_byte_numbers_survive(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("s") / "signals.parquet"
    column = tuple(values)
    row = Signals(
        id="s", video_id="v", ordinal=0, t_ns=tuple(range(len(values))), luma=column, contrast=column, motion=column,
        complexity=column, pan_x=column, pan_y=column, zoom=column,
    )  # fmt: skip
    write_table(path, Signals, [row])
    assert list(read_table(path, Signals)) == [row]
    assert pq.read_schema(path).field("luma").type.value_type == "float"


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_an_arrow_schema(name):
    schema = arrow_schema(KINDS[name])
    assert schema.names == list(KINDS[name].model_fields)
    for field in (schema.field(name) for name in schema.names if name.endswith("_ns")):
        assert "int64" in (field.type, getattr(field.type, "value_type", None))
    assert hf_features(KINDS[name])


def test_the_same_rows_give_the_same_bytes(tmp_path):
    row = Signals(
        id="s",
        video_id="v",
        ordinal=0,
        **dict.fromkeys(Signals.model_fields.keys() - Record.model_fields.keys() - {"ordinal"}, ()),
    )
    for name in "ab":
        write_table(tmp_path / name, Signals, [row] * 10)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.slow
@given(st.lists(st.lists(questions(), max_size=4), max_size=4))
def test_joining_parts_equals_writing_at_once(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("c")
    for number, rows in enumerate(parts):
        write_table(folder / str(number), StreamingQA, rows)
    total = concat_tables(folder / "all", StreamingQA, [folder / str(number) for number in range(len(parts))])
    assert list(read_table(folder / "all", StreamingQA)) == [row for rows in parts for row in rows]
    assert total == sum(map(len, parts))


def words(number):
    return StreamingQA(
        id=f"{number:06}", video_id="v", mode="backward", task="now", question="What is it?", ask_ns=number,
        evidence=(), answerable_from_ns=0, answers=(), provenance=Provenance(kind="template", agent="t"),
    )  # fmt: skip


def groups_of(path):
    meta = pq.read_metadata(path)
    return [meta.row_group(k).num_rows for k in range(meta.num_row_groups)]


def test_small_row_groups_behind_the_first_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "FEW_GROUPS", 3)
    monkeypatch.setattr(table, "GROUP_PARTS", 4)
    rows = [words(k) for k in range(24)]
    with TableWriter(tmp_path / "t", StreamingQA) as writer:
        for k in range(0, 24, 2):
            writer.write(rows[k : k + 2])
        assert writer.n_rows == 24
    assert groups_of(tmp_path / "t") == [2, 2, 2, 8, 8, 2]
    assert list(read_table(tmp_path / "t", StreamingQA)) == rows


def test_what_waits_to_be_joined_is_bounded_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "FEW_GROUPS", 1)
    monkeypatch.setattr(table, "GROUP_BYTES", 1)
    with TableWriter(tmp_path / "t", StreamingQA) as writer:
        for k in range(4):
            writer.write([words(k)])
    assert groups_of(tmp_path / "t") == [1, 1, 1, 1]


def test_parts_that_are_joined_are_few_groups_of_the_whole(tmp_path, monkeypatch):
    """Each video brings a part of a few rows, and a writer keeps much of every group to its end."""
    monkeypatch.setattr(table, "FEW_GROUPS", 2)
    write_table(tmp_path / "part", StreamingQA, [words(0), words(1)])
    assert concat_tables(tmp_path / "all", StreamingQA, [tmp_path / "part"] * 40) == 80
    assert groups_of(tmp_path / "all") == [2, 2, 76]


def test_a_part_of_a_table_is_read_without_the_whole(tmp_path):
    write_table(tmp_path / "t", StreamingQA, (words(k) for k in range(20_000)))
    before = pa.total_allocated_bytes()
    rows = read_table(tmp_path / "t", StreamingQA)
    assert next(rows).id == "000000"
    assert pa.total_allocated_bytes() - before < 20_000 * 20


def test_a_table_of_another_record_is_refused(tmp_path):
    write_table(tmp_path / "t", StreamingQA, [])
    with pytest.raises(TableError, match=r"streamvl\.record is StreamingQA, expected Shot"):
        list(read_table(tmp_path / "t", Shot))


def test_a_table_of_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets_build.core.table.SCHEMA_VERSION", "0.9.0")
    write_table(tmp_path / "t", Shot, [])
    monkeypatch.undo()
    with pytest.raises(TableError, match=r"schema_version is 0\.9\.0, expected"):
        list(read_table(tmp_path / "t", Shot))


def test_a_broken_or_absent_file_is_named(tmp_path):
    (tmp_path / "t").write_bytes(b"PAR1 but not really")
    with pytest.raises(TableError, match="not a readable Parquet file"):
        count_rows(tmp_path / "t", Shot)
    with pytest.raises(TableError, match="run the stage that makes it"):
        list(read_table(tmp_path / "none", Shot))


def test_a_row_that_breaks_the_schema_is_named(tmp_path):
    # Written past the model, as a foreign tool might.
    import pyarrow as pa

    good = {
        "id": "e",
        "video_id": "v",
        "start_ns": 5,
        "end_ns": 1,
        "ordinal": 0,
        "start_frame": 0,
        "end_frame": 1,
        "transition": "cut",
        "transition_start_ns": 5,
        "transition_end_ns": 5,
        "score": 1.0,
        "detector": {"name": "d", "version": "1", "decoder": "pyav", "parameters": []},
    }
    pq.write_table(pa.Table.from_pylist([good], schema=arrow_schema(Shot)), tmp_path / "t")
    with pytest.raises(TableError, match=r"row 0.*at or after start_ns"):
        list(read_table(tmp_path / "t", Shot))


def test_a_table_that_fails_midway_leaves_nothing(tmp_path):
    def rows():
        yield StreamingQA(
            id="a",
            video_id="v",
            mode="realtime",
            task="",
            question="",
            ask_ns=0,
            evidence=(),
            answerable_from_ns=0,
            answers=(),
            provenance=Provenance(kind="rule", agent="t"),
        )
        raise RuntimeError("source broke")

    with pytest.raises(RuntimeError, match="source broke"):
        write_table(tmp_path / "t", StreamingQA, rows(), rows_per_group=1)
    assert os.listdir(tmp_path) == []


def test_an_empty_writer_makes_a_readable_table(tmp_path):
    with TableWriter(tmp_path / "t", Shot) as writer:
        writer.write([])
    assert list(read_table(tmp_path / "t", Shot)) == []


def keyframe(embedding, **embedder):
    return Keyframe(
        id="k", video_id="v", shot_id="s", t_ns=0, frame_index=0, reason="first", novelty=0.1,
        embedder=Embedder(name="n", weights="w", is_semantic=True, **embedder), embedding=embedding, jpeg=b"",
    )  # fmt: skip


@given(st.lists(st.floats(-1, 1, width=16), max_size=8))
def test_an_embedding_takes_two_bytes_a_number_and_comes_back_as_it_was(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("t") / "k.parquet"
    write_table(path, Keyframe, [keyframe(tuple(values))])
    assert pq.read_schema(path).field("embedding").type.value_type == pa.float16()
    (back,) = read_table(path, Keyframe)
    assert back.embedding == tuple(values)
    # What was read is written again without a loss, as augmentation does.
    write_table(path, Keyframe, [back])
    assert next(read_table(path, Keyframe)).embedding == tuple(values)


def test_an_embedding_is_rounded_to_the_nearest_of_its_sixteen_bits(tmp_path):
    write_table(tmp_path / "k.parquet", Keyframe, [keyframe((0.1, -0.7))])
    (back,) = read_table(tmp_path / "k.parquet", Keyframe)
    assert back.embedding == (0.0999755859375, -0.7001953125)


def test_what_made_an_embedding_is_told_whole(tmp_path):
    made = keyframe((1.0,), weights_sha256="a" * 64, preprocess_sha256="b" * 64, precision="int8")
    write_table(tmp_path / "k.parquet", Keyframe, [made])
    assert next(read_table(tmp_path / "k.parquet", Keyframe)).embedder == made.embedder


def test_embeddings_travel_as_a_dataset():
    rows = [keyframe((0.5, -0.25)), keyframe(())]
    dataset = to_hf(rows, Keyframe)
    assert dataset.features["embedding"].feature.dtype == "float16"
    assert list(from_hf(dataset, Keyframe)) == rows
