"""Pseudonyms stay, in one file that only its owner reads."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.errors import AnnotateError
from annotate.people import NOBODY, People
from tests.laws import examples


@settings(max_examples=examples(25))
@given(st.lists(st.integers(0, 8), max_size=12), st.integers(0, 12))
def test_names_are_by_first_appearance_and_outlive_the_process(tmp_path_factory, users, restart):
    path = tmp_path_factory.mktemp("people") / "deep" / "people.json"
    people, order = People(path), list(dict.fromkeys(users))
    for at, user in enumerate(users):
        if at == restart:
            people = People(path)
        assert people.name(user) == f"a{order.index(user) + 1}"
    assert [People(path).name(user) for user in order] == [f"a{at + 1}" for at in range(len(order))]


def test_two_rounds_at_once_give_no_name_twice(tmp_path):
    path = tmp_path / "people.json"
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda user: People(path).name(user), range(12)))
    assert sorted(names) == sorted(f"a{at}" for at in range(1, 13))
    assert json.loads(path.read_text()) == {str(user): name for user, name in enumerate(names)}


def test_only_its_owner_reads_it_from_the_first_byte_on(tmp_path):
    path = tmp_path / "secret" / "people.json"
    modes = []
    whole = os.fdopen

    def looked(handle, *rest):
        modes.append(os.fstat(handle).st_mode & 0o777)
        return whole(handle, *rest)

    before = os.umask(0)
    try:
        with mock.patch.object(os, "fdopen", looked):
            People(path).name(3)
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_nobody_has_no_entry(tmp_path):
    assert People(tmp_path / "people.json").name(None) == NOBODY
    assert not (tmp_path / "people.json").exists()


@pytest.mark.parametrize("content", ["[]", '{"x": "a1"}', '{"1": "bob"}', '{"1": 1}', '{"1": "a1", "2": "a1"}', "3"])
def test_another_file_is_refused_and_stays(tmp_path, content):
    path = tmp_path / "people.json"
    path.write_text(content)
    with pytest.raises(AnnotateError, match="expected a user's number"):
        People(path).name(7)
    assert path.read_text() == content


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AnnotateError, match="cannot keep pseudonyms there"):
        People(tmp_path / "file" / "people.json").name(7)
