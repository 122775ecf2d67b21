"""The page as a file: self-contained, deterministic, whole or absent, and honest about what is not there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_build.core.clock import NS_PER_S
from datasets_build.core.config import ConfigError, load_config
from datasets_build.core.dataset import Subset
from datasets_build.core.files import DataError, write_json, write_jsonl
from datasets_build.core.records import DecoderTrust, Problem, Reject, StreamingQA
from datasets_build.core.stage import StageError, stage_digest
from datasets_build.core.table import TableError, write_table
from datasets_build.report.balance import Line, Table
from datasets_build.report.build import Page, ReportConfig, build_report, collect, render
from datasets_build.report.checks import Checked, Grid
from datasets_build.report.folder import Manifest
from datasets_build.report.payload import Detail, payload_of
from datasets_build.report.sections import Rejects, Tile, card_of, facts
from tests.report.sample import REJECT, TRUNCATED, make_records, make_video
from tests.report.sample_out import write_all, write_dataset, write_events, write_index, write_perceive

VIDEOS = [
    make_video("a b#1.mp4", duration_ns=6 * NS_PER_S),
    make_video("c.avi", split="validation", status="degraded", problems=(TRUNCATED,)),
    make_video("d.mp4", split="test", duration_ns=9 * NS_PER_S),
]
MADE = make_records(VIDEOS)
VOID = {"meta", "input", "img", "link", "br", "hr"}


class Reader(HTMLParser):
    """The structure of a page: tags in order, attributes that name an address, texts, data blocks."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self.data: list[str] = []
        self.scripts: list[str] = []
        self._inside: list[str] = []
        self.feed(text)
        self.close()
        assert self._inside == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "action", "poster", "srcset")
        ]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag == "script":
            (self.data if found.get("type") == "application/json" else self.scripts).append("")
        if tag not in VOID:
            self._inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] == "script":
            # The script of the page comes last; until then every one is data.
            blocks = self.scripts or self.data
            blocks[-1] += data
        elif not (self._inside and self._inside[-1] == "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    write_all(folder, tmp_path / "videos", MADE, [REJECT])
    return folder


def read(page: Path) -> Reader:
    return Reader(page.read_text(encoding="utf-8"))


def test_the_page_holds_everything_and_points_at_nothing_outside(out: Path) -> None:
    page = build_report(out, ReportConfig())
    assert page == out / "report.html"
    found = read(page)
    # Videos are reached by the script, through the data; the markup itself names only its own sections.
    assert found.addresses
    assert all(address.startswith("#") for address in found.addresses)
    assert found.handlers == []
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(found.tags)
    for text in ("http:", "https:", "//cdn", "url(", "@import", "fetch(", "XMLHttpRequest", "innerHTML", "eval("):
        assert text not in page.read_text(encoding="utf-8")
    blocks = [json.loads(block) for block in found.data]
    assert [block["src"] for block in blocks] == ["../videos/a%20b%231.mp4", "../videos/c.avi", "../videos/d.mp4"]
    assert all(picture["jpeg"] for block in blocks for picture in block["pictures"])


def test_the_policy_names_the_very_script_of_the_page(out: Path) -> None:
    page = build_report(out, ReportConfig()).read_text(encoding="utf-8")
    (script,) = Reader(page).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_the_counts_at_the_top_are_those_of_the_tables(out: Path) -> None:
    tiles = {tile.name: tile for tile in collect(out, ReportConfig()).tiles}
    assert (tiles["videos"].value, tiles["videos"].note) == ("3", "2 ok, 1 degraded")
    assert tiles["length"].value == "19.0 s"
    for name in ("shots", "scenes", "keyframes", "events", "questions", "dialogues"):
        assert tiles[name].value == str(len(getattr(MADE, name)))
    assert tiles["dialogues"].note == "1 train, 1 validation, 1 test"
    assert (tiles["rejected"].value, tiles["rejected"].note) == ("1", "1 at index")
    assert set(tiles) == {
        "videos", "length", "shots", "scenes", "keyframes", "events", "questions", "dialogues", "rejected",
    }  # fmt: skip


def test_of_a_folder_without_scenes_none_are_told(tmp_path: Path) -> None:
    """As augmented folders are."""
    for step in STEPS[:2]:
        step(tmp_path / "out", tmp_path)
    (tmp_path / "out/perceive/scenes.parquet").unlink()
    tiles = {tile.name: tile.value for tile in collect(tmp_path / "out", ReportConfig()).tiles}
    assert "scenes" not in tiles
    assert tiles["shots"] == str(len(MADE.shots))


def test_each_video_gets_its_own_rows(out: Path) -> None:
    blocks = [json.loads(block) for block in read(build_report(out, ReportConfig())).data]
    for video, block in zip(VIDEOS, blocks, strict=True):
        assert block["duration_ns"] == video.duration_ns
        for name in ("shots", "events", "questions", "dialogues"):
            assert [row["id"] for row in block[name]] == [r.id for r in getattr(MADE, name) if r.video_id == video.id]
        assert len(block["pictures"]) == sum(row.video_id == video.id for row in MADE.keyframes)
        assert [curve["name"] for curve in block["curves"]] == ["luma", "motion", "complexity"]


def test_names_licences_problems_and_rejects_can_be_read(out: Path) -> None:
    text = read(build_report(out, ReportConfig(title="My clips"))).text
    for part in ("My clips", "a b#1.mp4", "CC0-1.0", "degraded", "truncated 140 of 234 frames decode", "0:04.640"):
        assert part in text
    for part in (REJECT.item, REJECT.code, REJECT.reason, REJECT.action, stage_digest(out, "index"), "Right option"):
        assert part in text
    assert "not checked yet" in text
    assert "not built yet" not in text


def test_the_same_folder_gives_the_same_bytes_wherever_it_stands(out: Path, tmp_path: Path) -> None:
    first = build_report(out, ReportConfig()).read_bytes()
    assert build_report(out, ReportConfig()).read_bytes() == first
    other = tmp_path / "elsewhere" / "copy"
    shutil.copytree(out, other / "out", ignore=shutil.ignore_patterns("report.html"))
    write_json(other / "out" / "index" / "source.json", {"root": str(other / "videos")})
    assert build_report(other / "out", ReportConfig()).read_bytes() == first
    assert str(tmp_path).encode() not in first


STEPS = (
    lambda out, root: write_index(out, root, VIDEOS),
    lambda out, root: write_perceive(out, MADE),
    lambda out, root: write_events(out, MADE),
    lambda out, root: write_dataset(out, "streaming_qa", MADE, Subset("qa", StreamingQA, ""), MADE.questions),
)


@pytest.mark.parametrize("done", range(1, len(STEPS) + 1))
def test_a_half_built_folder_says_what_is_missing(tmp_path: Path, done: int) -> None:
    out = tmp_path / "out"
    for step in STEPS[:done]:
        step(out, tmp_path)
    page = collect(out, ReportConfig())
    missing = {table.title for table in page.tables if table.about == "not built yet"}
    titles = ["Events by label", "Questions by task and mode", "Silence, standby, respond", "Per-frame views"]
    assert missing == set(titles[max(0, done - 2) :])
    unbuilt = [tile.name for tile in page.tiles if tile.note == "not built yet"]
    assert unbuilt == ["shots", "scenes", "keyframes", "events", "questions", "dialogues"][[0, 3, 4, 5][done - 1] :]
    found = read(build_report(out, ReportConfig()))
    assert "not built yet" in found.text
    for block in map(json.loads, found.data):
        assert ("shots" in block, "events" in block, "questions" in block) == (done > 1, done > 2, done > 3)


def test_only_the_first_videos_are_drawn_and_the_page_says_so(out: Path) -> None:
    page = build_report(out, ReportConfig(max_videos=2))
    found = read(page)
    assert len(found.data) == 2
    assert "Showing the first 2 of 3 videos" in found.text
    tiles = {tile.name: tile.value for tile in collect(out, ReportConfig(max_videos=2)).tiles}
    assert tiles["events"] == str(len(MADE.events))
    none = read(build_report(out, ReportConfig(max_videos=0)))
    assert (none.data, "Showing the first 0 of 3 videos" in none.text) == ([], True)
    assert "Showing the first" not in read(build_report(out, ReportConfig())).text


def test_a_folder_without_videos_makes_a_page(tmp_path: Path) -> None:
    write_all(tmp_path / "out", tmp_path, make_records([]))
    found = read(build_report(tmp_path / "out", ReportConfig()))
    assert "no videos" in found.text
    assert "nothing was left out" in found.text


def test_long_reject_lists_are_cut_with_a_word(tmp_path: Path) -> None:
    rejects = [REJECT.model_copy(update={"item": f"f{k}.mp4", "at_ns": k * NS_PER_S}) for k in range(30)]
    write_index(tmp_path / "out", tmp_path, VIDEOS, rejects)
    found = read(build_report(tmp_path / "out", ReportConfig(max_rejects=10)))
    assert "the first 10 of 30; the rest is in rejects.jsonl" in found.text
    assert "f9.mp4" in found.text
    assert "f10.mp4" not in found.text
    assert "0:09.000" in found.text


def test_joined_rejects_win_over_those_of_the_stages(out: Path) -> None:
    write_jsonl(out / "rejects.jsonl", [REJECT, REJECT.model_copy(update={"stage": "dialogue", "code": "too_short"})])
    reasons = collect(out, ReportConfig()).rejects.reasons
    assert reasons == (("index", "cannot_open", 1), ("dialogue", "too_short", 1))
    (out / "rejects.jsonl").unlink()
    assert collect(out, ReportConfig()).rejects.reasons == (("index", "cannot_open", 1),)


def test_the_result_of_the_check_is_shown(out: Path) -> None:
    write_json(out / "check.json", {"checked": 12, "broken": 1, "violations": [{"law": "no <future>", "id": "q7"}]})
    text = read(build_report(out, ReportConfig())).text
    assert "not checked yet" not in text
    for part in ("Check 1 broken", "checked 12", "broken 1", "violations", "no <future>", "q7"):
        assert part in text
    write_json(out / "check.json", {"broken": 0})
    assert "Check nothing broken" in read(build_report(out, ReportConfig())).text


def test_without_an_index_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="has no finished index"):
        build_report(tmp_path, ReportConfig())
    assert not (tmp_path / "report.html").exists()


def test_an_old_page_stays_when_a_new_one_cannot_be_made(out: Path) -> None:
    first = build_report(out, ReportConfig()).read_bytes()
    (out / "events" / "events.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(TableError, match=r"events\.parquet: not a readable Parquet file"):
        build_report(out, ReportConfig())
    assert (out / "report.html").read_bytes() == first
    assert not list(out.glob(".report*"))


def test_rows_of_a_strange_video_are_refused(out: Path) -> None:
    strange = MADE.events[0].model_copy(update={"video_id": "stranger"})
    write_table(out / "events" / "events.parquet", type(strange), [*MADE.events, strange])
    with pytest.raises(TableError, match="stranger"):
        build_report(out, ReportConfig())


@pytest.mark.parametrize(
    "content", [[], {"stage": "index"}, {"stage": "index", "schema_version": 1, "fingerprint": "x"}]
)
def test_a_broken_manifest_is_named(out: Path, content: object) -> None:
    write_json(out / "perceive" / "manifest.json", content)
    with pytest.raises(DataError, match=r"perceive/manifest\.json"):
        build_report(out, ReportConfig())


@pytest.mark.parametrize("setting", ["max_videos=-1", "picture_px=0", "max_videos=many", "colour=red"])
def test_settings_out_of_range_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting.split("=", 1)[0]):
        load_config(ReportConfig, None, [setting])


def test_facts_tell_size_rate_and_readers() -> None:
    video = make_video(
        "x.mov", rotation_deg=90, is_vfr=True, avg_fps_num=30_000, avg_fps_den=1001, max_gap_ns=66_733_333, audio=None
    ).model_copy(update={"decoders": (DecoderTrust(name="decord", trusted=False, reason="count 90, index 89"),)})
    found = dict(facts(video))
    assert found["Picture"] == "120 × 160 shown (160 × 120 coded, turned 90°)"
    assert found["Frame rate"] == "29.970 (30000/1001), variable"
    assert found["Longest gap"] == "66.7 ms"
    assert found["Reader decord"] == "not trusted: count 90, index 89"
    assert found["Audio"] == "none"


def page_of(text: str) -> Page:
    """A page with the same text in every place that data can reach."""
    video = make_video(text, licence=text, source=text, container=text, problems=(Problem(code=text, detail=text),))
    reject = Reject(stage=text, item=text, code=text, reason=text, action=text)
    manifest = Manifest(
        stage=text, schema_version=text, fingerprint=text, fields={text: text}, tools={text: text}, counts={text: 1}
    )
    payload = payload_of(Detail(video=video), src=text, max_pictures=0, picture_px=64)
    return Page(
        title=text,
        versions=text,
        stages={text: manifest},
        tiles=[Tile(text, text, text)],
        tables=[Table(text, text, (text, text), (Line((text, 1), (0.5,)),), (text,))],
        rejects=Rejects(((text, text, 1),), [reject], 2),
        checks=Checked(1, (Grid(text, (text,), ((text,),), 1),)),
        cards=[card_of(Detail(video=video), payload)],
        n_videos=2,
    )


SIGNS = st.text(st.sampled_from("<>&\"'/ax {}%#!-\n\u2028é"), min_size=1, max_size=24)


@pytest.mark.slow
@settings(max_examples=40)
@given(SIGNS | st.sampled_from(["<script>alert(1)</script>", "</script>", "<!--", "{{ 1 }}", "' onload='x"]))
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    plain, found = Reader(render(page_of("x"))), Reader(render(page_of(text)))
    assert found.tags == plain.tags
    assert found.handlers == []
    assert found.scripts == plain.scripts
    assert json.loads(found.data[0])["name"] == text


def test_a_long_list_of_laws_is_folded_and_violations_are_open(out: Path) -> None:
    laws = [{"name": f"law_{k}", "checked": 3, "broken": k == 0} for k in range(20)]
    write_json(out / "check.json", {"broken": 1, "laws": laws, "violations": [{"law": f"law_{k}"} for k in range(13)]})
    page = build_report(out, ReportConfig()).read_text(encoding="utf-8")
    assert re.search(r'<details class="plain"><summary><b>laws</b> <span class="quiet">20 rows', page)
    assert re.search(r'<details class="plain" open><summary><b>violations</b>', page)
    assert all(f"law_{k}" in Reader(page).text for k in range(20))
