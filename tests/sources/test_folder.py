import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.core.config import ConfigError, load_config
from datasets_build.core.files import DataError
from datasets_build.sources.folder import FolderConfig, LicenceRule, Listing, Node, list_folder, sort_out


def make(root: Path, *names: str) -> Path:
    """Empty files, with the folders that they need."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listed(root: Path, **settings: object) -> Listing:
    return list_folder(root, FolderConfig(**settings))


def uris(listing: Listing) -> list[str]:
    return [video.uri for video in listing.videos]


def refused(listing: Listing) -> dict[str, str]:
    return {row.item: row.code for row in listing.rejects}


def owners(listing: Listing) -> dict[str, tuple[str, ...]]:
    return {sidecar.uri: sidecar.videos for sidecar in listing.sidecars}


def test_a_tree_in_the_order_of_its_paths(tmp_path):
    make(tmp_path, "b.mp4", "a/z.MKV", "a/b/c.WebM", "a.mp4", "notes.txt", "a/thumb.jpg", "Z.avi", "no_suffix")
    listing = listed(tmp_path)
    assert uris(listing) == ["Z.avi", "a.mp4", "a/b/c.WebM", "a/z.MKV", "b.mp4"]
    assert listing.rejects == ()
    assert all(video.path == tmp_path / video.uri for video in listing.videos)


def test_every_suffix_of_the_field_is_known(tmp_path):
    names = "mp4 m4v mov mkv webm avi ts mts m2ts mpg mpeg gif flv wmv asf ogv 3gp 3g2 mxf vob".split()  # noqa: SIM905
    make(tmp_path, *(f"clip{n}.{name}" for n, name in enumerate(names)))
    assert len(listed(tmp_path).videos) == len(names)


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    make(tmp_path, ".hidden.mp4", "._clip.mp4", ".cache/a.mp4", "clip.mp4", ".mp4")
    assert uris(listed(tmp_path)) == ["clip.mp4"]


def test_a_hidden_root_is_no_hidden_folder(tmp_path):
    assert uris(listed(make(tmp_path / ".data", "a.mp4"))) == ["a.mp4"]


def test_a_folder_named_like_a_video_is_walked(tmp_path):
    make(tmp_path, "x.mp4/inner.mp4")
    assert uris(listed(tmp_path)) == ["x.mp4/inner.mp4"]


@pytest.mark.parametrize(
    "name", ["a b.mp4", "été.mp4", "line\nbreak.mp4", "-x.mp4", "a'\"$(b).mp4", "汉字.mkv", "concat:a.mp4"]
)
def test_odd_names_are_names(tmp_path, name):
    (video,) = listed(make(tmp_path, name)).videos
    assert video.uri == name
    assert video.path.is_absolute()


def test_a_name_that_is_not_utf8_is_a_reject(tmp_path):
    make(tmp_path, "ok.mp4", os.fsdecode(b"caf\xe9.mp4"), os.fsdecode(b"d\xe9/in.mp4"))
    listing = listed(tmp_path)
    assert uris(listing) == ["ok.mp4"]
    assert refused(listing) == {"caf\\xe9.mp4": "name_not_utf8", "d\\xe9/in.mp4": "name_not_utf8"}
    assert json.loads(listing.rejects[0].model_dump_json())["item"] == "caf\\xe9.mp4"


def test_links_are_followed_but_not_in_circles(tmp_path):
    make(tmp_path, "root/a.mp4", "elsewhere/b.mp4", "elsewhere/deep/c.mp4")
    root = tmp_path / "root"
    (root / "link.mp4").symlink_to(root / "a.mp4")
    (root / "outside").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "elsewhere")
    (root / "self").symlink_to(root)
    listing = listed(root)
    assert uris(listing) == ["a.mp4", "link.mp4", "outside/b.mp4", "outside/deep/c.mp4"]
    assert refused(listing) == {"outside/deep/up/": "link_loop", "self/": "link_loop"}


def test_what_is_no_file_is_never_opened(tmp_path, monkeypatch):
    make(tmp_path, "ok.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe.srt")
    os.mkfifo(tmp_path / "other")
    # A socket's path may have 107 bytes, and where the tests run is anybody's choice.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    (tmp_path / "gone.mp4").symlink_to("nowhere")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop.mkv").symlink_to("loop.mkv")
    listing = listed(tmp_path)
    assert uris(listing) == ["ok.mp4"]
    assert refused(listing) == {
        "gone.mp4": "dangling_link",
        "loop.mkv": "dangling_link",
        "pipe.mp4": "not_a_file",
        "pipe.srt": "not_a_file",
        "socket.mp4": "not_a_file",
        "zero.mp4": "not_a_file",
    }
    reasons = {row.item: row.reason for row in listing.rejects}
    assert "a named pipe" in reasons["pipe.mp4"]
    assert "a socket" in reasons["socket.mp4"]
    assert "a device" in reasons["zero.mp4"]
    assert all(row.action for row in listing.rejects)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_a_reject(tmp_path):
    make(tmp_path, "a.mp4", "shut/b.mp4")
    (tmp_path / "shut").chmod(0)
    try:
        assert refused(listed(tmp_path)) == {"shut/": "unreadable"}
    finally:
        (tmp_path / "shut").chmod(0o700)


def test_our_own_output_is_not_input(tmp_path):
    make(tmp_path, "a.mp4", "out/old.mp4", "output/b.mp4")
    (tmp_path / "again").symlink_to(tmp_path / "out")
    listing = list_folder(tmp_path, FolderConfig(), skip=tmp_path / "out")
    assert uris(listing) == ["a.mp4", "output/b.mp4"]
    with pytest.raises(DataError, match="is the output folder itself"):
        list_folder(tmp_path, FolderConfig(), skip=tmp_path)


def test_a_missing_path_and_an_empty_folder_are_one_sentence(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        listed(tmp_path / "nowhere")
    make(tmp_path, "readme.txt")
    with pytest.raises(DataError, match=r"holds no video, expected files named \.mp4") as raised:
        listed(tmp_path)
    assert "\n" not in str(raised.value)


def test_one_file_stands_for_itself_and_its_sidecars(tmp_path):
    make(tmp_path, "a.mp4", "a.srt", "a.en.vtt", "b.mp4", "b.srt", "ab.srt", "other.srt", "a.world.json")
    listing = listed(tmp_path / "a.mp4")
    assert uris(listing) == ["a.mp4"]
    assert sorted(owners(listing)) == ["a.en.vtt", "a.srt", "a.world.json"]
    assert listing.rejects == ()
    assert listing.root == tmp_path


def test_one_file_that_is_no_video(tmp_path):
    make(tmp_path, "a.txt", "b.mp4")
    with pytest.raises(DataError, match="holds no video"):
        listed(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("name", "kind", "language"),
    [
        ("clip.srt", "subtitles", None),
        ("clip.VTT", "subtitles", None),
        ("clip.ass", "subtitles", None),
        ("clip.en.srt", "subtitles", "en"),
        ("clip.pt-BR.srt", "subtitles", "pt-BR"),
        ("clip.zh_Hans.vtt", "subtitles", "zh-Hans"),
        ("clip.en.forced.srt", "subtitles", "en"),
        ("clip.forced.srt", "subtitles", None),
        ("clip.mp4.srt", "subtitles", None),
        ("clip.mp4.de.srt", "subtitles", "de"),
        ("clip.json", "captions", None),
        ("clip.captions.json", "captions", None),
        ("clip.en.captions.json", "captions", "en"),
        ("clip.mp4.json", "captions", None),
        ("clip.world.json", "world", None),
        ("clip.lesson.json", "lesson", None),
        ("clip.Lesson.json", "lesson", None),
    ],
)
def test_what_a_sidecars_name_says(tmp_path, name, kind, language):
    (sidecar,) = listed(make(tmp_path, "clip.mp4", name)).sidecars
    assert (sidecar.kind, sidecar.language, sidecar.videos) == (kind, language, ("clip.mp4",))
    assert sidecar.path == tmp_path / name


@pytest.mark.parametrize(
    "name", ["other.srt", "clip.part1.srt", "clip.en.de.srt", "x.world.json", "x.captions.json", "sub/clip.srt"]
)
def test_a_sidecar_without_its_video_is_a_reject(tmp_path, name):
    assert refused(listed(make(tmp_path, "clip.mp4", name))) == {name: "orphan"}


@pytest.mark.parametrize("name", ["x.json", "clip.info.json", "clip.en.json", "package.json", "clip.txt"])
def test_files_of_other_people_are_left_alone(tmp_path, name):
    listing = listed(make(tmp_path, "clip.mp4", name))
    assert (listing.sidecars, listing.rejects) == ((), ())


def test_videos_that_share_a_stem_share_its_sidecars(tmp_path):
    make(tmp_path, "clip.mp4", "clip.webm", "clip.srt", "clip.webm.vtt", "clip.en.mp4", "clip.en.srt", "a/clip.mp4")
    assert owners(listed(tmp_path)) == {
        "clip.srt": ("clip.mp4", "clip.webm"),
        "clip.webm.vtt": ("clip.webm",),
        "clip.en.srt": ("clip.en.mp4",),
    }


def test_the_first_licence_rule_that_matches_wins():
    rules = (
        LicenceRule(match="real/a*.mp4", licence="CC0-1.0"),
        LicenceRule(match="real/*", licence="CC-BY-4.0"),
    )
    config = FolderConfig(licence="proprietary", licences=rules)
    assert config.licence_of("real/ab.mp4") == "CC0-1.0"
    assert config.licence_of("real/deep/b.mp4") == "CC-BY-4.0"
    assert config.licence_of("b.mp4") == "proprietary"
    assert FolderConfig().licence_of("b.mp4") == "unknown"


def test_settings_are_checked_and_come_from_yaml(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text('suffixes: [".mp4"]\nlicences: [{match: "a/*", licence: "MIT"}]\ncaption_unit: ms\n')
    config = load_config(FolderConfig, path)
    assert config.licence_of("a/b.mp4") == "MIT"
    assert uris(list_folder(make(tmp_path, "a.mp4", "b.mkv"), config)) == ["a.mp4"]
    for bad in ("MP4", "mp4", ".MP4", ".tar.gz", ""):
        with pytest.raises(ValidationError, match="suffix"):
            FolderConfig(suffixes=(bad,))
    with pytest.raises(ConfigError, match="caption_unit"):
        load_config(FolderConfig, None, ["caption_unit=minutes"])


names = st.lists(
    st.builds(
        lambda folder, stem, tag, suffix: f"{folder}{stem}{tag}{suffix}",
        st.sampled_from(["", "a/", "b/"]),
        st.sampled_from(["x", "y", "x.en", "z.mp4"]),
        st.sampled_from(["", ".en", ".captions", ".world", ".part"]),
        st.sampled_from([".mp4", ".webm", ".srt", ".vtt", ".json", ".txt"]),
    ),
    unique=True,
)


@given(names, st.randoms(use_true_random=False))
def test_everything_that_counts_is_accounted_for_whatever_the_order(found, shuffle):
    nodes = [Node(name) for name in found]
    first = sort_out(Path("/root"), nodes, FolderConfig())
    shuffle.shuffle(nodes)
    assert sort_out(Path("/root"), nodes, FolderConfig()) == first
    assert uris(first) == sorted(name for name in found if name.endswith((".mp4", ".webm")))
    said = {sidecar.uri for sidecar in first.sidecars} | set(refused(first))
    must = {name for name in found if name.endswith((".srt", ".vtt", ".world.json", ".captions.json"))}
    assert must <= said
    assert not {name for name in found if name.endswith(".txt")} & said
    for sidecar in first.sidecars:
        assert sidecar.videos
        assert set(sidecar.videos) <= set(found)
        assert {Path(uri).parent for uri in sidecar.videos} == {Path(sidecar.uri).parent}
