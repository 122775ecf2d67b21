import numpy as np

from datasets_build.perception.shot_training.drawn import load_drawn
from datasets_build.perception.shot_training.sequences import LENGTH
from datasets_build.sources.world import WorldConfig, draw_world


def test_drawn_videos_are_lessons_with_their_own_truth(tmp_path):
    draw_world(tmp_path, WorldConfig(videos=3, seconds=24, width=128, height=128, seed=4))
    found = load_drawn(tmp_path)
    assert found
    assert all(made.frames.shape == (LENGTH, 27, 48, 3) for made in found)
    assert sum(len(made.cuts) for made in found) + sum(len(made.spans) for made in found) > 0
    for made in found:
        for cut in made.cuts:
            step = np.abs(made.frames[cut].astype(int) - made.frames[cut - 1]).mean()
            usual = np.abs(np.diff(made.frames.astype(int), axis=0)).mean()
            assert step > 3 * usual
        for span in made.spans:
            light = made.frames[span.first : span.last + 1].mean(axis=(1, 2, 3))
            assert light[-1] < light[0] if span.kind == "out" else light[-1] > light[0]
