"""Carries checkpoints between a folder and where they are kept: one errand, as a program of its own.

Run as ``python -I -S -c SOURCE``; the errand is JSON on its input, the answer JSON on its output, so that no address is
on a command line. A checkpoint is one object: a line of JSON that tells of it, then the packed folder. It is put in one
step, in another place than the one before it, and read only as far as its checksum holds. Standard library only;
imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import http.client
import json
import os
import shutil
import stat
import sys
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from typing import IO, Any

Json = dict[str, Any]
Files = dict[str, tuple[int, int, int]]
HEAD_BYTES, PIECE_BYTES = 4096, 1 << 20
TIMEOUT_S, AGAIN_S = 30.0, 1.0
TRIES = 20
PART = ".part"
PR_SET_DUMPABLE = 4


class Trouble(Exception):
    """The store is away or refuses, or there is nothing to be taken; the words say why."""


class Damaged(Exception):
    """What was kept is not what was written."""


# Places


def asked(
    method: str, place: str, data: IO[bytes] | None = None, headers: dict[str, str] | None = None
) -> urllib.request.Request:
    """What a web server is asked. Behind a # stands who asks, for that server alone: it does not go where that one
    sends us on."""
    address, _, credential = place.partition("#")
    request = urllib.request.Request(address, data, headers or {}, method=method)
    if credential:
        request.add_unredirected_header("Authorization", urllib.parse.unquote(credential))
    return request


def read(place: str, first: int | None = None) -> IO[bytes] | None:
    """An open file of what is in a place, of which only the beginning is wanted if ``first`` says how much; None where
    nothing is. Raises OSError, HTTPException."""
    parts = urllib.parse.urlsplit(place)
    if parts.scheme == "file":
        try:
            return open(urllib.parse.unquote(parts.path), "rb")
        except FileNotFoundError:
            return None
    headers = {"Range": f"bytes=0-{first - 1}"} if first else {}
    try:
        found: IO[bytes] = urllib.request.urlopen(asked("GET", place, None, headers), timeout=TIMEOUT_S)
        return found
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410, 416):  # 416: an empty object
            return None
        raise


def write(place: str, source: str) -> None:
    """Put all of a file into a place, whole or not at all. Raises OSError, HTTPException."""
    parts = urllib.parse.urlsplit(place)
    with open(source, "rb") as file:
        if parts.scheme == "file":
            path = urllib.parse.unquote(parts.path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path + PART, "wb") as draft:
                shutil.copyfileobj(file, draft, PIECE_BYTES)
                draft.flush()
                os.fsync(draft.fileno())
            os.replace(path + PART, path)
            return
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(os.path.getsize(source))}
        urllib.request.urlopen(asked("PUT", place, file, headers), timeout=TIMEOUT_S).close()


def remove(place: str) -> None:
    """Leave nothing in a place. Raises OSError, HTTPException."""
    parts = urllib.parse.urlsplit(place)
    if parts.scheme == "file":
        path = urllib.parse.unquote(parts.path)
        for name in (path, path + PART):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        return
    try:
        urllib.request.urlopen(asked("DELETE", place), timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in (404, 410):
            raise


def words_of(error: Exception) -> str:
    """Why, without the address, which may be a secret."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the store answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"the store cannot be reached: {error.reason}"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:300]


# Folders


def files_of(folder: str) -> Files:
    """What is to be taken: by path below the folder, what tells of a change. Nothing that ends in .part, no links."""
    found: Files = {}
    for top, folders, files, opened in os.fwalk(folder, follow_symlinks=False):
        folders[:] = [name for name in folders if not name.endswith(PART)]
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=opened, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and not name.endswith(PART):
                    path = os.path.relpath(os.path.join(top, name), folder)
                    found[path] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def pack(folder: str, taken: Files, target: str) -> None:
    """Pack these files. What a payload exchanges meanwhile is found by looking again. Raises FileNotFoundError."""
    with tarfile.open(target, "w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as archive:
        for top, _, files, opened in os.fwalk(folder, follow_symlinks=False):
            for name in files:
                path = os.path.relpath(os.path.join(top, name), folder)
                if path not in taken:
                    continue
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=opened)
                with os.fdopen(descriptor, "rb") as file:
                    status = os.fstat(file.fileno())
                    entry = tarfile.TarInfo(path)
                    entry.size, entry.mode, entry.mtime = status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime
                    archive.addfile(entry, file)


def packed(errand: Json, taken: Files) -> Files:
    """Pack what is there as it is at one moment, with a line that tells of it. The file is the errand's draft."""
    folder, draft = errand["folder"], errand["draft"]
    for _ in range(TRIES):
        held = sum(size for _, _, size in taken.values())
        if held > errand["limitBytes"]:
            raise Trouble(f"it holds {held} bytes, and {errand['limitBytes']} may be kept")
        try:
            pack(folder, taken, draft + ".body")
            if files_of(folder) == taken:
                break
        except OSError as error:
            if error.errno not in (None, errno.ENOENT):  # None: it became shorter
                raise
        time.sleep(0.05)
        taken = files_of(folder)
    else:
        raise Trouble("it changes all the while; write under a name that ends in .part, and rename")
    told = {"worked_s": errand["worked_s"], "sha256": checksum(draft + ".body"), "bytes": held}
    with open(draft, "wb") as whole, open(draft + ".body", "rb") as body:
        whole.write(json.dumps(told).encode() + b"\n")
        shutil.copyfileobj(body, whole, PIECE_BYTES)
    os.unlink(draft + ".body")
    return taken


def checksum(path: str) -> str:
    """Of a file, in hex."""
    made = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            made.update(piece)
    return made.hexdigest()


def unpack(body: str, folder: str, limit: int) -> None:
    """Unpack into a new folder: plain files with plain names, no more than may be kept. Raises Damaged."""
    held = 0
    with tarfile.open(body, "r:gz") as archive:
        for entry in archive:
            parts = entry.name.split("/")
            held += entry.size
            if not entry.isreg() or os.path.isabs(entry.name) or ".." in parts or held > limit:
                raise Damaged(f"there is something else in it than files: {entry.name!r}")
            path = os.path.join(folder, *parts)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            source = archive.extractfile(entry)
            assert source is not None  # it is a plain file
            with open(path, "xb") as target:
                shutil.copyfileobj(source, target, PIECE_BYTES)
            os.chmod(path, entry.mode & 0o755 | 0o600)
            os.utime(path, (entry.mtime, entry.mtime))


# Errands


def head_of(file: IO[bytes]) -> Json:
    """What the first line tells. Raises Damaged."""
    try:
        told = json.loads(file.readline(HEAD_BYTES))
        return {"worked_s": float(told["worked_s"]), "sha256": str(told["sha256"])}
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged("its first line cannot be read") from error


def look(places: list[str], until: float) -> tuple[list[tuple[float, str]], list[str]]:
    """What is kept in which places: (seconds of work, place) with the most first; and what went wrong, in words. A
    store that is away is asked again until it answers, or it is time."""
    while True:
        found: list[tuple[float, str]] = []
        damaged: list[str] = []
        away: list[str] = []
        for place in places:
            try:
                file = read(place, HEAD_BYTES)
                if file is not None:
                    with file:
                        found.append((head_of(file)["worked_s"], place))
            except Damaged as error:
                damaged.append(str(error))
            except (OSError, http.client.HTTPException) as error:
                away.append(words_of(error))
        if not away or time.monotonic() >= until:
            return sorted(found, key=lambda one: -one[0]), damaged + away
        time.sleep(AGAIN_S)


def take(place: str, errand: Json) -> float:
    """Bring what is kept in a place into the folder. Raises Damaged, OSError, HTTPException."""
    body, new = errand["draft"] + ".body", errand["folder"] + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new, 0o700)
    file = read(place)
    if file is None:
        raise Damaged("it is not there any more")
    with file:
        head = head_of(file)
        with open(body, "wb") as target:
            shutil.copyfileobj(file, target, PIECE_BYTES)
    if checksum(body) != head["sha256"]:
        raise Damaged("its checksum is wrong")
    try:
        unpack(body, new, errand["limitBytes"])
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise Damaged(str(error)) from error
    os.unlink(body)
    os.rename(new, errand["folder"])
    worked_s: float = head["worked_s"]
    return worked_s


def fetch(errand: Json) -> Json:
    """Make the folder, with what was kept with most work in it; what is damaged is passed over."""
    shutil.rmtree(errand["folder"], ignore_errors=True)
    found, wrong = look(errand["get"], time.monotonic() + errand["patience_s"])
    for _, place in found:
        try:
            return {"worked_s": take(place, errand), "wrong": wrong}
        except Damaged as error:
            wrong.append(str(error))
        except (OSError, http.client.HTTPException) as error:
            wrong.append(words_of(error))
    os.makedirs(errand["folder"], 0o700)
    return {"worked_s": None, "wrong": wrong}


def save(errand: Json) -> Json:
    """Put what is in the folder where it is kept, unless that is what was put last."""
    taken = files_of(errand["folder"])
    if not taken or stamp(taken) == errand["last"]:
        return {"put": False}
    taken = packed(errand, taken)
    write(errand["put"], errand["draft"])
    os.unlink(errand["draft"])
    return {"put": True, "last": stamp(taken)}


def stamp(taken: Files) -> str:
    """Another whenever there is something new."""
    return hashlib.sha256(json.dumps(sorted(taken.items())).encode()).hexdigest()


def drop(errand: Json) -> Json:
    """Leave nothing in any of the places."""
    wrong = []
    for place in errand["places"]:
        try:
            remove(place)
        except (OSError, http.client.HTTPException) as error:
            wrong.append(words_of(error))
    return {"wrong": wrong}


def main() -> None:
    """Do the errand that the input tells of: ``fetch``, ``save`` or ``drop``."""
    # What runs here as the same user must not read our memory, where addresses are that only we should know.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.nice(10)
    os.umask(0o007)
    errand = json.load(sys.stdin)
    try:
        answer: Json = {"fetch": fetch, "save": save, "drop": drop}[errand["do"]](errand)
    except Trouble as error:
        answer = {"trouble": str(error)}
    except (OSError, http.client.HTTPException) as error:
        answer = {"trouble": words_of(error)}
    with contextlib.suppress(BrokenPipeError):  # whoever asked is gone
        os.write(sys.stdout.fileno(), json.dumps(answer).encode())


if __name__ == "__main__":
    main()
