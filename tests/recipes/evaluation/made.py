"""Scripts, talks and clips made by hand: a second is S, grids lie half a second apart."""

from pathlib import Path

from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Video
from recipes.evaluation.clip import Clip, On
from recipes.evaluation.script import Ask, Due, Heard, Script, reference
from recipes.evaluation.trace import Decision, Reply, Speech, Talk, Trace

S = 1_000_000_000
GRIDS = tuple(k * S // 2 for k in range(1, 41))
SURE = {"silence": (0.8, 0.1, 0.1), "standby": (0.1, 0.8, 0.1), "respond": (0.1, 0.1, 0.8)}


def due(start_s, *, text="It moves.", end_s=None, heard=-1, since_s=0, task="tell_me_when", worded=True):
    start = round(start_s * S)
    end = start + 2 * S if end_s is None else round(end_s * S)
    return Due(
        text=text, task=task, t_ns=start, evidence_ns=start, start_ns=start, end_ns=end, heard=heard,
        since_ns=round(since_s * S), worded=worded,
    )  # fmt: skip


def script(*dues, asked_s=(0,), mode="proactive", kind="standing", key="q", waits=(), barges=(), acknowledges=False):
    heard = tuple(Heard(text="tell me", begins_ns=round(t * S), t_ns=round(t * S)) for t in asked_s)
    spans = tuple((round(a * S), round(b * S)) for a, b in waits)
    ordered = tuple(sorted(dues, key=lambda d: (d.start_ns, d.end_ns)))
    return Script(
        key=key, kind=kind, task="tell_me_when", mode=mode, heard=heard, dues=ordered, waits=spans, barges=barges,
        acknowledges=acknowledges,
    )  # fmt: skip


def speech(t_s, text="It moves.", *, heard=-1, state=None, cut=False):
    t = round(t_s * S)
    return Speech(
        t_ns=t, end_ns=t + len(text) * S // 20, text=text, state=state, heard=heard, tokens=3, confidence=0.5, cut=cut
    )


def talk(*speeches, key="q", grids=GRIDS, states=None):
    """Decides to respond at the grids at which something is said, unless other states are given."""
    spoken = {said.t_ns for said in speeches if said.heard < 0}
    chosen = ["respond" if t in spoken else "silence" for t in grids] if states is None else states
    decisions = [Decision(t_ns=t, state=s, chances=SURE[s]) for t, s in zip(grids, chosen, strict=True)]
    return Talk(key=key, decisions=tuple(decisions), speeches=tuple(sorted(speeches, key=lambda one: one.t_ns)))


def perfect(made, grids=GRIDS):
    """The talk that does everything as the script has it."""
    states = reference(made, grids)
    said = []
    for one in made.dues:
        if one.heard >= 0:
            at = made.heard[one.heard].t_ns
        else:
            later = [t for t in grids if t >= one.t_ns]
            if not later:
                continue
            at = later[0]
        said.append(speech(at / S, one.text, heard=one.heard))
    return talk(*said, key=made.key, grids=grids, states=states)


def silent(made, grids=GRIDS):
    return talk(key=made.key, grids=grids)


def shifted(made, by_ns):
    """A talk that does everything later."""
    decisions = [Decision(t_ns=d.t_ns + by_ns, state=d.state, chances=d.chances) for d in made.decisions]
    said = [
        Speech(
            t_ns=s.t_ns + by_ns, end_ns=s.end_ns + by_ns, text=s.text, state=s.state, heard=s.heard, tokens=s.tokens,
            confidence=s.confidence, cut=s.cut,
        )
        for s in made.speeches
    ]  # fmt: skip
    return Talk(key=made.key, decisions=tuple(decisions), speeches=tuple(said))


VIDEO = {
    "source": "made", "uri": "a.mp4", "sha256": "0", "bytes": 1, "container": "mp4", "codec": "h264",
    "pixel_format": "yuv420p", "width": 64, "height": 48, "sar_num": 1, "sar_den": 1, "rotation_deg": 0,
    "time_base_num": 1, "time_base_den": 4, "start_pts": 0, "start_offset_ns": 0, "duration_ns": 20 * S,
    "n_frames": 80, "header_frames": 80, "avg_fps_num": 4, "avg_fps_den": 1, "is_vfr": False, "max_gap_ns": S // 4,
    "max_jitter_ns": 0, "reorder_depth": 0, "audio": None, "pts_index": "a.npy", "licence": "none", "group": "a",
    "split": "test", "status": "ok",
}  # fmt: skip


def clip(video_id="v", *, asks=(), scripts=(), borders=(), on=()):
    return Clip(
        video=Video(id=video_id, video_id=video_id, **VIDEO),
        path=Path("a.mp4"),
        clock=FrameClock.from_pts(range(80), time_base=_quarter(), last_duration=1),
        times_ns=tuple(k * S // 4 for k in range(80)),
        grids_ns=GRIDS,
        asks=tuple(asks),
        scripts=tuple(scripts),
        borders_ns=tuple(borders),
        on=tuple(On(t_ns=t, names=tuple(names)) for t, names in on),
    )


def _quarter():
    from fractions import Fraction

    return Fraction(1, 4)


def ask(key, expected, *, t_s=1, task="now", mode="realtime", options=(), option=None, unanswerable=False):
    return Ask(
        key=key, task=task, mode=mode, t_ns=round(t_s * S), question="what?", expected=expected, options=options,
        option=option, unanswerable=unanswerable,
    )  # fmt: skip


def reply(key, text, t_s=1, confidence=1.0):
    return Reply(key=key, t_ns=round(t_s * S), text=text, state=None, confidence=confidence)


def perfect_trace(made, variant="seen"):
    return Trace(
        video_id=made.video_id,
        variant=variant,
        replies=tuple(reply(one.key, one.expected, one.t_ns / S) for one in made.asks),
        on=tuple(reply(str(row.t_ns), "; ".join(row.names) or "none", row.t_ns / S) for row in made.on),
        talks=tuple(perfect(one) for one in made.scripts),
    )


def empty_trace(made, variant="seen"):
    return Trace(
        video_id=made.video_id,
        variant=variant,
        replies=tuple(reply(one.key, "", one.t_ns / S) for one in made.asks),
        on=tuple(reply(str(row.t_ns), "", row.t_ns / S) for row in made.on),
        talks=tuple(silent(one) for one in made.scripts),
    )
