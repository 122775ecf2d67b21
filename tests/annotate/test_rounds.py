"""A round is made once, found again, and is what it was or is refused."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.errors import AnnotateError
from annotate.manifest import LeftOut
from annotate.rounds import ITEMS, MANIFEST, REJECTS, Round, create, items_sha256, load, round_of
from datasets_build.core.files import read_rejects
from datasets_build.core.records import Reject
from tests.annotate.rounds_of_items import item, manifest, some_round, tree
from tests.annotate.test_manifest import OTHERS
from tests.laws import examples

LEFT = Reject(stage="annotate", item="v: Event e", code="outside", reason="it is", action="none", at_ns=7)
ITEMS_OF_3 = [item(number) for number in range(3)]


@settings(max_examples=examples(25))
@given(st.lists(st.integers(0, 50), unique=True, max_size=6), st.integers(0, 2**40), st.none() | st.integers(1, 9))
def test_a_round_is_found_again_as_it_was_made(tmp_path_factory, numbers, seed, sample):
    root = tmp_path_factory.mktemp("rounds")
    items = [item(number, is_gold=number % 2 == 0) for number in numbers]
    made = create(root, manifest(items, seed=seed, sample=sample), items)
    assert load(root, "r1") == made
    assert made.items == tuple(items)
    assert sorted(made.by_key) == sorted(one.key for one in items)


def test_the_same_round_tomorrow_is_the_same_round(tmp_path):
    create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3)
    before = tree(tmp_path)
    again = create(tmp_path, manifest(ITEMS_OF_3, made_at="2026-01-02T00:00:00Z"), ITEMS_OF_3)
    assert again.manifest.made_at == "2026-01-01T00:00:00Z"
    assert tree(tmp_path) == before


def test_two_who_make_the_same_round_at_once_make_one(tmp_path):
    start = Barrier(2)

    def make(name):
        start.wait()
        return create(tmp_path, manifest(ITEMS_OF_3, name), ITEMS_OF_3)

    with ThreadPoolExecutor(2) as pool:
        for number in range(20):
            first, second = pool.map(make, [f"r{number}"] * 2)
            assert first == second == load(tmp_path, f"r{number}")
            assert sorted(path.name for path in first.folder.iterdir()) == [ITEMS, MANIFEST, REJECTS]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 4}, r"seed: 3 → 4"),
        ({"overlap": 3}, r"overlap: 2 → 3"),
        ({"model_version": "m/2"}, r"model_version: rules/1 → m/2"),
        ({"labels": ("jump",)}, r"labels: \['jump', 'fall'\] → \['jump'\]"),
        ({"config_sha256": "0" * 64, "parent_round": "r0"}, r"config_sha256: .* → 0{64}; parent_round: None → r0"),
    ],
)
def test_a_round_of_something_else_is_refused_by_field(tmp_path, changes, words):
    create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3)
    before = tree(tmp_path)
    with pytest.raises(AnnotateError, match=f"was made of something else .*{words}"):
        create(tmp_path, manifest(ITEMS_OF_3, **changes), ITEMS_OF_3)
    assert tree(tmp_path) == before


def test_other_items_are_refused_by_field(tmp_path):
    create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3)
    other = [*ITEMS_OF_3[:2], item(9)]
    with pytest.raises(AnnotateError, match=r"something else \(items_sha256: "):
        create(tmp_path, manifest(other), other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"items": 4}, "items: the manifest says 4, found 3"),
        ({"gold": 1}, "gold: the manifest says 1, found 0"),
        ({"items_sha256": "f" * 64}, "items_sha256: the manifest says ffff"),
        ({"kind": "qa"}, "kind of .*: found events, expected qa"),
    ],
)
def test_a_manifest_that_does_not_describe_its_items_is_refused(tmp_path, changes, words):
    with pytest.raises(AnnotateError, match=words):
        create(tmp_path, manifest(ITEMS_OF_3, **changes), ITEMS_OF_3)
    assert tree(tmp_path) == {}


def test_two_items_of_one_key_are_refused(tmp_path):
    twice = [item(1), item(2), item(1)]
    with pytest.raises(AnnotateError, match=f"key {item(1).key}: two items have it"):
        create(tmp_path, manifest(twice), twice)


@pytest.mark.parametrize("name", ["", "R1", "../r1", "r 1", "-r", "r" * 33, "r/1", "r1\n"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(AnnotateError, match="not a name, expected 1 to 32"):
        create(tmp_path, manifest(ITEMS_OF_3, name), ITEMS_OF_3)
    with pytest.raises(AnnotateError, match="not a name"):
        load(tmp_path, name)


def test_a_round_that_is_not_there(tmp_path):
    with pytest.raises(AnnotateError, match=r"r7: no round of this name; make it with annotate-push"):
        load(tmp_path, "r7")


def test_items_that_somebody_changed(tmp_path):
    folder = create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3).folder
    lines = (folder / ITEMS).read_text().splitlines(keepends=True)
    (folder / ITEMS).write_text("".join(lines[:2]))
    with pytest.raises(AnnotateError, match=r"items\.jsonl: items_sha256: found .*, expected .*: somebody changed"):
        load(tmp_path, "r1")
    (folder / ITEMS).unlink()
    with pytest.raises(AnnotateError, match=r"items\.jsonl: no such file, expected the round's 3 items"):
        load(tmp_path, "r1")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("seed", "x", r"manifest\.json: seed: Input should be a valid integer, found 'x'"),
        ("overlap", 0, r"manifest\.json: overlap: Input should be greater than or equal to 1, found '0'"),
        ("extra", 1, r"manifest\.json: extra: Extra inputs are not permitted"),
        ("round", "r2", r"manifest\.json: round: found r2, expected the folder's name r1"),
        ("items", 2, r"manifest\.json: items: the manifest says 2, found 3"),
        ("gold", 1, r"manifest\.json: gold: the manifest says 1, found 0"),
        ("kind", "qa", r"manifest\.json: kind of [0-9a-f]{20}: found events, expected qa"),
    ],
)
def test_a_manifest_that_somebody_changed(tmp_path, field, value, words):
    path = create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3).folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(AnnotateError, match=words):
        load(tmp_path, "r1")


@pytest.mark.parametrize("name", [ITEMS, MANIFEST, REJECTS])
def test_no_byte_of_a_round_can_be_another(tmp_path, name):
    folder = create(tmp_path, manifest(ITEMS_OF_3[:1]), ITEMS_OF_3[:1], [LEFT]).folder
    right = (folder / name).read_bytes()
    for at in range(0, len(right), 3):
        # Another digit, letter or sign: often what can be read as well.
        (folder / name).write_bytes(right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :])
        with pytest.raises(AnnotateError):
            load(tmp_path, "r1")
    for wrong in (right + b"\n", right + b" ", right[:-1], b""):
        (folder / name).write_bytes(wrong)
        with pytest.raises(AnnotateError):
            load(tmp_path, "r1")
    (folder / name).write_bytes(right)
    assert load(tmp_path, "r1").items == tuple(ITEMS_OF_3[:1])


# What a manifest says of its items is held against them.
@pytest.mark.parametrize(
    "field", sorted((OTHERS.keys() | {"sha256"}) - {"round", "kind", "items", "items_sha256", "gold"})
)
def test_a_field_of_a_manifest_that_says_something_else_is_seen_by_its_digest(tmp_path, field):
    value = OTHERS.get(field, "0" * 64)
    made = create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3, [LEFT])
    (made.folder / MANIFEST).write_text(made.manifest.model_copy(update={field: value}).text)
    with pytest.raises(
        AnnotateError, match=r"manifest\.json: sha256: found .*: somebody changed the manifest of a round"
    ):
        load(tmp_path, "r1")


def test_the_records_that_no_screen_asks_about_lie_beside_the_items(tmp_path):
    made = create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3, [LEFT])
    assert read_rejects(made.folder / REJECTS) == [LEFT]
    assert load(tmp_path, "r1") == made
    (made.folder / REJECTS).write_text("")
    with pytest.raises(
        AnnotateError, match=r"rejects\.jsonl: rejects_sha256: found .*: somebody changed the rejects of"
    ):
        load(tmp_path, "r1")
    (made.folder / REJECTS).unlink()
    with pytest.raises(
        AnnotateError, match=r"rejects\.jsonl: no such file, expected the round's records that no screen"
    ):
        load(tmp_path, "r1")


def test_how_many_are_left_out_and_which_follows_from_the_rest_and_makes_no_other_round(tmp_path):
    made = create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3, [LEFT])
    other = manifest(ITEMS_OF_3, left_out=(LeftOut(code="cut", records=1),))
    assert create(tmp_path, other, ITEMS_OF_3) == made


def test_a_torn_manifest_is_told(tmp_path):
    path = create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3).folder / MANIFEST
    path.write_text(path.read_text()[:30])
    with pytest.raises(AnnotateError, match=r"manifest\.json: line: Invalid JSON"):
        load(tmp_path, "r1")


def test_a_kill_between_items_and_manifest_leaves_no_round(tmp_path):
    with mock.patch("annotate.rounds.write_bytes", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3)
    assert (tmp_path / "r1" / ITEMS).exists()
    with pytest.raises(AnnotateError, match="no round of this name"):
        load(tmp_path, "r1")
    # What is left of it does not bind anybody.
    other = [item(8)]
    assert create(tmp_path, manifest(other), other).items == (item(8),)


def test_titles_fit_a_server_and_are_of_the_content(tmp_path):
    rounds = [
        create(tmp_path / "a", manifest(ITEMS_OF_3, "r" * 32), ITEMS_OF_3),
        create(tmp_path / "b", manifest(ITEMS_OF_3, "r" * 32, seed=9), ITEMS_OF_3),
        create(tmp_path / "c", manifest(ITEMS_OF_3[:2], "r" * 32), ITEMS_OF_3[:2]),
        create(tmp_path / "d", manifest(ITEMS_OF_3, "r" * 32, config_sha256="0" * 64), ITEMS_OF_3),
    ]
    titles = [one.title for one in rounds]
    assert {len(title) for title in titles} == {50}
    assert titles[0] == titles[1]
    assert len(set(titles)) == 3
    assert len(some_round(tmp_path, name="r").title) >= 3


def test_the_round_of_a_key(tmp_path):
    some_round(tmp_path, 2, name="r1")
    some_round(tmp_path, 4, name="r2")
    assert round_of(tmp_path, item(3).key, but="r1") == "r2"
    assert round_of(tmp_path, item(3).key, but="r2") is None
    assert round_of(tmp_path, item(1).key, but="r2") == "r1"
    assert round_of(tmp_path, item(5).key, but="r9") is None
    assert round_of(tmp_path, '\ud800"', but="r1") is None


def test_the_digest_of_items_is_that_of_the_file(tmp_path):
    folder = create(tmp_path, manifest(ITEMS_OF_3), ITEMS_OF_3).folder
    assert json.loads((folder / MANIFEST).read_text())["items_sha256"] == items_sha256(ITEMS_OF_3)
    assert (folder / ITEMS).read_text().count("\n") == 3


# Keys are hexadecimal; what strangers give their tasks is looked for among them all the same.
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ['"', "\\", 'a","window":{', "\x00\x1f\x7f"]
)


@settings(max_examples=examples(60))
@given(st.lists(KEYS, unique=True, min_size=1, max_size=5), KEYS)
def test_an_item_is_found_by_its_key_whatever_that_is(tmp_path_factory, keys, other):
    root = tmp_path_factory.mktemp("rounds")
    items = [item(number).model_copy(update={"key": key}) for number, key in enumerate(keys)]
    create(root, manifest(items), items)
    found = load(root, "r1")
    assert [found.item(key) for key in keys] == items
    assert (found.item(other) is None) == (other not in keys)
    assert found.item("\ud800") is None


def forged(root, lines, **changes):
    """A round whose manifest was made to fit another file of items."""
    made = create(root, manifest(ITEMS_OF_3), ITEMS_OF_3)
    content = b"".join(line + b"\n" for line in lines)
    (made.folder / ITEMS).write_bytes(content)
    told = {"items_sha256": hashlib.sha256(content).hexdigest(), "items": len(lines), **changes}
    (made.folder / MANIFEST).write_text(made.manifest.model_copy(update=told).sealed().text)


LINES_OF_3 = Round.of(None, manifest(ITEMS_OF_3), ITEMS_OF_3).lines


def test_only_what_is_asked_for_is_parsed(tmp_path):
    """A line that nobody can have written breaks whoever reads it, and nobody else."""
    broken = LINES_OF_3[1].replace(b'"width":64', b'"width":"wide"')
    forged(tmp_path, [LINES_OF_3[0], broken, LINES_OF_3[2]])
    found = load(tmp_path, "r1")
    assert [found.item(ITEMS_OF_3[at].key) for at in (0, 2)] == [ITEMS_OF_3[0], ITEMS_OF_3[2]]
    words = r"items\.jsonl:2: window\.width: Input should be a valid integer.*, found 'wide'"
    with pytest.raises(AnnotateError, match=words):
        found.item(ITEMS_OF_3[1].key)
    with pytest.raises(AnnotateError, match=words):
        _ = found.items


def test_a_file_of_items_that_no_round_wrote(tmp_path):
    forged(tmp_path / "a", [LINES_OF_3[0], b" " + LINES_OF_3[1]])
    with pytest.raises(AnnotateError, match=r"items\.jsonl:2: found .*, expected an item that begins with its key"):
        load(tmp_path / "a", "r1")
    forged(tmp_path / "b", [*LINES_OF_3, LINES_OF_3[1]])
    with pytest.raises(AnnotateError, match=f"key {ITEMS_OF_3[1].key}: two items have it"):
        load(tmp_path / "b", "r1")


def test_words_that_look_like_fields_are_none(tmp_path):
    words = '"is_gold":true "sheet":{"kind":"qa" {"key":"k"'
    mark = ITEMS_OF_3[0].sheet.marks[0].model_copy(update={"note": words, "label": "\\" + words})
    told = ITEMS_OF_3[0].model_copy(update={"sheet": ITEMS_OF_3[0].sheet.model_copy(update={"marks": (mark,)})})
    items = [told, ITEMS_OF_3[1]]
    create(tmp_path, manifest(items), items)
    found = load(tmp_path, "r1")
    assert found.items == tuple(items)
    assert found.manifest.gold == 0
    with pytest.raises(AnnotateError, match=f"kind of {told.key}: found events, expected qa"):
        create(tmp_path, manifest(items, "r2", kind="qa"), items)
