"""What is answered to a question in an augmented video: worked out anew from its events, and never copied."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from augment.untold import Untold
from augment.wording import timely
from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.records import About, Evidence, Provenance, derive_id
from datasets_build.core.reply import Reply
from datasets_build.truth.due import Due, due_of, told_from, unfit
from datasets_build.truth.gaps import gaps
from datasets_build.truth.grounds import Fact, Grounds, busy, coming, done
from datasets_build.truth.places import PLACES
from datasets_build.truth.steps import standing
from datasets_build.truth.words import Telling, answer_texts, texts_of, writer_of

# A longer count stands without a list of what was counted.
_LONGEST_LIST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a dataset asks, as its builder was told; times in ns.

    Attributes:
        window_ns: the longest response window.
        least_window_ns: the shortest; what is right for less is not asked.
        recent_ns: what counts as just now.
        max_told: of how many events an answer tells at most.
        max_answers: how many answers a question gets at most.
        user_chars_per_s, assistant_chars_per_s: how fast a template's speakers speak; 0: each reply keeps its own.
        least_said, least_left: characters that an answer has said when it is cut short, and that it keeps to itself.
        pause_ns: between exchanges.
    """

    window_ns: int = 3_000_000_000
    least_window_ns: int = 500_000_000
    recent_ns: int = 8_000_000_000
    max_told: int = 3
    max_answers: int = 8
    user_chars_per_s: int = 18
    assistant_chars_per_s: int = 20
    least_said: int = 8
    least_left: int = 6
    pause_ns: int = 500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An augmented video in which things are asked.

    Attributes:
        video_id: of the augmented video.
        clock: of it.
        grounds: what its events give at an instant.
        rules: how is asked.
        seed: of the words that have to be chosen anew.
        unseen: what its events give together with those that happen where no frame shows them; None without such.
        untold: what a viewer of it cannot tell; None: nothing is hidden.
        absent: subjects of its sources that are never seen in it.
        plain: whether it runs as its one source does, so that words that speak of time stay true.
    """

    video_id: str
    clock: FrameClock
    grounds: Grounds
    rules: Rules
    seed: int
    unseen: Grounds | None = None
    untold: Untold | None = None
    absent: frozenset[str] = frozenset()
    plain: bool = False


class CannotAskError(Exception):
    """Why a question has no true answer, or none that stands for long enough, in an augmented video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Who finds words for what is true, and what was said before.

    Attributes:
        written: of the record: a template can be asked for other words, nobody else can.
        said: the answers as they were; words of them that still say what is true stay.
        said_of: the words in which each event was reported.
        events: ids of the events that they spoke of.
        key: of the record, from which chosen words follow.
    """

    written: Provenance
    said: tuple[str, ...]
    said_of: Mapping[str, str] = field(default_factory=dict)
    events: frozenset[str]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question at an instant of an augmented video; `in_vain`: it may wait for what never comes."""

    task: str
    about: About
    ask_ns: int
    words: Words
    scene: Scene
    in_vain: bool = False


def replies_to(asked: Asked) -> tuple[About, list[Reply]]:
    """What is answered, in order of time, and what was asked after: followed to the end, or not any more.

    Raises:
        CannotAskError: nothing can be said for certain then, the answer would not stand for long enough, or nobody
            finds words for it.
    """
    if wrong := unfit(asked.task, asked.about, asked.scene.grounds):
        raise CannotAskError(f"what it is about cannot be worked out: found {wrong[0]}")
    if asked.ask_ns >= asked.scene.clock.end_ns:
        raise CannotAskError("it is asked when the video is over")
    due = _certain_due(asked)
    if asked.task == "tell_me_when":
        return asked.about, _reports(asked, due)
    if asked.task in ("now", "who") and _stalls(asked):
        raise CannotAskError("the picture stands still then, so nobody can tell what happens now")
    if asked.task == "count_so_far":
        return _counts(asked)
    if asked.task == "step":
        return asked.about, _stances(asked, due)
    return asked.about, [_reply(asked, due)]


def last_seen(asked: Asked) -> tuple[str, tuple[Evidence, ...]]:
    """What had happened last at an instant, in words that were true then, with what proves it.

    Raises:
        CannotAskError: nothing can be said for certain then, or nobody finds words for it.
    """
    due = _certain_due(asked)
    return _text(asked, due.told, first=True), tuple(_proof(asked, due))


def _stalls(asked: Asked) -> bool:
    """Whether no new frame comes for long while it could be answered what happens now."""
    end_ns = asked.ask_ns + asked.scene.rules.window_ns
    return any(before < end_ns and after > asked.ask_ns for before, after in gaps(asked.scene.clock))


def true_texts(asked: Asked) -> frozenset[str]:
    """All that a template could say that is true at an instant; nothing where that is not certain."""
    due = due_of(asked.task, asked.about, asked.ask_ns, asked.scene.grounds)
    writer = writer_of(asked.words.written)
    if isinstance(due, str) or writer is None:
        return frozenset()
    absent = asked.task == "before" and not due.told
    telling = Telling(due.told, number=due.number, place=due.place, absent=absent)
    return texts_of(writer, asked.task, asked.about, telling)


def _certain_due(asked: Asked) -> Due:
    """What is due, if a viewer can tell: nothing that matters is hidden by looks or happens unseen."""
    untold = asked.scene.untold
    if untold and (why := untold.why_not(asked.task, asked.about, asked.ask_ns, asked.scene.grounds)):
        raise CannotAskError(f"it needs {why}")
    due = due_of(asked.task, asked.about, asked.ask_ns, asked.scene.grounds)
    if isinstance(due, str):
        raise CannotAskError(f"it needs {due}")
    if not _is_certain(asked, due):
        raise CannotAskError("something that matters to it happens where no frame shows it")
    return due


def _is_certain(asked: Asked, due: Due) -> bool:
    """Whether the same is due when what happens unseen counts; later events matter where they are told."""
    if asked.scene.unseen is None:
        return True
    also = due_of(asked.task, asked.about, asked.ask_ns, asked.scene.unseen)
    if isinstance(also, str):
        return False
    return also == due if asked.about.every else replace(also, further=()) == replace(due, further=())


def _proof(asked: Asked, due: Due) -> list[Evidence]:
    """The events that give an answer, and what was watched."""
    evidence = [_evidence(asked.scene.grounds.by_id[made], end) for made, end in due.ends.items()]
    if due.watched is not None:
        since, until = due.watched
        if asked.task in ("now", "step"):
            since = min(since, asked.scene.clock.snap_up(until - asked.scene.rules.recent_ns))
        evidence.append(Evidence(start_ns=since, end_ns=until))
    return evidence


def _reply(asked: Asked, due: Due) -> Reply:
    if len(due.told) > asked.scene.rules.max_told:
        raise CannotAskError(f"{len(due.told)} events at once are too many to tell")
    evidence = _proof(asked, due)
    text = _place(asked, due.place) if due.place else _text(asked, due.told, first=True, absent=not due.told)
    return _standing(asked, text, at=due.at_ns, until=due.until_ns, evidence=evidence)


def _reports(asked: Asked, due: Due) -> list[Reply]:
    """Each event that a request waits for, reported when it is known."""
    scene = asked.scene
    coming_in = [(fact, due.at_ns) for fact in due.told] + list(due.further)
    if not due.ends and asked.in_vain:
        return []
    if not due.ends:
        raise CannotAskError("what it waits for does not come any more")
    if len(coming_in) > scene.rules.max_answers:
        raise CannotAskError(f"{len(coming_in)} reports are too many")
    replies = []
    for k, (fact, at) in enumerate(coming_in):
        role = "sufficient" if k else "necessary"
        evidence = [Evidence(start_ns=fact.event.start_ns, end_ns=at, event_id=fact.id, role=role)]  # type: ignore[arg-type]  # one of the two
        ends = []
        if not fact.event.is_point and at < fact.event.end_ns:
            ends.append(max(fact.event.end_ns, scene.clock.snap_up(at + scene.rules.least_window_ns)))
        if k + 1 < len(coming_in):
            ends.append(told_from(coming_in[k + 1][0], asked.about))
        text = _text(asked, [fact], first=not k)
        replies.append(_standing(asked, text, at=at, until=None, evidence=evidence, ends=ends))
    return replies


def _counts(asked: Asked) -> tuple[About, list[Reply]]:
    """How many there are, and each further number while the question is followed."""
    rules, ask, about = asked.scene.rules, asked.ask_ns, asked.about
    facts = asked.scene.grounds.of(about)
    if busy(facts, ask):
        raise CannotAskError("it needs an instant at which it is certain")
    over = done(facts, ask)
    listed = [_evidence(fact, fact.done_ns) for fact in over] if len(over) <= _LONGEST_LIST else []
    steps = _steps(facts, ask, rules.least_window_ns)
    starts = [begins for begins, _, _ in steps]
    evidence = [Evidence(start_ns=0, end_ns=ask), *listed]
    text = _number(asked, len(over), first=True)
    replies = [_standing(asked, text, at=ask, until=starts[0] if steps else None, evidence=evidence)]
    number = len(over)
    for k, (_, at, members) in enumerate(steps[: rules.max_answers - 1] if about.every else ()):
        if at >= asked.scene.clock.end_ns:
            break
        number += len(members)
        until = starts[k + 1] if k + 1 < len(steps) else None
        proof = [_evidence(fact, fact.done_ns, later=True) for fact in members]
        replies.append(_standing(asked, _number(asked, number, first=False), at=at, until=until, evidence=proof))
    followed = about.every and len(steps) < rules.max_answers
    return about if about.every == followed else about.model_copy(update={"every": followed}), replies


def _stances(asked: Asked, due: Due) -> list[Reply]:
    """Whether a step is being carried out, from the question on."""
    rules, end_ns = asked.scene.rules, asked.scene.clock.end_ns
    most = rules.max_answers if asked.about.every else 2
    said = standing(due.stances, least_ns=rules.least_window_ns, most=most, end_ns=end_ns)
    if len(said) < 2:
        raise CannotAskError("what it follows does not change any more, or not for long enough")
    replies = []
    for k, stance in enumerate(said):
        told = [stance.fact] if stance.fact and stance.is_on else []
        proof = [_evidence(stance.fact, stance.at_ns, later=True)] if k and stance.fact else _proof(asked, due)
        text = _said_then(asked, told, k)
        replies.append(_standing(asked, text, at=stance.at_ns, until=stance.until_ns, evidence=proof))
    coming_in = coming(asked.scene.grounds.of(asked.about), asked.ask_ns)
    there = sum(stance.at_ns < end_ns for stance in due.stances)
    whole = len(said) == there and len(due.stances) == 1 + due.stances[0].is_on + 2 * len(coming_in)
    if asked.about.every and not whole:
        raise CannotAskError("it asks for every change, and not each of them is certain and stands for long enough")
    return replies


def _said_then(asked: Asked, told: Sequence[Fact], k: int) -> str:
    """The words of an answer of many: its own where they still are true, for there are as many of each verdict."""
    writer, said = writer_of(asked.words.written), asked.words.said
    texts = answer_texts(writer, asked.task, asked.about, told, number=None) if writer else frozenset()
    return said[k] if k < len(said) and said[k] in texts else _text(asked, told, first=not k)


def _steps(facts: Sequence[Fact], ask_ns: int, least_ns: int) -> list[tuple[int, int, list[Fact]]]:
    """Stretches after a question in which a count is uncertain; those too close together are one."""
    found: list[tuple[int, int, list[Fact]]] = []
    for fact in coming(facts, ask_ns):
        if found and fact.early_ns - found[-1][1] < least_ns:
            begins, ends, members = found[-1]
            found[-1] = (begins, max(ends, fact.done_ns), [*members, fact])
        else:
            found.append((fact.early_ns, fact.done_ns, [fact]))
    return found


def _standing(
    asked: Asked, text: str, *, at: int, until: int | None, evidence: Sequence[Evidence], ends: Sequence[int] = ()
) -> Reply:
    """An answer with its window, if that is long enough."""
    clock, rules = asked.scene.clock, asked.scene.rules
    if at >= clock.end_ns:
        raise CannotAskError("its answer comes when the video is over")
    end = min([clock.snap_up(at + rules.window_ns), *ends, *([] if until is None else [until])])
    if end - at < rules.least_window_ns:
        raise CannotAskError(
            f"its answer would stand for {(end - at) / NS_PER_S:.2f} s, "
            f"expected {rules.least_window_ns / NS_PER_S:.2f} s or more"
        )
    return Reply(text, at, end, until, tuple(evidence))


def _evidence(fact: Fact, end_ns: int, *, later: bool = False) -> Evidence:
    return Evidence(
        start_ns=fact.event.start_ns,
        end_ns=end_ns,
        event_id=fact.id,
        role="sufficient" if later else "necessary",
    )


def _text(asked: Asked, told: Sequence[Fact], *, first: bool, absent: bool = False) -> str:
    """Words that say what is told: those of before where they still do."""
    writer = writer_of(asked.words.written)
    if writer is None:
        return _kept(asked, told, first=first)
    absent = absent and asked.task == "before"
    texts = answer_texts(writer, asked.task, asked.about, told, number=None, absent=absent)
    reported = [asked.words.said_of.get(name) for fact in told for name in fact.event.provenance.inputs]
    return next((text for text in reported if text in texts), None) or _chosen(asked, texts)


def _place(asked: Asked, place: str) -> str:
    writer = writer_of(asked.words.written)
    if writer is None:
        said = asked.words.said[0] if asked.words.said else ""
        if [each for each in PLACES if each in said.casefold()] != [place]:
            raise CannotAskError(f"it is at the {place} now, and who wrote its words cannot be asked for others")
        return said
    return _chosen(asked, texts_of(writer, asked.task, asked.about, Telling(place=place)))


def _number(asked: Asked, number: int, *, first: bool) -> str:
    writer = writer_of(asked.words.written)
    if writer is not None:
        return _chosen(asked, answer_texts(writer, asked.task, asked.about, (), number=number))
    said = asked.words.said[0] if asked.words.said else ""
    if not first or "".join(c for c in said if c.isdigit()) != str(number):
        raise CannotAskError(f"the number is {number} now, and who wrote its words cannot be asked for others")
    return said


def _chosen(asked: Asked, texts: frozenset[str]) -> str:
    if not texts:
        raise CannotAskError("there are no words for what is true")
    words = asked.words
    said = [text for text in words.said if text in texts]
    if said:
        return said[0]
    seed = derive_id("words", words.key, asked.scene.video_id, asked.scene.seed)
    return random.Random(seed).choice(sorted(texts))


def _kept(asked: Asked, told: Sequence[Fact], *, first: bool) -> str:
    """The words as somebody wrote them, if they were written about these very events."""
    words = asked.words
    now = {fact.event.provenance.inputs[0] for fact in told if fact.event.provenance.inputs}
    if not asked.scene.plain and timely(" ".join(words.said)):
        raise CannotAskError("its words speak of time, and who wrote them cannot be asked for others")
    if not first or not now or not now <= words.events or len(words.said) != 1:
        raise CannotAskError("what is true has changed, and who wrote its words cannot be asked for others")
    return words.said[0]
