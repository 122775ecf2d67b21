"""How long others take for what `perceive` does, as ratios to decoding alone in one run.

    python -m tests.bench.peers [FOLDER] [ROUNDS]

The others are the `scenedetect` command (its adaptive detector, a list of scenes, three images of each) and two
operators of `py-data-juicer` at their defaults: the split at scenes and the extraction of frames. Each has an
environment of its own, made in FOLDER where it is not there yet and kept (`out/peers` unless said otherwise); that
needs a package index. Who cannot be installed or run stands in the table with the reason. What programs take to start
is left out. Writes no file: paste the table into docs/performance.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.perceive import SIZES
from tests.bench.perceive_costs import Cost, cost, decode, draw, perceive

ROUNDS = 3
INSTALL_S, RUN_S = 900.0, 600.0
REAL = {"real 720p h264": "los_sintel_trailer-720p.mp4", "real 360p h264": "derived_known_edit.mp4"}
WORK = Path(__file__).with_name("peer_work.py")


@dataclass(frozen=True, slots=True)
class Home:
    """An environment: what pip is asked for; `bare` asks for nothing else, and lets it see the packages of this one."""

    name: str
    packages: tuple[str, ...]
    bare: bool = False


SCENEDETECT = Home("scenedetect", ("scenedetect-headless==0.7.2",))
# Of the forty packages that py-data-juicer asks for, those that these operators load.
DATA_JUICER = Home(
    "data-juicer",
    (
        "py-data-juicer==1.6.1",
        "av==13.1.0",
        *("aiohappyeyeballs", "aiohttp", "aiosignal", "attrs", "beautifulsoup4", "charset-normalizer", "emoji==2.2.0"),
        *("frozenlist", "jsonargparse", "loguru", "multidict", "propcache", "requests", "soupsieve", "tabulate"),
        *("tomli", "urllib3", "wget", "yarl", "zstandard"),
    ),
    bare=True,
)


class CannotRunError(RuntimeError):
    """A peer cannot be installed or run here; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody else's program: what it is called, where it lives, and a run over a film that tells its cost."""

    name: str
    home: Home
    run: Callable[[Path, Path, Path], Cost]


def python_of(folder: Path, home: Home, *, bound_s: float = INSTALL_S) -> Path:
    """The interpreter of an environment, made where there is none. Raises CannotRunError."""
    place = folder / home.name
    python = place / "bin" / "python"
    if (place / "made").exists():
        return python
    shutil.rmtree(place, ignore_errors=True)
    venv = [sys.executable, "-m", "venv", "--without-pip", str(place)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    try:
        subprocess.run(venv, check=True, capture_output=True, text=True)
        if home.bare:
            site = place / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
            (site / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run(
            [*pip, *(["--no-deps"] if home.bare else []), *home.packages],
            check=True, capture_output=True, text=True, timeout=bound_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CannotRunError(f"{home.name} cannot be installed: took longer than {bound_s:g} s") from error
    except subprocess.CalledProcessError as error:
        raise CannotRunError(f"{home.name} cannot be installed: {last_line(error.stderr)}") from error
    (place / "made").touch()
    return python


def last_line(said: str) -> str:
    """The last thing that a program said, without addresses."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return re.sub(r"\w+://\S+", "…", lines[-1])[:300] if lines else "it said nothing"


def _done(command: Sequence[str | Path], name: str) -> str:
    """What a command printed. Raises CannotRunError."""
    try:
        done = subprocess.run(
            [str(part) for part in command], check=True, capture_output=True, text=True, timeout=RUN_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CannotRunError(f"{name}: took longer than {RUN_S:g} s") from error
    except subprocess.CalledProcessError as error:
        raise CannotRunError(f"{name}: {last_line(error.stderr or error.stdout)}") from error
    except OSError as error:
        raise CannotRunError(f"{name}: {error.strerror}") from error
    return done.stdout


def _of_child(command: Sequence[str | Path], name: str) -> Cost:
    wall, before = time.perf_counter(), os.times()
    _done(command, name)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(time.perf_counter() - wall, cpu)


def scenedetect(python: Path, film: Path, to: Path) -> Cost:
    """The command: cuts, their list, and images of each scene, less what it takes to tell its version."""
    program = python.with_name("scenedetect")
    start = _of_child([program, "version"], "scenedetect")
    work = ["detect-adaptive", "list-scenes", "save-images"]
    whole = _of_child([program, "-q", "-i", film, "-o", to, *work], "scenedetect")
    if not any(to.glob("*.csv")):
        raise CannotRunError("scenedetect: wrote no list of scenes")
    return Cost(whole.wall - start.wall, whole.cpu - start.cpu)


def operator(name: str) -> Callable[[Path, Path, Path], Cost]:
    """An operator of py-data-juicer at its defaults, timed by itself once it is loaded."""

    def run(python: Path, film: Path, to: Path) -> Cost:
        if name == "split" and shutil.which("ffmpeg") is None:
            raise CannotRunError("data-juicer, scene split: needs the program ffmpeg, which is not there")
        told = json.loads(_done([python, WORK, name, film, to], f"data-juicer, {name}").splitlines()[-1])
        if not told["made"]:
            raise CannotRunError(f"data-juicer, {name}: made nothing")
        return Cost(told["wall"], told["cpu"])

    return run


PEERS = (
    Peer("scenedetect command", SCENEDETECT, scenedetect),
    Peer("data-juicer scene split", DATA_JUICER, operator("split")),
    Peer("data-juicer frame extraction", DATA_JUICER, operator("frames")),
)


def films(folder: Path, data: str | None) -> Iterator[tuple[str, Path]]:
    """Names and paths: drawn ones first, then real ones where there are any."""
    for name, size in SIZES.items():
        path = folder / f"{size[1]}.mp4"
        draw(path, size)
        yield name, path
    for name, file in REAL.items() if data else ():
        yield name, Path(str(data)) / "videos" / file


def measure(film: Path, works: Mapping[str, Callable[[Path], Cost]], scratch: Path, rounds: int) -> dict[str, str]:
    """A cell for each contender: the median over rounds of its cost over that of decoding alone, or why it has none."""
    ratios: dict[str, list[Cost]] = {name: [] for name in works}
    failed: dict[str, str] = {}
    for number in range(rounds):
        alone = cost(lambda: decode(film))
        for name, work in works.items():
            if name in failed:
                continue
            to = scratch / f"{name} {number}"
            to.mkdir()
            try:
                ratios[name].append(work(to).over(alone))
            except CannotRunError as error:
                failed[name] = str(error)
            shutil.rmtree(to)
    return {name: f"not run: {failed[name]}" if name in failed else cell(ratios[name]) for name in works}


def cell(ratios: Sequence[Cost]) -> str:
    """Wall-clock and processor time: `1.27 / 1.24`."""
    return " / ".join(
        f"{statistics.median(values):.2f}" for values in ([r.wall for r in ratios], [r.cpu for r in ratios])
    )


def contenders(film: Path, homes: Mapping[Home, Path | str]) -> dict[str, Callable[[Path], Cost]]:
    """What is timed on a film, by name: each takes a folder for what it writes."""

    def ours(to: Path) -> Cost:
        return cost(lambda: perceive(film, to))

    def theirs(peer: Peer) -> Callable[[Path], Cost]:
        def run(to: Path) -> Cost:
            python = homes[peer.home]
            if isinstance(python, str):
                raise CannotRunError(python)
            return peer.run(python, film, to)

        return run

    return {"perceive": ours, **{peer.name: theirs(peer) for peer in PEERS}}


def made(folder: Path, *, bound_s: float = INSTALL_S) -> dict[Home, Path | str]:
    """The interpreter of each peer's environment, or why there is none."""
    homes: dict[Home, Path | str] = {}
    for home in dict.fromkeys(peer.home for peer in PEERS):
        try:
            homes[home] = python_of(folder, home, bound_s=bound_s)
        except CannotRunError as error:
            homes[home] = str(error)
    return homes


def main(folder: Path, rounds: int) -> None:
    """Print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    homes = made(folder.resolve())
    names = ["perceive", *(peer.name for peer in PEERS)]
    print(f"{os.cpu_count()} cores, {rounds} rounds, medians of wall-clock / processor time; decoding alone is 1.00\n")
    print("| video | " + " | ".join(names) + " |")
    print("| - |" + " - |" * len(names))
    with tempfile.TemporaryDirectory() as name:
        for label, film in films(Path(name), os.environ.get("STREAMVL_DATA")):
            # Once for what is done a single time for a film.
            perceive(film, Path(name))
            cells = measure(film, contenders(film, homes), Path(name), rounds)
            print(f"| {label} | " + " | ".join(cells[each] for each in names) + " |", flush=True)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out/peers"),
        int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS,
    )
