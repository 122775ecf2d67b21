"""What tests of a pull share: a pull with pseudonyms beside the rounds, and what it wrote."""

from annotate.journal import JOURNAL, read
from annotate.people import People
from annotate.pull import pull
from tests.annotate.rounds_of_items import reading

JUMP, FALL, TRIP = ["jump"], ["fall"], ["trip"]


def project_of(round_, board):
    return board.projects[round_.title][0]


def known(round_, board, *, counter=None, people="people.json"):
    """What a pull or a close is told beside the round and its server."""
    return {
        "project": project_of(round_, board),
        "reading": reading(counter),
        "people": People(round_.folder.parents[1] / people),
    }


def fetch(round_, board, *, everything=False, **more):
    return pull(round_, board, everything=everything, **known(round_, board, **more))


def rows(round_):
    return [placed.row for placed in read(round_.folder / JOURNAL)]


def told(round_):
    return [(row.what, row.annotation, tuple(flag.code for flag in row.flags)) for row in rows(round_)]
