"""Everything that changes while a session runs, in one place."""

from collections import deque
from dataclasses import dataclass, field

from models.answer import Answer
from models.dialogue import Dialogue
from models.intake import Intake
from models.layouts import PositionRule
from models.metrics import Meter
from models.prompts import Prompts
from models.router import Router
from models.row import Row
from models.settings import StreamingSettings
from models.track import Track
from models.watcher import Watcher
from models.watchers.incremental import Incremental

# So many grids wait for a decision; of a stream that never speaks, older ones are not decided about.
UNDECIDED = 256


@dataclass(slots=True, kw_only=True)
class State:
    """One stream and its dialogue.

    Attributes:
        row: blocks and their slots.
        track: system turn and frames.
        watcher: how frames reach the cache.
        dialogue: the rounds so far.
        intake: frames that come in.
        prompts: text around everything.
        meter: counts.
        settings: of the session.
        positions: where replies go (a layout's rule).
        router: chooses what a question sees; None shows all.
        answer: the answer that is being written.
        undecided: ends of the grids that `speak` has not decided about, oldest first.
        reply_next: where the next reply goes under a rule that restarts positions.
    """

    row: Row
    track: Track
    watcher: Watcher
    dialogue: Dialogue
    intake: Intake
    prompts: Prompts
    meter: Meter
    settings: StreamingSettings
    positions: PositionRule
    router: Router | None
    answer: Answer | None = None
    undecided: deque[int] = field(default_factory=lambda: deque(maxlen=UNDECIDED))
    reply_next: int = 0

    @property
    def group(self) -> int:
        """Grids that enter the cache together."""
        return max(1, self.settings.frames_per_chunk // self.track.prompts.family.temporal)

    def absorb(self) -> None:
        """Brings the oldest waiting grid in; it goes on waiting if that fails."""
        self.set_back()
        self.watcher.absorb(self.intake.queue[0])
        self.intake.queue.popleft()

    def drain(self) -> None:
        """Brings all waiting grids in."""
        while self.intake.queue:
            self.absorb()

    def take_in(self) -> None:
        """Brings in the grids that are due: encoded, and not kept back for an answer."""
        while len(self.intake.queue) >= self.group:
            full = len(self.intake.queue) > self.settings.max_pending
            kept_back = self.answer is not None
            # Only a watcher that feeds at once waits for features; the others take a grid that is still being encoded.
            unready = isinstance(self.watcher, Incremental) and not self.intake.queue[0].future.done()
            if not full and (kept_back or unready):
                return
            for _ in range(self.group):
                self.absorb()

    def set_back(self) -> None:
        """Sets positions back when they have passed the limit; a branch or snapshot that looks on puts it off."""
        if self.track.cursor.next > self.settings.position_limit and not self.row.held:
            self.dialogue.shift(self.watcher.compact())

    def interrupt(self) -> None:
        """Ends the answer that is being written."""
        if self.answer is not None:
            self.answer.close()
