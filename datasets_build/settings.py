"""All settings of a build in one object: one YAML file holds a section per stage."""

from __future__ import annotations

from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.frame_events import FrameEventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.checks.check import CheckConfig
from datasets_build.core.config import Config
from datasets_build.perception.perceive import PerceiveConfig
from datasets_build.report.build import ReportConfig
from datasets_build.sources.index import IndexConfig
from datasets_build.teachers.settings import TeachersConfig


class Settings(Config):
    """One section per stage; every key has a default, so an empty file is a complete one."""

    index: IndexConfig = IndexConfig()
    perceive: PerceiveConfig = PerceiveConfig()
    events: EventsConfig = EventsConfig()
    streaming_qa: StreamingQAConfig = StreamingQAConfig()
    frame_events: FrameEventsConfig = FrameEventsConfig()
    dialogue: DialogueConfig = DialogueConfig()
    teachers: TeachersConfig = TeachersConfig()
    check: CheckConfig = CheckConfig()
    report: ReportConfig = ReportConfig()
