"""All figures of one comparison, whatever kind of work it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from annotate.agreement.events import EventMeasures, measure_events
from annotate.agreement.figure import AgreementConfig, Figure
from annotate.agreement.judgements import JudgementMeasures, measure_judgements, measure_usable
from annotate.agreement.panels import Panel
from annotate.tasks import Kind
from datasets_build.core.clock import FrameClock
from datasets_build.core.records import Part


class Measures(Part):
    """How far works agree: of events or of judgements, by the kind of work; `items` is how many were compared."""

    items: int
    usable_alpha: Figure
    events: EventMeasures | None = None
    judgements: JudgementMeasures | None = None


def measure(
    panels: Sequence[Panel],
    kind: Kind,
    config: AgreementConfig,
    *,
    clocks: Mapping[str, FrameClock] | None = None,
    signed: bool = False,
) -> Measures:
    """Figures of panels; `signed`: each panel holds two works, and the first is measured against the second."""
    is_events = kind == "events"
    return Measures(
        items=len({panel.item.key for panel in panels}),
        usable_alpha=measure_usable(panels, config),
        events=measure_events(panels, config, clocks=clocks, signed=signed) if is_events else None,
        judgements=None if is_events else measure_judgements(panels, config, signed=signed),
    )
