"""A BOINC project on loopback, as small as the client allows: a page, a scheduler, one application, which is signed.

It hands out one piece of work at a time to each client, and writes down what clients say. The application is
``boinc_app.py``; no result has files, what it prints comes back with it.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.servers.boinc_signing import SigningKey

APP = Path(__file__).with_name("boinc_app.py")
APP_FILE = "count_1.py"


@dataclass
class Host:
    """One client as the project knows it: ``requests`` is the number of its last request."""

    requests: int = 0
    given: int = 0


@dataclass
class BoincProject:
    """``key`` is the account's; ``steps`` of about 0.1 s of CPU time each are in a piece of work, which waits after
    ``waits_after`` of them until there is the file ``gate``. With ``away`` set it answers 503 to everything."""

    key: str
    steps: int = 10
    waits_after: int = 0
    gate: str = ""
    away: bool = False
    hosts: dict[int, Host] = field(default_factory=dict)
    reported: dict[str, str] = field(default_factory=dict)
    """By result: what the client reported of it, as XML."""
    requests: list[str] = field(default_factory=list)
    """All that clients have asked, as XML."""

    def __post_init__(self) -> None:
        self._signing = SigningKey.make()
        self._lock = threading.Lock()
        self._program = f"#!{sys.executable}\n".encode() + APP.read_bytes()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._server.server_close()

    def page(self, path: str) -> bytes | None:
        """What is at an address: the page that names the scheduler, and the program; None: nothing."""
        if path == "/":
            return f"<html><head>\n<!-- <scheduler>{self.url}cgi</scheduler> -->\n</head></html>\n".encode()
        return self._program if path == f"/{APP_FILE}" else None

    def answer(self, request: str) -> str:
        """What the scheduler answers. A client is known by its number; one whose count of requests goes back is a copy
        and gets a number of its own, as with real projects."""
        with self._lock:
            self.requests.append(request)
            if _text(request, "authenticator") != self.key:
                return self._reply(
                    '<message priority="notice">Invalid or missing account key.</message>', delay_s=86400
                )
            number, count = int(_text(request, "hostid") or 0), int(_text(request, "rpc_seqno") or 0)
            parts = []
            if number not in self.hosts or count < self.hosts[number].requests:
                number = len(self.hosts) + 1
                self.hosts[number] = Host()
                parts.append(f"<hostid>{number}</hostid>")  # it is told when it is new only
            host = self.hosts[number]
            host.requests = count
            if "<code_sign_key>" not in request:
                parts.append(f"<code_sign_key>\n{self._signing.public}</code_sign_key>")
            for result in re.findall(r"<result>(.*?)</result>", request, re.DOTALL):
                name = _text(result, "name")
                self.reported.setdefault(name, result)
                parts.append(f"<result_ack><name>{name}</name></result_ack>")
            out = len(re.findall(r"<other_result>", request))
            if float(_text(request, "work_req_seconds") or 0) > 0 and not out:
                host.given += 1
                parts.append(self._work(f"piece_{number}_{host.given}"))
            return self._reply("\n".join(parts))

    def _reply(self, inside: str, delay_s: float = 1.0) -> str:
        return f"""<scheduler_reply>
<scheduler_version>713</scheduler_version>
<master_url>{self.url}</master_url>
<request_delay>{delay_s:g}</request_delay>
<project_name>Counting</project_name>
<user_name>nobody</user_name>
{inside}
</scheduler_reply>
"""

    def _work(self, name: str) -> str:
        checksum = hashlib.md5(self._program).hexdigest()
        return f"""<app><name>count</name><user_friendly_name>Counting</user_friendly_name></app>
<file_info><name>{APP_FILE}</name><executable/><url>{self.url}{APP_FILE}</url>
<md5_cksum>{checksum}</md5_cksum><nbytes>{len(self._program)}</nbytes>
<file_signature>
{self._signing.sign(checksum)}</file_signature></file_info>
<app_version><app_name>count</app_name><version_num>100</version_num><platform>x86_64-pc-linux-gnu</platform>
<api_version>7.20.0</api_version><avg_ncpus>1</avg_ncpus>
<file_ref><file_name>{APP_FILE}</file_name><main_program/></file_ref></app_version>
<workunit><name>{name}</name><app_name>count</app_name><version_num>100</version_num>
<command_line>{self.steps} {self.waits_after} {self.gate}</command_line>
<rsc_fpops_est>1e10</rsc_fpops_est><rsc_fpops_bound>1e15</rsc_fpops_bound>
<rsc_memory_bound>5e7</rsc_memory_bound><rsc_disk_bound>1e8</rsc_disk_bound></workunit>
<result><name>{name}_0</name><wu_name>{name}</wu_name><report_deadline>{time.time() + 86400:.0f}</report_deadline>
<platform>x86_64-pc-linux-gnu</platform><version_num>100</version_num></result>
"""


def _text(xml: str, tag: str) -> str:
    found = re.search(rf"<{tag}>\s*(.*?)\s*</{tag}>", xml, re.DOTALL)
    return found[1] if found else ""


def _handler(project: BoincProject) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(project.page(self.path))

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"])).decode("utf-8", "replace")
            self._send(project.answer(asked).encode() if self.path == "/cgi" and not project.away else None)

        def _send(self, body: bytes | None) -> None:
            self.send_response(503 if project.away else 404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler
