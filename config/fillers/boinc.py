"""BOINC as a filler: starts the client for one project on some cores, and ends it by its own commands when told to.

    python3 boinc.py --project URL --key-file FILE [--cpus 1] [--memory-mib 2048] [--keep DIR]

The client (``boinc``, tried with 7.20) gets a directory of its own and is spoken to over a socket in there: nothing
listens on the network. It is attached by a file that it alone reads: the account's key, from FILE or the variable
BOINC_ACCOUNT_KEY, is on no command line, in no log, and in nothing that is kept.

Where the directory is kept, the next attempt goes on with its work, and the project knows the host again: with
``--keep DIR`` in a folder of this node, where each client takes the first directory that nobody else has; or else, if
FEDERATOR_CHECKPOINT_DIR is set, as a copy in there, made every ``--checkpoint`` seconds while the tasks are suspended,
and once more at the end.

Exit status: 75 told to end; 69 no project there, or no work; 70 the client failed; 77 the project refuses the key;
78 the configuration is wrong. What goes wrong is said at once, but no attempt ends in less than ``--hold`` seconds: a
bag has a million tasks, and each would be tried. Standard library only; Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

NO_WORK, BROKEN, REFUSED, WRONG, TOLD = 69, 70, 77, 78, 75
SOCKET, PASSWORD = "boinc_socket", "gui_rpc_auth.cfg"
START_S, RPC_S, SUSPEND_S, LOOK_S = 60.0, 10.0, 5.0, 0.5
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
EXECUTING = "1"
OPTIONS = (
    "allow_multiple_clients", "dont_contact_ref_site", "no_gpus", "no_info_fetch", "report_results_immediately",
    "skip_cpu_benchmarks", "suppress_net_info",
)  # fmt: skip
ALWAYS = "<set_run_mode><always/><duration>0</duration></set_run_mode>"
SUSPEND = "<set_run_mode><never/><duration>600</duration></set_run_mode>"
"""For ten minutes: what has a duration is not remembered by the next attempt."""
LIBC = ctypes.CDLL(None)


class Trouble(Exception):
    """It cannot go on; ``status`` is the exit status, the words say what an operator has to know."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def say(words: str) -> None:
    """A line of the log."""
    print(words, flush=True)  # noqa: T201


# What is given


def key_of(given: argparse.Namespace) -> str:
    """The account's key, which the client does not inherit as a variable. Raises Trouble."""
    key: str = os.environ.pop("BOINC_ACCOUNT_KEY", "")
    if given.key_file:
        try:
            key = Path(given.key_file).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise Trouble(WRONG, f"the key cannot be read from {given.key_file}: {error}") from None
    key = key.strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{8,200}", key):
        where = given.key_file or "BOINC_ACCOUNT_KEY"
        raise Trouble(WRONG, f"{where} holds no account key: it is one word of letters and digits")
    return key


def url_of(given: argparse.Namespace) -> str:
    """The project's address as its client writes it. Raises Trouble."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[\w./~-]*)?", given.project):
        raise Trouble(WRONG, f"{given.project!r} is no address of a project: https://HOST/PATH is")
    return str(given.project).rstrip("/") + "/"


# Directories


def lowest_free(keep: Path) -> tuple[Path, Any]:
    """The first directory below a folder that no other client has, and the lock on it, which lasts as long as the
    open file. Raises OSError."""
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = 0
    while True:
        lock = open(keep / f"client-{number}.lock", "w")  # noqa: SIM115 - it is held to the end
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return keep / f"client-{number}", lock
        except BlockingIOError:
            lock.close()
        number += 1


def write(path: Path, text: str) -> None:
    """A file that nobody else may read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    path.chmod(0o600)


def settings(cpus: int, memory_mib: int, disk_gib: float, checkpoint_s: float) -> dict[str, str]:
    """The client's files that say what it may use, by name. It works whatever else runs: others see to that."""
    machine_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    memory = f"{min(100.0, 100.0 * memory_mib / machine_mib):.4f}"
    preferences = {
        "run_on_batteries": 1, "run_if_user_active": 1, "suspend_cpu_usage": 0, "leave_apps_in_memory": 1,
        "max_ncpus_pct": 100, "niu_max_ncpus_pct": 100, "cpu_usage_limit": 100, "niu_cpu_usage_limit": 100,
        "ram_max_used_busy_pct": memory, "ram_max_used_idle_pct": memory, "disk_max_used_gb": disk_gib,
        "disk_interval": checkpoint_s, "work_buf_min_days": 0.01, "work_buf_additional_days": 0.01,
    }  # fmt: skip
    options = {"ncpus": cpus, **dict.fromkeys(OPTIONS, 1)}
    return {
        "cc_config.xml": f"<cc_config><options>\n{_xml(options)}</options></cc_config>\n",
        "global_prefs_override.xml": f"<global_preferences>\n{_xml(preferences)}</global_preferences>\n",
    }


def _xml(values: dict[str, Any]) -> str:
    return "".join(f"<{name}>{value}</{name}>\n" for name, value in values.items())


def prepare(home: Path, files: dict[str, str], url: str, key: str) -> None:
    """Write what the client reads when it starts: its settings, our password, and the one account it has."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    for old in [*home.glob("account_*.xml"), home / SOCKET]:
        with contextlib.suppress(FileNotFoundError):
            old.unlink()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", url.split("//", 1)[1]).rstrip("_")
    account = {"master_url": url, "authenticator": key}
    write(home / f"account_{name}.xml", f"<account>\n{_xml(account)}</account>\n")
    write(home / PASSWORD, token_hex(16))
    for name, text in files.items():
        write(home / name, text)


def forget(home: Path) -> None:
    """Leave no file in the directory that tells the key or our password; the next attempt has its own."""
    for pattern in (PASSWORD, "account_*.xml", "sched_request_*.xml", "slots/*/init_data.xml"):
        for path in home.glob(pattern):
            path.unlink()


def copy(home: Path, target: Path, key: str) -> None:
    """A copy of all files but those that hold the key or our password: the next attempt writes its own. It is made
    under another name and put in place at once; where the disk is full the one before stays, and that is said."""
    try:
        _copy(home, target, key)
    except OSError as error:
        say(f"nothing is kept now: {error}")


def _copy(home: Path, target: Path, key: str) -> None:
    draft, old = Path(f"{target}.part"), Path(f"{target}.old.part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    for path in [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]:
        with contextlib.suppress(FileNotFoundError):  # it has just gone
            if path.name != PASSWORD and not holds(path, key.encode()):
                copied = draft / path.relative_to(home)
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copied)
    if target.exists():
        target.rename(old)
    draft.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def holds(path: Path, word: bytes) -> bool:
    """Whether a word is in a file."""
    tail = b""
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            if word in tail + piece:
                return True
            tail = piece[-len(word) :]
    return False


# The client


class Client:
    """The client as a process, in its directory, which is the working directory here too: a socket's path is short."""

    def __init__(self, program: str, home: Path, key: str) -> None:
        """Start it. Raises Trouble."""
        self._password = (home / PASSWORD).read_text()
        self._key = key
        self.last_words: deque[str] = deque(maxlen=5)
        try:
            self.process = subprocess.Popen(
                [program, "--dir", str(home), "--gui_rpc_unix_domain"], cwd=home, text=True, errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                preexec_fn=_end_with_us,  # noqa: PLW1509 - there is one thread yet
            )  # fmt: skip
        except OSError as error:
            raise Trouble(WRONG, f"the client {program!r} cannot be started: {error.strerror}") from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """What it says of its project goes on to the log, without the key."""
        for line in self.process.stdout or ():
            words = re.sub(r"^\S+ \S+ ", "", line.strip()).replace(self._key, "***")
            self.last_words.append(words)
            if words.startswith("[") and not words.startswith("[---]"):
                say(words)

    def ask(self, request: str) -> str:
        """Carry out one of its commands; the answer, as XML. Raises OSError."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(RPC_S)
            line.connect(SOCKET)
            nonce = text(_exchange(line, "<auth1/>"), "nonce")
            proof = hashlib.md5((nonce + self._password).encode()).hexdigest()
            if "<authorized" not in _exchange(line, f"<auth2><nonce_hash>{proof}</nonce_hash></auth2>"):
                raise OSError("the client does not take our password")
            return _exchange(line, request)

    def project(self) -> dict[str, float]:
        """What it knows of its project, by name; 0 where it says nothing. Raises OSError."""
        told = self.ask("<get_project_status/>")
        names = ("hostid", "last_rpc_time", "nrpc_failures", "master_fetch_failures", "njobs_success", "njobs_error")
        return {name: float(text(told, name) or 0) for name in names}

    def tasks(self) -> list[str]:
        """Its tasks that are not reported yet, as XML. Raises OSError."""
        return re.findall(r"<result>.*?</result>", self.ask("<get_results/>"), re.DOTALL)

    def suspend(self) -> None:
        """Suspend its tasks, and wait a moment until none runs. Raises OSError."""
        self.ask(SUSPEND)
        until = time.monotonic() + SUSPEND_S
        while any(text(t, "active_task_state") == EXECUTING for t in self.tasks()) and time.monotonic() < until:
            time.sleep(0.1)

    def stop(self, within_s: float) -> None:
        """Suspend its tasks and let it quit, as it wants to; what is left then is killed."""
        until = time.monotonic() + within_s
        try:
            self.ask(SUSPEND)
            self.ask("<quit/>")
        except OSError:
            self.process.terminate()  # it may have heard the same signal as we: then it is quitting already
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"the client has not quit within {within_s:g} s and is killed")
            self.process.kill()
            self.process.wait()
        self.clear_up()

    def clear_up(self) -> None:
        """Kill what the client left behind: it has come to us."""
        while pids := _children():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        self._reader.join(RPC_S)


def _end_with_us() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


def _children() -> list[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def _exchange(line: socket.socket, request: str) -> str:
    line.sendall(f"<boinc_gui_rpc_request>\n{request}\n</boinc_gui_rpc_request>\n\003".encode())
    said = b""
    while not said.endswith(b"\003"):
        piece = line.recv(65536)
        if not piece:
            raise OSError("the client hung up")
        said += piece
    return said.decode("utf-8", "replace")


def text(xml: str, tag: str) -> str:
    """What the first element of a name holds; "" where there is none."""
    found = re.search(rf"<{tag}>\s*([^<]*?)\s*</{tag}>", xml)
    return found[1] if found else ""


# The attempt


class Attempt:
    """One life of the client, from its start until it is told to end or cannot go on. Times are of the monotonic
    clock."""

    def __init__(self, given: argparse.Namespace, url: str, client: Client, wake: int) -> None:
        self._given, self._url, self._client, self._wake = given, url, client, wake
        self._worked_at = time.monotonic()
        """When there was a task last, or it began."""
        self._told, self._tell_at = "", 0.0

    def told_to_end(self, wait_s: float) -> bool:
        """Whether somebody wants the room, or does within so long."""
        return bool(select.select([self._wake], [], [], max(0.0, wait_s))[0])

    def begin(self) -> None:
        """Wait until the client answers, and let it work. Raises Trouble."""
        until = time.monotonic() + START_S
        while not self.told_to_end(0.05):
            try:
                self._client.ask(ALWAYS)
                return
            except OSError as error:
                self._alive()
                if time.monotonic() > until:
                    raise Trouble(BROKEN, f"the client does not answer: {error}") from None

    def watch(self, keep: Callable[[], None] | None) -> None:
        """Until somebody wants the room. ``keep`` is called when it is time, while no task runs. Raises Trouble."""
        keep_at = time.monotonic() + self._given.checkpoint
        while not self.told_to_end(LOOK_S):
            self._alive()
            with contextlib.suppress(OSError):  # it is busy: another look tells
                self._look()
                if keep is not None and time.monotonic() >= keep_at:
                    keep_at = time.monotonic() + self._given.checkpoint
                    self._client.suspend()
                    keep()
                    self._client.ask(ALWAYS)

    def _alive(self) -> None:
        status = self._client.process.poll()
        if status is not None:
            self._client.clear_up()
            words = "; ".join(self._client.last_words) or "it said nothing"
            raise Trouble(BROKEN, f"the client ended with {status}: {words}")

    def _look(self) -> None:
        """Tell how far it is; find out whether that makes sense. Raises Trouble, OSError."""
        project, tasks = self._client.project(), self._client.tasks()
        failures = project["nrpc_failures"] + project["master_fetch_failures"]
        if project["last_rpc_time"] and not project["hostid"] and not failures:
            raise Trouble(REFUSED, f"{self._url} refuses the account key: {self._last_words()}")
        now = time.monotonic()
        if tasks:
            self._worked_at = now
        elif now - self._worked_at >= self._given.patience:
            words = "had no work" if project["hostid"] else "did not answer as a BOINC project"
            raise Trouble(NO_WORK, f"{self._url} {words} for {self._given.patience:g} s: {self._last_words()}")
        where = f"host {project['hostid']:.0f}" if project["hostid"] else f"no host yet, {failures:.0f} failures"
        told = f"{where}: {project['njobs_success']:.0f} tasks done, {project['njobs_error']:.0f} failed"
        parts = [float(text(task, "fraction_done") or 0) for task in tasks if "<active_task>" in task]
        if told != self._told or now >= self._tell_at:
            say(", ".join((told, f"{len(tasks)} here", *(f"{part:.0%} of one" for part in parts))))
            self._told, self._tell_at = told, now + self._given.every

    def _last_words(self) -> str:
        return "; ".join(list(self._client.last_words)[-2:]) or "the client said nothing"


def run(given: argparse.Namespace, wake: int) -> int:
    """One attempt; the exit status. Raises Trouble, OSError."""
    key, url = key_of(given), url_of(given)
    kept = os.environ.get("FEDERATOR_CHECKPOINT_DIR")
    lock = None
    if given.keep:
        home, lock = lowest_free(Path(given.keep).absolute())
        target = None
    else:
        home = Path("client").absolute()
        target = Path(kept) / "client" if kept else None
        if target is not None and target.exists():
            shutil.copytree(target, home, dirs_exist_ok=True)
    prepare(home, settings(given.cpus, given.memory_mib, given.disk_gib, given.checkpoint), url, key)
    os.chdir(home)
    client = Client(given.client, home, key)
    attempt = Attempt(given, url, client, wake)

    keep = None if target is None else partial(copy, home, target, key)
    try:
        attempt.begin()
        attempt.watch(keep)
    finally:
        client.stop(given.stop_within)
        forget(home)
        if keep is not None:
            keep()
        use = resource.getrusage(resource.RUSAGE_CHILDREN)
        say(f"the client and its tasks used {use.ru_utime + use.ru_stime:.1f} s of CPU time")
        if lock is not None:
            lock.close()
    return TOLD


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Runs the BOINC client for one project as a filler.")
    parser.add_argument("--project", required=True, help="the project's address")
    parser.add_argument("--key-file", help="a file with the account's key; left out: BOINC_ACCOUNT_KEY holds it")
    parser.add_argument("--cpus", type=int, default=1, help="cores that it may use: what the replica requests")
    parser.add_argument("--memory-mib", type=int, default=2048, help="memory that its tasks may use")
    parser.add_argument("--disk-gib", type=float, default=10.0, help="disk that it may use")
    parser.add_argument("--keep", help="a folder of this node where clients' directories stay")
    parser.add_argument("--checkpoint", type=float, default=300.0, help="seconds between two checkpoints")
    parser.add_argument("--client", default="boinc", help="the program")
    parser.add_argument("--every", type=float, default=300.0, help="seconds between two lines about progress")
    parser.add_argument("--stop-within", type=float, default=20.0, help="seconds it has to quit; less than the grace")
    parser.add_argument("--patience", type=float, default=1800.0, help="seconds without any work after which it ends")
    parser.add_argument("--hold", type=float, default=600.0, help="seconds that an attempt lasts at least")
    given = parser.parse_args()
    wake, waker = os.pipe()
    for end in (wake, waker):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began = time.monotonic()
    try:
        return run(given, wake)
    except Trouble as trouble:
        status, words = trouble.status, str(trouble)
    except OSError as error:
        status, words = BROKEN, f"the client's directory: {error}"
    hold_s = max(0.0, began + given.hold - time.monotonic())
    say(f"{words} (ends in {hold_s:.0f} s)" if hold_s else words)
    return TOLD if select.select([wake], [], [], hold_s)[0] else status


if __name__ == "__main__":
    sys.exit(main())
