"""Everything that changes while a session runs, in one place."""

from collections import deque
from dataclasses import dataclass, field

from models.answer import Answer
from models.blocks import Kind
from models.dialogue import Dialogue
from models.errors import PoolFullError, SettingsError
from models.intake import Intake
from models.layouts import LAYOUTS, Layout, PositionRule, VisibilityRule
from models.metrics import Meter
from models.positions import Cursor
from models.prompts import Prompts
from models.router import Router
from models.row import Draft, Entry, Row
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
        positions: where questions and replies go (a layout's rule).
        visibility: what questions see, and when the end of a reply is fed (the same layout's).
        router: chooses what a question sees; None shows all.
        answer: the answer that is being written.
        undecided: ends of the grids that `speak` has not decided about, oldest first.
        reply_next: where the next reply goes under a rule that gives what is said positions of its own.
        reply_to: the newest frames that the last thing said has seen, by their entry; -1 before any.
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
    visibility: VisibilityRule
    router: Router | None
    answer: Answer | None = None
    undecided: deque[int] = field(default_factory=lambda: deque(maxlen=UNDECIDED))
    reply_next: int = 0
    reply_to: int = -1

    @property
    def layout(self) -> Layout:
        """What the model was trained under."""
        return LAYOUTS[self.settings.layout]

    @property
    def group(self) -> int:
        """Grids that enter the cache together."""
        return max(1, self.settings.frames_per_chunk // self.track.prompts.family.temporal)

    def absorb(self) -> None:
        """Brings the oldest waiting grid in; it waits on where it does not fit, and goes where it was not encoded."""
        self.track.settle()
        self.set_back()
        self.track.run(self.hand_over())

    def hand_over(self) -> list[Draft]:
        """Hands the oldest waiting grid to the watcher; returns what is placed and owed to the cache.

        From here on it waits no more, whatever becomes of the forward.
        """
        arrival = self.intake.queue[0]
        self.close_rounds()
        try:
            drafts = self.watcher.drafts(arrival)
        except Exception:
            # Its features will never come, and no grid behind it would ever have its turn.
            if arrival.future.done() and (arrival.future.cancelled() or arrival.future.exception()):
                self.intake.queue.popleft()
                self.track.give_up(arrival.last_ns)
            raise
        self.intake.queue.popleft()
        return drafts

    def close_rounds(self) -> None:
        """Feeds the ends of rounds, which see what their replies saw, before memory lets that go.

        Where frames and questions go on behind them in one line, these come behind the ends from here on.

        Raises:
            PoolFullError: they do not fit.
        """
        if self.visibility.order != "time" or not isinstance(self.watcher, Incremental):
            return
        for draft in self.dialogue.finish():
            self.row.owe(draft)
        if self.layout.in_line and self.dialogue.end > self.track.cursor.next:
            self.track.cursor = Cursor(next=self.dialogue.end)
        self.track.settle()

    def drain(self) -> None:
        """Brings all waiting grids in.

        Raises:
            PoolFullError, SettingsError: a grid does not fit. While a branch or a snapshot takes slots that it may give
                back, the grids go on waiting; otherwise no later moment would have room for them, and they are dropped.
        """
        self.track.settle()
        while self.intake.queue:
            try:
                self.absorb()
            except (PoolFullError, SettingsError):
                if not self.row.held:
                    for arrival in self.intake.queue:
                        self.track.give_up(arrival.last_ns)
                    self.intake.drop()
                raise

    def take_in(self) -> None:
        """Brings in the grids that are due: encoded, and not kept back for an answer."""
        while len(self.intake.queue) >= self.group:
            full = len(self.intake.queue) > self.settings.max_pending
            if full and self.visibility.frames_see_text:
                # Frames would have to see an answer, or a question, that is not over.
                self.interrupt()
            kept_back = self.answer is not None
            # Only a watcher that feeds at once waits for features; the others take a grid that is still being encoded.
            unready = isinstance(self.watcher, Incremental) and not self.intake.queue[0].future.done()
            if not full and (kept_back or unready):
                return
            for _ in range(self.group):
                self.absorb()

    def set_back(self) -> None:
        """Sets positions back when they have passed the limit; a snapshot that looks on puts it off.

        An answer that is open ends: it may have been given up, and would put it off for ever.
        """
        apart = self.positions.reply != "continue"
        spoken = self.reply_next - self.positions.offset if apart else 0
        furthest = max(self.track.cursor.next, self.dialogue.end, spoken)
        if furthest <= self.settings.position_limit:
            return
        # Not in vain: where a snapshot looks on, the answer may go on too.
        if self.answer is not None and not self.row.held_beside(self.answer.base):
            self.interrupt()
        if not self.row.held:
            self.close_rounds()
            self.watcher.compact()
            if not self.layout.in_line:
                self._gather(apart=apart)

    def _gather(self, *, apart: bool) -> None:
        """Puts the rounds right behind the frames and each other, as if they had all been said just now.

        Rounds far older than the frames that live would else end up before the first position.
        """
        entries = [self.row.entry(key) for key in self.dialogue.visible()]
        said = [entry for entry in entries if apart and entry.block.kind is Kind.REPLY]
        rest = [entry for entry in entries if entry not in said]
        end = self._line_up(rest, self.track.cursor.next)
        if rest and not self.positions.beside:
            self.track.cursor = Cursor(next=end)
        if apart:
            self.reply_next = self._line_up(said, self.positions.offset)

    def _line_up(self, entries: list[Entry], start: int) -> int:
        """Moves entries, in order and without gaps, to where positions begin; returns the position behind them."""
        reached, delta = None, 0
        for entry in sorted(entries, key=lambda entry: int(entry.positions.min())):
            first = int(entry.positions.min())
            # Blocks of one round may enclose each other, such as a short answer and the question behind it.
            delta = start - first if reached is None else delta - max(0, first - reached)
            reached = entry.end if reached is None else max(reached, entry.end)
            self.row.move(entry.id, delta=(delta, delta, delta), cursor=entry.cursor)
        return start if reached is None else reached + delta

    def interrupt(self) -> None:
        """Ends the answer that is being written."""
        if self.answer is not None:
            self.answer.close()
