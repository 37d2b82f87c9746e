"""Pages for one person on this machine: who is let in, what every answer forbids, how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from served import Server, Visitor, served

from tandem.errors import UserError
from tandem.view.serving import open_door


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served(script=__file__.replace("test_view_serving", "served")) as running:
        yield running


@pytest.fixture
def visitor(server: Server) -> Visitor:
    found = Visitor(server.address)
    found.get("/")
    return found


def test_the_printed_address_opens_the_pages_by_a_strict_cookie(server: Server) -> None:
    visitor = Visitor(server.address)
    came = Visitor(server.address, enter=False).get(server.address.partition(str(visitor.port))[2])
    assert "HttpOnly" in came.headers["set-cookie"] and "SameSite=Strict" in came.headers["set-cookie"]
    assert visitor.get("/").status == 200


def test_nobody_enters_without_the_key(server: Server) -> None:
    stranger = Visitor(server.address, enter=False)
    for path in ("/", "/?key=", "/?key=wrong", "/static/page.css", "/echo"):
        assert stranger.get(path).status == 403, path
    assert stranger.get("/", {"Cookie": f"tandem-{stranger.port}=guess"}).status == 403
    assert stranger.post("/echo").status == 403


@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""]
)
def test_a_foreign_host_is_refused_even_with_the_cookie(visitor: Visitor, host: str) -> None:
    assert visitor.get("/", {"Host": host.format(port=visitor.port)}).status in (400, 421)


def test_localhost_is_the_same_server(visitor: Visitor) -> None:
    assert visitor.get("/", {"Host": f"localhost:{visitor.port}"}).status == 200


def test_a_form_of_our_own_arrives_and_keeps_its_lines(visitor: Visitor) -> None:
    assert visitor.post("/echo", note="ä\r\n ö", empty="").text.startswith('{"fields":{"note":"ä\\n ö","empty":""}')


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},  # another server on this machine: the same site, another origin
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "", "Sec-Fetch-Site": ""},
        {"Origin": "", "Sec-Fetch-Site": "none"},
    ],
)
def test_a_post_of_another_page_is_refused_though_it_has_cookie_and_token(
    visitor: Visitor, headers: dict[str, str]
) -> None:
    assert visitor.post("/echo", headers).status == 403


def test_a_post_without_the_pages_token_is_refused(visitor: Visitor) -> None:
    assert visitor.post("/echo", token="").status == 403
    assert visitor.post("/echo", token="guess").status == 403
    assert visitor.post("/echo", {"X-Tandem-Token": "guess"}).status == 403


def test_the_token_may_come_in_a_header_with_any_body(visitor: Visitor) -> None:
    reply = visitor.post("/echo", {"X-Tandem-Token": visitor.token, "Content-Type": "application/json"})
    assert reply.status == 200 and '"fields":{}' in reply.text


def test_a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not(visitor: Visitor) -> None:
    own = {"Origin": f"http://127.0.0.1:{visitor.port}", "X-Tandem-Token": visitor.token}
    assert visitor.ask("POST", "/echo", b"x" * 65536, own).status == 200
    assert visitor.ask("POST", "/echo", b"x" * 65537, own).status == 413
    assert visitor.ask("POST", "/echo", b"x" * 65537, own | {"Transfer-Encoding": "chunked"}).status == 413
    assert visitor.ask("POST", "/echo", b"", own | {"Content-Length": str(10**12)}).status == 413


def test_other_methods_are_refused(visitor: Visitor) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        assert visitor.ask(method, "/echo").status == 405


def test_an_address_of_many_parameters_is_read_and_one_of_too_many_refused(visitor: Visitor) -> None:
    """A form over a record of many fields sends every limit, empty ones too; the guard's headers stand on a refusal."""
    assert visitor.get("/?" + "&".join(f"min.x{n}=" for n in range(300))).status == 200
    reply = visitor.get("/?" + "&".join(f"x{n}=1" for n in range(3000)))
    assert reply.status == 400 and "parameters" in reply.text
    assert "content-security-policy" in {name.lower() for name in reply.headers}


def test_another_page_cannot_embed_ours(visitor: Visitor) -> None:
    """A page of another port is of the same site, so the browser would send the cookie."""
    asked = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "image"}
    assert visitor.get("/", asked).status == 403
    assert visitor.get("/", {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}).status == 200


def test_every_answer_carries_the_guarding_headers(visitor: Visitor, server: Server) -> None:
    stranger = Visitor(server.address, enter=False)
    replies = [visitor.get("/"), visitor.get("/static/page.css"), visitor.get("/nowhere"), stranger.get("/")]
    assert [r.status for r in replies] == [200, 200, 404, 403]
    for reply in replies:
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"


def test_only_the_files_of_the_pages_are_served(visitor: Visitor) -> None:
    assert visitor.get("/static/report.css").headers["content-type"].startswith("text/css")
    for path in ("/static/../guard.py", "/static/%2e%2e/guard.py", "/static/", "/static/page.css/x"):
        assert visitor.get(path).status == 404, path


def test_what_a_handler_says_is_escaped(visitor: Visitor) -> None:
    reply = visitor.get("/told")
    assert reply.status == 409 and "That &lt;b&gt;cannot&lt;/b&gt; be" in reply.text


def test_a_ticket_opens_once() -> None:
    door = open_door()
    ticket = door.keys.ticket()
    assert door.keys.opens(ticket) and not door.keys.opens(ticket)
    assert door.keys.opens(door.keys.address) and door.keys.opens(door.keys.address)
    door.socket.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", ""])
def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(UserError, match="no loopback address"):
        open_door(host=host)


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(UserError, match="is taken"):
        open_door(other.getsockname()[1])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_interrupted_with_a_connection_open(how: int) -> None:
    with served(script=__file__.replace("test_view_serving", "served")) as running:
        host = Visitor(running.address)
        with socket.create_connection((host.host, host.port)):
            said = running.end(how)
        assert running.process.returncode == 0
        assert said.splitlines()[-1] == "ended" and "Traceback" not in said


def test_the_room_loads_no_server_until_it_serves() -> None:
    code = "import sys, tandem.view.serving; print({'starlette', 'uvicorn', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
