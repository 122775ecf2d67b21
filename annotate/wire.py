"""The way to a Label Studio through its own client library, which this file alone imports, and only when asked.

Every request is made once: the library's retries are off, because a request that was carried out and lost its answer
would be carried out twice. What may or may not have been written is said by the kind of error.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from annotate.access import Access, is_local
from annotate.board import MissingError, Project, RefusedError, UnknownError
from annotate.errors import AnnotateError

T = TypeVar("T")
SDK = "2.1"
INSTALL = "pip install --no-deps -r annotate/requirements-sdk.txt"
TIMEOUT_S = 60.0


class Wire:
    """The client library's client and the two kinds of error that it raises: a refusal, and silence."""

    def __init__(self, access: Access) -> None:
        try:
            import httpx
            from label_studio_sdk.base_client import LabelStudioBase
            from label_studio_sdk.core.api_error import ApiError
        except ImportError as error:
            raise AnnotateError(f"label-studio-sdk lacks a package ({error}); run `{INSTALL}`") from None
        self.access = access
        # What a shell says of proxies is not for this machine's own addresses.
        self._http = httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, trust_env=not is_local(access.url))
        # The library takes the last part off an address without a final stroke where it asks for a token.
        self.client: Any = LabelStudioBase(
            base_url=f"{access.url}/", api_key=access.token, timeout=TIMEOUT_S, max_retries=0, httpx_client=self._http
        )
        self._refusal: Any = ApiError
        self._silence: type[Exception] = httpx.HTTPError

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def ask(self, doing: str, call: Callable[[], T], project: Project | None = None) -> T:
        """Make one request; every way in which it can go wrong becomes one of the board's errors.

        The library's own messages are not passed on: they hold cookies.
        """
        try:
            with warnings.catch_warnings():
                # Where it buys a token the library calls pydantic by an old name.
                warnings.simplefilter("ignore", DeprecationWarning)
                return call()
        except self._refusal as error:
            status, words = error.status_code or 500, _words(error.body)
        except self._silence as error:
            raise UnknownError(
                f"{self.access.url}: {doing}: no answer ({type(error).__name__}); it may have been carried out"
            ) from None
        where = f"{self.access.url}: {doing}"
        if project is not None and status == 404:
            raise MissingError(f"{where}: project {project.id} is gone; somebody deleted it")
        if status in (401, 403):
            raise RefusedError(f"{where}: {self.access.username} is not let in (status {status}: {words})")
        if 400 <= status < 500 and status != 408:
            raise RefusedError(f"{where}: refused with status {status}: {words}")
        raise UnknownError(
            f"{where}: failed with status {status}: {words}; it may have been carried out; see the server's log"
        )


def wire_to(access: Access) -> Wire:
    """A way to a server. Raises AnnotateError with the command where the library is missing or of another version."""
    try:
        found = version("label-studio-sdk")
    except PackageNotFoundError:
        raise AnnotateError(f"label-studio-sdk is not installed; run `{INSTALL}`") from None
    if not found.startswith(f"{SDK}."):
        raise AnnotateError(f"found label-studio-sdk {found}, expected {SDK}.x; run `{INSTALL}`")
    return Wire(access)


def once(timeout_s: float) -> dict[str, Any]:
    """What a request is told: how long it may take, and never to be made again by itself."""
    return {"max_retries": 0, "timeout_in_seconds": timeout_s}


def _words(body: object) -> str:
    """What a server says of its refusal, on one line."""
    if isinstance(body, dict):
        words = str(body.get("validation_errors") or body.get("detail") or body)
    else:
        words = "a page" if "<html" in str(body) else str(body)
    return " ".join(words.split())[:300]
