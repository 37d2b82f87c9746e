"""Addresses as they may be seen: no password, no key."""

from __future__ import annotations

import pytest

from tandem.errors import UserError
from tandem.sources import urls


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://query.example.org/sparql", "https://query.example.org/sparql"),
        ("sparql:http://127.0.0.1:1/sparql?apikey=hunter2", "sparql:http://127.0.0.1:1/sparql?apikey=…"),
        ("http://h?a=hunter2&b=c;d=e&hunter2#hunter2", "http://h?a=…&b=…&d=…&…"),
        ("http://u:hunter2@h:80/sparql", "http://h:80/sparql"),
        ("http://hunter2@h/sparql", "http://h/sparql"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://u:hunt/er2@h/sparql", "http://…"),
        ("http://u:hunt?er2@h/sparql", "http://…"),
        ("sql:postgresql://role:hunt:er2@h/db?password=hunter2", "sql:postgresql://role@h/db?password=…"),
        ("sql:people.csv", "sql:people.csv"),
        ("web:brave#example.org", "web:brave#example.org"),
    ],
)
def test_an_address_is_shown_without_passwords_and_values(address, shown):
    assert urls.shown(address) == shown


def test_what_is_meant_changes_with_what_is_asked_and_not_with_who_asks():
    def meant(tail):
        return urls.meant(f"http://{tail}")

    assert meant("h/one") != meant("h/two") != meant("g/two")
    assert meant("h/one?graph=a") != meant("h/one?graph=b")
    assert meant("h/one?graph=a&api_key=x") == meant("u:p@h/one?graph=a&api_key=y") == meant("h/one?graph=a")
    assert meant("h/one?keyword=a") != meant("h/one?keyword=b")


@pytest.mark.parametrize("address", ["http://u:hunter2@h/x", "http://hunter2@h", "http://u:hunt/er2@h/x"])
def test_a_login_is_refused_and_not_repeated(address):
    with pytest.raises(UserError) as caught:
        urls.without_login(address, "kb")
    assert "kb: its address holds a name or a password" in str(caught.value) and "hunt" not in str(caught.value)
