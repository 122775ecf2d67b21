import re
import subprocess
import sys
from pathlib import Path

import av
import pytest

from datasets_build.core.worker import Worker
from datasets_build.decoders import ffmpeg, torchcodec
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


def test_one_ffmpeg_decodes_for_all_whatever_the_system_has(monkeypatch, tmp_path):
    """The worker's torchcodec maps PyAV's FFmpeg even when other libraries lie where the loader looks first."""
    planted = tmp_path / "system"
    planted.mkdir()
    (planted / "libavutil.so.60").write_text("no library at all")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(planted))
    if not (Path(av.__file__).parent.parent / "av.libs").is_dir():
        pytest.skip("this PyAV brings no libraries of its own")
    with Worker(environment=library_environment()) as worker:
        mapped = worker.call(300.0, mapped_libraries)
    assert {Path(path).parent.name for path in mapped} == {"av.libs"}


def mapped_libraries():
    """Paths of FFmpeg's libraries in this process once torchcodec is loaded."""
    torchcodec.ready()
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sorted({line.split()[-1] for line in lines if re.search(r"/libav(codec|format|util)", line)})


def test_a_package_without_libraries_leaves_it_to_the_system(monkeypatch, tmp_path):
    monkeypatch.setattr(ffmpeg.av, "__file__", str(tmp_path / "av/__init__.py"))
    assert library_environment() == {}


def test_what_is_already_searched_stays_searched(monkeypatch, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = library_environment().get("LD_LIBRARY_PATH", "/opt/mine").split(":")
    assert path[-1] == "/opt/mine"
    if (Path(av.__file__).parent.parent / "av.libs").is_dir():
        assert Path(path[0]).parent == tmp_path / "streamvl"
        assert (Path(path[0]) / "libavcodec.so.62").exists() or list(Path(path[0]).glob("libavcodec.so.*"))
