"""Small models and films for tests of what streams a film."""

from fractions import Fraction

from models.film import frames
from models.settings import StreamingSettings
from models.streaming import StreamingModel
from models.tiny import tiny_config, tiny_processor
from tests.drawn import VideoSpec, draw_video

SIZE = (48, 32)
SETTINGS = StreamingSettings(slots=1024, max_new_tokens=6)


def film_file(path, *, seconds=4, rate=5):
    """A drawn video of one frame each 1 / rate seconds."""
    draw_video(path, VideoSpec(rate=Fraction(rate), frames=seconds * rate, size=SIZE))
    return path


def model(family="qwen2_5_vl", *, seed=1, settings=SETTINGS):
    return StreamingModel.from_random(
        tiny_config(family), seed=seed, processor=tiny_processor(family), settings=settings
    )


def film_of(path, fps=None):
    return list(frames(path, fps=fps))
