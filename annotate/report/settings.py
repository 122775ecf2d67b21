"""What the page of a round holds."""

from __future__ import annotations

from pydantic import Field

from annotate.agreement.figure import AgreementConfig
from annotate.disputes import DisputeConfig
from datasets_build.core.config import Config


class PageConfig(Config):
    """What the page holds; whatever is left out is counted on it.

    `agreement`, `disputes`: how figures are worked out and when people agree. `most_disputes`: disagreements that are
    shown, from the worst on. `most_points`, `most_pictures`: of one of them, points in full and pictures. `picture_px`:
    the longer side of a picture. `most_rows`: of any list. `most_letters`: of any text that people wrote.
    """

    agreement: AgreementConfig = AgreementConfig()
    disputes: DisputeConfig = DisputeConfig()
    most_disputes: int = Field(default=10, ge=0)
    most_points: int = Field(default=3, ge=1)
    most_pictures: int = Field(default=9, ge=0)
    picture_px: int = Field(default=320, ge=16, le=640)
    most_rows: int = Field(default=50, ge=0)
    most_letters: int = Field(default=300, ge=10)
