import math

import pytest
import torch
from hypothesis import given, settings

from recipes.losses.episodes import episodes
from recipes.losses.rows import RESPOND
from tests.recipes.losses.labelled import documents, packed, rows


def drawn(labels) -> str:
    """One letter per row: `-` before, `w` window, `c` censored, `.` none of them; a bar where an episode begins."""
    made = episodes(labels)
    letters = []
    for row in range(len(labels)):
        flags = {"-": made.before[row], "w": made.window[row], "c": made.censored[row]}
        found = [letter for letter, flag in flags.items() if flag]
        assert len(found) <= 1, "a row is of one kind"
        begins = row > 0 and made.number[row] != made.number[row - 1]
        letters.append("|" * begins + (found[0] if found else "."))
    return "".join(letters)


def test_without_answers_every_row_is_to_be_silent():
    assert drawn(rows("sbsss")) == "-----"


def test_no_rows_and_one_row():
    assert drawn(rows("")) == ""
    assert drawn(rows("s")) == "-"
    assert drawn(rows("R", evidence_s=0.0, window_s=2.0)) == "w"


def test_the_window_runs_from_the_evidence_to_the_response():
    labels = rows("sssbRss", evidence_s=[2.0] * 5 + [math.inf] * 2, window_s=[6.0] * 5 + [math.inf] * 2)
    assert drawn(labels) == "--www|--"
    assert episodes(labels).delay_s.tolist() == [0, 0, 0, 1, 2, 0, 0]


def test_an_answer_due_that_no_label_gives_has_its_whole_window():
    assert drawn(rows("ssssssss", evidence_s=2.0, window_s=4.0)) == "--www..."


def test_each_response_starts_again():
    evidence = [1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0]
    labels = rows("ssRssRs", evidence_s=evidence, window_s=[e + 3 for e in evidence])
    assert drawn(labels) == "-ww|-ww|-"


def test_after_a_response_the_same_evidence_asks_for_no_second_one():
    assert drawn(rows("sRsss", evidence_s=1.0, window_s=3.0)) == "-w|---"


def test_unless_the_labels_give_a_second_one():
    assert drawn(rows("sRsRs", evidence_s=1.0, window_s=4.0)) == "-w|ww|-"


def test_labels_win_over_times():
    assert drawn(rows("sRs", evidence_s=2.0, window_s=3.0)) == "-w|-", "before the evidence"
    assert drawn(rows("sssssR", evidence_s=1.0, window_s=2.0)) == "-wwwww", "after the window"
    assert drawn(rows("sR")) == "-w", "nothing known to come"


def test_evidence_between_two_rows_counts_from_the_next():
    labels = rows("ssss", evidence_s=0.5, window_s=2.5)
    assert drawn(labels) == "-ww."
    assert episodes(labels).delay_s.tolist() == [0, 0.5, 1.5, 0]


def test_a_window_between_two_rows_is_empty():
    assert drawn(rows("ssss", evidence_s=1.2, window_s=1.8)) == "--.."


@pytest.mark.parametrize(("end", "kinds"), [(3.0, "--ww"), (3.9, "--ww"), (4.0, "--cc"), (math.inf, "--cc")])
def test_a_stream_that_ends_inside_the_window_censors_it(end, kinds):
    assert drawn(rows("ssss", evidence_s=2.0, window_s=end)) == kinds


def test_one_row_is_a_window_of_no_length_and_cuts_a_longer_one():
    assert drawn(rows("s", evidence_s=0.0, window_s=0.0)) == "w"
    assert drawn(rows("s", evidence_s=0.0, window_s=0.5)) == "c"


def test_a_response_before_the_end_is_not_censored():
    assert drawn(rows("sssR", evidence_s=2.0, window_s=9.0)) == "--ww"


def test_an_end_of_another_document_censors_nothing():
    cut = rows("sss", evidence_s=1.0, window_s=9.0)
    whole = rows("ssss", evidence_s=1.0, window_s=2.0)
    assert drawn(packed(cut, whole, cut)) == "-cc|-ww.|-cc"


def test_documents_never_share_an_episode():
    assert drawn(packed(rows("ss"), rows("ss"))) == "--|--"


def test_rows_that_are_not_learned_are_in_no_group():
    assert drawn(rows("ssss", learned=[False, True, False, True])) == ".-.-"


def test_a_window_with_a_row_that_is_not_learned_is_censored():
    labels = rows("sssRss", evidence_s=1.0, window_s=4.0, learned=[True, False, True, True, True, True])
    assert drawn(labels) == "-ccc|--"


def test_a_new_wait_before_the_old_one_was_answered():
    labels = rows("sssss", evidence_s=[1.0, 1.0, 3.0, 3.0, 3.0], window_s=[1.0, 1.0, 4.0, 4.0, 4.0])
    assert drawn(labels) == "-w|-ww"


@settings(max_examples=25)
@given(documents(), documents())
def test_laws(one, other):
    labels = packed(one, other)
    made = episodes(labels)
    kinds = made.before.long() + made.window + made.censored
    assert (kinds <= 1).all()
    assert (labels.learned | ~(made.before | made.window)).all(), "what is not learned teaches nothing"
    assert not (made.before & (labels.states == RESPOND)).any(), "a labelled response is no false start"
    assert ((made.window | made.censored) | (labels.states != RESPOND)).all(), "a labelled response is in a window"
    steps = made.number[1:] - made.number[:-1]
    assert ((steps == 0) | (steps == 1)).all()
    assert (steps[labels.document[1:] != labels.document[:-1]] == 1).all()
    assert (steps[labels.states[:-1] == RESPOND] == 1).all()
    assert ((made.delay_s >= 0) & made.delay_s.isfinite()).all()
    early = labels.time_s < labels.evidence_s
    assert not (early & made.window & (labels.states != RESPOND)).any(), "only a label responds before the evidence"


@settings(max_examples=25)
@given(documents(), documents())
def test_packing_changes_no_group(one, other):
    both, alone = episodes(packed(one, other)), [episodes(one), episodes(other)]
    for name in ("before", "window", "censored", "delay_s"):
        assert torch.equal(getattr(both, name), torch.cat([getattr(each, name) for each in alone]))
    torch.testing.assert_close(both.number[len(one) :] - both.number[len(one)], alone[1].number)
