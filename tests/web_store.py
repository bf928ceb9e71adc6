"""A web server on loopback that keeps what is put, with faults on order."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class WebStore:
    """Takes PUT, GET and DELETE. ``trouble`` is the status that it answers instead, 0: none. Each PUT takes ``slow_s``;
    ``begun`` are those that have begun. Each DELETE takes ``slow_drop_s``; ``dropping`` counts them."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.trouble = 0
        self.refused = 0
        self.puts: list[str] = []
        self.begun: list[str] = []
        self.slow_s = 0.0
        self.slow_drop_s = 0.0
        self.dropping = 0
        store = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200 if self.path in store.kept else 404, store.kept.get(self.path, b""))

            def do_PUT(self) -> None:
                store.begun.append(self.path)
                time.sleep(store.slow_s)
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if not store.trouble:
                    store.puts.append(self.path)
                    store.kept[self.path] = data
                self._answer(201)

            def do_DELETE(self) -> None:
                store.dropping += 1
                time.sleep(store.slow_drop_s)
                found = store.trouble or store.kept.pop(self.path, None) is not None
                self._answer(204 if found else 404)

            def _answer(self, status: int, data: bytes = b"") -> None:
                store.refused += bool(store.trouble)
                self.send_response(store.trouble or status)
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
