"""What routers take is checked where it enters."""

import numpy as np
import pytest
import torch

from models.errors import FrameError, QuestionError, TimeError
from models.routers.candidate import Candidate, check_query, check_width, features_on


def test_a_candidate_may_be_empty_and_of_any_precision():
    for kind in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        candidate = Candidate(key=-3, t_ns=-5, features=torch.zeros(0, 4, dtype=kind))
        assert features_on(candidate, torch.device("cpu")).dtype == torch.float32
        check_width([candidate], dim=4)


@pytest.mark.parametrize("features", [torch.zeros(4), torch.zeros(1, 2, 4), torch.zeros(2, 4, dtype=torch.int32)])
def test_features_of_another_layout_are_refused(features):
    with pytest.raises(FrameError, match=r"candidate 7: features are torch\.\w+ .*, expected floating"):
        Candidate(key=7, t_ns=0, features=features)


@pytest.mark.parametrize("t_ns", [1.0, None, True, np.int64(4)])
def test_a_time_is_an_int(t_ns):
    with pytest.raises(TimeError, match=r"Candidate\.t_ns"):
        Candidate(key=0, t_ns=t_ns, features=torch.zeros(1, 4))


@pytest.mark.parametrize("query", [torch.zeros(0, 4), torch.zeros(4), torch.zeros(2, 4, dtype=torch.int64)])
def test_a_question_has_words(query):
    with pytest.raises(QuestionError, match="expected floating"):
        check_query(query)
    assert check_query(torch.zeros(1, 4, dtype=torch.bfloat16)).dtype == torch.float32


def test_widths_must_agree():
    candidates = [Candidate(key=k, t_ns=0, features=torch.zeros(1, 4 + k)) for k in range(2)]
    with pytest.raises(FrameError, match="candidate 1: features are 5 wide, expected 4"):
        check_width(candidates, dim=4)
