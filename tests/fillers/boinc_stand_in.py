"""Stands in for BOINC's client: started as it is, speaks as it does over the socket in its directory, computes nothing.

``STAND_IN`` in its environment says how it is: ``works``, ``deaf`` (does not quit, ignores SIGTERM, and has started
another process), ``refused`` or ``away`` (what became of its project), ``ends`` (at once). What it is asked it writes
to ``commands`` in its directory, what it was started with to ``started.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

NONCE = "1234.5"
PROJECTS = {
    "works": {"hostid": 7, "last_rpc_time": 1.0e9, "njobs_success": 2},
    "refused": {"hostid": 0, "last_rpc_time": 1.0e9},
    "away": {"hostid": 0, "last_rpc_time": 0, "nrpc_failures": 1, "master_fetch_failures": 1},
}
TASK = "<result><name>t</name><active_task><active_task_state>1</active_task_state></active_task></result>"


def answer(request: str, manner: str, suspended: bool) -> str:
    """What the client says to one of its commands."""
    if "<get_project_status" in request:
        values = PROJECTS.get(manner, PROJECTS["works"])
        return "<project>" + "".join(f"<{name}>{value}</{name}>" for name, value in values.items()) + "</project>"
    if "<get_results" in request and manner in ("works", "deaf"):
        return TASK.replace(">1<", ">9<") if suspended else TASK
    return "<success/>"


def exchange(line: socket.socket) -> str:
    """The next request of somebody; "" when he has gone."""
    said = b""
    while not said.endswith(b"\003"):
        piece = line.recv(4096)
        if not piece:
            return ""
        said += piece
    found = re.search(r"<boinc_gui_rpc_request>\s*(.*?)\s*</boinc_gui_rpc_request>", said.decode(), re.DOTALL)
    return found[1] if found else ""


def serve(server: socket.socket, manner: str, password: str) -> None:
    """Answer until told to quit."""
    proof = hashlib.md5((NONCE + password).encode()).hexdigest()
    suspended = False
    while True:
        line, _ = server.accept()
        known = False
        while request := exchange(line):
            if "<auth1" in request:
                told = f"<nonce>{NONCE}</nonce>"
            elif "<auth2" in request:
                known = proof in request
                told = "<authorized/>" if known else "<unauthorized/>"
            else:
                told = answer(request, manner, suspended) if known else "<unauthorized/>"
                with open("commands", "a") as file:
                    file.write(f"{request}\n")
                if "set_run_mode" in request:
                    suspended = "<never/>" in request
            line.sendall(f"<boinc_gui_rpc_reply>{told}</boinc_gui_rpc_reply>\003".encode())
            if "<quit" in request and manner != "deaf":
                return
        line.close()


def main() -> int:
    """Be the client; the exit status."""
    manner = os.environ.get("STAND_IN", "works")
    (account,) = Path().glob("account_*.xml")
    told = {"argv": sys.argv, "env": dict(os.environ), "pid": os.getpid()}
    before = json.loads(Path("started.json").read_text())["times"] if Path("started.json").exists() else 0
    key = re.findall(r"<authenticator>(.*)</authenticator>", account.read_text())[0]
    Path("slots/0").mkdir(parents=True, exist_ok=True)
    Path("slots/0/init_data.xml").write_text(key)
    Path("slots/0/other.xml").write_text(f"it is {key}")
    print(f"26-Nov-2026 12:00:00 [Counting] the key is {key}", flush=True)
    if manner == "ends":
        print("26-Nov-2026 12:00:00 [---] the state file is damaged", flush=True)
        return 3
    if manner == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        told["stray"] = subprocess.Popen(["sleep", "1000"], start_new_session=True).pid
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("boinc_socket")
        server.listen()
        Path("started.new").write_text(json.dumps({**told, "times": before + 1}))
        os.replace("started.new", "started.json")
        serve(server, manner, Path("gui_rpc_auth.cfg").read_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
