"""Which examples are streamed: none twice, of every kind that is there one, and the shortest that shows it."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.data.script import Line
from recipes.verify.kinds import LONG, choose, kinds_of


@dataclass(frozen=True)
class Footage:
    """A video whose frames come in twos from 0 ns on, one every 10 ns."""

    def waiting_at(self, t_ns):
        return t_ns if t_ns // 10 % 2 == 0 else None


@dataclass(frozen=True)
class Script:
    lines: tuple
    shown: tuple = ()
    footage: Footage = Footage()


@dataclass(frozen=True)
class Example:
    key: str
    source: str
    tokens: int


def decided(ended=True, t_ns=15):
    return Line(t_ns=t_ns, task="t", text="a word", state="respond", ended=ended)


def asked(ended=True, t_ns=15):
    return Line(t_ns=t_ns, task="t", question="what?", text="a word", ended=ended)


LINES = st.lists(
    st.builds(
        lambda question, ended, t_ns: (asked if question else decided)(ended, t_ns),
        st.booleans(), st.booleans(), st.sampled_from([5, 15, 25]),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(1, 3 * LONG), LINES, st.booleans()), min_size=1, max_size=12
)


def test_each_kind_is_known_by_its_lines():
    assert kinds_of(Script((decided(), asked()))) == []
    assert kinds_of(Script((decided(False), decided()))) == ["a decided reply cut short"]
    assert kinds_of(Script((asked(False), decided()))) == ["an answer cut short"]
    assert kinds_of(Script((decided(False), asked()))) == ["a decided reply cut short", "a user who barges in"]
    assert kinds_of(Script((asked(t_ns=25),))) == ["a frame without its partner"]
    assert kinds_of(Script((decided(t_ns=25),))) == []


@given(rows=ROWS)
@settings(max_examples=50)
def test_every_kind_of_every_source_is_chosen_by_its_shortest(rows):
    examples = [Example(f"{k}", source, tokens) for k, (source, tokens, _, _) in enumerate(rows)]
    scripts = {f"{k}": Script(tuple(lines), ((0, 1),) * shown) for k, (_, _, lines, shown) in enumerate(rows)}
    chosen = choose(examples, scripts)
    keys = [row.example.key for row in chosen]
    assert len(set(keys)) == len(keys)
    assert {row.example.source for row in chosen} == {example.source for example in examples}
    for source in "ab":
        mine = [row for row in chosen if row.example.source == source]
        told = [e for e in examples if e.source == source and not scripts[e.key].shown]
        assert not told or all(row.example in told for row in mine)
        for kind in {kind for example in told for kind in kinds_of(scripts[example.key])}:
            (row,) = [row for row in mine if kind in row.kinds]
            there = [example.tokens for example in told if kind in kinds_of(scripts[example.key])]
            assert row.example.tokens == min(there)
        if told:
            (row,) = [row for row in mine if "shortest" in row.kinds]
            assert row.example.tokens == min(example.tokens for example in told)
            short = [example.tokens for example in told if example.tokens <= LONG * row.example.tokens]
            assert [row.example.tokens for row in mine if "longest" in row.kinds] == [max(short)]


def test_a_source_of_which_nothing_can_be_streamed_is_still_named():
    example = Example("k", "captions", 5)
    (unknown,) = choose([example], {})
    (spoiled,) = choose([example], {"k": Script((asked(),), ((0, 1),))})
    assert unknown == spoiled
    assert (unknown.example, unknown.kinds) == (example, ("shortest",))
