import subprocess
import sys
from pathlib import Path

import av

from datasets_build.decoders import ffmpeg
from datasets_build.decoders.ffmpeg import library_environment, link_folder, plain_links

NAMES = ["libavutil-5809ad29.so.60.26.102", "libswscale-88e9f973.so.9.5.102", "libx264-d6533a8d.so.165", "README"]


def bundle(tmp_path):
    folder = tmp_path / "av.libs"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(name)
    return folder


def test_only_ffmpegs_own_libraries_get_plain_names():
    assert list(plain_links(NAMES)) == [
        ("libavutil.so.60", "libavutil-5809ad29.so.60.26.102"),
        ("libswscale.so.9", "libswscale-88e9f973.so.9.5.102"),
    ]


def test_the_links_lead_to_the_libraries_and_are_made_once(tmp_path):
    folder = link_folder(bundle(tmp_path), tmp_path / "cache")
    assert sorted(entry.name for entry in folder.iterdir()) == ["libavutil.so.60", "libswscale.so.9"]
    assert (folder / "libavutil.so.60").read_text() == "libavutil-5809ad29.so.60.26.102"
    assert link_folder(tmp_path / "av.libs", tmp_path / "cache") == folder
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [folder.name]


def test_another_installation_gets_another_folder(tmp_path):
    (tmp_path / "other").mkdir()
    one = link_folder(bundle(tmp_path), tmp_path / "cache")
    assert link_folder(bundle(tmp_path / "other"), tmp_path / "cache") != one


def test_a_cache_that_cannot_be_written_is_gone_round(tmp_path):
    shut = tmp_path / "shut"
    shut.write_text("a file where a folder should be")
    folder = link_folder(bundle(tmp_path), shut)
    assert (folder / "libswscale.so.9").read_text() == "libswscale-88e9f973.so.9.5.102"


def test_two_at_once_agree(tmp_path):
    bundled = bundle(tmp_path)
    program = (
        "import sys; from pathlib import Path; from datasets_build.decoders.ffmpeg import link_folder;"
        f"print(link_folder(Path({str(bundled)!r}), Path({str(tmp_path / 'cache')!r})))"
    )
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {process.communicate(timeout=300)[0] for process in running}
    assert len(answers) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_second_of_two_leaves_no_trace(tmp_path):
    folder = link_folder(bundle(tmp_path), tmp_path / "cache")
    ffmpeg._make_links(tmp_path / "av.libs", dict(plain_links(NAMES)), folder)
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [folder.name]


def test_a_system_with_ffmpeg_needs_nothing(monkeypatch):
    monkeypatch.setattr(ffmpeg.ctypes.util, "find_library", lambda _: "libavcodec.so.61")
    assert library_environment() == {}


def test_what_is_already_searched_stays_searched(monkeypatch, tmp_path):
    monkeypatch.setattr(ffmpeg.ctypes.util, "find_library", lambda _: None)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = library_environment().get("LD_LIBRARY_PATH", "/opt/mine").split(":")
    assert path[-1] == "/opt/mine"
    if (Path(av.__file__).parent.parent / "av.libs").is_dir():
        assert Path(path[0]).parent == tmp_path / "streamvl"
        assert (Path(path[0]) / "libavcodec.so.62").exists() or list(Path(path[0]).glob("libavcodec.so.*"))
