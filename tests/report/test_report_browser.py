"""The page in a real browser, over file://: mouse, keyboard, broken videos, hostile text, widths and colours."""

from __future__ import annotations

import pytest

from datasets_build.core.clock import NS_PER_S, format_ns
from datasets_build.core.perceived import Keyframe
from datasets_build.core.records import Event, StreamingQA, Video
from datasets_build.report.build import ReportConfig, build_report
from tests.drawn import PAL, VideoSpec, draw_video
from tests.report.browser import Browser
from tests.report.sample import (
    Made,
    make_event,
    make_jpeg,
    make_keyframe,
    make_question,
    make_records,
    make_video,
)
from tests.report.sample_out import Site, video_of, write_all, write_index

MICROSECOND = 1_000
READY = "document.querySelector('details.video video')?.readyState >= 2"


def sample_site(site: Site, **changes: object) -> tuple[Video, Made]:
    """A site with one playable video of four seconds and records of every kind."""
    truth = draw_video(site.videos / "a b#c.mp4", VideoSpec(rate=PAL, frames=100, size=(320, 240)))
    video = video_of(truth, **changes)
    made = make_records([video])
    write_all(site.out, site.videos, made)
    build_report(site.out, ReportConfig())
    return video, made


def settle(browser: Browser) -> float:
    """Wait until the player has finished seeking; the time where it stands, in seconds."""
    browser.wait("!document.querySelector('video').seeking")
    return float(browser.run("document.querySelector('video').currentTime"))


def test_the_mouse_and_the_keyboard_reach_every_instant(browser: Browser, site: Site) -> None:
    video, made = sample_site(site)
    browser.open(site.url)
    browser.wait(READY)

    # An empty stretch of a lane, the ruler, and a curve: each click lands where the pointer stands.
    for selector in (".lane.group .body", ".lane.ruler .body", ".curve"):
        for share in (0.25, 0.8):
            browser.click(selector, at=share)
            width = browser.run("document.querySelector('.lane.ruler .body').clientWidth")
            assert settle(browser) * NS_PER_S == pytest.approx(share * video.duration_ns, abs=video.duration_ns / width)
            head = browser.run("parseFloat(document.querySelector('.head').style.left)")
            assert head == pytest.approx(100 * share, abs=100 / width)

    event = next(event for event in made.events if not event.is_point)
    browser.click(f'.item.event[data-ns="{event.start_ns}"]')
    assert settle(browser) * NS_PER_S == pytest.approx(event.start_ns, abs=3 * MICROSECOND)

    # Enter on a focused item does what a click does; arrows walk the lane.
    turns = made.dialogues[0].turns
    own = sorted(turn.start_ns for turn in turns if turn.role == "user")
    browser.run("document.querySelector('.item.turn').focus()")
    browser.key("Enter", text="\r")
    assert settle(browser) * NS_PER_S == pytest.approx(own[0], abs=3 * MICROSECOND)
    if len(own) > 1:
        browser.key("ArrowRight")
        browser.key("Enter", text="\r")
        assert settle(browser) * NS_PER_S == pytest.approx(own[1], abs=3 * MICROSECOND)
    browser.run("document.querySelector('[role=slider]').focus()")
    browser.key("Home")
    browser.key("ArrowRight")
    assert settle(browser) == pytest.approx(1.0, abs=1e-5)
    assert browser.run("document.querySelector('[role=slider]').getAttribute('aria-valuetext')") == "0:01.000"


def test_one_item_of_every_lane_can_be_reached_by_tab(browser: Browser, site: Site) -> None:
    sample_site(site)
    browser.open(site.url)
    browser.wait(READY)
    lanes = "[...document.querySelectorAll('.lane .body')].filter((b) => b.querySelector('.item'))"
    stops = f"{lanes}.map((b) => b.querySelectorAll('.item[tabindex=\"0\"]').length)"
    assert set(browser.run(stops)) == {1}
    browser.run("document.querySelectorAll('.item.question')[1].click()")
    assert set(browser.run(stops)) == {1}
    assert browser.run("[...document.querySelectorAll('.item')].every((b) => b.matches('button[aria-label]'))")


def test_a_question_tells_its_text_evidence_and_answers(browser: Browser, site: Site) -> None:
    _, made = sample_site(site)
    browser.open(site.url)
    browser.wait(READY)
    question = next(row for row in made.questions if row.options)
    browser.run(f"[...document.querySelectorAll('.item.question')][{made.questions.index(question)}].click()")
    text = browser.run("document.querySelector('.detail').textContent")
    for part in (question.question, question.task, *question.options, question.answers[0].text, "template/plain"):
        assert part in text
    for t_ns in (question.ask_ns, question.answerable_from_ns, question.evidence[0].start_ns):
        assert format_ns(t_ns) in text
    # The evidence is lit on the timeline, and its time is a button that goes there.
    band = browser.run("(() => { const s = document.querySelector('.band').style; return [s.left, s.width]; })()")
    evidence, length = question.evidence[0], made.videos[0].duration_ns
    assert float(band[0].rstrip("%")) == pytest.approx(100 * evidence.start_ns / length, abs=0.01)
    assert float(band[1].rstrip("%")) == pytest.approx(100 * (evidence.end_ns - evidence.start_ns) / length, abs=0.01)
    browser.run(f"document.querySelector('.detail .time[data-ns=\"{evidence.start_ns}\"]').click()")
    assert settle(browser) * NS_PER_S == pytest.approx(evidence.start_ns, abs=3 * MICROSECOND)


def test_a_turn_cut_short_is_marked_and_tells_what_was_meant(browser: Browser, site: Site) -> None:
    for seed in range(20):
        truth = draw_video(site.videos / f"{seed}.mp4", VideoSpec(rate=PAL, frames=200))
        made = make_records([video_of(truth)])
        if any(turn.interrupts for turn in made.dialogues[0].turns):
            break
    write_all(site.out, site.videos, made)
    build_report(site.out, ReportConfig())
    browser.open(site.url)
    browser.wait(READY)
    cut = next(turn for turn in made.dialogues[0].turns if turn.truncated_at_char)
    assert browser.run("document.querySelectorAll('.item.turn.cut').length") == 1
    browser.run("document.querySelector('.item.turn.cut').click()")
    assert cut.intended_text in browser.run("document.querySelector('.detail').textContent")
    stop = next(turn for turn in made.dialogues[0].turns if turn.interrupts)
    browser.run(f"document.querySelector('.item.turn[data-ns=\"{stop.start_ns}\"]').click()")
    text = browser.run("document.querySelector('.detail').textContent")
    assert "interrupts" in text
    assert cut.text in text
    runs = made.dialogues[0].decisions[0].runs
    assert browser.run("document.querySelectorAll('.run').length") == len(runs)


def test_the_playhead_follows_while_the_video_plays(browser: Browser, site: Site) -> None:
    video, _ = sample_site(site)
    browser.open(site.url)
    browser.wait(READY)
    browser.run("document.querySelector('video').play()")
    browser.wait("document.querySelector('video').currentTime > 0.4")
    browser.run("document.querySelector('video').pause()")
    browser.wait("document.querySelector('video').paused")
    at = settle(browser) * NS_PER_S
    browser.wait(
        f"Math.abs(parseFloat(document.querySelector('.head').style.left) - {100 * at / video.duration_ns}) < 1"
    )


OVERLAPS = """[...document.querySelectorAll('.lane .body')].reduce((sum, body) => {
  const boxes = [...body.querySelectorAll('.event, .turn')].map((item) => item.getBoundingClientRect());
  const inside = boxes.every((box) => box.bottom <= body.getBoundingClientRect().bottom);
  const meet = (a, b) => a.top === b.top && a.left < b.right - 0.1 && b.left < a.right - 0.1;
  return sum + !inside + boxes.filter((a, k) => boxes.some((b, other) => other < k && meet(a, b))).length;
}, 0)"""


def test_no_item_hides_another_at_any_zoom(browser: Browser, site: Site) -> None:
    video = make_video("long.mp4", duration_ns=300 * NS_PER_S)
    write_all(site.out, site.videos, make_records([video]))
    build_report(site.out, ReportConfig())
    browser.open(site.url)
    browser.wait("document.querySelector('.said')")
    browser.problems[:] = [text for text in browser.problems if "ERR_FILE_NOT_FOUND" not in text]
    heights = []
    for _ in range(4):
        assert browser.run("document.querySelectorAll('.event').length") > 90
        assert browser.run(OVERLAPS) == 0
        heights.append(browser.run("document.querySelector('.track').scrollHeight"))
        browser.click("[aria-label='Zoom in']")
    assert heights == sorted(heights, reverse=True)
    # The measure itself notices two items in one place.
    browser.run(
        "[...document.querySelectorAll('.event')].forEach((e) => { e.style.left = '50%'; e.style.top = '1px'; })"
    )
    assert browser.run(OVERLAPS) > 50


def test_zoom_keeps_the_playhead_in_view_and_the_items_in_place(browser: Browser, site: Site) -> None:
    video, made = sample_site(site)
    browser.open(site.url)
    browser.wait(READY)
    event = made.events[-1]
    browser.run(f"document.querySelector('.item.event[data-ns=\"{event.start_ns}\"]').click()")
    before = browser.run("document.querySelector('.lane.ruler .body').clientWidth")
    ticks = browser.run("document.querySelectorAll('.tick').length")
    for _ in range(3):
        browser.click("[aria-label='Zoom in']")
    assert browser.run("document.querySelector('.lane.ruler .body').clientWidth") == pytest.approx(8 * before, abs=8)
    assert browser.run("document.querySelectorAll('.tick').length") > 2 * ticks
    script = "(() => { const h = document.querySelector('.head').getBoundingClientRect().left;"
    script += (
        "const v = document.querySelector('.view').getBoundingClientRect(); return v.left < h && h < v.right; })()"
    )
    assert browser.run(script)
    browser.click(".lane.group .body", at=(event.start_ns + 100_000_000) / video.duration_ns)
    assert settle(browser) * NS_PER_S == pytest.approx(event.start_ns + 100_000_000, abs=video.duration_ns / before)


@pytest.mark.parametrize("kind", ["avi", "missing", "no keyframe"])
def test_a_video_that_does_not_play_gives_way_to_the_nearest_keyframe(browser: Browser, site: Site, kind: str) -> None:
    name = "old film.avi"
    if kind != "missing":
        draw_video(site.videos / name, VideoSpec(codec="mpeg4", rate=PAL, frames=100))
    video = make_video(name, container="avi", codec="mpeg4")
    made = make_records([video])
    if kind == "no keyframe":
        made.keyframes.clear()
    else:
        made.keyframes = [keyframe_at(video, made, share) for share in (0, 1, 2, 3)]
    write_all(site.out, site.videos, made)
    build_report(site.out, ReportConfig())
    browser.open(site.url)
    browser.wait("document.querySelector('.said')")
    browser.problems[:] = [text for text in browser.problems if "ERR_FILE_NOT_FOUND" not in text]
    said = "document.querySelector('.said').textContent"
    assert "avi, mpeg4: old film.avi" in browser.run(said)
    assert browser.run("document.querySelector('video')") is None
    if kind == "no keyframe":
        assert "no keyframe picture" in browser.run(said)
        return
    # The picture goes along with a click on the timeline: three quarters of four seconds is nearest to second 3.
    browser.click(".lane.ruler .body", at=0.77)
    assert "nearest keyframe, at 0:03.000" in browser.run(said)
    browser.wait("document.querySelector('img.picture').naturalWidth === 160")
    head = browser.run("parseFloat(document.querySelector('.head').style.left)")
    assert head == pytest.approx(77, abs=0.5)


def keyframe_at(video: Video, made: Made, second: int) -> Keyframe:
    base = make_keyframe(video, made.shots[0], make_jpeg(colour=(60 * second, 0, 0)))
    return base.model_copy(update={"id": str(second), "t_ns": second * NS_PER_S})


EVIL = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror='window.hacked = 3'>",
    '<!-- <script> ]]> &lt;b&gt; \u2028 \'" onload="window.hacked = 4" {{ 7 * 7 }} {% raw %}',
    "javascript:window.hacked = 5",
)


@pytest.mark.parametrize("evil", EVIL)
def test_text_of_the_data_stays_text(browser: Browser, site: Site, evil: str) -> None:
    video, made = evil_records(evil)
    write_all(site.out, site.videos, made)
    build_report(site.out, ReportConfig(title=evil))
    browser.open(site.url)
    browser.wait("document.querySelector('.said')")
    browser.problems[:] = [text for text in browser.problems if "ERR_FILE_NOT_FOUND" not in text]
    assert browser.run("document.title") == evil
    assert browser.run("document.querySelector('.title').textContent") == evil
    for kind in ("event", "question", "turn"):
        browser.run(f"document.querySelector('.item.{kind}').click()")
        assert browser.run("document.querySelector('.detail h4').textContent") == evil
        assert browser.run(f"document.querySelector('.item.{kind}').getAttribute('aria-label')").endswith(evil)
    assert browser.run("window.hacked") is None
    assert browser.run("document.scripts.length") == 2
    assert browser.run("document.querySelectorAll('img:not([src^=\"data:image/jpeg;base64,\"])').length") == 0
    assert video.uri == evil


def evil_records(evil: str) -> tuple[Video, Made]:
    """One video with the same text in every field that holds text."""
    video = make_video(evil, licence=evil, source=evil, container=evil)
    made = make_records([video])
    event: Event = make_event(video, 0, NS_PER_S, evil, caption=evil, subject=evil, label_set=evil)
    question: StreamingQA = make_question(video, event, 1, question=evil, task=evil, options=(evil,), correct_option=0)
    dialogue = made.dialogues[0]
    turns = tuple(turn.model_copy(update={"text": evil}) for turn in dialogue.turns)
    made.events, made.questions = [event], [question]
    made.dialogues = [dialogue.model_copy(update={"turns": turns, "system": evil})]
    return video, made


def test_the_content_policy_stops_a_script_that_slipped_in(browser: Browser, site: Site) -> None:
    """The second wall is tested by breaking the first: HTML is planted into the finished page."""
    sample_site(site)
    page = site.out / "report.html"
    text = page.read_text(encoding="utf-8")
    planted = "<script>window.hacked = 1</script><img src='https://example.invalid/x.png'></main>"
    page.write_text(text.replace("</main>", planted), encoding="utf-8")
    browser.open(site.url)
    browser.wait(READY)
    assert browser.run("window.hacked") is None
    assert any("Content Security Policy" in problem for problem in browser.problems)
    browser.problems.clear()
    browser.requests[:] = [url for url in browser.requests if "example.invalid" not in url]


@pytest.mark.parametrize("width", [900, 1240, 1600])
def test_the_page_fits_windows_of_every_width_in_light_and_dark(browser: Browser, site: Site, width: int) -> None:
    sample_site(site)
    colours = set()
    for dark in (False, True):
        browser.size(width, 900, dark=dark)
        browser.open(site.url)
        browser.wait(READY)
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        cards = (
            "[...document.querySelectorAll('.card table')].every((t) => t.scrollWidth <= t.parentElement.clientWidth)"
        )
        assert browser.run(cards)
        colours.add(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


def test_the_filter_and_the_address_find_a_video(browser: Browser, site: Site) -> None:
    names = [f"clip {k}.mp4" for k in range(4)]
    videos = [make_video(name, split="test" if k == 3 else "train") for k, name in enumerate(names)]
    write_index(site.out, site.videos, videos)
    build_report(site.out, ReportConfig())
    browser.open(site.url + f"#v-{videos[2].id}")
    opened = "[...document.querySelectorAll('details.video')].map((d) => d.open)"
    assert browser.run(opened) == [True, False, True, False]
    browser.run("(() => { const f = document.getElementById('filter'); f.value = 'CLIP test';"
                "f.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert browser.run("[...document.querySelectorAll('details.video')].map((d) => d.hidden)") == [
        True,
        True,
        True,
        False,
    ]
    assert browser.run("document.getElementById('found').textContent") == "1 of 4"
    # Nothing but the index has been run: the lanes say so, and the page still works.
    browser.wait("document.querySelector('.lane.group')")
    lanes = (
        "[...document.querySelector('details.video').querySelectorAll('.lane.group .body')].map((b) => b.textContent)"
    )
    assert browser.run(lanes) == ["not built yet"] * 4
    browser.problems[:] = [text for text in browser.problems if "ERR_FILE_NOT_FOUND" not in text]
