"""The page in a real browser: nothing asked of any address, nothing wider than the window, readable in both schemes."""

import pytest

from annotate.report.build import write_report
from tests.annotate.report.folders import events_round, filmed_round, mark, reading
from tests.annotate.report.test_build import NASTY, texts_round
from tests.report.browser import Browser

CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0.99) return c; } return [255, 255, 255]; };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest('svg, .unseen') || !e.checkVisibility()) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([ratio.toFixed(2), e.className, walker.currentNode.data.trim().slice(0, 30)]);
  }
  return found;
})()"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    events, _ = events_round(root / "a", 6)
    said = [{"a1": [mark("s0", 5, 20)], "a2": [mark("s0", 12, 33)]}]
    film = filmed_round(root / "b", spans=((0, 50),), said=said)
    nasty = texts_round(root / "c", NASTY * 3 + "w" * 400)
    rounds = {"events": events, "film": film, "nasty": nasty}
    return {name: write_report(one, root / f"{name}.html", reading=reading()) for name, one in rounds.items()}


@pytest.mark.parametrize("name", ["events", "film", "nasty"])
@pytest.mark.parametrize("width", [360, 800, 1500])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page(running, pages, name, width, dark):
    running.problems.clear()
    running.requests.clear()
    running.size(width, 900, dark=dark)
    running.open(pages[name].as_uri())
    assert running.problems == []
    assert {url.split(":", 1)[0] for url in running.requests} <= {"file", "data"}
    assert running.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert running.run("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert running.run("document.scripts.length") == 0
    assert running.run(CONTRAST) == []
    assert running.run("document.title") == "Round r1"


def test_rows_of_names_and_marks_stand_side_by_side(running, pages):
    running.size(700, 900)
    running.open(pages["film"].as_uri())
    apart = running.run(
        "(() => { const drawing = document.querySelector('.drawing');"
        "const names = [...drawing.querySelectorAll('.names span')].slice(1).map((e) => e.getBoundingClientRect().top);"
        "const bars = [...drawing.querySelectorAll('rect:not(.band)')].map((e) => e.getBoundingClientRect().top);"
        "return names.map((top, at) => bars[at] - top); })()"
    )
    assert len(apart) == 3
    assert all(0 <= one <= 6 for one in apart)
