import hashlib
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from datasets_build.core.config import ConfigError, load_config
from datasets_build.core.files import DataError
from datasets_build.sources.activitynet import ActivityNetConfig
from datasets_build.sources.coin import CoinConfig
from datasets_build.sources.corpus import (
    READERS,
    CorpusName,
    Match,
    account,
    identify,
    licence_with,
    match_corpus,
    placed_of,
    read_corpus_file,
    rejects_of_corpus,
    stated_splits,
)
from datasets_build.sources.epic_kitchens import EpicKitchensConfig
from datasets_build.sources.index import IndexConfig
from datasets_build.sources.kinetics import KineticsConfig
from datasets_build.sources.pe_video import PEVideoConfig
from datasets_build.sources.video_json import VideoJsonConfig
from tests.sources.corpora import S, file
from tests.sources.test_sidecars import video

SUFFIXES = (".mp4", ".mkv")


def captions(*names: str, times: tuple[tuple[float, float], ...] = ((1, 2), (3, 11))) -> str:
    said = {"duration": 10, "timestamps": list(times), "sentences": [f"Caption {k}." for k in range(len(times))]}
    return json.dumps(dict.fromkeys(names, said))


def matched(settings, usable: tuple[str, ...], unusable: tuple[str, ...] = ()) -> Match:
    (corpus,) = identify([settings])
    reading = read_corpus_file(corpus)
    return match_corpus(corpus, reading, usable=usable, unusable=unusable, suffixes=SUFFIXES)


def net(folder: Path, text: str, name: str = "val_1.json", **settings: object) -> ActivityNetConfig:
    return ActivityNetConfig(file=file(folder, name, text), **settings)


def test_every_corpus_can_be_chosen_by_its_name():
    assert set(READERS) == set(get_args(CorpusName))
    for name in READERS:
        config = load_config(IndexConfig, None, [f"corpora=[{{format: {name}, file: some.file}}]"])
        assert (config.corpora[0].format, config.corpora[0].file) == (name, Path("some.file"))


def test_the_page_tells_of_every_corpus():
    page = Path(__file__).parents[2] / "docs" / "sources.md"
    told = re.findall(r"^\| `(\w+)` \| ", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == ["format", *sorted(READERS)]
    defaults = PEVideoConfig(file=Path("x"))
    limits = (defaults.min_s, defaults.max_s, defaults.min_tokens_per_s, defaults.max_tokens_per_s)
    assert "`min_s` {:g}, `max_s` {:g}, `min_tokens_per_s` {:g}, `max_tokens_per_s` {:g}".format(*limits) in (
        page.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[{format: anet, file: x}]", "corpora.0.format: found 'anet', expected 'activitynet' or|'activitynet'"),
        ("[{file: x}]", "format"),
        ("[{format: coin}]", "file: missing"),
        ("[{format: coin, file: x, labels: y}]", "labels: unknown key"),
        ("[{format: coin, file: x, split: dev}]", "split"),
    ],
)
def test_a_wrong_setting_is_told_by_its_path(text, told):
    with pytest.raises(ConfigError, match=told):
        load_config(IndexConfig, None, [f"corpora={text}"])


def test_a_corpus_goes_by_its_format_name_and_digest(tmp_path):
    settings = net(tmp_path, captions("v_a"), labels=file(tmp_path, "labels.txt", "x\n"))
    (corpus,) = identify([settings])
    digest = hashlib.sha256(settings.file.read_bytes()).hexdigest()
    assert (corpus.uri, corpus.version, corpus.origin) == ("activitynet:val_1.json", digest, "activitynet")
    assert set(corpus.digests) == {"val_1.json", "labels.txt"}
    (named,) = identify([settings.model_copy(update={"label_set": "anet-1.3"})])
    assert named.origin == "anet-1.3"


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (first,) = identify([net(tmp_path / "a", captions("v_a"))])
    (moved,) = identify([net(tmp_path / "b", captions("v_a"))])
    assert moved.fingerprint == first.fingerprint
    others = [
        net(tmp_path / "b", captions("v_b")),
        net(tmp_path / "a", captions("v_a"), split="test"),
        net(tmp_path / "a", captions("v_a"), licence="CC0"),
        net(tmp_path / "a", captions("v_a"), label_set="x"),
        net(tmp_path / "a", captions("v_a"), labels=file(tmp_path, "labels.txt", "x\n")),
    ]
    assert first.fingerprint not in {identify([each])[0].fingerprint for each in others}


def test_tables_of_one_name_are_two_files(tmp_path):
    for folder in ("verbs", "nouns"):
        (tmp_path / folder).mkdir()
        file(tmp_path / folder, "classes.csv", f"id,key\n0,{folder}\n")
    settings = EpicKitchensConfig(
        file=file(tmp_path, "EPIC.csv", "x\n"),
        verb_classes=tmp_path / "verbs" / "classes.csv",
        noun_classes=tmp_path / "nouns" / "classes.csv",
    )
    (before,) = identify([settings])
    assert set(before.digests) == {"EPIC.csv", "classes.csv", "classes.csv (2)"}
    assert len(set(before.digests.values())) == 3
    swapped = settings.model_copy(update={"verb_classes": settings.noun_classes, "noun_classes": settings.verb_classes})
    assert identify([swapped])[0].fingerprint != before.fingerprint


def test_files_that_are_not_there_or_of_one_name_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: cannot be read as a file of index\.corpora"):
        identify([CoinConfig(file=tmp_path / "none.json")])
    settings = net(tmp_path, captions("v_a"))
    with pytest.raises(DataError, match=r"found activitynet:val_1\.json twice"):
        identify([settings, settings])


def test_a_folder_has_the_digest_of_all_its_files(tmp_path):
    for name in ("1", "2"):
        file(tmp_path, f"{name}.json", json.dumps({"human_caption": name}))
    (corpus,) = identify([PEVideoConfig(file=tmp_path)])
    file(tmp_path, "2.json", json.dumps({"human_caption": "3"}))
    (changed,) = identify([PEVideoConfig(file=tmp_path)])
    assert len(corpus.digests) == 2
    assert corpus.version != changed.version


@pytest.mark.parametrize(
    ("name", "uri", "is_meant"),
    [
        ("v_a", "v_a.mp4", True),
        ("v_a", "a.mp4", True),
        ("a", "v_a.mkv", True),
        ("v_a", "deep/er/a.mp4", True),
        ("v_a", "v_a/clip.mp4", False),
        ("v_a", "xa.mp4", False),
        ("a", "A.mp4", False),
        ("x_60.0_210.0", "x_60.0_210.0.mp4", True),
    ],
)
def test_videos_are_meant_by_their_names(tmp_path, name, uri, is_meant):
    assert bool(matched(net(tmp_path, captions(name)), (uri,)).of_video) == is_meant


@pytest.mark.parametrize(
    ("name", "uri", "is_meant"),
    [
        ("demo/1.mp4", "1.mp4", True),
        ("demo/1.mp4", "sub/demo/1.mkv", True),
        ("demo/1.mp4", "other/1.mp4", False),
        ("/data/k400/train/1.mp4", "train/1.mp4", True),
        ("./demo/../demo/1.mp4", "demo/1.mp4", True),
        ("demo\\1.mp4", "demo/1.mp4", True),
        ("1.txt", "1.mp4", False),
        ("/", "1.mp4", False),
    ],
)
def test_paths_are_meant_from_their_ends(tmp_path, name, uri, is_meant):
    turns = [{"role": "user", "content": "<video>Why?"}, {"role": "assistant", "content": "So."}]
    path = file(tmp_path, "demo.json", json.dumps([{"messages": turns, "videos": [name]}]))
    assert bool(matched(VideoJsonConfig(file=path), (uri,)).of_video) == is_meant


def test_rows_are_placed_cut_or_told(tmp_path):
    text = captions("v_clip", times=((1, 2), (3, 10.5), (9, 8), (1, 2)))
    match = matched(net(tmp_path, text), ("clip.mp4",))
    placed = placed_of(match, video())
    assert [(row.start_ns // S, row.end_ns // S, row.adjusted is None) for row in placed.annotations] == [
        (1, 2, True),
        (3, 10, False),
        (1, 2, True),
    ]
    first = placed.annotations[0]
    assert (first.origin, first.provenance.agent, first.provenance.version) == (
        "activitynet",
        "activitynet:val_1.json",
        match.corpus.version,
    )
    (row,) = rejects_of_corpus(match)
    assert (row.item, row.code) == ("activitynet:val_1.json", "bad_span")
    assert account(match, 3) | {"sha256": ""} == {
        "uri": "activitynet:val_1.json", "sha256": "", "files": dict(match.corpus.digests), "licence": None,
        "split": None, "label_set": "activitynet", "videos": 1, "absent videos": 0, "rows": 4, "copies": 0,
        "annotations": 3, "rejected": 1, "absent": 0,
    }  # fmt: skip


def test_a_video_of_another_length_gets_nothing(tmp_path):
    match = matched(net(tmp_path, captions("clip")), ("clip.mp4",))
    placed = placed_of(match, video(seconds=20))
    assert placed.annotations == ()
    (row,) = placed.rejects
    assert (row.code, "its 2 captions were left out" in row.reason) == ("other_duration", True)
    assert account(match, 0)["rejected"] == 2


def test_what_is_said_of_all_of_a_video_covers_it(tmp_path):
    path = file(tmp_path, "a.jsonl", json.dumps({"__key__": "clip", "json": {"human_caption": "word " * 40}}))
    settings = PEVideoConfig(file=path)
    match = matched(settings, ("clip.mp4",))
    (row,) = placed_of(match, video(seconds=10)).annotations
    assert (row.start_ns, row.end_ns, row.is_point, row.adjusted) == (0, 10 * S, False, None)
    for seconds, code in ((4, "length"), (20, "pace")):
        placed = placed_of(match, video(seconds=seconds))
        assert (placed.annotations, [reject.code for reject in placed.rejects]) == ((), [code])
        assert "clip: found" in placed.rejects[0].reason


def test_rows_of_absent_videos_are_counted_and_told_once(tmp_path):
    names = [f"v_{number}" for number in range(200)]
    match = matched(net(tmp_path, captions(*names)), ("v_7.mp4",))
    (row,) = rejects_of_corpus(match)
    assert row.code == "video_absent"
    assert "398 rows of 199 videos that are not there: v_0, v_1, v_2, v_3, v_4 and 194 more" in row.reason
    told = account(match, 2)
    assert (told["rows"], told["annotations"], told["rejected"], told["absent"]) == (400, 2, 0, 398)


def test_rows_of_a_video_that_was_left_out_are_told_with_it(tmp_path):
    match = matched(net(tmp_path, captions("v_a", "v_b")), ("v_b.mp4",), ("v_a.mp4",))
    (row,) = rejects_of_corpus(match)
    assert (row.code, "v_a: its video v_a.mp4 was left out, and 2 rows with it" in row.reason) == (
        "video_rejected",
        True,
    )
    assert account(match, 2)["rejected"] == 2


def test_a_name_that_several_videos_share_is_said_of_all(tmp_path):
    match = matched(net(tmp_path, captions("v_a")), ("x/a.mp4", "y/a.mkv"))
    assert set(match.of_video) == {"x/a.mp4", "y/a.mkv"}
    told = account(match, 4)
    assert (told["rows"], told["copies"], told["annotations"], told["rejected"]) == (2, 2, 4, 0)


def database(folder: Path, name: str = "COIN.json", **subsets: str) -> Path:
    step = [{"segment": [1, 2], "label": "stir", "id": "1"}]
    videos = {video: {"duration": 10, "subset": subset, "annotation": step} for video, subset in subsets.items()}
    return file(folder, name, json.dumps({"database": videos}))


def test_splits_are_set_by_configuration_or_by_what_the_file_states(tmp_path):
    path = database(tmp_path, a="training", b="testing", c="unused")
    uris = ("a.mp4", "b.mp4", "c.mp4")
    groups = {uri: uri[0].upper() for uri in uris}
    for split, wanted in (
        (None, {}),
        ("validation", dict.fromkeys("ABC", "validation")),
        ("stated", {"A": "train", "B": "test"}),
    ):
        match = matched(CoinConfig(file=path, split=split), uris)
        assert stated_splits([match], groups) == wanted


def test_two_splits_for_one_video_or_its_copy_are_an_error(tmp_path):
    match = matched(CoinConfig(file=database(tmp_path, a="training", b="testing"), split="stated"), ("a.mp4", "b.mp4"))
    with pytest.raises(DataError, match=r"b\.mp4: coin:COIN\.json says test, coin:COIN\.json says train"):
        stated_splits([match], {"a.mp4": "same", "b.mp4": "same"})
    other = matched(net(tmp_path, captions("a"), split="validation"), ("a.mp4",))
    with pytest.raises(DataError, match=r"activitynet:val_1\.json says validation, coin:COIN\.json says train"):
        stated_splits([match, other], {"a.mp4": "A", "b.mp4": "B"})


def test_licences_of_annotations_stand_beside_those_of_videos(tmp_path):
    assert EpicKitchensConfig(file=Path("x")).licence == "CC BY-NC 4.0"
    one = matched(net(tmp_path, captions("a"), licence="CC BY 4.0"), ("a.mp4", "b.mp4"))
    silent = matched(net(tmp_path, captions("a"), name="val_2.json"), ("a.mp4",))
    told = "CC0; annotations activitynet:val_1.json: CC BY 4.0"
    assert licence_with("CC0", "a.mp4", [one, silent]) == told
    assert licence_with("CC0", "b.mp4", [one, silent]) == "CC0"


def replaced(uri: str):
    return video().model_copy(update={"id": uri, "video_id": uri, "uri": uri})


@pytest.mark.parametrize(
    ("names", "said"),
    [(("v_a", "a"), 1), (("a", "a.mp4"), 1), (("v_a", "b"), 2)],
)
def test_what_is_said_of_one_video_by_two_names_stands_once(tmp_path, names, said):
    match = matched(net(tmp_path, captions(*names, times=((1, 2),))), ("a.mp4", "b.mp4"))
    placed = [placed_of(match, replaced(uri)) for uri in ("a.mp4", "b.mp4")]
    assert sum(len(each.annotations) for each in placed) == said
    rejects = [each for one in placed for each in one.rejects]
    assert [each.code for each in rejects] == ["duplicate"] * (2 - said)
    ids = [each.id for one in placed for each in one.annotations]
    assert len(set(ids)) == len(ids)
    assert account(match, said)["rejected"] == len(rejects)


def test_rows_that_stand_twice_in_files_of_whole_clips_stand_once(tmp_path):
    row = json.dumps({"video_id": "a", "human_caption": "A man walks a big dog, and it barks. " * 4})
    twice = matched(PEVideoConfig(file=file(tmp_path, "a.jsonl", f"{row}\n{row}\n")), ("a.mp4",))
    table = "label,youtube_id,time_start,time_end\n" + "surfing,a,1,3\n" * 2 + "surfing,a,4,6\n"
    kinetics = KineticsConfig(file=file(tmp_path, "k.csv", table), clips="untrimmed")
    for match, kept in ((twice, 1), (matched(kinetics, ("a.mp4",)), 2)):
        placed = placed_of(match, replaced("a.mp4"))
        assert (len(placed.annotations), [each.code for each in placed.rejects]) == (kept, ["duplicate"])


@pytest.mark.parametrize("text", ["{}", '{"database": {}}', '{"database": {"a": {"subset": "testing"}}}'])
def test_a_file_without_a_row_is_told(tmp_path, text):
    (told,) = rejects_of_corpus(matched(net(tmp_path, text), ("a.mp4",)))
    assert (told.code, "val_1.json: found no row" in told.reason) == ("no_rows", True)
