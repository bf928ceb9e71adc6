"""A web server on loopback that keeps what is put, with faults on order."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class WebStore:
    """Takes PUT, GET and DELETE. ``trouble`` is the status that it answers instead, 0: none. ``wants`` is the
    Authorization without which it answers 401; empty: it wants none. ``sends_on``: where it sends each GET instead.

    Each PUT takes ``slow_s``, each DELETE ``slow_drop_s``. ``begun`` are the PUTs that have begun, ``dropping`` counts
    the DELETEs, ``told`` is the Authorization of each GET.
    """

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.trouble = 0
        self.refused = 0
        self.puts: list[str] = []
        self.begun: list[str] = []
        self.slow_s = 0.0
        self.slow_drop_s = 0.0
        self.dropping = 0
        self.wants = ""
        self.sends_on = ""
        self.told: list[str | None] = []
        store = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                store.told.append(self.headers.get("Authorization"))
                if store.sends_on:
                    self.send_response(307)
                    self.send_header("Location", store.sends_on)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                there = not self._refused() and self.path in store.kept
                self._answer(200 if there else 404, store.kept[self.path] if there else b"")

            def do_PUT(self) -> None:
                store.begun.append(self.path)
                time.sleep(store.slow_s)
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if not self._refused():
                    store.puts.append(self.path)
                    store.kept[self.path] = data
                self._answer(201)

            def do_DELETE(self) -> None:
                store.dropping += 1
                time.sleep(store.slow_drop_s)
                found = self._refused() or store.kept.pop(self.path, None) is not None
                self._answer(204 if found else 404)

            def _refused(self) -> int:
                unknown = store.wants and self.headers.get("Authorization") != store.wants
                return store.trouble or (401 if unknown else 0)

            def _answer(self, status: int, data: bytes = b"") -> None:
                refused = self._refused()
                store.refused += bool(refused)
                self.send_response(refused or status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
