"""The three rules: the published examples, the definitions as brute force, and what becomes of each prediction."""

from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.perception.score_shots import (
    RULES,
    FilmScore,
    Tally,
    clipshots_overlap,
    match_in_order,
    match_nearest,
    touch,
    transnet2,
    trecvid0,
)
from datasets_build.perception.transitions import Film, Mark

EVERY_RULE = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def film(cuts=(), gradual=(), ignored=(), *, typed=True):
    """A film by its cuts and the spans of its gradual transitions; what is ignored are frames."""
    marks = [*map(Mark.cut, cuts), *(Mark.gradual(first, last) for first, last in gradual)]
    return Film(marks=tuple(sorted(marks)), ignored=tuple(map(Mark.cut, ignored)), typed=typed)


def counts(tally):
    return (tally.true, tally.hits, tally.predicted, tally.false_alarms)


@st.composite
def apart(draw, largest=60):
    """Transitions of one film in order, none over another: cuts and gradual ones."""
    edges = sorted(draw(st.sets(st.integers(1, largest), max_size=14)))
    marks = []
    while edges:
        before = edges.pop(0) - 1
        if edges and draw(st.booleans()):
            marks.append(Mark.gradual(before + 1, edges.pop(0)))
        else:
            marks.append(Mark.cut(before + 1))
    return tuple(marks)


FILMS = st.builds(Film, marks=apart())


# --- figures ---


def test_shares_of_a_tally():
    tally = Tally(true=8, hits=6, predicted=10, false_alarms=4)
    assert (tally.precision, tally.recall) == (0.6, 0.75)
    assert tally.f1 == pytest.approx(2 * 0.6 * 0.75 / (0.6 + 0.75))


def test_shares_of_nothing():
    assert (Tally().precision, Tally().recall, Tally().f1) == (None, None, None)
    missed = Tally(true=3)
    assert (missed.precision, missed.recall, missed.f1) == (None, 0.0, 0.0)
    invented = Tally(predicted=3, false_alarms=3)
    assert (invented.precision, invented.recall, invented.f1) == (0.0, None, 0.0)


def test_scores_add_up():
    one = trecvid0(film([5, 9], [(20, 30)]), film([5, 7, 25]))
    two = trecvid0(film(), film([3]))
    total = one + two
    assert counts(total.cuts) == (2, 1, 3, 2)
    assert counts(total.gradual) == (1, 1, 1, 0)
    assert counts(total.together) == (3, 2, 4, 2)


# --- what all rules have in common ---


@EVERY_RULE
def test_truth_against_itself_is_whole(rule):
    truth = film([5, 9, 70], [(20, 30), (40, 60)], ignored=[100])
    score = rule(truth, film([5, 9, 70], [(20, 30), (40, 60)]))
    assert (score.cuts.f1, score.gradual.f1, score.together.f1) == (1.0, 1.0, 1.0)
    assert (score.missed, score.false_alarms, score.ignored) == ((), (), 0)


@EVERY_RULE
def test_nothing_found_is_all_missed(rule):
    score = rule(film([5], [(20, 30)]), Film())
    assert counts(score.cuts) == (1, 0, 0, 0)
    assert counts(score.gradual) == (1, 0, 0, 0)
    assert score.missed == (Mark.cut(5), Mark.gradual(20, 30))


@EVERY_RULE
def test_a_take_without_cuts_counts_for_false_alarms(rule):
    score = rule(Film(), film([5, 50], [(20, 30)]))
    assert counts(score.cuts) == (0, 0, 2, 2)
    assert counts(score.gradual) == (0, 0, 1, 1)
    assert counts(score.together) == (0, 0, 3, 3)
    assert score.false_alarms == (Mark.cut(5), Mark.gradual(20, 30), Mark.cut(50))


@EVERY_RULE
def test_two_empty_films(rule):
    assert rule(Film(), Film()) == FilmScore()


@EVERY_RULE
def test_minor_places_neither_reward_nor_punish(rule):
    score = rule(film([50], ignored=[5]), film([5, 50, 90]))
    assert counts(score.cuts) == (1, 1, 2, 1)
    assert score.ignored == 1
    assert score.false_alarms == (Mark.cut(90),)
    silent = rule(film([50], ignored=[5]), film([50]))
    assert counts(silent.cuts) == (1, 1, 1, 0)
    assert silent.ignored == 0


@EVERY_RULE
def test_a_true_cut_beside_a_minor_place_is_still_hit(rule):
    score = rule(film([50], ignored=[50]), film([50]))
    assert counts(score.cuts) == (1, 1, 1, 0)
    assert score.ignored == 0


@pytest.mark.parametrize(("rule", "reach"), [(trecvid0, 0), (transnet2, 2), (clipshots_overlap, 1)])
def test_how_far_each_rule_reaches(rule, reach):
    for away in range(-4, 5):
        within = abs(away) <= reach
        hit = rule(film([50]), film([50 + away]))
        assert counts(hit.cuts) == (1, within, 1, not within), away
        spared = rule(film(ignored=[50]), film([50 + away]))
        assert spared.ignored == within, away
        assert spared.cuts.false_alarms == (not within), away


@EVERY_RULE
def test_a_boundary_inside_a_gradual_transition_is_no_false_alarm_of_the_cuts(rule):
    score = rule(film([50], [(20, 30)]), film([25, 50], typed=False))
    assert counts(score.cuts) == (1, 1, 1, 0)
    assert counts(score.gradual) == (1, 1, 1, 0)
    assert score.false_alarms == ()


@given(FILMS, FILMS, st.sets(st.integers(1, 60), max_size=4), st.booleans())
def test_every_prediction_and_every_truth_is_accounted_for(truth, found, ignored, typed):
    truth = Film(marks=truth.marks, ignored=tuple(Mark.cut(frame) for frame in sorted(ignored)))
    found = Film(marks=found.marks, typed=typed)
    for name, rule in RULES.items():
        score = rule(truth, found)
        for tally, kinds in ((score.cuts, (True,)), (score.gradual, (False,)), (score.together, (True, False))):
            assert tally.true == sum(mark.is_cut in kinds for mark in truth.marks)
            assert 0 <= tally.hits <= tally.true
            assert 0 <= tally.false_alarms <= tally.predicted
        assert score.together.predicted + score.ignored == len(found.marks)
        assert score.together.false_alarms == len(score.false_alarms)
        assert len(score.missed) == len(truth.marks) - score.cuts.hits - score.gradual.hits
        if name != "clipshots_overlap":
            assert score.together == score.cuts + score.gradual
            assert score.together.predicted == score.together.hits + score.together.false_alarms


# --- trecvid0 ---


def test_two_predictions_of_one_cut_are_a_hit_and_a_false_alarm():
    assert match_nearest([10], [9, 11, 10], 1) == [(0, 2)]
    assert match_nearest([10, 12], [11], 1) == [(0, 0)]


def test_the_nearest_goes_first_even_if_fewer_match():
    # 11 is nearer to 10 than 8 is, and leaves nothing for 12: that is what greedy means.
    assert match_nearest([10, 13], [8, 11], 2) == [(0, 1)]


def test_further_predictions_in_a_gradual_transition_are_its_own_false_alarms():
    score = trecvid0(film([50], [(20, 30)]), film([20, 25, 30, 31]))
    assert counts(score.gradual) == (1, 1, 3, 2)
    assert counts(score.cuts) == (1, 0, 1, 1)
    assert score.false_alarms == (Mark.cut(25), Mark.cut(30), Mark.cut(31))


def test_a_prediction_in_a_gradual_transition_is_spent_there():
    # PySceneDetect's evaluator looks at the gradual transitions first, even if a true cut lies inside of one.
    score = trecvid0(film([25], [(20, 30)]), film([25]))
    assert counts(score.gradual) == (1, 1, 1, 0)
    assert counts(score.cuts) == (1, 0, 0, 0)


def test_a_predicted_gradual_transition_is_its_middle():
    assert counts(trecvid0(film(gradual=[(20, 30)]), film(gradual=[(14, 27)])).gradual) == (1, 1, 1, 0)
    assert counts(trecvid0(film(gradual=[(20, 30)]), film(gradual=[(10, 28)])).gradual) == (1, 0, 1, 1)
    assert counts(trecvid0(film([25]), film(gradual=[(20, 30)])).cuts) == (1, 1, 1, 0)


def test_the_ends_of_a_clipshots_pair_lie_inside():
    truth = Film(marks=(Mark.pair(20, 30),))
    found = [trecvid0(truth, film([frame])).gradual.hits for frame in (19, 20, 30, 31)]
    assert found == [0, 1, 1, 0]


def nearest_by_definition(truth, found, tolerance):
    """Again and again the nearest pair that is left."""
    truth, found, pairs = dict(enumerate(truth)), dict(enumerate(found)), []
    while True:
        left = [(abs(a - b), at, of) for of, a in truth.items() for at, b in found.items() if abs(a - b) <= tolerance]
        if not left:
            return pairs
        _, at, of = min(left)
        pairs.append((of, at))
        del truth[of], found[at]


FRAMES = st.lists(st.integers(1, 25), max_size=7)


@given(FRAMES, FRAMES, st.integers(0, 4))
def test_nearest_is_what_its_definition_says(truth, found, tolerance):
    pairs = match_nearest(truth, found, tolerance)
    assert pairs == nearest_by_definition(truth, found, tolerance)
    assert len({of for of, _ in pairs}) == len({at for _, at in pairs}) == len(pairs)


@given(st.lists(st.integers(1, 12), max_size=5), st.lists(st.integers(1, 12), max_size=5), st.integers(0, 3))
def test_greedy_finds_half_of_the_best_at_least_and_all_of_it_at_tolerance_0(truth, found, tolerance):
    short, long = sorted((truth, found), key=len)
    best = max(sum(abs(a - b) <= tolerance for a, b in zip(short, row, strict=False)) for row in permutations(long))
    assert len(match_nearest(truth, found, tolerance)) * 2 >= best
    assert len(match_nearest(truth, found, 0)) == sum(min(truth.count(at), found.count(at)) for at in set(truth))


# --- transnet2 ---


@pytest.mark.parametrize(
    ("tolerance", "begin", "hit"),
    [
        (0, 6, True),
        (0, 5, False),
        (1, 6, True),
        (1, 5, True),
        (1, 4, False),
        (2, 6, True),
        (2, 5, True),
        (2, 4, True),
        (2, 3, False),
    ],
)
def test_the_examples_of_transnetv2(tolerance, begin, hit):
    """Of ten frames, predicted scenes 0-5 and 6-9; the true second scene begins at `begin`."""
    assert match_in_order([Mark.cut(begin)], [Mark.cut(6)], tolerance) == ([(0, 0)] if hit else [])


def test_of_two_that_do_not_meet_the_earlier_is_left_behind():
    early, late = Mark.cut(5), Mark.cut(6)
    assert match_in_order([late], [early, late], 0) == [(0, 1)]
    assert match_in_order([early, late], [late], 0) == [(1, 0)]


def test_a_gradual_transition_is_widened_at_both_ends():
    truth = film(gradual=[(20, 30)])
    hits = {frame: transnet2(truth, film([frame])).gradual.hits for frame in (17, 18, 33, 34)}
    assert hits == {17: 0, 18: 1, 33: 1, 34: 0}
    assert transnet2(truth, film(gradual=[(5, 16)])).gradual.hits == 0
    assert transnet2(truth, film(gradual=[(5, 17)])).gradual.hits == 1


def test_further_predictions_at_a_gradual_transition_are_not_of_the_cuts():
    score = transnet2(film([50], [(20, 30)]), film([22, 25, 29, 50, 90]))
    assert counts(score.gradual) == (1, 1, 3, 2)
    assert counts(score.cuts) == (1, 1, 2, 1)
    assert counts(score.together) == (2, 2, 5, 3)


def test_a_second_prediction_of_a_cut_is_a_false_alarm():
    score = transnet2(film([50]), film([49, 51]))
    assert counts(score.cuts) == (1, 1, 2, 1)
    assert score.false_alarms == (Mark.cut(51),)


def test_a_false_alarm_is_of_the_kind_that_it_claims():
    score = transnet2(film([50]), film([50], [(80, 90)]))
    assert counts(score.cuts) == (1, 1, 1, 0)
    assert counts(score.gradual) == (0, 0, 1, 1)


def test_what_is_hit_is_of_the_kind_of_the_truth():
    assert counts(transnet2(film([50]), film(gradual=[(45, 55)])).cuts) == (1, 1, 1, 0)


def test_the_first_of_two_neighbours_takes_the_prediction():
    score = transnet2(film(gradual=[(751, 771), (772, 792)]), film([771]))
    assert score.missed == (Mark.gradual(772, 792),)


def scenes_meet(one, other, tolerance):
    """The published comparison, in halves of frames: scenes' ends moved together by half of the tolerance."""
    begin, end = (2 * one.before + 1 - tolerance, 2 * one.after - 1 + tolerance)
    start, stop = (2 * other.before + 1 - tolerance, 2 * other.after - 1 + tolerance)
    return not (stop < begin or start > end)


@given(apart(), apart(), st.integers(0, 5))
def test_transitions_meet_as_published(truth, found, tolerance):
    for one in truth:
        for other in found:
            assert touch(one, other, tolerance) == touch(other, one, tolerance) == scenes_meet(one, other, tolerance)


def most_in_order(truth, found, tolerance):
    """The most pairs that any matching one to one and in order can have."""
    best = [[0] * (len(found) + 1) for _ in range(len(truth) + 1)]
    for of, one in enumerate(truth, start=1):
        for at, other in enumerate(found, start=1):
            with_pair = best[of - 1][at - 1] + scenes_meet(one, other, tolerance)
            best[of][at] = max(best[of - 1][at], best[of][at - 1], with_pair)
    return best[-1][-1]


@given(apart(), apart(), st.integers(0, 5))
def test_one_walk_in_order_finds_as_many_pairs_as_any(truth, found, tolerance):
    pairs = match_in_order(truth, found, tolerance)
    assert len(pairs) == most_in_order(truth, found, tolerance)
    assert all(scenes_meet(truth[of], found[at], tolerance) for of, at in pairs)
    # One to one and in order: both indexes only grow.
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(pairs))


@given(FILMS, FILMS)
def test_hits_together_are_those_of_transnetv2(truth, found):
    together = transnet2(truth, found).together
    hits = most_in_order(truth.marks, found.marks, 2)
    assert counts(together) == (len(truth.marks), hits, len(found.marks), len(found.marks) - hits)


# --- clipshots_overlap ---


def test_many_predictions_may_hit_one_transition():
    score = clipshots_overlap(film(gradual=[(20, 30)]), film(gradual=[(10, 22), (24, 25), (29, 40)]))
    assert counts(score.gradual) == (1, 1, 3, 0)
    assert score.gradual.precision == pytest.approx(1 / 3)


def test_one_prediction_may_hit_many_transitions():
    score = clipshots_overlap(film(gradual=[(20, 30), (35, 40)]), film(gradual=[(25, 36)]))
    assert counts(score.gradual) == (2, 2, 1, 0)
    assert score.gradual.precision == 2.0


def test_intervals_overlap_that_share_the_frame_beside():
    # As pairs [19, 31] and [31, 41]: both hold frame 31.
    assert clipshots_overlap(film(gradual=[(20, 30)]), film(gradual=[(32, 40)])).gradual.hits == 1
    assert clipshots_overlap(film(gradual=[(20, 30)]), film(gradual=[(33, 40)])).gradual.hits == 0


def test_a_predicted_cut_hits_no_gradual_transition_but_is_no_false_alarm():
    score = clipshots_overlap(film([50], [(20, 30)]), film([25, 50]))
    assert counts(score.cuts) == (1, 1, 2, 0)
    assert counts(score.gradual) == (1, 0, 0, 0)
    assert counts(score.together) == (2, 2, 2, 0)
    assert score.missed == (Mark.gradual(20, 30),)


def test_a_bare_boundary_is_of_the_kind_that_it_overlaps():
    score = clipshots_overlap(film([31], [(20, 30)]), film([25, 31, 90], typed=False))
    assert counts(score.gradual) == (1, 1, 2, 0)
    assert counts(score.cuts) == (1, 1, 2, 1)
    assert counts(score.together) == (2, 2, 3, 1)
    assert (score.missed, score.false_alarms) == ((), (Mark.cut(90),))


def held(mark):
    """All frames of a transition as ClipShots writes it."""
    return set(range(mark.before, mark.after + 1))


@given(FILMS, FILMS)
def test_hits_are_overlaps_by_definition(truth, found):
    score = clipshots_overlap(truth, found)
    for tally, kinds in ((score.cuts, (True,)), (score.gradual, (False,)), (score.together, (True, False))):
        named = [mark for mark in found.marks if mark.is_cut in kinds]
        hits = [mark for mark in truth.marks if mark.is_cut in kinds and any(held(mark) & held(one) for one in named)]
        assert (tally.hits, tally.predicted) == (len(hits), len(named))
    alone = [mark for mark in found.marks if not any(held(mark) & held(one) for one in truth.marks)]
    assert list(score.false_alarms) == alone
