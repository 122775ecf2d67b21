"""Pseudonyms: a1, a2 … by first appearance. Who is who stands in one file of mode 600, outside every round."""

from __future__ import annotations

import os
import re
from pathlib import Path

from annotate.errors import AnnotateError
from annotate.lock import wait
from datasets_build.core.files import read_json, whole_file

NOBODY = "nobody"
"""Who made an annotation whose author the server no longer knows."""
_NAME = re.compile(r"a[1-9][0-9]*")


class People:
    """The pseudonyms of the people of one server, kept in a file; several rounds may share it.

    A name is on the disk before anybody sees it, so the same person has it in every later run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: dict[int, str] = {}

    def name(self, user: int | None) -> str:
        """The pseudonym of a user's number; a new one for a user who was never seen, `nobody` for None.

        Raises:
            AnnotateError: the file is not one of pseudonyms, or cannot be written.
        """
        if user is None:
            return NOBODY
        if user not in self._names:
            self._learn(user)
        return self._names[user]

    def _learn(self, user: int) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with wait(self.path.with_name(f".{self.path.name}.lock")):
                self._names = _read(self.path)
                if user not in self._names:
                    self._names[user] = f"a{len(self._names) + 1}"
                    self._write()
        except OSError as error:
            raise AnnotateError(f"{self.path}: cannot keep pseudonyms there ({error.strerror})") from error

    def _write(self) -> None:
        lines = ",\n".join(f'  "{user}": "{name}"' for user, name in self._names.items())
        with whole_file(self.path) as aside:
            # From its first byte on it is for its owner alone.
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w") as out:
                os.fchmod(handle, 0o600)
                out.write(f"{{\n{lines}\n}}\n")


def _read(path: Path) -> dict[int, str]:
    if not path.exists():
        return {}
    content = read_json(path)
    names: dict[int, str] = {}
    for user, name in content.items() if isinstance(content, dict) else [("", content)]:
        if not user.isdecimal() or not isinstance(name, str) or not _NAME.fullmatch(name) or name in names.values():
            raise AnnotateError(f'{path}: found {user!r}: {name!r}, expected a user\'s number: "a1", each name once')
        names[int(user)] = name
    return names
