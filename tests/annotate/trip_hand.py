"""A scripted annotator: what a person does with mouse and keys on the labelling pages, and what that person sees.

Nothing is asked of the page's own state but which task it shows; the number of a frame is read from the pixels.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from annotate.access import Access
from annotate.tasks import Window
from tests.drawn import frame_number
from tests.report.browser import Browser, PageError

SUBMIT = "[data-testid=bottombar-submit-button]"
COUNTER = ".lsf-frames-control"
_TASK = "(window.Htx?.task?.id ?? null)"
_SHIFT = 8


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A moment in the page: the frame that its counter says, from 1, and the number in the pixels of the picture."""

    frame: int
    number: int


class Hand:
    """One person in one browser."""

    def __init__(self, browser: Browser, access: Access) -> None:
        self.browser, self.url = browser, access.url
        browser.size(1500, 1100)
        browser.open(f"{self.url}/user/login/")
        self._type("document.querySelector('input[name=email]')", access.username)
        self._type("document.querySelector('input[name=password]')", access.password)
        self._click("document.querySelector('button[type=submit]')")
        browser.wait("!location.pathname.startsWith('/user/login') && document.readyState === 'complete'")

    def begin(self, project: int) -> int:
        """Go to the label stream of a project; the number of the task that comes first."""
        self.browser.call("Page.navigate", url=f"{self.url}/projects/{project}/data?labeling=1")
        self.browser.wait(f"location.pathname === '/projects/{project}/data' && document.querySelector('{SUBMIT}')")
        return self._arrived()

    def submit(self) -> int | None:
        """Hand the task in; the number of the next one, None where the page says that there is none."""
        before = self.browser.run(_TASK)
        self._click(f"document.querySelector('{SUBMIT}')")
        nothing = "document.body.innerText.includes('No More Tasks')"
        self.browser.wait(
            f"{nothing} || (document.querySelector('{SUBMIT}') && {_TASK} !== null && {_TASK} !== {before})", limit_s=30
        )
        return None if self.browser.run(nothing) else self._arrived()

    def _arrived(self) -> int:
        picture = "document.querySelector('video')"
        self.browser.wait(f"{picture}?.readyState >= 2 && {_TASK} !== null && document.querySelector('{COUNTER}')")
        time.sleep(0.5)
        return int(self.browser.run(_TASK))

    def seek(self, share: float, window: Window) -> Sight:
        """Click on the bar below the picture, at a share of its width, and look.

        Again where the page stays elsewhere: it may still be on its way to a bar that was chosen.
        """
        for _ in range(5):
            self.browser.click(".lsf-seeker", at=share)
            seen = self.look(window)
            if abs(seen.frame - share * window.frames) <= 0.02 * window.frames:
                return seen
            time.sleep(0.3)
        raise PageError(f"{seen}: the page does not seek to {share} of {window.frames} frames")

    def look(self, window: Window) -> Sight:
        """What the page says and shows once the picture stands still."""
        time.sleep(0.15)
        self.browser.wait("!document.querySelector('video').seeking")
        before, number = None, self._number(window)
        for _ in range(50):
            if number is not None and number == before:
                return Sight(frame=int(self.browser.run(f"parseInt(document.querySelector('{COUNTER}').textContent)")),
                             number=number)  # fmt: skip
            time.sleep(0.1)
            before, number = number, self._number(window)
        raise PageError(f"the picture bears no number, or does not stand still: {before}, {number}")

    def _number(self, window: Window) -> int | None:
        """The number in the picture, which stands in the middle of its canvas at its own size."""
        left, top, wide, high = self.browser.run(
            "(() => { const e = document.querySelector('canvas'); e.scrollIntoView({block: 'nearest'});"
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        )
        assert (window.width, window.height) == (min(window.width, wide), min(window.height, high)), "it is scaled"
        clip = {
            "x": left + (wide - window.width) / 2, "y": top + (high - window.height) / 2,
            "width": window.width, "height": window.height, "scale": 1,
        }  # fmt: skip
        shot = base64.b64decode(self.browser.call("Page.captureScreenshot", format="png", clip=clip)["data"])
        return frame_number(_picture(shot))

    def choose_bar(self, label: str) -> None:
        """Click on a region in the list at the right."""
        name = (
            "[...document.querySelectorAll('[class*=\"outliner-item__title\"]')]"
            f".find(e => e.textContent.includes({json.dumps(label)}))"
        )
        self._click_until(name, _field("Start frame"))

    def set_end(self, field: str, frame: int) -> None:
        """Type a frame into `Start frame` or `End frame` of the chosen region."""
        self._type(_field(field), str(frame))
        self.browser.key("Enter", text="\r")
        self.browser.wait(f"{_field(field)}.value === '{frame}'")

    def drag_end(self, label: str, by: int, window: Window) -> Sight:
        """Drag the right end of a bar on the timeline by so many frames, with the mouse, and look where it ends."""
        x, y, step = self._end_of(label)
        self._mouse("mouseMoved", x, y)
        self._mouse("mousePressed", x, y)
        for frame in range(1, by + 1):
            self._mouse("mouseMoved", x + frame * step, y)
            time.sleep(0.03)
        self._mouse("mouseReleased", x + by * step, y)
        return self.look(window)

    def _end_of(self, label: str) -> tuple[float, float, float]:
        """Where the right end of a bar is and how wide a frame is, px; the timeline is turned until it is seen."""
        row = (
            "[...document.querySelectorAll('.lsf-keypoints_timeline')]"
            f".find(e => e.querySelector('.lsf-keypoints__name').textContent === {json.dumps(label)})"
        )
        self.browser.wait(f"{row}?.querySelector('.lsf-keypoints__lifespan')")
        for _ in range(50):
            left, top, wide, high, frames, middle = self.browser.run(
                f"(() => {{ const row = {row};"
                "const b = row.querySelector('.lsf-keypoints__lifespan').getBoundingClientRect();"
                "const v = document.querySelector('.lsf-timeline-frames__scroll').getBoundingClientRect();"
                "const frames = row.dataset.end - row.dataset.start;"
                "return [b.left, b.top, b.width, b.height, frames, v.left + v.width / 2]; })()"
            )
            if abs(left + wide - middle) <= 200:
                return left + wide - 1, top + high / 2, wide / frames
            turn = {"x": middle, "y": top + high / 2, "deltaX": left + wide - middle, "deltaY": 0}
            self.browser.call("Input.dispatchMouseEvent", type="mouseWheel", **turn)
            time.sleep(0.2)
        raise PageError(f"{label}: the timeline does not turn to its end, {left + wide} px, expected about {middle}")

    def _mouse(self, kind: str, x: float, y: float) -> None:
        self.browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def judge(self, block: int, choice: str) -> None:
        """Tick a choice of a question or turn, counted from 0."""
        label = (
            f"[...{_block(block)}.querySelectorAll('label')]"
            f".find(e => e.textContent.replace(/\\[.*\\]/, '').trim() === {json.dumps(choice)})"
        )
        self._click_until(label, f"{label}?.querySelector('input').checked")

    def rewrite(self, block: int, text: str) -> None:
        """Put another text in the place of the one that is there."""
        self._click(f"{_block(block)}.querySelector('[aria-label=\"Edit Region\"]')")
        self.browser.wait(f"{_block(block)}.querySelector('textarea')")
        self._type(f"{_block(block)}.querySelector('textarea')", text)
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "modifiers": _SHIFT}
        for kind in ("keyDown", "keyUp"):
            self.browser.call("Input.dispatchKeyEvent", type=kind, **enter)
        self.browser.wait(f"{_block(block)}.textContent.includes({json.dumps(text)})")

    def set_number(self, block: int, place: int, frame: int) -> None:
        """Type a frame into a field of a block: 0 for when it is asked, 1 for when it is answered."""
        element = f"{_block(block)}.querySelectorAll('input[type=number]')[{place}]"
        self._type(element, str(frame))
        self.browser.key("Tab")
        self.browser.wait(f"{element}.value === '{frame}'")

    def shoot(self, path: Path) -> None:
        """Keep what the window shows."""
        self.browser.screenshot(path)

    def _click(self, element: str) -> None:
        self._mark(element)
        self.browser.click("[data-hand]")

    def _click_until(self, element: str, done: str) -> None:
        """Click, and again where the page was not ready for it: it is still being laid out when it is there."""
        for _ in range(5):
            self._click(element)
            try:
                self.browser.wait(done, limit_s=2)
            except PageError:
                continue
            return
        raise PageError(f"clicked in vain on {element}")

    def _type(self, element: str, text: str) -> None:
        """Click into a field, choose all of it and write over it."""
        self._click(element)
        self.browser.run("document.querySelector('[data-hand]').select()")
        self.browser.call("Input.insertText", text=text)

    def _mark(self, element: str) -> None:
        self.browser.wait(element, limit_s=20)
        self.browser.run(
            "(() => { document.querySelectorAll('[data-hand]').forEach(e => e.removeAttribute('data-hand'));"
            f"({element}).setAttribute('data-hand', ''); }})()"
        )


def _field(name: str) -> str:
    wanted = json.dumps(name)
    return (
        f"[...document.querySelectorAll('input[type=number]')].find(e => e.closest('label')?.textContent === {wanted})"
    )


def _block(place: int) -> str:
    return f"document.querySelectorAll('.screen-block')[{place}]"


def _picture(png: bytes) -> np.ndarray:
    packet = av.Packet(png)
    decoder = av.CodecContext.create("png", "r")
    frames = [*decoder.decode(packet), *decoder.decode(None)]
    return frames[0].to_ndarray(format="rgb24")
