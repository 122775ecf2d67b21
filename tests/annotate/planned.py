"""Rounds of the small folder, cut into windows of a second, for tests of what is around a round."""

from annotate.plan import NOTHING_KNOWN, PlanConfig, plan
from annotate.tasks import Window

S = 1_000_000_000


def planned(root, data, kind="events", *, name="r1", known=NOTHING_KNOWN, **changes):
    """A round of windows of half a second to a second."""
    config = PlanConfig.model_validate({"least_ns": S // 2, "most_ns": S, **changes})
    return plan(root, name, data, kind, config, known=known)


def no_proxy(path, video, clock, *, span, folder, config):
    """A window that no file stands for, in place of `make_proxy`."""
    return Window(
        video_id=video.id, start_ns=span.start_ns, end_ns=span.end_ns, proxy_sha256="0" * 64, width=64, height=48,
        fps_num=25, fps_den=1, frames=25, knots=(),
    )  # fmt: skip


def place(item):
    """The name of an item's window: its video and both its ends."""
    return item.window.video_id, item.window.start_ns, item.window.end_ns
