"""What the browser sends for somebody's work: the inverse of each screen's `decode`, as it was seen (`captured`)."""

from __future__ import annotations

from annotate.frames import first_frame, span_to_frames
from annotate.tasks import Item, Mark, Work
from datasets_build.core.clock import Span

COMPLAINTS = {
    "too_early": "too early",
    "too_late": "too late",
}


def region(id_, name, to_name, type_, value, **more):
    """A region as the page sends it."""
    return {"value": value, "id": id_, "from_name": name, "to_name": to_name, "type": type_, "origin": "manual", **more}


def result_of(work: Work, item: Item) -> list:
    """The result of an annotation in which somebody did this work on an item."""
    made = {"events": _events, "qa": _questions, "dialogue": _turns}[work.kind](work, item)
    if not work.usable:
        made.append(region("clip-1", "clip", "video", "choices", {"choices": ["not usable"]}))
    return made


def _events(work: Work, item: Item) -> list:
    marks = work.marks if work.usable else item.sheet.marks
    return [each for mark in marks for each in _bar(item, mark)]


def _bar(item: Item, mark: Mark) -> list:
    start, end = span_to_frames(item.window, Span(start_ns=mark.start_ns, end_ns=mark.end_ns))
    ranges = {"ranges": [{"start": start, "end": end}]}
    label = mark.label.replace("$", "$\u2060")
    made = [region(mark.id, "events", "video", "timelinelabels", {**ranges, "timelinelabels": [label]})]
    if mark.note.strip():
        made.append(region(mark.id, "note", "video", "textarea", {**ranges, "text": [mark.note]}))
    if mark.confidence:
        made.append(region(mark.id, "confidence", "video", "choices", {**ranges, "choices": [mark.confidence]}))
    return made


def _questions(work: Work, item: Item) -> list:
    """Numbers are sent whether they are seen or not, texts only where they are."""
    made = []
    verdicts = {verdict.id: verdict for verdict in work.questions}
    for place, question in enumerate(item.sheet.questions):
        about, verdict = f"question_{place}", verdicts.get(question.id)
        for field in ("ask", "answer"):
            corrected = getattr(verdict, f"{field}_ns", None)
            t_ns = getattr(question, f"{field}_ns") if corrected is None else corrected
            number = {"number": first_frame(item.window, t_ns)}
            made.append(region(f"{question.id}-{field}_frame", f"{field}_frame_{place}", about, "number", number))
        if verdict is None:
            continue
        made.append(region(f"v{place}", f"verdict_{place}", about, "choices", {"choices": [verdict.verdict]}))
        if verdict.verdict == "fix" and (verdict.answer or question.answer).strip():
            text = {"text": [verdict.answer or question.answer]}
            made.append(region(f"{question.id}-answer", f"answer_{place}", about, "textarea", text))
        if verdict.quality:
            made.append(region(f"r{place}", f"quality_{place}", about, "rating", {"rating": verdict.quality}))
    return made


def _turns(work: Work, item: Item) -> list:
    made = []
    verdicts = {verdict.id: verdict for verdict in work.turns}
    for place, turn in enumerate(item.sheet.turns):
        about, verdict = f"turn_{place}", verdicts.get(turn.id)
        if verdict is None:
            continue
        made.append(region(f"v{place}", f"verdict_{place}", about, "choices", {"choices": [verdict.verdict]}))
        if verdict.verdict == "fix" and (verdict.text or turn.text).strip():
            made.append(
                region(f"{turn.id}-text", f"text_{place}", about, "textarea", {"text": [verdict.text or turn.text]})
            )
        if verdict.timing:
            made.append(
                region(f"w{place}", f"timing_{place}", about, "choices", {"choices": [COMPLAINTS[verdict.timing]]})
            )
    return made
