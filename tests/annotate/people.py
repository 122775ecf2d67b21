"""Simulated people with known bias, noise, misses, false alarms and laziness, and items with a known truth."""

from dataclasses import dataclass
from random import Random

from annotate.agreement.panels import table_of
from annotate.disputes import Agreed, decided, open_sheet, resolve
from annotate.tasks import Done, Item, Mark, Question, QuestionVerdict, Said, Sheet, TurnVerdict, Window, Work
from datasets_build.core.augmentation import Knot

MS = 1_000_000
S = 1_000 * MS
LABELS = ("pour", "stir", "taste")
ANSWERS = ("a red cup", "two people at the table", "the door on the left", "a dog runs past", "nothing yet", "four")


@dataclass(frozen=True, kw_only=True)
class Person:
    """How somebody works; times are ns, the rest shares of what they see.

    A lazy person leaves the whole sheet as it is shown. `pace`: time spent over the clip's length.
    """

    name: str
    bias: int = 0
    noise: int = 0
    miss: float = 0.0
    false_alarm: float = 0.0
    relabel: float = 0.0
    lazy: float = 0.0
    wrong: float = 0.0
    pace: float = 1.5


def window(start_ns=0, end_ns=120 * S, video_id="v"):
    knots = (Knot(source=str(start_ns), target="0"), Knot(source=str(end_ns), target=str(end_ns - start_ns)))
    frames = max(1, (end_ns - start_ns) * 25 // S)
    return Window(
        video_id=video_id, start_ns=start_ns, end_ns=end_ns, proxy_sha256="0" * 64, width=64, height=48, fps_num=25,
        fps_den=1, frames=frames, knots=knots,
    )  # fmt: skip


def item(key, sheet, *, truth=None, is_gold=False, end_ns=120 * S, video_id="v"):
    return Item(
        key=key, window=window(end_ns=end_ns, video_id=video_id), sheet=sheet, split="train", is_gold=is_gold,
        truth=truth,
    )  # fmt: skip


def mark(name, label, start_ns, end_ns, **more):
    return Mark(id=name, label=label, start_ns=start_ns, end_ns=end_ns, **more)


def done(key, annotator, work, *, number=1, lead_time_s=180.0, untouched=False):
    return Done(
        key=key, annotator=annotator, work=work, lead_time_s=lead_time_s, updated_at="2026-01-01T00:00:00Z",
        annotation_id=number, untouched=untouched,
    )  # fmt: skip


def events(*marks, usable=True):
    return Work(kind="events", marks=marks, usable=usable)


# Events


def true_marks(rng, key, *, many=6, length=120 * S):
    """Events of 3 to 9 s, those of one label apart from each other."""
    slot = length // many
    starts = [slot * at + rng.randrange(500 * MS, 5 * S) for at in range(many)]
    spans = [(start, start + rng.randrange(3 * S, 9 * S)) for start in starts]
    return tuple(mark(f"{key}/{at}", rng.choice(LABELS), *span) for at, span in enumerate(spans))


def event_items(seed, many, *, gold=0, model=None):
    """Items whose sheet is what `model` (a Person) makes of the truth; the truths come beside them, by key."""
    rng = Random(seed)
    model = model or Person(name="model", noise=600 * MS, miss=0.15, false_alarm=0.15)
    items, truths = [], {}
    for number in range(many):
        key = f"k{number:04d}"
        truth = events(*true_marks(rng, key))
        shown = perceive(model, truth.marks, rng, 120 * S, redraw=False)
        is_gold = number < gold
        sheet = Sheet(kind="events", marks=shown)
        items.append(item(key, sheet, truth=truth if is_gold else None, is_gold=is_gold))
        truths[key] = truth
    return items, truths


def perceive(person, marks, rng, length, *, redraw=True):
    """The marks as `person` sees them; a missed one is left out, a false alarm is somewhere else."""
    seen = []
    for one in marks:
        if rng.random() < person.miss:
            continue
        start = one.start_ns + person.bias + round(rng.gauss(0, person.noise))
        end = one.end_ns + person.bias + round(rng.gauss(0, person.noise))
        start = min(max(0, start), length - 2 * MS)
        label = rng.choice(LABELS) if rng.random() < person.relabel else one.label
        seen.append(mark(one.id, label, start, min(max(start + MS, end), length)))
    for number in range(len(marks)):
        if rng.random() < person.false_alarm:
            start = rng.randrange(0, length - 4 * S)
            name = f"{person.name}{number}" if redraw else f"{marks[number].id}x"
            seen.append(mark(name, rng.choice(LABELS), start, start + 3 * S))
    return tuple(sorted(seen, key=lambda one: (one.start_ns, one.id)))


def work_events(person, items, truths, seed):
    """What `person` hands in for all items."""
    found = []
    for number, one in enumerate(items):
        rng = Random(f"{seed} {person.name} {one.key}")
        untouched = rng.random() < person.lazy
        marks = one.sheet.marks if untouched else perceive(person, truths[one.key].marks, rng, one.window.end_ns)
        seconds = 120 * person.pace * rng.uniform(0.8, 1.25)
        found.append(
            done(one.key, person.name, events(*marks), number=number, lead_time_s=seconds, untouched=untouched)
        )
    return found


# Questions and turns


def qa_items(seed, many, *, gold=0, questions=4):
    """Items with questions of which a third needs a fix and a sixth a rejection; truths by key."""
    rng = Random(seed)
    items, truths = [], {}
    for number in range(many):
        key = f"q{number:04d}"
        asked, right = [], []
        for at in range(questions):
            ask = rng.randrange(0, 60) * S
            asked.append(
                Question(
                    id=f"{key}/{at}", question="What?", ask_ns=ask, answer=rng.choice(ANSWERS), answer_ns=ask + 5 * S
                )
            )
            right.append(_true_verdict(asked[-1], rng))
        truth = Work(kind="qa", questions=tuple(right))
        is_gold = number < gold
        sheet = Sheet(kind="qa", questions=tuple(asked))
        items.append(item(key, sheet, truth=truth if is_gold else None, is_gold=is_gold))
        truths[key] = truth
    return items, truths


def _true_verdict(question, rng):
    verdict = rng.choice(("accept", "accept", "accept", "fix", "fix", "reject"))
    quality = {"accept": rng.choice((4, 5)), "fix": 3, "reject": rng.choice((1, 2))}[verdict]
    if verdict != "fix":
        return QuestionVerdict(id=question.id, verdict=verdict, quality=quality)
    answer = rng.choice([text for text in ANSWERS if text != question.answer])
    at = question.answer_ns + rng.randrange(1, 10) * S
    return QuestionVerdict(id=question.id, verdict="fix", answer=answer, answer_ns=at, quality=quality)


def work_questions(person, items, truths, seed):
    """What `person` says: the truth, but for a share `wrong`; times with bias and noise, ratings one off when wrong."""
    found = []
    for number, one in enumerate(items):
        rng = Random(f"{seed} {person.name} {one.key}")
        untouched = rng.random() < person.lazy
        said = [
            QuestionVerdict(id=question.id, verdict="accept") if untouched else _say(person, question, right, rng)
            for question, right in zip(one.sheet.questions, truths[one.key].questions, strict=True)
        ]
        work = Work(kind="qa", questions=tuple(said))
        seconds = 120 * person.pace * rng.uniform(0.8, 1.25)
        found.append(done(one.key, person.name, work, number=number, lead_time_s=seconds, untouched=untouched))
    return found


def _say(person, question, right, rng):
    is_wrong = rng.random() < person.wrong
    quality = min(5, max(1, right.quality + (rng.choice((-1, 1)) if is_wrong else 0)))
    if is_wrong:
        verdict = rng.choice([other for other in ("accept", "reject") if other != right.verdict])
        return QuestionVerdict(id=question.id, verdict=verdict, quality=quality)
    if right.verdict != "fix":
        return right.model_copy(update={"quality": quality})
    at = max(0, right.answer_ns + person.bias + round(rng.gauss(0, person.noise)))
    return right.model_copy(update={"answer_ns": at, "quality": quality})


def dialogue_item(key, *texts, is_gold=False, truth=None):
    turns = [
        Said(id=f"{key}/{at}", role="assistant" if at % 2 else "user", start_ns=at * S, end_ns=(at + 1) * S, text=text)
        for at, text in enumerate(texts)
    ]
    return item(key, Sheet(kind="dialogue", turns=tuple(turns)), truth=truth, is_gold=is_gold)


def dialogue(*said):
    return Work(kind="dialogue", turns=tuple(said))


def turn(name, verdict="accept", **more):
    return TurnVerdict(id=name, verdict=verdict, **more)


# Adjudication


def adjudicate(person, items, truths, done, seed):
    """The work that stands for each item: agreed, or decided by `person`, who sees the clip and the open sheet."""
    table = table_of(items, done)
    merged = {}
    for one in items:
        outcome = resolve(one, list(table[one.key].values()))
        if isinstance(outcome, Agreed):
            merged[one.key] = outcome.work
        else:
            answered = answer(person, one, outcome, truths[one.key], Random(f"{seed} {person.name} {one.key}"))
            merged[one.key] = decided(one, outcome, answered)
    return merged


def answer(person, one, disputed, truth, rng):
    """What `person` makes of an open sheet: agreed marks stay, open ones become what they see there."""
    sheet = open_sheet(one, disputed)
    if sheet.kind != "events":
        asked = {question.id for question in sheet.questions}
        said = [
            _say(person, question, right, rng)
            for question, right in zip(one.sheet.questions, truth.questions, strict=True)
            if question.id in asked
        ]
        return Work(kind=sheet.kind, questions=tuple(said))
    seen = perceive(person, truth.marks, rng, one.window.end_ns)
    places = [(reason.start_ns, reason.end_ns) for reason in disputed.reasons]
    taken = [mark for mark in seen if any(mark.start_ns < end and start < mark.end_ns for start, end in places)]
    agreed = disputed.agreed.marks
    fresh = [mark for mark in taken if all(_apart(mark, other) for other in agreed)]
    return events(*agreed, *fresh)


def _apart(left, right):
    return left.end_ns <= right.start_ns or right.end_ns <= left.start_ns
