"""Numbers, texts and spans of foreign files, taken exactly as they are written, or refused in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from datasets_build.core.clock import NS_PER_S, round_half_up
from datasets_build.sources.said import Fault

Value = str | int | Decimal | bool | None | list["Value"] | dict[str, "Value"]
NS_PER: Mapping[str, int] = {"s": NS_PER_S, "ms": 1_000_000, "ns": 1}
_LARGEST_EXPONENT = 40


class CaptionError(ValueError):
    """A value that cannot be read; the text says what was found and expected."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.fault = Fault(code, reason)


def load_json(text: str) -> Value:
    """The value of a JSON text with its decimals as `Decimal`. Raises CaptionError (`not_json`)."""
    try:
        content: Value = json.loads(text, parse_float=Decimal, parse_constant=Decimal, object_pairs_hook=_unique)
    except RecursionError:
        raise CaptionError("not_json", "found lists nested too deep to read") from None
    except ValueError as error:
        raise CaptionError("not_json", f"found no valid JSON ({error})") from None
    return content


def _unique(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"key {twice!r} stands twice in one object")
    broken = next((key for key in found if _is_broken(key)), None)
    if broken is not None:
        raise ValueError(f"key {broken!a} holds half of a surrogate pair")
    return found


def _is_broken(text: str) -> bool:
    """Whether no table and no UTF-8 file can hold a text."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def show(value: object) -> str:
    """A value in at most 60 characters."""
    text = json.dumps(value, default=str, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "..."


def fraction_of(value: Value) -> Fraction:
    """A JSON number, exactly. Raises CaptionError for anything else, and for numbers no clock can hold."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise CaptionError("bad_type", f"found {show(value)}, expected a number")
    if isinstance(value, Decimal) and not _fits(value):
        raise CaptionError("bad_number", f"found {str(value)[:40]}, expected a finite time")
    return Fraction(value)


def _fits(value: Decimal) -> bool:
    # NaN and the infinities have no exponent; `1e999999999` is short to write and takes gigabytes as a fraction.
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent > -_LARGEST_EXPONENT and value.adjusted() < _LARGEST_EXPONENT


def nanoseconds(value: Value, unit: str = "s") -> int:
    """A JSON number of `s`, `ms` or `ns` as nanoseconds. Raises CaptionError."""
    return round_half_up(fraction_of(value) * NS_PER[unit])


def object_of(value: Value, expected: str = "an object with text and times") -> dict[str, Value]:
    """A JSON object. Raises CaptionError."""
    if not isinstance(value, dict):
        raise CaptionError("bad_type", f"found {show(value)}, expected {expected}")
    return value


def string_of(value: Value, name: str) -> str:
    """A text without the white space around it. Raises CaptionError when there is none or no table can hold it."""
    if not isinstance(value, str):
        raise CaptionError("bad_type", f"{name}: found {show(value)}, expected text")
    text = value.strip()
    if not text:
        raise CaptionError("no_text", f"{name}: found empty text, expected some")
    if _is_broken(text):
        raise CaptionError("bad_text", f"{name}: found half of a surrogate pair ({show(value)}), expected text")
    return text


def span_of(value: Value, name: str, duration_ns: int | None = None) -> tuple[int, int]:
    """`[start, end]` in seconds as nanoseconds. Raises CaptionError unless it is two numbers as `ordered` has them."""
    if not isinstance(value, list) or len(value) != 2:
        raise CaptionError("bad_time", f"{name}: found {show(value)}, expected [start, end] in seconds")
    return ordered(nanoseconds(value[0]), nanoseconds(value[1]), f"{name}: found {show(value)}", duration_ns)


def ordered(start_ns: int, end_ns: int, found: str, duration_ns: int | None = None) -> tuple[int, int]:
    """A span that starts in the video and ends after its start.

    Args:
        start_ns: first instant.
        end_ns: the instant after the last.
        found: the beginning of the sentence that tells what is wrong.
        duration_ns: the stated length of the video, None where nothing is stated.

    Raises:
        CaptionError: it is none.
    """
    if end_ns <= start_ns:
        raise CaptionError("bad_span", f"{found}, expected an end after the start")
    if start_ns < 0:
        raise CaptionError("bad_time", f"{found}, expected a start at or after 0")
    if duration_ns is not None and start_ns >= duration_ns:
        raise CaptionError("beyond_duration", f"{found}, expected a start before the stated {duration_ns} ns")
    return start_ns, end_ns
