"""How a server is reached: its address, the headers of every request, a proxy, trusted certificates, one session.

What this does not do: send anything. netrc is never read, and proxies only where `environment_proxy` is called; the
`trust_env` of aiohttp was rejected because it does both at once. Cookies are not kept.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from tandem.errors import UserError

KEEP_ALIVE = 4.0
"""Idle connections are given up before servers do (uvicorn: 5 s), so that no request meets one that is being closed."""
CONNECT_SECONDS = 30.0
"""Longest wait for one connection."""


def address(text: str) -> URL:
    """The address of a server, checked. Raises UserError, which does not repeat it: it may hold a password."""
    try:
        url = URL(text)
        usable = url.scheme in ("http", "https") and bool(url.host)
    except ValueError:
        usable = False
    if not usable:
        remedy = "give https://host/path or http://host/path"
        raise UserError("is no address of a server", where="base_url", remedy=remedy)
    if url.user or url.password:
        raise UserError("holds a name or a password", where="base_url", remedy="give the key as a header")
    return url.with_fragment(None)


def joined(base: URL, path: str) -> URL:
    """An address below another, whose query it keeps."""
    return base.with_path(base.path.rstrip("/") + "/" + path.lstrip("/")).with_query(base.query)


def place(url: URL) -> str:
    """Host, port unless it is the usual one, and path: what an error shows of an address."""
    port = "" if url.is_default_port() else f":{url.port}"
    return f"{url.host}{port}{url.path}"


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with those that every JSON request has. Raises UserError that names the header, never its value."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            remedy = "look for a line break or a foreign character in the key"
            raise UserError("holds a character that no header may hold", where=f"header {name}", remedy=remedy)
    given = {name.lower() for name in headers}
    ours = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "tandem"}
    return {**{name: value for name, value in ours.items() if name.lower() not in given}, **headers}


def environment_proxy(url: URL) -> URL | None:
    """The proxy that the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) names for an address."""
    named = None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)
    return URL(named if "://" in named else f"http://{named}") if named else None


def credentials(url: URL | None) -> tuple[str, ...]:
    """What must not be seen of a proxy's address: its password, also as the header that is sent."""
    if url is None or not url.password:
        return ()
    return url.password, base64.b64encode(f"{url.user or ''}:{url.password}".encode()).decode()


def open_session(
    url: URL, headers: Mapping[str, str], *, connections: int, seconds: float | None
) -> aiohttp.ClientSession:
    """A session of the running event loop with so many connections at most; one request ends within `seconds`."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections,
            keepalive_timeout=KEEP_ALIVE,
            ttl_dns_cache=300,
            ssl=_certificates() if url.scheme == "https" else True,
        ),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS),
    )


@functools.cache
def _certificates() -> ssl.SSLContext:
    """OpenSSL's defaults (SSL_CERT_FILE and SSL_CERT_DIR count); where they name no authority, those of certifi."""
    context = ssl.create_default_context()
    folder = ssl.get_default_verify_paths().capath
    if not context.cert_store_stats()["x509_ca"] and not (folder and any(Path(folder).iterdir())):
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    return context
