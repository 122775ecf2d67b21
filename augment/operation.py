"""What every operation of a pipeline is, and the numbers that settings of operations are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from datasets_build.core.config import Config

Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0.25, le=4)]
Positive = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=10_000)]


class Operation(Config):
    """Something that is done to a video with probability `p`."""

    p: Share = 1.0
