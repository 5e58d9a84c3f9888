"""`fewgan report --serve`: to this machine alone, below a random address, read-only, until Ctrl-C."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from report_page import Page

from fewgan.cli import commands as cli
from fewgan.commands.report import pictures
from fewgan.commands.report.serve import Server


@contextmanager
def served(*folders):
    with Server(list(folders), 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(address, path=None, method="GET", **headers):
    """(status, headers, content)"""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request(method, parts.path if path is None else path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_the_page_is_as_the_run_is(shown_run):
    with served(shown_run) as server:
        status, headers, content = ask(server.address)
        assert (status, headers["Content-Type"], headers["Cache-Control"]) == (
            200,
            "text/html; charset=utf-8",
            "no-store",
        )
        made = Page(content.decode())
        policy = next(one["content"] for one in made.found("meta") if one.get("http-equiv"))
        assert "connect-src 'self'" in policy
        assert made.data["live"]
        before = ask(server.address + "state")[2].decode()
        assert before == made.data["state"]
        with open(shown_run / "metrics.jsonl", "a") as file:
            file.write(json.dumps({"step": 410, "loss_d": 9}) + "\n")
        after = ask(server.address + "state")[2].decode()
        assert after != before
        made = Page(ask(server.address)[2].decode())
        assert made.data["state"] == after
        assert made.data["charts"][0]["lines"][0]["y"][-1] == 9


def test_a_page_that_did_not_change_is_made_once(shown_run, monkeypatch):
    with served(shown_run) as server:
        first = ask(server.address)[2]
        monkeypatch.setattr(pictures, "samples", None)
        assert ask(server.address)[2] == first


def test_no_other_address_or_host_or_method_gets_anything(shown_run):
    with served(shown_run) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert len(server.token) >= 20
        own = f"/{server.token}"
        for path in (
            "/",
            "/state",
            "//",
            "/%ff/",
            own,
            own[:-1] + "/",
            f"{own}x/",
            f"{own}/config.json",
            f"{own}/../x",
        ):
            assert ask(server.address, path)[0] == 404, path
        for host in (
            "evil.example",
            f"evil.example:{server.server_port}",
            "127.0.0.1",
            f"127.0.0.1:{server.server_port}@x",
        ):
            assert ask(server.address, Host=host)[0] == 403
        assert ask(server.address, Host=f"localhost:{server.server_port}")[0] == 200
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            assert ask(server.address, method=method)[0] == 501
        status, headers, content = ask(server.address, method="HEAD")
        assert (status, content) == (200, b"")
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


def test_readers_that_say_nothing_do_not_stop_it(shown_run):
    with served(shown_run) as server:
        silent = [socket.create_connection(server.server_address) for _ in range(10)]
        assert ask(server.address + "state")[0] == 200
        for one in silent:
            one.close()


def test_a_run_that_is_gone_is_told(shown_run):
    with served(shown_run) as server:
        (shown_run / "config.json").unlink()
        status, _, content = ask(server.address)
    assert (status, b"not a fewgan run" in content) == (503, True)


def test_a_port_that_is_taken_and_a_folder_that_is_no_run(shown_run, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.run(["report", str(shown_run), "--serve", "--port", str(port)]) == 2
    assert f"--port {port}: cannot be used" in capsys.readouterr().err
    assert cli.run(["report", str(shown_run.parent), "--serve"]) == 2
    assert "not a fewgan run" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_it(shown_run):
    words = [sys.executable, "-m", "fewgan", "report", str(shown_run), "--serve"]
    heeded = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}  # a shell's & ignores it
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heeded) as process:
        address = process.stdout.readline().strip()
        assert ask(address)[0] == 200
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert "Stopped." in error
    assert "Traceback" not in error
    assert sorted(os.listdir(shown_run)) == sorted(
        ["config.json", "fid", "generator.safetensors", "metrics.jsonl", "real.png", "samples"]
    )
