"""A way into a Label Studio: address, token and who one is there; checked, kept for oneself, and said in no message.

Nothing here needs the server's own client library: a person without it can start a server and invite people.
"""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path

from annotate.errors import AnnotateError
from datasets_build.core.files import read_json, whole_file
from datasets_build.core.records import Json

#: Minor releases of Label Studio that everything here was tried with.
SERVES = "1.23"
TIMEOUT_S = 30.0
ACCESS_FILE = "access.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a Label Studio is and the token to enter with; neither `token` nor `password` shows in its text.

    `token` is a personal access token or one of the older kind. `media` is the folder that the server shows files from,
    where that is known. `password` is there for a server of one's own, to sign in on its pages.
    """

    url: str
    username: str
    token: str = field(repr=False)
    version: str
    media: Path | None = None
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if re.fullmatch(r"[A-Za-z0-9._-]+", self.token) is None:
            raise AnnotateError(f"{self.url}: the token holds characters that no token has; copy it again, whole")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said: status, type and body."""

    status: int
    kind: str
    body: bytes = field(repr=False)

    def mapping(self) -> Mapping[str, Json]:
        """The body as a JSON object; empty where it is anything else."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a redirection is an answer."""

    def redirect_request(self, *_: object) -> None:
        return None


class Caller:
    """Talks to one address over HTTP, keeping its cookies; a local address is never looked for behind a proxy."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._cookies = http.cookiejar.CookieJar()
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPCookieProcessor(self._cookies), _Stay()]
        if is_local(url):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, *, token: str | None = None, first: int | None = None) -> Answer:
        """Ask for a page, or for its `first` bytes. Raises AnnotateError where nothing answers."""
        headers = _bearer(token) if first is None else {**_bearer(token), "Range": f"bytes=0-{first - 1}"}
        return self._send(urllib.request.Request(self.url + path, headers=headers))  # noqa: S310 # checked

    def post(self, path: str, fields: Mapping[str, str], *, token: str | None = None, form: bool = False) -> Answer:
        """Send fields, as a form of the page at `path` where `form`, else as JSON."""
        headers = {**_bearer(token), "Referer": self.url + path}
        secret = next((cookie.value for cookie in self._cookies if cookie.name == "csrftoken"), None)
        if secret:
            headers["X-CSRFToken"] = secret
        if form:
            body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": secret or ""}).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            body = json.dumps(dict(fields)).encode()
            headers["Content-Type"] = "application/json"
        return self._send(urllib.request.Request(self.url + path, data=body, headers=headers, method="POST"))  # noqa: S310

    def _send(self, request: urllib.request.Request) -> Answer:
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as reply:
                return Answer(status=reply.status, kind=reply.headers.get_content_type(), body=reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(status=error.code, kind=error.headers.get_content_type(), body=error.read())
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise AnnotateError(
                f"{self.url}: no Label Studio answers there ({reason or type(error).__name__}); "
                "start one with `make label-studio`, or check the address"
            ) from None


def is_local(url: str) -> bool:
    """Whether an address is on this machine."""
    return urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def connect(url: str, token: str, *, media: Path | None = None) -> Access:
    """Enter a Label Studio by address and token.

    Raises AnnotateError where nothing answers, where something else does, for another version and for a wrong token.
    """
    caller = Caller(_address(url, "STREAMVL_STUDIO_URL"))
    version = version_at(caller)
    if not version.startswith(f"{SERVES}."):
        raise AnnotateError(f"{caller.url}: found Label Studio {version}, expected {SERVES}.x")
    access = Access(url=caller.url, username="", token=token.strip(), version=version, media=media)
    return replace(access, username=whoami(caller, access.token))


def version_at(caller: Caller) -> str:
    """The version of the Label Studio at an address. Raises AnnotateError where nothing or something else answers."""
    answer = caller.get("/api/version")
    package = answer.mapping().get("label-studio-os-package")
    version = package.get("version") if isinstance(package, dict) else None
    if not isinstance(version, str):
        raise AnnotateError(
            f"{caller.url}: found something that is no Label Studio (status {answer.status}, {answer.kind} for "
            "/api/version), expected a Label Studio; check the address and port"
        )
    return version


def whoami(caller: Caller, token: str) -> str:
    """The e-mail address of the account that a token belongs to. Raises AnnotateError where it opens nothing."""
    answer = caller.get("/api/current-user/whoami", token=bearer_of(caller, token))
    email = answer.mapping().get("email")
    if answer.status != 200 or not isinstance(email, str):
        raise _wrong_token(caller, answer)
    return email


def bearer_of(caller: Caller, token: str) -> str:
    """What goes into the header: a personal access token buys another that lasts minutes; an older one is itself."""
    if token.count(".") != 2:
        return f"Token {token}"
    answer = caller.post("/api/token/refresh/", {"refresh": token})
    bought = answer.mapping().get("access")
    if not isinstance(bought, str):
        raise _wrong_token(caller, answer)
    return f"Bearer {bought}"


def other_than(access: Access, page: str, expected: bytes) -> str | None:
    """What a page begins with instead of some bytes, in words; None where it begins with them."""
    caller = Caller(access.url)
    answer = caller.get(page, token=bearer_of(caller, access.token), first=len(expected))
    if answer.status not in (200, 206):
        return f"status {answer.status}"
    return None if answer.body[: len(expected)] == expected else "other bytes"


def sign_in(url: str, username: str, password: str) -> Caller:
    """Sign in as a person does, on the page. Raises AnnotateError where the account or password is not known."""
    caller = Caller(_address(url, "url"))
    caller.get("/user/login/")
    if caller.post("/user/login/", {"email": username, "password": password}, form=True).status != 302:
        raise AnnotateError(f"{url}: could not sign in as {username}: no such account, or another password")
    return caller


def personal_token(caller: Caller) -> str:
    """A new personal access token for whoever is signed in; an earlier one, shown once and lost, stops working."""
    for _ in range(2):
        answer = caller.post("/api/token/", {})
        token = answer.mapping().get("token")
        if isinstance(token, str):
            return token
        for old in _listed_tokens(caller):
            caller.post("/api/token/blacklist/", {"refresh": old})
    raise AnnotateError(f"{caller.url}: the server gave no token (status {answer.status})")


def invite(access: Access, email: str, password: str) -> int:
    """Make an account for somebody and let it in, as an invitation does; the number of the account.

    Raises AnnotateError with the server's reason where it makes none: a known address, a short password.
    """
    admin = Caller(access.url)
    bearer = bearer_of(admin, access.token)
    link = admin.get("/api/invite", token=bearer).mapping().get("token")
    if not isinstance(link, str):
        raise AnnotateError(f"{access.url}: {access.username} may invite nobody; use the token of an administrator")
    page = "/user/signup/?" + urllib.parse.urlencode({"token": link})
    guest = Caller(access.url)
    guest.get(page)
    answer = guest.post(page, {"email": email, "password": password}, form=True)
    # The server logs the page's address: the link in it must open nothing any more.
    admin.post("/api/invite/reset-token", {}, token=bearer)
    number = guest.get("/api/current-user/whoami").mapping().get("id")
    if answer.status != 302 or not isinstance(number, int):
        raise AnnotateError(f"{access.url}: made no account for {email}: {_complaint(answer)}")
    return number


def write_access(home: Path, access: Access) -> None:
    """Keep an access in a folder of mode 700, in a file of mode 600 from its first byte on."""
    private_folder(home)
    value = {
        "url": access.url,
        "username": access.username,
        "password": access.password,
        "token": access.token,
        "version": access.version,
        "media": str(access.media) if access.media else None,
    }
    with whole_file(home / ACCESS_FILE) as aside:
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(json.dumps(value, indent=2) + "\n")


def read_access(home: Path) -> Access:
    """Read an access that was kept. Raises AnnotateError where it is absent, broken or open to others."""
    path = home / ACCESS_FILE
    if not path.exists():
        raise AnnotateError(f"{path}: no such file; start a Label Studio with `make label-studio`")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise AnnotateError(f"{path}: found mode {mode:o}, expected 600: others can read it; run `chmod 600 {path}`")
    value = read_json(path)
    if not isinstance(value, dict):
        raise AnnotateError(f"{path}: found no JSON object, expected an access; remove it and start again")
    texts = {name: value.get(name) for name in ("url", "username", "password", "token", "version")}
    broken = [name for name, text in texts.items() if not isinstance(text, str)]
    if broken:
        raise AnnotateError(f"{path}: found no text for {', '.join(broken)}; remove it and start again")
    media = value.get("media")
    return Access(
        url=_address(str(texts["url"]), f"{path}: url"),
        username=str(texts["username"]),
        password=str(texts["password"]),
        token=str(texts["token"]),
        version=str(texts["version"]),
        media=Path(media) if isinstance(media, str) else None,
    )


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter. Raises AnnotateError where the disk knows no such thing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        raise AnnotateError(f"{folder}: found mode {mode:o}, expected 700; choose a folder on a disk that keeps modes")


def _address(url: str, where: str) -> str:
    wrong = AnnotateError(f"{where}: not an address of a server; expected something like http://127.0.0.1:8080")
    try:
        parts = urllib.parse.urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise wrong from None
    # What stands before an @ may be a password: no message repeats such an address.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.query:
        raise wrong
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _bearer(header: str | None) -> dict[str, str]:
    return {"Authorization": header} if header else {}


def _wrong_token(caller: Caller, answer: Answer) -> AnnotateError:
    if answer.status >= 500:
        return AnnotateError(
            f"{caller.url}: the server failed as it looked at the token (status {answer.status}): see its log, repeat"
        )
    if answer.status in (404, 405):
        advice = f"its page for tokens is missing (status {answer.status}): the address has a part too many or too few"
    else:
        advice = "make one on the page Account & Settings, Access Tokens, and check that it belongs to this server"
    return AnnotateError(f"{caller.url}: the token opens nothing there; {advice}")


def _listed_tokens(caller: Caller) -> list[str]:
    try:
        rows = json.loads(caller.get("/api/token/").body)
    except ValueError:
        return []
    found = [row.get("token") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [token for token in found if isinstance(token, str)]


def _complaint(answer: Answer) -> str:
    """What a page says is wrong with a form; it repeats addresses at most, never a password."""
    block = re.search(r'(?s)class="field_errors">(.*?)</ul>', answer.body.decode(errors="replace"))
    words = " ".join(unescape(re.sub(r"<[^>]+>", " ", block[1] if block else "")).split())
    return words or f"the server answered with status {answer.status}"
