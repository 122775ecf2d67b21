import json
import os
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.core.records import Video
from datasets_build.sources import sidecars
from datasets_build.sources.folder import FolderConfig, SidecarFile
from datasets_build.sources.said import Fault, Said, Sheet
from datasets_build.sources.sidecars import Placed, decode_text, parse_sidecar, place, read_sidecar, reject, rejects_of
from datasets_build.sources.world import WorldConfig, draw_world
from datasets_build.sources.world import sidecar as truth_of

S = 1_000_000_000


def video(*, seconds: float | Fraction = 10, offset_s: float | Fraction = 0, sha256: str = "0" * 64) -> Video:
    return Video(
        id="v", video_id="v", source="folder", uri="clip.mp4", sha256=sha256, bytes=1, container="mov", codec="h264",
        pixel_format="yuv420p", width=2, height=2, sar_num=1, sar_den=1, rotation_deg=0, time_base_num=1,
        time_base_den=25, start_pts=0, start_offset_ns=int(offset_s * S), duration_ns=int(seconds * S), n_frames=1,
        header_frames=None, avg_fps_num=25, avg_fps_den=1, is_vfr=False, max_gap_ns=0, max_jitter_ns=0, reorder_depth=0,
        audio=None, pts_index="pts/v.npy", licence="unknown", group="g", split="train", status="ok",
    )  # fmt: skip


def beside(name: str, kind: str = "subtitles", language: str | None = None) -> SidecarFile:
    return SidecarFile(name, Path("/videos") / name, kind, language, ("clip.mp4",))


def laid(content: str | bytes, sidecar: SidecarFile, target: Video, **settings: object) -> Placed:
    data = content.encode() if isinstance(content, str) else content
    return place(parse_sidecar(data, sidecar, FolderConfig(**settings)), sidecar, target)


def spans(placed: Placed) -> list[tuple[float, float]]:
    """Seconds of every annotation."""
    return [(row.start_ns / S, row.end_ns / S) for row in placed.annotations]


def codes(placed: Placed) -> list[str]:
    return [row.code for row in placed.rejects]


SRT = (
    "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\n"
    "2\n00:00:08,000 --> 00:00:12,000\nsecond\n\n"
    "3\n00:00:20,000 --> 00:00:21,000\nthird\n"
)


def test_a_subtitle_becomes_an_annotation():
    placed = laid(SRT, beside("clip.en.srt", language="en"), video())
    first, second = placed.annotations
    assert (first.kind, first.text, first.language, first.origin, first.is_point) == (
        "caption",
        "first",
        "en",
        "subtitles",
        False,
    )
    assert (first.video_id, first.provenance.kind, first.provenance.agent) == ("v", "corpus", "clip.en.srt")
    assert first.adjusted is None
    assert spans(placed) == [(1, 2), (8, 10)]
    # What reaches past the end is cut and says what it was.
    assert second.adjusted == "cut to the video from 8000000000..12000000000 ns"
    # What lies outside is a reject that names file, cue, found and expected.
    (third,) = placed.rejects
    assert (third.stage, third.item, third.code) == ("index", "clip.en.srt", "outside_video")
    assert third.reason == (
        "clip.en.srt: cue 3 (line 10): found 0:20.000 to 0:21.000 on the clock of clip.mp4, "
        "expected a part of 0:00.000 to 0:10.000"
    )
    assert third.action


def test_ids_are_distinct_and_stay():
    placed = laid(SRT, beside("clip.srt"), video())
    assert placed == laid(SRT, beside("clip.srt"), video())
    other = laid(SRT, beside("clip.vtt.srt"), video())
    assert len({row.id for row in (*placed.annotations, *other.annotations)}) == 4


def test_subtitles_of_a_late_start_count_from_the_containers_zero():
    # The first frame appears at 7 s of the container's timeline: a cue at 8 s is one second into the video.
    placed = laid(SRT, beside("clip.srt"), video(offset_s=7, seconds=10))
    assert spans(placed) == [(1, 5)]
    assert codes(placed) == ["outside_video", "outside_video"]
    assert "found -0:06.000 to -0:05.000" in placed.rejects[0].reason


def test_a_cue_that_starts_before_the_first_frame_is_cut():
    placed = laid(SRT, beside("clip.srt"), video(offset_s=Fraction(3, 2), seconds=20))
    assert spans(placed)[0] == (0, 0.5)
    assert placed.annotations[0].adjusted == "cut to the video from -500000000..500000000 ns"


def captions(rows: object, **top: object) -> str:
    return json.dumps({"captions": rows, **top})


def test_json_captions_are_on_the_videos_own_clock_unless_they_say_otherwise():
    row = {"start": 2, "end": 3, "text": "x"}
    late, name = video(offset_s=1), beside("clip.json", "captions")
    assert spans(laid(captions([row]), name, late)) == [(2, 3)]
    assert spans(laid(captions([row], clock="container"), name, late)) == [(1, 2)]
    assert spans(laid(captions([row]), name, late, caption_clock="container")) == [(1, 2)]


def test_json_captions_far_outside_are_rejected_with_a_hint_about_the_unit():
    rows = [
        {"start": 9, "end": 11, "text": "a second over is rounding"},
        {"start": 9, "end": 11.001, "text": "more is doubt"},
        {"start": 1000, "end": 2000, "text": "these are milliseconds"},
        {"start": -1.5, "end": 2, "text": "before"},
    ]
    placed = laid(captions(rows), beside("clip.json", "captions"), video())
    assert spans(placed) == [(9, 10)]
    assert codes(placed) == ["outside_video"] * 3
    assert "unit" in placed.rejects[1].action
    assert spans(laid(captions(rows), beside("clip.json", "captions"), video(), caption_unit="ms")) == [
        (0.009, 0.011),
        (0.009, 0.011001),
        (1, 2),
        (0, 0.002),
    ]


def test_an_instant_may_stand_anywhere_from_the_first_frame_to_the_end():
    rows = [{"start": t, "is_point": True, "text": "x"} for t in (-0.5, 0, 5, 10, 10.5, 12)]
    placed = laid(captions(rows), beside("clip.json", "captions"), video())
    assert spans(placed) == [(0, 0), (0, 0), (5, 5), (10, 10), (10, 10)]
    assert [bool(row.adjusted) for row in placed.annotations] == [True, False, False, False, True]
    assert codes(placed) == ["outside_video"]


@pytest.mark.parametrize(
    ("stated", "found", "kept"),
    [
        (10, 10, True),
        (10.9, 10, True),
        (11.1, 10, False),
        (8.9, 10, False),
        (104, 100, True),
        (106, 100, False),
        (10_000, 10, False),
    ],
)
def test_a_stated_duration_must_be_the_videos(stated, found, kept):
    placed = laid(
        captions([{"start": 0, "end": 1, "text": "x"}], duration=stated),
        beside("c.json", "captions"),
        video(seconds=found),
    )
    assert len(placed.annotations) == kept
    assert codes(placed) == ([] if kept else ["other_duration"])
    if not kept:
        assert "its 1 captions were left out" in placed.rejects[0].reason


def test_a_sheet_about_another_video_is_left_out():
    rows = [{"start": 0, "end": 1, "text": "x"}]
    name = beside("clip.json", "captions")
    assert codes(laid(captions(rows, video_sha256="f" * 64), name, video())) == ["other_video"]
    assert codes(laid(captions(rows, video_sha256="0" * 64), name, video())) == []


def test_the_language_of_a_row_wins_over_the_names():
    rows = [{"start": 0, "end": 1, "text": "x", "language": "fr"}, {"start": 0, "end": 1, "text": "x"}]
    placed = laid(captions(rows), beside("clip.en.captions.json", "captions", "en"), video())
    assert [row.language for row in placed.annotations] == ["fr", "en"]


@pytest.mark.parametrize(
    ("content", "text", "encoding"),
    [
        ("é".encode(), "é", "utf-8-sig"),
        ("é".encode("utf-8-sig"), "é", "utf-8-sig"),
        ("é".encode("utf-16"), "é", "utf-16"),
        (b"\xfe\xff" + "é".encode("utf-16-be"), "é", "utf-16"),
        (b"\xe9 \x93x\x94", "é “x”", "cp1252"),
        (b"\xe9\x81", "é\x81", "latin-1"),
        (b"", "", "utf-8-sig"),
        (b"a\x08b\n", "a\x08b\n", "utf-8-sig"),
    ],
)
def test_text_in_the_encodings_of_the_field(content, text, encoding):
    assert decode_text(content) == (text, encoding)


@pytest.mark.parametrize(
    "content",
    [b"\0\0\0\x18ftypmp42", b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n\x01\x02\xff", "é".encode("utf-16-le") + b"a\0"],
)
def test_bytes_that_are_no_text_are_a_reject(content):
    assert decode_text(content) == (None, "")
    sheet = parse_sidecar(content, beside("clip.srt"), FolderConfig())
    assert [fault.code for fault in sheet.faults] == ["not_text"]


def test_a_guessed_encoding_is_told():
    placed = laid(SRT.replace("first", "déjà vu").encode("latin-1"), beside("clip.srt"), video())
    assert placed.annotations[0].text == "déjà vu"
    assert placed.annotations[0].adjusted == "text read as cp1252"
    assert placed.annotations[1].adjusted == "text read as cp1252; cut to the video from 8000000000..12000000000 ns"


@given(st.binary(max_size=300), st.sampled_from(["clip.srt", "clip.vtt", "clip.ass", "clip.json", "clip.world.json"]))
def test_no_bytes_make_it_fail(content, name):
    kind = "world" if ".world" in name else "captions" if name.endswith("json") else "subtitles"
    placed = laid(content, beside(name, kind), video())
    assert all(0 <= row.start_ns <= row.end_ns <= video().duration_ns for row in placed.annotations)
    assert all(row.reason and row.action for row in placed.rejects)


@given(st.integers(-20, 40), st.integers(1, 40), st.sampled_from([None, S]))
def test_a_row_is_inside_the_video_or_a_reject(start, length, overrun):
    row = Said(where="cue 1", start_ns=start * S, end_ns=(start + length) * S, text="x")
    placed = place(Sheet(rows=(row,), overrun_ns=overrun), beside("clip.srt"), video())
    assert len(placed.annotations) + len(placed.rejects) == 1
    for annotation in placed.annotations:
        assert 0 <= annotation.start_ns < annotation.end_ns <= 10 * S
        assert (annotation.adjusted is None) == ((annotation.start_ns, annotation.end_ns) == (row.start_ns, row.end_ns))


def on_disk(path: Path) -> SidecarFile:
    return SidecarFile(path.name, path, "subtitles", None, ("clip.mp4",))


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path, monkeypatch):
    gone = on_disk(tmp_path / "gone.srt")
    assert [fault.code for fault in read_sidecar(gone, FolderConfig()).faults] == ["unreadable"]
    # Readable by its mode, but reading it fails: what a broken disk looks like, also to root.
    (tmp_path / "broken.srt").symlink_to(f"/proc/{os.getpid()}/mem")
    assert [fault.code for fault in read_sidecar(on_disk(tmp_path / "broken.srt"), FolderConfig()).faults] == [
        "unreadable"
    ]
    (tmp_path / "big.srt").write_text(SRT)
    assert len(read_sidecar(on_disk(tmp_path / "big.srt"), FolderConfig()).rows) == 3
    monkeypatch.setattr(sidecars, "LARGEST_BYTES", 10)
    assert [fault.code for fault in read_sidecar(on_disk(tmp_path / "big.srt"), FolderConfig()).faults] == ["too_large"]


def test_what_nobody_sees_is_taken_out_of_a_row_and_told():
    rows = [
        {"start": 1, "end": 2, "text": "A \u202eman\u0000 runs.", "subject": "\u202eman", "label": "run"},
        {"start": 3, "end": 4, "text": "A man sits."},
        {"start": 5, "end": 6, "text": "\u0000\u2066"},
    ]
    placed = laid(json.dumps(rows), beside("clip.json", "captions"), video(), caption_unit="s")
    spoiled, whole = placed.annotations
    assert (spoiled.text, spoiled.subject, spoiled.label) == ("A man runs.", "man", "run")
    assert spoiled.adjusted == "without U+0000, U+202E, which nobody sees"
    assert (whole.text, whole.adjusted) == ("A man sits.", None)
    assert [row.code for row in placed.rejects] == ["no_text"]
    assert "caption 3: found nothing that can be seen" in placed.rejects[0].reason


def test_every_fault_has_an_action():
    folder = Path(sidecars.__file__).parent
    source = "".join(path.read_text() for path in sorted(folder.glob("*.py")))
    used = set(re.findall(r'(?:Fault|CaptionError)\(\s*"(\w+)"', source))
    assert used == set(sidecars._ACTIONS)
    for code in used:
        row = reject(beside("clip.srt"), Fault(code, "found this, expected that"))
        assert (row.reason, bool(row.action)) == ("clip.srt: found this, expected that", True)
    assert [row.code for row in rejects_of(Sheet(faults=(Fault("no_cue", "x"),)), beside("clip.srt"))] == ["no_cue"]


def test_the_truth_about_a_drawn_video_is_read_whole(tmp_path):
    (path,) = draw_world(tmp_path, WorldConfig(videos=1, seconds=6, width=128, height=128))
    truth = json.loads(truth_of(path).read_text())
    file = SidecarFile(truth_of(path).name, truth_of(path), "world", None, (path.name,))
    sheet = read_sidecar(file, FolderConfig(caption_unit="ms"))
    assert sheet.faults == ()
    placed = place(sheet, file, video(seconds=6, sha256=truth["video_sha256"]))
    assert placed.rejects == ()
    assert [
        (row.start_ns, row.end_ns, row.label, row.subject, row.text, row.is_point) for row in placed.annotations
    ] == [
        (row["start_ns"], row["end_ns"], row["label"], row["subject"], row["text"], row["is_point"])
        for row in truth["annotations"]
    ]
    assert {row.origin for row in placed.annotations} == {"world"}
    assert codes(place(sheet, file, video(seconds=6))) == ["other_video"]


def test_real_subtitles_on_their_video(real_data):
    path = real_data / "annotations" / "subtitles" / "mdn_friday.vtt"
    file = SidecarFile("mdn_friday.vtt", path, "subtitles", None, ("mdn_friday.mp4",))
    placed = place(read_sidecar(file, FolderConfig()), file, video(seconds=Fraction("5.64")))
    assert placed.annotations[0].text == "Hildy!"
    assert spans(placed)[-1] == (4.3, 5.64)
    assert placed.rejects == ()
