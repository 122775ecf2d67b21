"""A Label Studio of one's own: in its own environment, on this machine alone, started, found again and stopped.

`$STREAMVL_STUDIO` (or a folder of the user's state) holds everything: `venv/`, `data/` with the SQLite database,
`media/` with what people watch, `access.json` with the password and token, `server.log`. The running server is known by
its own command line, which names that folder; there is no file of a process number that could be wrong.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from annotate.access import (
    ACCESS_FILE,
    SERVES,
    Access,
    Caller,
    personal_token,
    private_folder,
    read_access,
    sign_in,
    version_at,
    whoami,
    write_access,
)
from annotate.errors import AnnotateError
from datasets_build.core.files import write_bytes

HOST = "127.0.0.1"
REQUIREMENTS = Path(__file__).with_name("requirements-server.txt")
#: A first start makes the tables: 20 to 40 s on two idle cores, minutes on busy ones.
START_S = 600.0
STOP_S = 20.0
#: Looked for, in this order, by the server itself; ours must not depend on what a shell happens to export.
KEPT_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")
Tell = Callable[[str], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is there: whether the environment is whole, and the process, address and version of what runs."""

    home: Path
    is_installed: bool
    pid: int | None = None
    url: str | None = None
    version: str | None = None


def default_home() -> Path:
    """`$STREAMVL_STUDIO`, or `streamvl/label-studio` among the user's state files."""
    named = os.environ.get("STREAMVL_STUDIO")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return Path(named) if named else state / "streamvl" / "label-studio"


def install(home: Path, *, requirements: Path = REQUIREMENTS, tell: Tell = log.info) -> Path:
    """Make the server's environment, or finish it, or find it whole; its folder. About 1 GB and 90 s.

    Raises AnnotateError with pip's last words where that fails.
    """
    home = _checked(home)
    with _held(home):
        return _install(home, requirements, tell)


def start(home: Path, port: int | None = None, *, tell: Tell = log.info) -> Access:
    """Start the server, or find it running, and wait until it answers as ours. It outlives the terminal.

    Without a port the last one is taken again where it is free, else any. Raises AnnotateError where the environment is
    missing, a given port is taken, the server dies or does not answer in time.
    """
    home = _checked(home)
    with _held(home):
        if not _is_installed(home, REQUIREMENTS):
            raise AnnotateError(f"{home / 'venv'}: no whole Label Studio there; run `make label-studio`")
        found = _running(home, port, tell)
        access = read_access(home)
        if port is not None and found != port:
            raise AnnotateError(f"{HOST}:{port}: found our server at port {found}; stop it first, then start it there")
        return _entered(home, replace(access, url=f"http://{HOST}:{found}"))


def stop(home: Path) -> bool:
    """End the server of this folder and no other process; whether one ran."""
    home = _checked(home)
    with _held(home):
        process = _process(home)
        if process is not None:
            _end(process)
        return process is not None


def status(home: Path) -> Status:
    """What is installed and running; changes nothing."""
    home = _checked(home)
    process = _process(home)
    installed = _is_installed(home, REQUIREMENTS)
    port = _listens(process) if process is not None else None
    if process is None or port is None:
        return Status(home=home, is_installed=installed, pid=process.pid if process else None)
    caller = Caller(f"http://{HOST}:{port}")
    version = None
    with suppress(AnnotateError):
        version = version_at(caller)
    return Status(home=home, is_installed=installed, pid=process.pid, url=caller.url, version=version)


def free_port() -> int:
    """A port of this machine that nobody listens at now; somebody may a moment later."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _running(home: Path, port: int | None, tell: Tell) -> int:
    """The port at which the server of this folder answers: one that is found running, or a new one."""
    process = _process(home)
    if process is not None and not (home / ACCESS_FILE).exists():
        _end(process)  # its password is lost: a new account is made at the next start
    elif process is not None:
        found = _wait(home, process, tell)
        if found is not None:
            return found
        # One that somebody killed is still among the processes for a moment.
        log.warning("%s: its server, process %d, has just ended; starting another", home, process.pid)
    access = _prepared(home, port)
    found = _wait(home, _launch(home, access), tell)
    if found is None:
        raise AnnotateError(f"{home}: Label Studio ended while it started; its last words: {_last_words(home)}")
    return found


def _checked(home: Path) -> Path:
    home = home.expanduser().resolve()
    ours = Path(__file__).resolve().parents[1]
    if home.is_relative_to(ours):
        raise AnnotateError(
            f"{home}: lies inside {ours}, and holds a password; set STREAMVL_STUDIO to a folder outside"
        )
    return home


@contextmanager
def _held(home: Path) -> Iterator[None]:
    """One at a time: a second caller waits, and then finds what the first has done."""
    private_folder(home)
    handle = os.open(home / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _install(home: Path, requirements: Path, tell: Tell) -> Path:
    venv = home / "venv"
    if _is_installed(home, requirements):
        return venv
    if _process(home) is not None:
        raise AnnotateError(f"{venv}: its server runs, and is not what {requirements.name} asks for; stop it first")
    if venv.is_symlink():  # what it points to is not ours to clear
        venv.unlink()
    tell(f"making {venv} for Label Studio: about 1 GB, a minute or two")
    _run([sys.executable, "-m", "venv", "--clear", str(venv)], tell)
    _run([str(venv / "bin" / "python"), "-m", "pip", "install", "--no-input", "-r", str(requirements)], tell)
    _run([str(venv / "bin" / "python"), "-m", "pip", "check"], tell)
    write_bytes(home / "venv.sha256", whole_mark(requirements))
    return venv


def _is_installed(home: Path, requirements: Path) -> bool:
    """Whether the last step of an installation from just these requirements was reached."""
    mark = home / "venv.sha256"
    there = (home / "venv" / "bin" / "python").exists()
    return there and mark.exists() and mark.read_bytes() == whole_mark(requirements)


def whole_mark(requirements: Path) -> bytes:
    """What `venv.sha256` holds once everything that a file of requirements names is installed."""
    return (hashlib.sha256(requirements.read_bytes()).hexdigest() + "\n").encode()


def _run(command: list[str], tell: Tell) -> None:
    """Run an installer, saying now and then what it is at."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    last, said = "", time.monotonic()
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None  # a pipe was asked for
        for line in child.stdout:
            last = line.strip() or last
            if time.monotonic() - said > 5:
                tell(last[:100])
                said = time.monotonic()
    if child.returncode != 0:
        raise AnnotateError(f"{' '.join(command[:4])}: ended with status {child.returncode}: {last}; run it again")


def _prepared(home: Path, port: int | None) -> Access:
    """The access to start with, kept before the server sees it: a password of its own and a port that is free."""
    if port is not None and _is_taken(port):
        raise AnnotateError(
            f"{HOST}:{port}: another program listens there; give another port, or none for any free one"
        )
    if (home / ACCESS_FILE).exists():
        access = read_access(home)
        last = urlsplit(access.url).port
        chosen = port or (last if last and not _is_taken(last) else free_port())
        access = replace(access, url=f"http://{HOST}:{chosen}")
    else:
        access = Access(
            url=f"http://{HOST}:{port or free_port()}",
            # An account of another time may be in the database still, with a password that nobody knows.
            username=f"streamvl-{secrets.token_hex(3)}@localhost",
            password=secrets.token_urlsafe(24),
            token="none",  # noqa: S106 # until the server has given one
            version="",
            media=home / "media",
        )
    write_access(home, access)
    return access


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        # A connection that has just ended takes no port: without this the same one would not be had after a stop.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


def _launch(home: Path, access: Access) -> psutil.Process:
    """Start the server apart from this terminal. Its environment holds the password, which only its owner can read."""
    (home / "media").mkdir(exist_ok=True)
    (home / "data").mkdir(exist_ok=True)
    log_file = str(home / "server.log")
    command = [*_command(home), "--port", access.url.rpartition(":")[2]]
    pid = os.posix_spawn(
        command[0],
        command,
        _environment(home, access),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return psutil.Process(pid)


def _command(home: Path) -> list[str]:
    """Ours and nobody else's: the folder of the data makes it known among all processes."""
    python, script = home / "venv" / "bin" / "python", home / "venv" / "bin" / "label-studio"
    start = ["start", "--no-browser", "--internal-host", HOST, "--data-dir", str(home / "data")]
    return [str(python), str(script), *start]


def _environment(home: Path, access: Access) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    ours = {
        "USERNAME": access.username,
        "PASSWORD": access.password,
        "BASE_DATA_DIR": str(home / "data"),
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(home / "media"),
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        # No word leaves this machine.
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "FEATURE_FLAGS_OFFLINE": "true",
        "DEBUG": "false",
        "LOG_LEVEL": "WARNING",
    }
    return kept | {f"LABEL_STUDIO_{name}": value for name, value in ours.items()}


def _process(home: Path) -> psutil.Process | None:
    """The server of this folder: a live process of this user with our whole command line."""
    wanted = _command(home)
    for process in psutil.process_iter(["cmdline", "uids"]):
        line = process.info["cmdline"] or []  # a zombie has none
        if line[1 : len(wanted)] == wanted[1:] and process.info["uids"].real == os.getuid():
            return process
    return None


def _end(process: psutil.Process) -> None:
    """Ask it to end, and make it; psutil looks at its start time first, so that no later process is met."""
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        with suppress(psutil.TimeoutExpired):
            process.wait(STOP_S)
            return
        process.kill()
        process.wait(STOP_S)


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _listens(process: psutil.Process) -> int | None:
    """The port that the process itself listens at: it moves to another without a word where its own is taken."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        for connection in process.net_connections(kind="tcp4"):
            if connection.status == psutil.CONN_LISTEN:
                return int(connection.laddr.port)
    return None


def _wait(home: Path, process: psutil.Process, tell: Tell) -> int | None:
    """Wait until the process answers at its own port; that port, None where it ends first."""
    began = said = time.monotonic()
    while time.monotonic() - began < START_S:
        if not _is_alive(process):
            return None
        port = _listens(process)
        if port is not None:
            with suppress(AnnotateError):
                if Caller(f"http://{HOST}:{port}").get("/health").status == 200:
                    return port
        if time.monotonic() - said > 5:
            said = time.monotonic()
            tell(f"Label Studio is starting, {said - began:.0f} s; the first time takes half a minute")
        time.sleep(0.05)
    raise AnnotateError(f"{home}: Label Studio did not answer within {START_S:.0f} s; see {home / 'server.log'}")


def _entered(home: Path, access: Access) -> Access:
    """Make sure that it lets us in as ourselves, with a new token where the old one does not; keep what holds."""
    caller = Caller(access.url)
    version = version_at(caller)
    if not version.startswith(f"{SERVES}."):
        raise AnnotateError(f"{access.url}: found Label Studio {version}, expected {SERVES}.x; remove {home / 'venv'}")
    access = replace(access, version=version)
    try:
        known = whoami(caller, access.token) == access.username
    except AnnotateError:
        known = False
    if not known:
        access = replace(access, token=personal_token(sign_in(access.url, access.username, access.password)))
    write_access(home, access)
    return access


def _last_words(home: Path) -> str:
    path = home / "server.log"
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "none")
