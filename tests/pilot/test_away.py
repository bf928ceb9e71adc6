"""A pilot whose server never answers does not hold its node for ever."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("limit", [("--idle", "1"), ("--lifetime", "3", "--drain", "2")], ids=["idle", "lifetime"])
def test_it_ends_when_it_was_idle_for_long_or_its_lifetime_is_over(limit: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    with socket.socket() as taken:  # and not listening: whoever calls is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        options = ["--url", url, "--token-file", str(tmp_path / "token"), "--spool", str(tmp_path / "spool"), *limit]
        ended = subprocess.run(
            [sys.executable, "-m", "federator", "pilot", *options],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("the server does not answer") > 1, "it gave up before its time"
    assert ended.stderr.endswith("ended: the server never answered\n")
