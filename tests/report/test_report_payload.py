"""What the page's script is given: exact times, small pictures, thinned curves, JSON that cannot leave its tag."""

from __future__ import annotations

import base64
import io
import json
import math
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.files import write_json
from datasets_build.core.perceived import Signals
from datasets_build.report.payload import (
    CURVE_POINTS,
    Detail,
    curve,
    payload_of,
    pictures,
    relative_url,
    script_json,
    shown_size,
    small_jpeg,
    spread,
    thin,
)
from tests.report.sample import make_event, make_jpeg, make_records, make_video

VIDEO = make_video("a.mp4", duration_ns=10 * NS_PER_S)
MADE = make_records([VIDEO])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NASTY = st.lists(
    st.sampled_from(
        ["<", ">", "&", "</script>", "<script>", "<!--", "-->", "]]>", "\u2028", '"', "\\", "\x00", "é", "a"]
    ),
    max_size=12,
).map("".join)


def full(**changes: object) -> Detail:
    facts = {name: tuple(getattr(MADE, name)) for name in ("shots", "keyframes", "signals", "events", "questions")}
    return Detail(video=VIDEO, dialogues=tuple(MADE.dialogues), **(facts | changes))


class Scripts(HTMLParser):
    """Collects the text of every script and the names of all tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            self.scripts[-1] += data


@given(TEXT | NASTY)
def test_any_text_comes_back_from_inside_a_script(text: str) -> None:
    event = make_event(VIDEO, 0, 5, caption=text, subject=text)
    found = script_json(payload_of(full(events=(event,)), src=text, max_pictures=0, picture_px=64))
    assert not set("<>&\u2028\u2029") & set(found)
    reader = Scripts()
    reader.feed(f"<p></p><script type='application/json'>{found}</script><i></i>")
    assert reader.tags == ["p", "script", "i"]
    content = json.loads(reader.scripts[0])
    assert content["events"][0]["caption"] == content["events"][0]["subject"] == content["src"] == text


def test_the_guard_is_needed() -> None:
    """Without the escapes the same text would end the script, so the test above would notice."""
    payload = payload_of(full(), src="</script><b>", max_pictures=0, picture_px=64)
    reader = Scripts()
    reader.feed(f"<script>{payload.model_dump_json()}</script>")
    assert reader.tags == ["script", "b"]


def test_times_stay_exact_and_bulk_stays_out() -> None:
    late = 123_456_789_012_345_678
    event = make_event(VIDEO, late, late + 1)
    content = json.loads(script_json(payload_of(full(events=(event,)), src="a", max_pictures=2, picture_px=64)))
    assert content["events"][0]["start_ns"] == late
    assert content["events"][0]["provenance"] == {"kind": "rule", "agent": "sample", "version": "1"}
    assert "detector" not in content["shots"][0]
    assert "embedding" not in str(content)
    assert len(content["questions"]) == len(MADE.questions)
    assert content["questions"][0]["evidence"][0]["role"] == "necessary"
    assert content["dialogues"][0]["turns"][0]["text"] == MADE.dialogues[0].turns[0].text


def test_what_has_not_been_built_is_left_out() -> None:
    content = json.loads(script_json(payload_of(Detail(video=VIDEO), src="a", max_pictures=2, picture_px=64)))
    assert set(content) == {"name", "src", "format", "duration_ns", "offset_ns", "width", "height"}
    empty = Detail(video=VIDEO, shots=(), keyframes=(), signals=(), events=(), questions=(), dialogues=())
    content = json.loads(script_json(payload_of(empty, src="a", max_pictures=2, picture_px=64)))
    assert content["events"] == content["pictures"] == []
    assert [found["points"] for found in content["curves"]] == ["", "", ""]


def test_a_number_that_is_none_does_not_break_the_json() -> None:
    shot = MADE.shots[0].model_copy(update={"score": math.nan})
    text = script_json(payload_of(full(shots=(shot,)), src="a", max_pictures=0, picture_px=64))
    assert json.loads(text, parse_constant=pytest.fail)["shots"][0]["score"] is None


@pytest.mark.parametrize(("offset", "wanted"), [(0, 0), (66_733_333, 66_733_333), (-21_000_000, 0)])
def test_the_player_counts_from_the_containers_zero(offset: int, wanted: int) -> None:
    video = VIDEO.model_copy(update={"start_offset_ns": offset})
    assert payload_of(Detail(video=video), src="a", max_pictures=0, picture_px=64).offset_ns == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, (160, 120)),
        ({"rotation_deg": 90}, (120, 160)),
        ({"rotation_deg": 180}, (160, 120)),
        ({"sar_num": 2}, (320, 120)),
        ({"sar_num": 2, "rotation_deg": 270}, (120, 320)),
        ({"sar_num": 11, "sar_den": 12}, (147, 120)),
    ],
)
def test_the_shown_size_is_upright_with_square_pixels(changes: dict[str, int], wanted: tuple[int, int]) -> None:
    assert shown_size(VIDEO.model_copy(update=changes)) == wanted


@pytest.mark.parametrize("name", ["a b.mp4", "50% #1?.mp4", "sub/ü&'\".mp4", "a:b.mp4", "日本.mkv", "c++ (1)+.webm"])
@pytest.mark.parametrize("inside", [False, True])
def test_the_address_of_a_video_is_relative_and_quoted(tmp_path: Path, name: str, inside: bool) -> None:
    out = tmp_path / "out"
    root = out / "videos" if inside else tmp_path / "raw #1"
    (out / "index").mkdir(parents=True)
    write_json(out / "index" / "source.json", {"root": "videos" if inside else str(root)})
    url = relative_url(out, make_video(name))
    assert not url.startswith("/")
    assert not set(" #?&\"'<>:") & set(url)
    assert (out / unquote(url)).resolve() == (root / name).resolve()


def test_a_large_picture_is_made_small_and_a_small_one_stays_as_it_is() -> None:
    small, large = make_jpeg((100, 80)), make_jpeg((400, 100))
    assert small_jpeg(small, 100) is small
    made = small_jpeg(large, 100)
    with Image.open(io.BytesIO(made)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (100, 25))
    assert made == small_jpeg(large, 100)


def test_bytes_that_hold_no_picture_are_left_out() -> None:
    assert small_jpeg(b"", 100) is None
    assert small_jpeg(b"\xff\xd8\xff\xe0 not a picture", 100) is None
    assert small_jpeg(make_jpeg((400, 400))[:300], 100) is None


def test_another_format_becomes_a_jpeg() -> None:
    aside = io.BytesIO()
    Image.new("RGBA", (10, 10)).save(aside, "PNG")
    with Image.open(io.BytesIO(small_jpeg(aside.getvalue(), 100))) as picture:
        assert picture.format == "JPEG"


def test_every_keyframe_is_told_and_some_bring_their_picture() -> None:
    found = pictures(MADE.keyframes * 5, limit=3, longest=64)
    assert [picture.t_ns for picture in found] == [row.t_ns for row in MADE.keyframes * 5]
    assert sum(picture.jpeg is not None for picture in found) == 3
    assert found[0].jpeg is not None
    with Image.open(io.BytesIO(base64.b64decode(found[0].jpeg))) as picture:
        assert max(picture.size) == 64


@given(st.integers(0, 500), st.integers(0, 60))
def test_a_spread_is_even_and_starts_at_the_first(count: int, limit: int) -> None:
    found = spread(count, limit)
    assert found == sorted(set(found))
    assert len(found) == min(count, limit)
    assert all(0 <= k < count for k in found)
    if found:
        assert found[0] == 0
        steps = np.diff([*found, count])
        assert steps.max() - steps.min() <= 1


@given(
    st.lists(st.floats(-1e6, 1e6, width=32) | st.just(math.nan) | st.just(math.inf), max_size=300), st.integers(2, 50)
)
def test_a_thinned_curve_keeps_its_extremes(values: list[float], limit: int) -> None:
    kept = thin(values, limit)
    finite = [value for value in values if math.isfinite(value)]
    assert kept == sorted(set(kept))
    assert len(kept) <= max(limit, 2)
    assert all(math.isfinite(values[k]) for k in kept)
    if finite:
        assert min(values[k] for k in kept) == min(finite)
        assert max(values[k] for k in kept) == max(finite)


def stretch(times: list[int], values: list[float], ordinal: int = 0) -> Signals:
    same = dict.fromkeys(("luma", "contrast", "motion", "complexity", "pan_x", "pan_y", "zoom"), values)
    return Signals(id=str(ordinal), video_id=VIDEO.id, ordinal=ordinal, t_ns=times, **same)


def test_a_curve_joins_the_stretches_on_one_scale() -> None:
    parts = [stretch([0, 4 * NS_PER_S], [0.0, 0.125]), stretch([8 * NS_PER_S], [0.25], 1)]
    assert curve("motion", parts, VIDEO.duration_ns).points == "0,100 4000,50 8000,0"
    assert curve("motion", parts, VIDEO.duration_ns).top == 0.25
    assert curve("luma", parts, VIDEO.duration_ns).points == "0,100 4000,88 8000,75"
    assert curve("luma", parts, VIDEO.duration_ns).top == 1.0


def test_a_still_curve_and_a_long_one_are_drawn_too() -> None:
    flat = curve("motion", [stretch([0, NS_PER_S], [0.0, 0.0])], VIDEO.duration_ns)
    assert (flat.top, flat.points) == (1.0, "0,100 1000,100")
    times = [k * 1_000_000 for k in range(9_000)]
    long = curve("motion", [stretch(times, [abs(math.sin(t)) for t in times])], VIDEO.duration_ns)
    points = [point.split(",") for point in long.points.split()]
    assert CURVE_POINTS // 2 < len(points) <= CURVE_POINTS
    assert all(0 <= int(x) <= 10_000 and 0 <= int(y) <= 100 for x, y in points)
    assert [int(x) for x, _ in points] == sorted(int(x) for x, _ in points)
