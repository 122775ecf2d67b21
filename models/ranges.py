"""Checks of settings that are numbers: by type and by range, with an error that names the field."""

from typing import Final

from models.errors import SettingsError

INT64: Final = 2**63 - 1


def check_count(what: str, value: int, *, least: int, most: int = INT64) -> None:
    """Refuses what is no int in [least, most]; bools are none.

    Raises:
        SettingsError: naming `what`, such as `setting slots`.
    """
    if type(value) is not int or not least <= value <= most:
        open_end = most == INT64 and (type(value) is not int or value < least)
        wanted = f"of {least} or more" if open_end else f"in [{least}, {most}]"
        raise SettingsError(f"{what} is {value!r}, expected an integer {wanted}")


def check_number(what: str, value: float, *, low: float, high: float) -> None:
    """Refuses what is no number in [low, high], both finite; bools are none, and NaN lies nowhere.

    Raises:
        SettingsError: naming `what`, such as `setting top_p`.
    """
    if type(value) not in (int, float) or not low <= value <= high:
        raise SettingsError(f"{what} is {value!r}, expected a number in [{low:g}, {high:g}]")
