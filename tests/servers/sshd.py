"""A login node of our own: Debian's sshd on loopback, unpacked into the cache; nothing is installed.

It runs as the user that logs in, and sees a file of users of its own, in which that user has a shell. Root starts it.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.private_apt import unpacked
from tests.servers.processes import (
    Server,
    ServerFailed,
    free_port,
    primary_group,
    remove_directory,
    temporary_directory,
)

PACKAGES = (
    "openssh-server", "openssh-client", "libwrap0", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0",
    "libcom-err2", "libkeyutils1", "libnsl2", "libtirpc3",
)  # fmt: skip
"""Server and client, and libraries of theirs that a small machine may lack."""


def find_ssh() -> Path:
    """The tree of its files: from the cache, or from Debian. Raises AptFailed."""
    return unpacked("ssh-1", PACKAGES)


class Sshd:
    """``with Sshd(user) as login: [*login.command, "squeue"]``. The user's programs are those of this machine."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.port = free_port()
        self.directory = temporary_directory("ssh")
        self.directory.chmod(0o755)
        # Copied: the user is not let into root's own cache.
        shutil.copytree(find_ssh(), self.directory / "tree", symlinks=True)
        tree = self.directory / "tree"
        (libraries,) = (tree / "usr/lib").glob("*-linux-gnu")
        self._with_libraries = ["env", f"LD_LIBRARY_PATH={libraries}"]
        self._client, self._keygen = str(tree / "usr/bin/ssh"), str(tree / "usr/bin/ssh-keygen")
        self.key, self.known_hosts = self.directory / "key", self.directory / "known_hosts"
        self._host_key, self.master = self.directory / "host", self.directory / "master"
        inner = [*self._with_libraries, str(tree / "usr/sbin/sshd"), "-D", "-e", "-f", str(self.directory / "config")]
        group = str(primary_group(user))
        inner = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", *inner]
        mount = shlex.join(["mount", "--bind", str(self.directory / "passwd"), "/etc/passwd"])
        script = f"{mount} && exec {shlex.join(inner)}"
        self.server = Server("sshd", ["unshare", "--mount", "sh", "-c", script], self.directory / "sshd.log")

    @property
    def command(self) -> list[str]:
        """A prefix for commands, which keeps one connection for all of them."""
        options = {
            "BatchMode": "yes", "ConnectTimeout": "10", "StrictHostKeyChecking": "yes", "IdentityFile": self.key,
            "UserKnownHostsFile": self.known_hosts, "GlobalKnownHostsFile": "/dev/null", "ControlMaster": "auto",
            "ControlPath": self.master, "ControlPersist": "10m", "Port": self.port, "ServerAliveInterval": "5",
            "ServerAliveCountMax": "2",
        }  # fmt: skip
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return [*self._with_libraries, self._client, "-F", "/dev/null", *words, f"{self.user}@127.0.0.1"]

    def start(self) -> None:
        if not self.key.exists():
            self._configure()
        self.server.start()
        self.server.wait_until(self._listens, 20.0, "listening")

    def stop(self) -> None:
        """No new connections are taken, and those that are open end, the client's master among them."""
        self.server.stop(signal.SIGKILL)
        self.cut()

    def cut(self) -> None:
        """Kill the client's master, and with it all that goes over it."""
        for pid in self.masters():
            subprocess.run(["kill", "-KILL", str(pid)], check=False)
        self.master.unlink(missing_ok=True)

    def masters(self) -> list[int]:
        """The processes that hold the connection."""
        found = subprocess.run(
            ["pgrep", "-f", f"ssh: {self.master} \\[mux\\]"], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def new_host_key(self) -> None:
        """As after the node was set up anew: clients know another one."""
        for path in (self._host_key, Path(f"{self._host_key}.pub")):
            path.unlink()
        self._make_key(self._host_key, self.user)

    def know(self) -> None:
        """The client takes the host's key for known."""
        kind, key = Path(f"{self._host_key}.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        remove_directory(self.directory)

    def _configure(self) -> None:
        self._make_key(self.key, None)
        self._make_key(self._host_key, self.user)
        self.know()
        shutil.copy(f"{self.key}.pub", self.directory / "authorized")
        users = Path("/etc/passwd").read_text()
        with_shell = re.sub(rf"^({self.user}:.*:)[^:]*$", r"\1/bin/sh", users, flags=re.MULTILINE)
        (self.directory / "passwd").write_text(with_shell)
        lines = [
            "ListenAddress 127.0.0.1", f"Port {self.port}", f"HostKey {self._host_key}", "PasswordAuthentication no",
            f"AuthorizedKeysFile {self.directory}/authorized", "StrictModes no", "UsePAM no", "PidFile none",
        ]  # fmt: skip
        (self.directory / "config").write_text("\n".join(lines) + "\n")

    def _make_key(self, path: Path, owner: str | None) -> None:
        words = ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
        done = subprocess.run(
            [*self._with_libraries, self._keygen, *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ServerFailed(f"ssh-keygen: {done.stderr}")
        if owner:
            shutil.chown(path, owner)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
