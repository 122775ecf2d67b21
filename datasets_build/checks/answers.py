"""Laws of truth on questions: each answer is the one that the events give, for as long as they give it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from datasets_build.checks.laws import Breach, Known, Law
from datasets_build.checks.looks import look_breaches
from datasets_build.checks.options import OPTION_LAWS
from datasets_build.checks.steps import place_breaches, step_breaches
from datasets_build.checks.tasks import LONGEST_LIST, number_in
from datasets_build.core.records import About, Answer, Evidence, StreamingQA
from datasets_build.truth.due import Due, due_of, unfit
from datasets_build.truth.grounds import Fact, busy, coming, done, next_early
from datasets_build.truth.looks import PLACES
from datasets_build.truth.words import Telling, question_texts, texts_of, writer_of


def _about(row: StreamingQA, known: Known) -> Iterator[Breach]:
    if wrong := unfit(row.task, row.about, known.grounds):
        yield Breach(*wrong)
    elif row.about is not None:
        there = bool(known.grounds.of(row.about))
        if there == row.unanswerable:
            yield Breach(
                f"unanswerable {row.unanswerable}, about {'something' if there else 'nothing'} in the video",
                "unanswerable exactly where no event is what is asked after",
            )


def due_to(row: StreamingQA, known: Known) -> Iterator[tuple[About, Due] | Breach]:
    """What is due to a question: one pair; a breach where nothing can be said; none where its topic is at fault."""
    # What people have corrected is held against what could be known, and not against what the events say.
    if row.about is None or unfit(row.task, row.about, known.grounds) or row.provenance.kind == "person":
        return
    found = due_of(row.task, row.about, row.ask_ns, known.grounds)
    yield Breach(f"asked at {row.ask_ns}", found) if isinstance(found, str) else (row.about, found)


def _law(
    check: Callable[[StreamingQA, About, Due, Known], Iterator[Breach]], *, judges: bool = False
) -> Callable[[StreamingQA, Known], Iterator[Breach]]:
    """A law on what is due; one of them also reports where nothing can be."""

    def breaches(row: StreamingQA, known: Known) -> Iterator[Breach]:
        for found in due_to(row, known):
            if isinstance(found, Breach):
                yield from [found] * judges
            else:
                yield from check(row, *found, known)

    return breaches


def spans_of(pieces: Sequence[Evidence], role: str) -> dict[str, tuple[int, int]]:
    """The spans of the evidence of one role that names events."""
    return {p.event_id: (p.start_ns, p.end_ns) for p in pieces if p.role == role and p.event_id is not None}


def difference(found: Mapping[str, tuple[int, int]], ends: Mapping[str, int], known: Known) -> Iterator[Breach]:
    """Where evidence names other events, or other parts of them, than it should."""
    expected = {made: (known.events[made].start_ns, end) for made, end in ends.items()}
    for made, (start, end) in found.items():
        if made not in expected:
            yield Breach(f"event {made} as evidence", "no event but those that prove the answer")
        elif expected[made] != (start, end):
            yield Breach(f"evidence [{start}, {end}) of event {made}", f"[{expected[made][0]}, {expected[made][1]})")
    for made in expected.keys() - found.keys() if len(found) < len(expected) else ():
        yield Breach(f"no evidence of event {made}", "it too, which proves the answer")


def unwatched(pieces: Sequence[Evidence], due: Due) -> Iterator[Breach]:
    """What was watched without anything to tell is one piece, over the span in which nothing else happened."""
    bare = [(p.start_ns, p.end_ns) for p in pieces if p.role == "necessary" and p.event_id is None]
    if due.watched is None:
        yield from (Breach(f"evidence [{start}, {end}) of no event", "none but the events'") for start, end in bare)
    elif len(bare) != 1 or bare[0][0] > due.watched[0] or bare[0][1] != due.watched[1]:
        yield Breach(f"evidence {bare} of no event", f"one piece that holds [{due.watched[0]}, {due.watched[1]})")


def _evidence(row: StreamingQA, about: About, due: Due, known: Known) -> Iterator[Breach]:
    del about
    named, later = spans_of(row.evidence, "necessary"), spans_of(row.evidence, "sufficient")
    last = row.answers[-1].t_ns if row.answers else row.ask_ns
    unlisted = row.task == "count_so_far" and (row.ask_ns == 0 or len(due.ends) > LONGEST_LIST)
    if named or not unlisted:
        yield from difference(named, due.ends, known)
    yield from unwatched(row.evidence, due)
    if row.task == "step":
        yield from step_breaches(row, due, known)
        return
    further = {fact.id: at for fact, at in due.further if row.task == "tell_me_when" or at <= last}
    yield from difference(later, further, known)


def _until(row: StreamingQA, about: About, due: Due, known: Known) -> Iterator[Breach]:
    if not row.answers:
        return
    for answer in row.answers:
        yield from too_long(answer.window_start_ns, answer.window_end_ns, known)
        if answer.t_ns != answer.window_start_ns:
            yield Breach(f"an answer at {answer.t_ns}", f"{answer.window_start_ns}, when its window opens")
    if row.answers[0].window_start_ns != due.at_ns:
        yield Breach(f"a window from {row.answers[0].window_start_ns}", f"{due.at_ns}, when the answer is due")
    if row.task == "step":
        return
    if row.task == "count_so_far":
        facts = known.grounds.of(about)
        for answer in row.answers:
            yield from until_breaches(answer, next_early(facts, answer.t_ns), latest_of(facts, answer.t_ns))
    else:
        for answer in row.answers:
            yield from until_breaches(answer, due.until_ns, due.until_ns)


def latest_of(facts: Sequence[Fact], t_ns: int) -> int | None:
    """Until when a count may be right: at the first frame, where nothing else can be asked, till the next is over."""
    later = [fact.done_ns for fact in facts if fact.done_ns > t_ns] if t_ns == 0 else []
    return min(later, default=next_early(facts, t_ns))


def too_long(start_ns: int | None, end_ns: int | None, known: Known) -> Iterator[Breach]:
    """No response window is longer than the dataset's settings say."""
    if start_ns is None or end_ns is None or known.window_ns is None:
        return
    latest = known.clock.snap_up(start_ns + known.window_ns)
    if end_ns > latest:
        yield Breach(f"a window to {end_ns}", f"an end at or before {latest}, {known.window_ns} ns after its start")


def until_breaches(answer: Answer, until: int | None, latest: int | None) -> Iterator[Breach]:
    """An answer is right until the events give another one, no shorter and no longer."""
    if answer.valid_until_ns not in (until, latest):
        yield Breach(f"valid_until_ns {answer.valid_until_ns} of the answer at {answer.t_ns}", f"{until}")
    if latest is not None and answer.window_end_ns > latest:
        yield Breach(f"a window to {answer.window_end_ns}", f"an end at or before {latest}, when it is no longer right")


def _counts(row: StreamingQA, about: About, due: Due, known: Known) -> Iterator[Breach]:
    del due
    facts = known.grounds.of(about)
    for answer in row.answers if row.task == "count_so_far" else ():
        number = len(done(facts, answer.t_ns))
        if number_in(answer.text) != number or (answer.t_ns > 0 and busy(facts, answer.t_ns)):
            yield Breach(f"{answer.text!r} at {answer.t_ns}", f"{number}, at an instant at which it is certain")


def _looks(row: StreamingQA, about: About, due: Due, known: Known) -> Iterator[Breach]:
    del about
    for answer in row.answers if row.task in PLACES else ():
        yield from look_breaches(answer.text, row.task, due.told[0], known.grounds)
    for answer in row.answers if row.task == "where" else ():
        yield from place_breaches(answer.text, due.place)


def _complete(row: StreamingQA, about: About, due: Due, known: Known) -> Iterator[Breach]:
    """Every report and every count that was asked for is there, each when it is due."""
    instants = [due.at_ns, *(at for _, at in due.further)] if row.task == "tell_me_when" else [due.at_ns]
    if row.task == "tell_me_when" and not due.ends:
        yield Breach("a request in vain", "one that something comes for")
    if row.task == "count_so_far":
        least = min((answer.window_end_ns - answer.t_ns for answer in row.answers), default=0)
        instants += _stands(known.grounds.of(about), row.ask_ns, least, known.clock.end_ns) if about.every else []
    elif row.task != "step" and len(row.answers) != len(instants):
        yield Breach(f"{len(row.answers)} answers", f"{len(instants)}, one each time")
    given = {answer.window_start_ns for answer in row.answers}
    for at in instants:
        if at not in given:
            yield Breach(f"no answer from {at}", "one that is due then")


def _stands(facts: Sequence[Fact], ask_ns: int, least_ns: int, end_ns: int) -> list[int]:
    """Instants after a question from which a count stands for at least so long; none without a frame."""
    over: list[int] = []
    for fact in coming(facts, ask_ns):
        if over and fact.early_ns - over[-1] < least_ns:
            over[-1] = max(over[-1], fact.done_ns)
        else:
            over.append(fact.done_ns)
    return [at for at in over if at < end_ns]


def _words(row: StreamingQA, about: About, due: Due, known: Known) -> Iterator[Breach]:
    del known
    writer = writer_of(row.provenance)
    if writer is None:
        return
    if row.question not in question_texts(writer, row.task, about):
        yield Breach(f"{row.question!r}", f"words that ask for {row.task} about {about}")
    told = _told_in_turn(row, due)
    for k, answer in enumerate(row.answers):
        said = told[min(k, len(told) - 1)]
        telling = Telling(said, number=number_in(answer.text), place=due.place, absent=row.unanswerable)
        texts = texts_of(writer, row.task, about, telling)
        if answer.text not in texts:
            yield Breach(f"{answer.text!r} at {answer.t_ns}", f"words that say {[fact.event.caption for fact in said]}")


def _told_in_turn(row: StreamingQA, due: Due) -> list[Sequence[Fact]]:
    """What each answer tells of, the last for all that follow."""
    if row.task == "tell_me_when":
        return [due.told, *([fact] for fact, _ in due.further)]
    if row.task == "step":
        return [[stance.fact] if stance.fact and stance.is_on else [] for stance in due.stances]
    return [due.told]


TRUTH_LAWS: tuple[Law[StreamingQA], ...] = (
    Law("about_fits", "a question says what it is about, which is nothing exactly if it is unanswerable", _about),
    Law(
        "evidence_is_due",
        "evidence names the events that give the answer, no other, and their spans",
        _law(_evidence, judges=True),
    ),
    Law("right_until", "an answer is right from when it is due until the events give another", _law(_until)),
    Law("counts_true", "a number is how many events of what is asked after are over by then", _law(_counts)),
    Law("looks_true", "a colour, shape or place is that of what is in the picture", _law(_looks)),
    Law("nothing_left_out", "every report and count that was asked for is there, when it is due", _law(_complete)),
    *OPTION_LAWS,
    Law("words_fit", "a template's question and answers say what they are about, and what is true", _law(_words)),
)
