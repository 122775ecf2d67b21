"""A conversation in the making: who speaks when, in which words, and who holds the floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from augment.answers import CannotAskError, Rules, Scene, Words
from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.cutting import cut_short
from datasets_build.core.evidence import answerable_from
from datasets_build.core.records import Dialogue, Turn, derive_id
from datasets_build.core.reply import Reply
from datasets_build.core.speech import Floor
from datasets_build.truth.asides import Aside, aside_in
from datasets_build.truth.words import late_texts, speaks_of_now, writer_of

Policy = Literal["retime", "reword", "drop"]
Trigger = Literal["user_query", "event", "timer", "correction", "interruption"]


# So much longer than it takes a turn may last, to the next frame.
_LONGER_NS = NS_PER_S // 2
# Of what is longer ago nobody says that it was a moment ago.
_MOMENT_NS = 5 * NS_PER_S


def no_latency() -> int:
    """Of a model that answers as fast as before."""
    return 0


@dataclass(slots=True)
class Talk:
    """A conversation in the making.

    Attributes:
        dialogue: as it was.
        scene: the augmented video.
        floor: who speaks when.
        late_ns: draws how much later than before the next reply begins.
        policy: what becomes of a reply that comes too late.
        turns: what is said.
        made: what the first answers of exchanges became, by the turn that they were.
        replies: what is true of what is said, by turn.
        heard: when each question was out, by turn.
    """

    dialogue: Dialogue
    scene: Scene
    floor: Floor
    late_ns: Callable[[], int] = no_latency
    policy: Policy = "drop"
    turns: list[Turn] = field(default_factory=list)
    made: dict[str, Turn] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)

    @property
    def clock(self) -> FrameClock:
        """Of the augmented video."""
        return self.scene.clock

    def turn_id(self, parent: str, part: int | str = 0) -> str:
        """Of the turn that was `parent`; of several, one for each part."""
        return derive_id("turn", self.scene.video_id, self.dialogue.id, parent, part)

    def question(self, user: Turn, heard_ns: int) -> Turn:
        """The question, spoken as fast as before; what would have been said before the first frame is cut off."""
        start = min(heard_ns, self.clock.snap_up(heard_ns - self.asking_ns(user, user.text)))
        if start == heard_ns > 0:
            raise CannotAskError("no frame comes while it is said")
        changed = {"id": self.turn_id(user.id), "start_ns": start, "end_ns": heard_ns, "interrupts": None}
        asked = user.model_copy(update=changed)
        self.heard[asked.id] = heard_ns
        return asked

    def asking_ns(self, user: Turn, text: str) -> int:
        """How long somebody takes to say a text."""
        if self.dialogue.provenance.kind == "template":
            return len(text) * NS_PER_S // self.scene.rules.user_chars_per_s
        return (user.end_ns - user.start_ns) * len(text) // max(1, len(user.text))

    def saying_ns(self, turn: Turn, text: str) -> int:
        """How long the assistant takes to say a text, as fast as in a turn."""
        if self.dialogue.provenance.kind == "template" and self.scene.rules.assistant_chars_per_s:
            return len(text) * NS_PER_S // self.scene.rules.assistant_chars_per_s
        return (turn.end_ns - turn.start_ns) * len(text) // len(turn.text)

    def spoken(self, turn: Turn, reply: Reply, *, trigger: Trigger, ref: str | None, part: int | str = 0) -> Turn:
        """A reply, said as late after it could be known as before, and later by what the model takes.

        Raises:
            CannotAskError: it would come too late, or not be out while it is right.
        """
        due = turn.start_ns if turn.window_start_ns is None else turn.window_start_ns
        start = self.clock.snap_up(reply.t_ns + turn.start_ns - due + self.late_ns())
        if self._fits(turn, reply, start):
            return self._made(turn, reply, start, trigger=trigger, ref=ref, part=part)
        if self.policy == "reword" and reply.evidence:
            late = self._reworded(reply, start, ref, is_report=trigger == "event")
            self.must_fit(turn, late, start)
            return self._made(turn, late, start, trigger=trigger, ref=ref, part=part)
        if self.policy == "retime" or (self.policy == "reword" and not reply.evidence):
            start = self._last_start(turn, reply)
            return self._made(turn, reply, start, trigger=trigger, ref=ref, part=part)
        self.must_fit(turn, reply, start)
        raise AssertionError("what fits has been said")

    def said_from(self, turn: Turn, reply: Reply, *, trigger: Trigger, ref: str | None, part: int | str) -> Turn:
        """A reply that begins as soon as it may.

        Raises:
            CannotAskError: it would not be out while it is right.
        """
        start = self.clock.snap_up(reply.t_ns)
        self.must_fit(turn, reply, start)
        return self._made(turn, reply, start, trigger=trigger, ref=ref, part=part)

    def must_fit(self, turn: Turn, reply: Reply, start: int) -> None:
        """Raises CannotAskError where a reply that begins at an instant is late, or not out in time."""
        if start >= min(reply.window_end_ns, self.clock.end_ns):
            raise CannotAskError("its answer would come too late")
        if start + self.saying_ns(turn, reply.text) > self.clock.end_ns:
            raise CannotAskError("its answer would come too late")
        if self._end(turn, reply, start) - start - self.saying_ns(turn, reply.text) > _LONGER_NS:
            raise CannotAskError("no frame comes when it is out")
        if reply.valid_until_ns is not None and self._end(turn, reply, start) > reply.valid_until_ns:
            raise CannotAskError("its answer would not be out while it is right")

    def _reworded(self, reply: Reply, start: int, ref: str | None, *, is_report: bool) -> Reply:
        """What was right when it was due, said later in words that say so: that stays right."""
        text = self._told_late(reply, start) if is_report else reply.text
        asked_ns = None if is_report else self.heard.get(ref or "")
        if not is_report and (asked_ns != reply.t_ns or speaks_of_now(text)):
            raise CannotAskError("its answer would come too late, and was not right when it was asked")
        aside: Aside = "late_report" if is_report else "late_reply"
        end = self.clock.snap_up(start + self.scene.rules.window_ns)
        return Reply(aside_in(self.dialogue.language, aside) + text, start, end, None, reply.evidence, reply.event_id)

    def _told_late(self, reply: Reply, start: int) -> str:
        """What has happened, in words that do not say that it happens now."""
        writer = writer_of(self.dialogue.provenance)
        fact = self.scene.grounds.by_id.get(reply.evidence[0].event_id or "")
        texts = late_texts(writer, fact) if writer is not None and fact is not None else []
        if not texts or start - reply.t_ns > _MOMENT_NS:
            raise CannotAskError("its report would come too late to be told as of a moment ago")
        return texts[0]

    def _fits(self, turn: Turn, reply: Reply, start: int) -> bool:
        try:
            self.must_fit(turn, reply, start)
        except CannotAskError:
            return False
        return True

    def _end(self, turn: Turn, reply: Reply, start: int) -> int:
        return self.clock.snap_up(max(start + self.saying_ns(turn, reply.text), start + 1))

    def _last_start(self, turn: Turn, reply: Reply) -> int:
        """The last frame at which a reply may begin."""
        times = self.clock.t_ns
        inside = times[(times >= reply.t_ns) & (times < reply.window_end_ns)].tolist()
        fitting = [start for start in reversed(inside) if self._fits(turn, reply, start)]
        if not fitting:
            raise CannotAskError("its answer would not be out while it is right")
        return int(fitting[0])

    def _made(
        self, turn: Turn, reply: Reply, start: int, *, trigger: Trigger, ref: str | None, part: int | str
    ) -> Turn:
        evidence = tuple(piece.model_copy(update={"role": "necessary"}) for piece in reply.evidence)
        made = turn.model_copy(
            update={
                "id": self.turn_id(turn.id, part),
                "start_ns": start,
                "end_ns": self._end(turn, reply, start),
                "text": reply.text,
                "trigger": trigger,
                "trigger_ref": ref,
                "evidence": evidence,
                "answerable_from_ns": answerable_from(evidence) if evidence else reply.t_ns,
                "window_start_ns": reply.t_ns,
                "window_end_ns": reply.window_end_ns,
                "truncated_at_char": None,
                "intended_text": None,
            }
        )
        self.replies[made.id] = reply
        return made

    def hold(self, stretches: Sequence[tuple[int, int]], *, instead: tuple[int, int] | None = None) -> None:
        """Holds the floor for all of some stretches, or for none of them.

        Args:
            stretches: half-open, ns.
            instead: one that is given up for them.

        Raises:
            CannotAskError: somebody else speaks in one of them.
        """
        if instead is not None:
            self.floor.release(*instead)
        taken: list[tuple[int, int]] = []
        for stretch in stretches:
            if not self.floor.free(*stretch):
                for each in taken:
                    self.floor.release(*each)
                if instead is not None:
                    self.floor.take(*instead)
                raise CannotAskError("somebody else speaks then")
            self.floor.take(*stretch)
            taken.append(stretch)

    def held(self, at_ns: int) -> tuple[int, int]:
        """The stretch that is held at an instant."""
        return next(stretch for stretch in self.floor.taken if stretch[0] <= at_ns < stretch[1])


def words_of(dialogue: Dialogue, user: Turn, answers: Sequence[Turn]) -> Words:
    """Who finds words for the answers to a turn, and what they were."""
    return Words(
        written=dialogue.provenance,
        said=tuple(turn.intended_text or turn.text for turn in answers),
        said_of={turn.trigger_ref or "": turn.text for turn in dialogue.turns if turn.trigger == "event"},
        events=frozenset(piece.event_id for turn in answers for piece in turn.evidence if piece.event_id),
        key=user.id,
    )


def cut_at(answer: Turn, at_ns: int, rules: Rules) -> Turn:
    """What of an answer was said before an instant inside it.

    Raises:
        CannotAskError: next to nothing, or next to all.
    """
    cut = cut_short(answer, at_ns, least_said=rules.least_said, least_left=rules.least_left)
    if cut is None:
        raise CannotAskError("it would cut off next to nothing or all of the answer before it")
    return cut
