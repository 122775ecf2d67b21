from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.sources.folder import FolderConfig, SidecarFile
from datasets_build.sources.said import Fault, Said
from datasets_build.sources.sidecars import parse_sidecar
from datasets_build.sources.subtitles import parse_subtitles
from datasets_build.sources.words import parse_words, spread_words

MS = 1_000_000
# As speech recognition on the web writes it: the line of the cue before, then the new one with a stamp a word.
ROLLING = (
    "WEBVTT\nKind: captions\nLanguage: en\n\n"
    "00:00:00.560 --> 00:00:02.470 align:start position:0%\n \n"
    "so<00:00:00.960><c> we</c><00:00:01.200><c> begin</c>\n\n"
    "00:00:02.470 --> 00:00:02.480 align:start position:0%\nso we begin\n \n\n"
    "00:00:02.480 --> 00:00:04.000 align:start position:0%\nso we begin\n"
    "right<00:00:03.000><c> now</c>\n\n"
)
ASS = (
    "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:03.00,Default,Ann,0,0,0,,{\\k50}one {\\b1\\kf30}two{\\k20}\\Nthree\n"
)


def words(text: str, syntax) -> list[tuple[str, int, int]]:
    found = [item for item in parse_words(text, syntax) if isinstance(item, Said)]
    assert all(word.kind == "word" for word in found)
    return [(word.text, word.start_ns // MS, word.end_ns // MS) for word in found]


def test_words_of_speech_recognition_in_webvtt():
    assert words(ROLLING, "vtt") == [
        ("so", 560, 960),
        ("we", 960, 1200),
        ("begin", 1200, 2470),
        ("right", 2480, 3000),
        ("now", 3000, 4000),
    ]


def test_lines_of_a_cue_follow_each_other():
    text = "WEBVTT\n\n00:01.000 --> 00:04.000\n<v Bob>a <00:01.500>b\n<00:02.000>c d <00:03.000>e\n"
    assert words(text, "vtt") == [
        ("a", 1000, 1500),
        ("b", 1500, 2000),
        ("c d", 2000, 3000),
        ("e", 3000, 4000),
    ]
    assert {word.subject for word in parse_words(text, "vtt")} == {"Bob"}


def test_karaoke_of_ass_counts_hundredths_from_the_start():
    assert words(ASS, "ass") == [("one", 1000, 1500), ("two", 1500, 1800), ("three", 1800, 2000)]
    assert next(iter(parse_words(ASS, "ass"))).where == "cue 1 (line 3), word 1"


@pytest.mark.parametrize(
    ("text", "syntax"),
    [
        ("WEBVTT\n\n00:01.000 --> 00:02.000\na<00:03.000>b\n", "vtt"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\na<00:00.500>b\n", "vtt"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\na<00:01.500>b<00:01.200>c\n", "vtt"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\na<00:61.000>b\n", "vtt"),
        (ASS.replace("k50", "k500"), "ass"),
    ],
)
def test_stamps_outside_their_cue_are_a_fault_and_give_no_word(text, syntax):
    (fault,) = parse_words(text, syntax)
    assert isinstance(fault, Fault)
    assert fault.code == "bad_span"
    assert "cue 1" in fault.reason
    # The cue itself stays.
    assert len(parse_subtitles(text, syntax).rows) == 1


def test_cues_without_stamps_and_broken_cues_give_none():
    assert parse_words("1\n00:00:01,000 --> 00:00:02,000\none <00:00:01.500>two\n", "srt") == ()
    assert parse_words("WEBVTT\n\n00:01.000 --> 00:02.000\none\n\n00:09.000 -> 2\na<00:01.500>b\n", "vtt") == ()


def sidecar(text: str, name: str, **settings: object):
    file = SidecarFile(name, FOLDER / name, "subtitles", None, ("clip.mp4",))
    return parse_sidecar(text.encode(), file, FolderConfig(**settings))


FOLDER = Path("/videos")


def test_a_subtitle_file_gives_its_cues_and_then_its_words():
    sheet = sidecar(ROLLING, "clip.vtt")
    assert [row.kind for row in sheet.rows] == ["caption"] * 3 + ["word"] * 5
    assert {row.language for row in sheet.rows} == {"en"}
    assert (sheet.faults, sheet.clock) == ((), "container")


def test_words_are_spread_only_on_demand_and_say_so():
    srt = "1\n00:00:01,000 --> 00:00:02,000\nan example\n"
    assert [row.kind for row in sidecar(srt, "clip.srt").rows] == ["caption"]
    cue, first, second = sidecar(srt, "clip.srt", words="spread").rows
    assert (first.text, first.start_ns, second.text, second.end_ns) == ("an", cue.start_ns, "example", cue.end_ns)
    assert first.end_ns == second.start_ns == cue.start_ns + 1000 * MS * 2 // 9
    assert first.note == "time spread over the cue by letters"
    # Words whose times are stated are never replaced by spread ones.
    kinds = [(row.kind, row.note) for row in sidecar(ROLLING, "clip.vtt", words="spread").rows if row.kind == "word"]
    assert kinds.count(("word", None)) == 5


def test_a_stream_whose_zero_is_elsewhere_has_no_words_either():
    sheet = sidecar(ROLLING.replace("Kind: captions", "X-TIMESTAMP-MAP=MPEGTS:9,LOCAL:0"), "clip.vtt", words="spread")
    assert (sheet.rows, [fault.code for fault in sheet.faults]) == ((), ["unclear_clock"])


@given(st.lists(st.text("abcé汉", min_size=1, max_size=9), min_size=1, max_size=9), st.integers(1, 10**12))
def test_spread_words_fill_their_cue(texts, length):
    cue = Said(where="cue 1", start_ns=7, end_ns=7 + length, text=" ".join(texts))
    found = list(spread_words(cue))
    assert all(word.start_ns < word.end_ns for word in found)
    assert all(first.end_ns <= second.start_ns for first, second in pairwise(found))
    if length >= sum(map(len, texts)):
        assert ([word.text for word in found], found[0].start_ns, found[-1].end_ns) == (texts, 7, 7 + length)


def test_real_subtitles_are_read_with_words_spread(real_data):
    for path in sorted((real_data / "annotations/subtitles").iterdir()):
        file = SidecarFile(path.name, path, "subtitles", None, ("clip.mp4",))
        plain = parse_sidecar(path.read_bytes(), file, FolderConfig())
        spread = parse_sidecar(path.read_bytes(), file, FolderConfig(words="spread"))
        assert {row.kind for row in plain.rows} == {"caption"}
        told = [word for row in plain.rows for word in row.text.split()]
        assert [row.text for row in spread.rows if row.kind == "word"] == told
        assert spread.faults == plain.faults
