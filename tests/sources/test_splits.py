import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datasets_build.sources.splits import SplitConfig, assign_splits, quotas


def sizes(n_groups: int, config: SplitConfig) -> dict[str, int]:
    dealt = list(assign_splits([f"group{n}" for n in range(n_groups)], config).values())
    return {split: dealt.count(split) for split in dict.fromkeys(dealt)}


@pytest.mark.parametrize(
    ("n_groups", "expected"),
    [
        (0, {}),
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "validation": 1, "test": 1}),
        (10, {"train": 8, "validation": 1, "test": 1}),
        (20, {"train": 16, "validation": 2, "test": 2}),
        (1000, {"train": 800, "validation": 100, "test": 100}),
    ],
)
def test_shares_in_whole_groups(n_groups, expected):
    assert sizes(n_groups, SplitConfig()) == expected


def test_a_split_of_no_share_stays_empty():
    assert sizes(20, SplitConfig(train=0.9, validation=0.0, test=0.1)) == {"train": 18, "test": 2}
    assert sizes(3, SplitConfig(train=1.0, validation=0.0, test=0.0)) == {"train": 3}


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.2), (0.5, 0.1, 0.1), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValidationError, match=r"sum to 1|greater than|less than"):
        SplitConfig(train=shares[0], validation=shares[1], test=shares[2])


@given(st.integers(0, 300), st.integers(1, 98), st.integers(0, 50))
def test_every_group_has_one_split_and_every_split_its_share(n_groups, train, validation):
    validation = min(validation, 99 - train)
    config = SplitConfig(train=train / 100, validation=validation / 100, test=(100 - train - validation) / 100)
    counts = quotas(n_groups, config.shares)
    assert sum(counts.values()) == n_groups
    if n_groups >= len(config.shares):
        assert all(counts[split] >= 1 for split in config.shares)
    for split, count in counts.items():
        wanted = config.shares[split] * n_groups
        # A split that was too small for one group may have taken up to one from each of the others.
        assert -len(config.shares) < count - wanted <= 1 + 1e-9


@given(st.lists(st.text(max_size=3)), st.randoms(use_true_random=False), st.integers(0, 5))
def test_neither_order_nor_repeats_matter(groups, shuffle, seed):
    config = SplitConfig(seed=seed)
    first = assign_splits(groups, config)
    again = [*groups, *groups]
    shuffle.shuffle(again)
    assert assign_splits(again, config) == first
    assert set(first) == set(groups)


def test_another_seed_deals_anew():
    groups = [f"group{n}" for n in range(100)]
    assert assign_splits(groups, SplitConfig()) != assign_splits(groups, SplitConfig(seed=1))


def test_stated_splits_stand_and_the_others_are_dealt_as_without_them():
    groups = [str(number) for number in range(20)]
    stated = {"3": "validation", "7": "validation"}
    found = assign_splits(groups, SplitConfig(), stated)
    assert set(found) == set(groups)
    assert (found["3"], found["7"]) == ("validation", "validation")
    rest = assign_splits([group for group in groups if group not in stated], SplitConfig())
    assert found == rest | stated
    assert assign_splits(["3"], SplitConfig(), {"3": "test"}) == {"3": "test"}
