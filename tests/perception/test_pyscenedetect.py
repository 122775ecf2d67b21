from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenedetect import SceneManager, open_video
from scenedetect.common import FrameTimecode
from scenedetect.detectors import AdaptiveDetector, ContentDetector

from datasets_build.perception.pyscenedetect import LearnedDetector, QuickAdaptiveDetector, QuickContentDetector
from tests.perception.test_shots import scene


@pytest.mark.parametrize(
    ("quick", "slow"), [(QuickContentDetector, ContentDetector), (QuickAdaptiveDetector, AdaptiveDetector)]
)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.2, 1.0)), min_size=3, max_size=12))
def test_a_quick_detector_finds_what_the_librarys_own_finds_with_the_same_scores(quick, slow, looks):
    detectors = [kind(min_scene_len=2) for kind in (quick, slow)]
    # The score is the detector's own business: asked for here to see that it is ours that it uses.
    for index, look in enumerate(looks):
        at, image = FrameTimecode(index, fps=Fraction(25)), scene(*look)
        one, other = ([cut.frame_num for cut in detector.process_frame(at, image)] for detector in detectors)
        assert one == other
        assert detectors[0]._frame_score == pytest.approx(detectors[1]._frame_score, rel=1e-12)
    assert detectors[0]._before is not None
    assert detectors[0]._last_frame is None


def test_pyscenedetect_takes_the_learned_detector():
    lengths, detector = (40, 60, 50), LearnedDetector()
    pictures = [scene(number) for number, length in enumerate(lengths) for _ in range(length)]
    found = [
        cut for k, image in enumerate(pictures) for cut in detector.process_frame(FrameTimecode(k, Fraction(25)), image)
    ]
    found += detector.post_process(FrameTimecode(len(pictures) - 1, Fraction(25)))
    assert [cut.frame_num for cut in found] == [40, 100]
    assert [each.first for each in detector.transitions] == [40, 100]


def write_film(path, pictures):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        out.mux(stream.encode(None))
    return path


def test_a_scene_manager_runs_it_on_a_file(tmp_path):
    path = write_film(
        tmp_path / "cuts.mp4", [scene(number) for number, length in enumerate((40, 60, 50)) for _ in range(length)]
    )
    manager = SceneManager()
    manager.add_detector(LearnedDetector())
    manager.detect_scenes(open_video(str(path)))
    assert [start.frame_num for start, _ in manager.get_scene_list()] == [0, 40, 100]
