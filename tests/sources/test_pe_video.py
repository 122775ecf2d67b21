import bz2
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from datasets_build.core.files import DataError
from datasets_build.sources.pe_video import PEVideoConfig, count_pieces, misfit, read_pe_video, shards
from tests.sources.corpora import S, codes, file, rows

SAID = {"video_id": 7, "human_caption": "A man walks a dog.", "model_caption": "x"}


def shard(path: Path, samples: dict[str, object], video: bytes = b"video") -> Path:
    """A tar shard as it is published: `KEY.json` and `KEY.mp4` beside each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, said in samples.items():
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            for suffix, data in (("json", content), ("mp4", video)):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


def test_every_published_layout_says_the_same(tmp_path):
    (tmp_path / "unpacked").mkdir()
    file(tmp_path / "unpacked", "111.json", json.dumps(SAID))
    (tmp_path / "unpacked" / "111.mp4").write_bytes(b"video")
    pq.write_table(
        pa.table({"__key__": ["111"], "json": [SAID], "mp4": [{"bytes": b"video"}]}), tmp_path / "nested.parquet"
    )
    pq.write_table(pa.table({"video_id": [111], "human_caption": [SAID["human_caption"]]}), tmp_path / "flat.parquet")
    sources = [
        shard(tmp_path / "tars" / "test" / "test-0000.tar", {"111": SAID}).parent.parent,
        tmp_path / "unpacked",
        tmp_path / "nested.parquet",
        tmp_path / "flat.parquet",
        file(tmp_path, "a.jsonl", json.dumps({"__key__": "111", "json": SAID}) + "\n"),
        file(tmp_path, "a.json", json.dumps([{**SAID, "video_id": "111"}])),
    ]
    for source in sources:
        reading = read_pe_video(PEVideoConfig(file=source))
        assert [(entry.names, entry.n_rows) for entry in reading.entries] == [(("111",), 1)], source
        (row,) = rows(reading)
        assert (row.kind, row.text, row.is_whole, reading.faults) == ("caption", "A man walks a dog.", True, ())


def test_what_is_no_sample_is_told(tmp_path):
    path = shard(tmp_path / "0.tar", {"a": {"x": 1}, "b": b"{", "c": b"\xff", "d": [1], "e": SAID})
    reading = read_pe_video(PEVideoConfig(file=path))
    assert codes(reading) == {"bad_type": 2, "not_json": 1, "not_text": 1}
    assert (len(rows(reading)), reading.n_rows) == (1, 5)
    text = "".join(json.dumps(row) + "\n" for row in ({"human_caption": "x"}, {"video_id": "a", "human_caption": " "}))
    assert codes(read_pe_video(PEVideoConfig(file=file(tmp_path, "a.jsonl", text)))) == {"bad_type": 1, "no_text": 1}
    other = file(tmp_path, "info.json", '{"splits": 1}')
    assert codes(read_pe_video(PEVideoConfig(file=other))) == {"bad_row": 1}


@pytest.mark.parametrize(
    ("tokens", "seconds", "code"),
    [
        (15, "5", None),
        (25, "5", None),
        (90, "30", None),
        (14, "5", "pace"),
        (26, "5", "pace"),
        (20, "4.999999999", "length"),
        (120, "30.000000001", "length"),
    ],
)
def test_limits_hold_to_the_nanosecond(tokens, seconds, code):
    whole, _, part = seconds.partition(".")
    duration_ns = int(whole) * S + int(part.ljust(9, "0") or 0)
    fault = misfit(tokens, PEVideoConfig(file=Path("x")), duration_ns)
    assert (fault and fault.code) == code


def test_a_misfit_tells_length_and_pace():
    fault = misfit(30, PEVideoConfig(file=Path("x")), 6 * S)
    assert fault is None
    fault = misfit(60, PEVideoConfig(file=Path("x")), 6 * S)
    assert fault is not None
    assert fault.reason == "found 60 caption tokens for 0:06.000 of video, 10 a second, expected 3 to 5"
    fault = misfit(60, PEVideoConfig(file=Path("x")), 60 * S)
    assert fault is not None
    assert fault.reason == "found 1:00.000 of video, expected 5 to 30 s"


def test_tokens_are_words_and_marks_or_those_of_a_tokenizer(tmp_path):
    assert count_pieces("A man's dog, 42!") == 8
    tokenizer = Tokenizer(WordLevel({"a": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    path = file(tmp_path, "a.jsonl", json.dumps({"__key__": "k", "json": {"human_caption": "a man's dog"}}))
    config = PEVideoConfig(file=path, tokenizer=tmp_path / "tokenizer.json", min_s=1, min_tokens_per_s=6)
    (entry,) = read_pe_video(config).entries
    assert entry.misfit is not None
    fault = entry.misfit(S)
    assert fault is None or "5 caption tokens" in fault.reason
    assert config.paths() == (path, tmp_path / "tokenizer.json")
    file(tmp_path, "tokenizer.json", "{}")
    with pytest.raises(DataError, match=r"tokenizer\.json: cannot be read as a tokenizer"):
        read_pe_video(config)


def test_copies_that_are_none_are_errors(tmp_path):
    for name in ("a.tar", "a.parquet"):
        with pytest.raises(DataError, match=name):
            read_pe_video(PEVideoConfig(file=file(tmp_path, name, "neither")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="expected a copy of PE-Video"):
        shards(tmp_path / "empty")
    with pytest.raises(ValidationError):
        PEVideoConfig(file=Path("x"), max_s=0)


def test_a_shard_that_was_cut_short_is_an_error_on_one_line(tmp_path):
    whole = shard(tmp_path / "0.tar", {"a": SAID}, video=bytes(range(256)) * 400).read_bytes()
    packed = tmp_path / "1.tar"
    for content in (gzip.compress(whole)[:-40], bz2.compress(whole)[:-40], lzma.compress(whole)[:-40], b"x" * 99):
        packed.write_bytes(content)
        with pytest.raises(DataError, match=r"1\.tar: cannot be read as a tar file") as caught:
            read_pe_video(PEVideoConfig(file=packed))
        assert "\n" not in str(caught.value)
    table = tmp_path / "a.parquet"
    table.write_bytes(b"PAR1 no table\nat all PAR1")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet") as caught:
        read_pe_video(PEVideoConfig(file=table))
    assert "\n" not in str(caught.value)


def test_a_link_to_nothing_in_a_shard_costs_itself(tmp_path):
    path = shard(tmp_path / "0.tar", {"a": SAID})
    with tarfile.open(path, "a") as archive:
        for name, kind in (("b.json", tarfile.SYMTYPE), ("c.json", tarfile.LNKTYPE), ("d.json", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "nowhere.json"
            archive.addfile(member)
    reading = read_pe_video(PEVideoConfig(file=path))
    assert (codes(reading), len(rows(reading))) == ({"no_content": 3}, 1)
