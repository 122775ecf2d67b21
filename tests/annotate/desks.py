"""A labelling server in memory that shows clips, and people who work through a round in its screens."""

from annotate.access import Access
from annotate.closing import close
from annotate.desk import posting_of, reading_of, screen_of
from annotate.people import People
from annotate.push import push
from tests.annotate.board_of_lies import BoardOfLies
from tests.annotate.merging import untouched_work
from tests.annotate.pulled import project_of
from tests.annotate.rounds_of_items import patience
from tests.annotate.screens.answers import result_of


class Desk(BoardOfLies):
    """An honest one; it can be entered as the real one is."""

    def __init__(self, media=None):
        super().__init__(honest=True)
        self.access = Access(url="http://127.0.0.1:9", username="me@here", token="t", version="1.23.2", media=media)
        self.shown = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def media_url(self, path):
        return f"/clips/{path.name}"

    def media(self, project, folder):
        self.shown.append((project.id, folder))


def sent(round_, board, media):
    """Push a round as the command does."""
    config = screen_of(round_)
    return push(
        round_, board, config=config, posting=posting_of(round_, board, media), patience=patience(board)
    )  # fmt: skip


def worked(round_, board, user, work_of=untouched_work):
    """Somebody hands in work on every item of a round, in the words of the page."""
    board.pass_time(60)
    for item in round_.items:
        board.annotate(board.of_key(item.key)[0], user, result_of(work_of(item), item))


def closed(round_, board):
    """Pull and close a round as the command does."""
    people = People(round_.folder.parent / "people.json")
    return close(round_, board, project=project_of(round_, board), reading=reading_of(round_), people=people)
