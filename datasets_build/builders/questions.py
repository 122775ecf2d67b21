"""Questions that can be asked at an instant: pure functions from a desk and a time to a draft, or None.

Each returns None when, at that instant, the answer would be uncertain, ambiguous or already given away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from datasets_build.builders.facts import (
    ONE_SIDED,
    Desk,
    Draft,
    about_of,
    anyone,
    draft_of,
    every_time,
    nothing_since,
)
from datasets_build.builders.tracks import Told, Track, is_form
from datasets_build.core.records import About, Evidence
from datasets_build.core.reply import Reply
from datasets_build.teachers.teacher import Happening, Intent
from datasets_build.truth.sooner import last_before

_NEAR = 20  # one part in so many of a video


def now_at(desk: Desk, t: int) -> Draft | None:
    """What is happening right now, or what the camera is doing: everything that is under way and recognisable."""
    line = desk.timeline
    asks: tuple[tuple[Track, Intent], ...] = ((line.scene, "ask_now"), (line.camera, "ask_now_camera"))
    choices = [(track, intent) for track, intent in asks if track.on(t)]
    if not choices:
        return None
    track, intent = desk.rng.choice(choices)
    on = track.on(t)
    # A quoted sentence tells of its end, so only what a form of grammar names can be told while it lasts.
    if track.unclear(t) or not all(map(is_form, on)) or len(on) > desk.limits.max_told:
        return None
    also = (line.scene, line.changes) if track is line.scene else (line.changes,)
    if line.shots.busy(t) or any(_at_once(other, t) for other in also):
        return None
    until = _first([*(item.off_ns for item in on), *(other.next_early(t) for other in also)])
    answer = desk.reply(desk.write("say_now", told=on), t, evidence=[item.evidence(t) for item in on], until=until)
    return draft_of(
        "now",
        "realtime",
        desk.write(intent),
        t,
        [answer],
        about=About(kind="scene" if track is line.scene else "camera"),
    )


def _at_once(track: Track, t: int) -> bool:
    """Whether an instant of a track is at this very frame: over when it is seen, yet part of what happens."""
    return any(item.event.is_point and item.done_ns == t for item in track.last_done(t))


def _first(instants: Sequence[int | None]) -> int | None:
    """The earliest of some instants, None where there is none."""
    return min((t for t in instants if t is not None), default=None)


def is_on_at(desk: Desk, t: int, topic: str, *, wanted: bool) -> Draft | None:
    """Whether something is under way right now, if the answer is the wanted one."""
    track = desk.timeline.topics[topic]
    about = track.told[0].happening
    evidence: list[Evidence]
    if wanted:
        on = track.on(t)
        if not on or track.unclear(t):
            return None
        until: int | None = min(item.off_ns for item in on)
        evidence = [item.evidence(t) for item in on]
    else:
        if track.busy(t) or topic not in desk.timeline.closed:
            return None
        until = track.next_early(t)
        evidence = nothing_since(desk.clock.snap_up(t - desk.limits.recent_ns), t)
    answer = desk.write("say_is_on" if wanted else "say_is_off", about=about)
    reply = desk.reply(answer, t, evidence=evidence, until=until)
    return draft_of("now", "realtime", desk.write("ask_is_on", about=about), t, [reply], about=about_of(track.told[0]))


def last_at(desk: Desk, t: int) -> Draft | None:
    """What just happened; in a scene, nothing where the picture itself has changed since."""
    line = desk.timeline
    track = line.scene if len(line.scene) else line.changes
    last = track.surely_last(t)
    if not tellable(desk, last) or track.busy(t) or t - last[0].done_ns > desk.limits.recent_ns:
        return None
    if track is line.scene and changed(desk, last[0].done_ns, t):
        return None
    evidence = [*(item.evidence() for item in last), *nothing_since(last[0].done_ns, t)]
    until = _first([track.next_early(t), line.changes.next_early(t)])
    reply = desk.reply(desk.write("say_last", told=last), t, evidence=evidence, until=until)
    question = desk.write("ask_last" if len(line.scene) else "ask_last_picture")
    return draft_of(
        "before", "backward", question, t, [reply], about=About(kind="scene" if len(line.scene) else "changes")
    )


def changed(desk: Desk, since_ns: int, until_ns: int) -> bool:
    """Whether shot, camera or light may have changed in `[since_ns, until_ns]`: that happens too."""
    return any(item.early_ns <= until_ns and item.done_ns >= since_ns for item in desk.timeline.changes.told)


def tellable(desk: Desk, items: Sequence[Told]) -> bool:
    """Whether there are words for some events, and no more of them than an answer tells of."""
    return 0 < len(items) <= desk.limits.max_told and all(item.topic is not None for item in items)


def before_at(desk: Desk, t: int) -> Draft | None:
    """What happened just before something that has happened once so far."""
    found = _pick_marker(desk, t)
    if found is None:
        return None
    marker, last = found
    scene = marker.domain == "scene"
    evidence = [*(item.evidence() for item in last), marker.evidence(), *nothing_since(0, t)]
    reply = desk.reply(desk.write("say_before", told=last), t, evidence=evidence)
    question = desk.write("ask_before" if scene else "ask_before_picture", about=marker.happening)
    return draft_of("before", "backward", question, t, [reply], about=about_of(marker))


def _pick_marker(desk: Desk, t: int) -> tuple[Told, list[Told]] | None:
    """Something to ask about and what was over last before it began."""
    line = desk.timeline
    scene = bool(len(line.scene))
    track = line.scene if scene else line.changes
    once = [
        item
        for item in track.done(t)
        if item.topic is not None
        and t - item.done_ns <= desk.limits.max_wait_ns
        and line.topics[item.topic.key].begun(t) == 1
    ]
    if not once:
        return None
    marker = desk.rng.choice(once)
    last = last_before(track.told, marker)
    if not tellable(desk, last):
        return None
    if line.is_renamed(marker.event.subject, 0, t):
        return None
    if scene and changed(desk, last[0].done_ns, marker.known_ns):
        return None
    return (marker, last) if all(item.topic != marker.topic for item in last) else None


def subject_at(desk: Desk, t: int) -> Draft | None:
    """What someone or something did last; nothing of what changes its colour, and with it its name."""
    subjects = desk.timeline.subjects
    names = [name for name, track in subjects.items() if track.last_done(t) and own_act(track, name, t)]
    return subject_did(desk, t, desk.rng.choice(names)) if names else None


def own_act(track: Track, name: str, t: int) -> Told | None:
    """The first that a subject did alone, if that has begun: it names the subject."""
    alone = (item for item in track.told if item.event.subject == name and is_form(item) and item.early_ns <= t)
    return next(alone, None)


def subject_did(desk: Desk, t: int, name: str) -> Draft | None:
    """What a subject did last; None where that is uncertain, or nobody has told of it alone."""
    track = desk.timeline.subjects[name]
    last = track.surely_last(t)
    own = own_act(track, name, t)
    if (
        own is None
        or desk.timeline.is_renamed(name)
        or not tellable(desk, last)
        or not all(map(is_form, last))
        or track.busy(t)
    ):
        return None
    evidence = [*(item.evidence() for item in last), *nothing_since(last[0].done_ns, t)]
    reply = desk.reply(desk.write("say_subject", told=last), t, evidence=evidence, until=track.next_early(t))
    question = desk.write("ask_subject", about=own.happening)
    return draft_of("before", "backward", question, t, [reply], about=About(kind="subject", subject=name))


def yet_at(desk: Desk, t: int, topic: str, *, wanted: bool) -> Draft | None:
    """Whether something has happened yet, if the answer is the wanted one; its first time decides."""
    track = desk.timeline.topics[topic]
    first, about = track.told[0], track.told[0].happening
    if wanted:
        over = track.done(t)
        if not over:
            return None
        earliest = min(over, key=lambda item: item.done_ns)
        evidence, until, text = [earliest.evidence()], None, desk.write("say_yes", about=about)
    else:
        if t >= first.early_ns or topic not in desk.timeline.closed:
            return None
        evidence, until, text = nothing_since(0, t), first.early_ns, desk.write("say_not_yet", about=about)
    reply = desk.reply(text, t, evidence=evidence, until=until)
    return draft_of("happened_yet", "backward", desk.write("ask_yet", about=about), t, [reply], about=about_of(first))


def yet_near(desk: Desk, topic: str, *, wanted: bool) -> Draft | None:
    """`yet_at` soon before or soon after the first time, or the clock alone would tell yes from no."""
    first, limits = desk.timeline.topics[topic].told[0], desk.limits
    reach = max(2 * limits.least_window_ns, min(limits.max_wait_ns, desk.clock.end_ns // _NEAR))
    low = first.done_ns if wanted else first.early_ns - reach
    t = desk.between(low, low + reach)
    return None if t is None else yet_at(desk, t, topic, wanted=wanted)


def told_from(item: Told) -> int:
    """When the assistant can report an event it was told to watch for: a line only when its last word is out."""
    return item.done_ns if item.topic is not None and item.topic.manner == "line" else item.known_ns


def tell_at(desk: Desk, t: int) -> Draft | None:
    """A request to report the next time (or every further time) that something happens."""
    limits, line = desk.limits, desk.timeline
    soon = [key for key, track in line.topics.items() if _comes_soon(desk, track, t)]
    if not soon:
        return None
    coming = line.topics[desk.rng.choice(soon)].after(t)
    about = coming[0].happening
    # Offered whether or not there is a second time, or the wording would tell.
    each = len(coming) <= limits.max_answers and desk.rng.random() < 0.5
    each = each and not line.is_renamed(about.subject, t, desk.clock.end_ns)
    return _tell(desk, t, coming, about=about, matter=about_of(coming[0]), each=each)


def watch_at(desk: Desk, t: int) -> Draft | None:
    """A request to report the next time (or every further time) that anyone does something."""
    tracks = desk.timeline.acts
    soon = [label for label, track in tracks.items() if track.after(t) and not track.busy(t)]
    if not soon:
        return None
    label = desk.rng.choice(soon)
    coming = tracks[label].after(t)
    if coming[0].early_ns - t > desk.limits.max_wait_ns:
        return None
    each = len(coming) <= desk.limits.max_answers and desk.rng.random() < 0.5
    matter = About(kind="label", label=label)
    return _tell(desk, t, coming, about=anyone(label), matter=matter, each=each)


def _tell(desk: Desk, t: int, coming: list[Told], *, about: Happening, matter: About, each: bool) -> Draft | None:
    """A request about something, with its reports of all that is coming, or of the first alone."""
    question = desk.write("ask_tell_each", about=about) if each else None
    if question is None:
        question, coming, each = desk.write("ask_tell", about=about), coming[:1], False
    replies: list[Reply | None] = []
    for k, item in enumerate(coming):
        limit = told_from(coming[k + 1]) if k + 1 < len(coming) else None
        replies.append(_report(desk, item, first=k == 0, limit=limit))
    return draft_of("tell_me_when", "proactive", question, t, replies, about=every_time(matter, each), standing=True)


def narrate_at(desk: Desk, t: int) -> Draft | None:
    """A request to tell all that happens in the scene from now on; None where that is too much to tell."""
    track, limits = desk.timeline.scene, desk.limits
    coming = track.after(t)
    if not coming or track.busy(t) or len(coming) > limits.max_answers or not all(map(is_form, coming)):
        return None
    if coming[0].early_ns - t > limits.max_wait_ns:
        return None
    limit_of = [told_from(item) for item in coming[1:]]
    replies = [
        _report(desk, item, first=k == 0, limit=limit_of[k] if k < len(limit_of) else None)
        for k, item in enumerate(coming)
    ]
    about = About(kind="scene", every=True)
    return draft_of("tell_me_when", "proactive", desk.write("ask_narrate"), t, replies, about=about, standing=True)


def _comes_soon(desk: Desk, track: Track, t: int) -> bool:
    """Whether the next of a topic can be waited for: it is the next, and called by one name until then."""
    later = track.next_early(t)
    if later is None or later - t > desk.limits.max_wait_ns or track.busy(t):
        return False
    event = track.after(t)[0].event
    return event.label not in ONE_SIDED and not desk.timeline.is_renamed(event.subject, t, later)


def vain_at(desk: Desk, t: int) -> Draft | None:
    """A request to report something that never happens again: it is acknowledged, and then there is silence."""
    over = [key for key, track in desk.timeline.closed.items() if not track.after(t) and not track.busy(t)]
    if not over:
        return None
    topic = desk.rng.choice(over)
    first = desk.timeline.topics[topic].told[0]
    about = first.happening
    each = desk.write("ask_tell_each", about=about) if desk.rng.random() < 0.5 else None
    question = each or desk.write("ask_tell", about=about)
    if question is None:
        return None
    matter = every_time(about_of(first), each is not None)
    return Draft(
        task="tell_me_when", mode="proactive", question=question, ask_ns=t, replies=(), about=matter, standing=True
    )


def _report(desk: Desk, item: Told, *, first: bool, limit: int | None) -> Reply | None:
    """The report of an event; its window ends with the event (or a moment after it is known), or before the next."""
    at = told_from(item)
    evidence = [item.evidence(at, role="necessary" if first else "sufficient")]
    text = desk.write("say_tell", about=item.happening)
    reply = desk.reply(text, at, evidence=evidence, event_id=item.event.id)
    if reply is None:
        return None
    ends = [reply.window_end_ns]
    if not item.event.is_point and at < item.event.end_ns:
        ends.append(max(item.event.end_ns, desk.clock.snap_up(at + desk.limits.least_window_ns)))
    if limit is not None:
        ends.append(limit)
    return replace(reply, window_end_ns=min(ends)) if min(ends) - at >= desk.limits.least_window_ns else None


def next_at(desk: Desk, t: int) -> Draft | None:
    """What happens next: asked before it, answered when it is over; nothing where shot, camera or light come first."""
    track = desk.timeline.scene
    if not (coming := track.after(t)) or track.busy(t) or changed(desk, t + 1, coming[0].known_ns):
        return None
    # What begins before the first can be recognised belongs to it: something that enters also moves.
    items = [item for item in coming if item.early_ns <= coming[0].known_ns]
    over = max(item.done_ns for item in items)
    if not tellable(desk, items) or over - t > desk.limits.max_wait_ns:
        return None
    waiting = Evidence(start_ns=t, end_ns=max(t, items[0].early_ns))
    proof = [waiting, *(item.evidence() for item in items)]
    reply = desk.reply(desk.write("say_next", told=items), over, evidence=proof, event_id=items[0].event.id)
    return draft_of("next", "forward", desk.write("ask_next"), t, [reply], about=About(kind="scene"))
