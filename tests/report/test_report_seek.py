"""A click on an item shows the very frame of its time, in a real browser and for every kind of clock."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from datasets_build.core.clock import NS_PER_S, format_ns
from datasets_build.report.build import ReportConfig, build_report
from tests.drawn import FILM, NTSC, PAL, VideoSpec, draw_video, frame_number
from tests.report.browser import Browser
from tests.report.sample import Made, make_event, make_video
from tests.report.sample_out import Site, video_of, write_all

MICROSECOND = 1_000
READY = "document.querySelector('details.video video')?.readyState >= 2"


def shown_number(browser: Browser, folder: Path) -> int | None:
    """The number painted on the frame that the page shows; a busy machine may take a picture before it is painted."""
    read = (number_now(browser, folder) for _ in range(TRIES))
    return next((number for number in read if number is not None), None)


def number_now(browser: Browser, folder: Path) -> int | None:
    browser.run("(() => { const v = document.querySelector('video'); v.controls = false; v.scrollIntoView(); })()")
    script = "(() => { const b = document.querySelector('video').getBoundingClientRect();"
    left, top, width, height = browser.run(script + "return [b.left, b.top, b.width, b.height]; })()")
    browser.screenshot(folder / "shot.png")
    with Image.open(io.BytesIO((folder / "shot.png").read_bytes())) as picture:
        return frame_number(np.asarray(picture.convert("RGB").crop((left, top, left + width, top + height))))


# The frame before may be reported once more, when it is painted late; a busy machine may report none at all.
CLICK_AND_WAIT = """new Promise((done) => {
  const video = document.querySelector('video');
  let last = null;
  const told = (now, frame) => {
    last = frame.mediaTime;
    if (Math.abs(last - %f) > 0.000003) video.requestVideoFrameCallback(told);
    else done([last, video.currentTime]);
  };
  video.requestVideoFrameCallback(told);
  setTimeout(() => done([last, video.currentTime]), 5000);
  document.querySelector('.item.event[data-ns="%d"]').click();
})"""
TRIES = 5


def click_item(browser: Browser, t_ns: int, *, offset_ns: int, by_way_of: int) -> tuple[float | None, float]:
    """Click the item at a time: the media time of the frame that was shown last, and where the player stands."""
    shown, current = None, 0.0
    for _ in range(TRIES):
        shown, current = browser.run(CLICK_AND_WAIT % ((t_ns + offset_ns) / NS_PER_S, t_ns))
        if shown is not None and abs(shown * NS_PER_S - t_ns - offset_ns) <= 2 * MICROSECOND:
            break
        browser.run(f"document.querySelector('.item.event[data-ns=\"{by_way_of}\"]').click()")
    return shown, current


SPECS = {
    "ntsc.mp4": VideoSpec(rate=NTSC, b_frames=2, frames=30),
    "late start.mp4": VideoSpec(rate=NTSC, start=9, frames=24),
    "start beyond its length.mp4": VideoSpec(rate=NTSC, start=300, frames=24),
    "hidden frames.mp4": VideoSpec(rate=PAL, hidden=5, frames=30, gop=30),
    "film.webm": VideoSpec(codec="vp9", rate=FILM, frames=24),
    "variable.mp4": VideoSpec(durations=(1, 2, 1, 5, 1, 1, 7, 2, 3, 1, 4, 2), rate=PAL),
    "turned.mov": VideoSpec(rate=PAL, rotation=90, frames=20),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_click_shows_the_very_frame_of_the_item(browser: Browser, site: Site, name: str) -> None:
    truth = draw_video(site.videos / name, SPECS[name])
    video = video_of(truth)
    events = [make_event(video, t, t, "mark") for t in truth.t_ns]
    write_all(site.out, site.videos, Made([video], events=events))
    build_report(site.out, ReportConfig())
    browser.open(site.url)
    browser.wait(READY)

    # Not in order, so that a player which only steps on would be found out; and no frame twice in a row.
    for k in [*range(1, len(truth.t_ns), 4), 0, *range(len(truth.t_ns) - 1, 0, -5), 7]:
        t_ns = truth.t_ns[k]
        near = truth.t_ns[k - 1 if k else 1]
        media, current = click_item(browser, t_ns, offset_ns=video.start_offset_ns, by_way_of=near)
        assert media is not None
        assert abs(media * NS_PER_S - t_ns - video.start_offset_ns) <= MICROSECOND
        assert abs(current * NS_PER_S - t_ns - video.start_offset_ns) <= 3 * MICROSECOND
        assert browser.run("document.querySelector('.readout').firstChild.textContent") == format_ns(t_ns)
    assert shown_number(browser, site.videos) == truth.numbers[7]


@pytest.mark.parametrize(
    "name",
    [
        "mdn_flower-fragmented.mp4",
        "tc_test_non_zero_start.mp4",
        "mb_rotate-buck-bunny.mp4",
        "decord_flipping_a_pancake.mkv",
        "mpy_big_buck_bunny_0_30.webm",
    ],
)
def test_real_files_seek_to_the_very_frame_too(browser: Browser, tmp_path: Path, real_data: Path, name: str) -> None:
    path = real_data / "videos" / name
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = {frame.pts for _, frame in zip(range(60), container.decode(stream), strict=False)}
    base, pts = stream.time_base, sorted(found)
    times = [int((p - pts[0]) * base * NS_PER_S) for p in pts]
    offset = int(pts[0] * base * NS_PER_S)
    video = make_video(name, duration_ns=times[-1] + 40_000_000, start_offset_ns=offset)
    out = tmp_path / "out"
    write_all(out, path.parent, Made([video], events=[make_event(video, t, t, "mark") for t in times]))
    browser.open(build_report(out, ReportConfig()).as_uri())
    browser.wait(READY)
    for k in (5, 2, 10, 7, 1):
        t_ns = times[k]
        media, _ = click_item(browser, t_ns, offset_ns=offset, by_way_of=times[k - 1])
        assert media is not None
        assert abs(media * NS_PER_S - t_ns - offset) <= 2 * MICROSECOND
