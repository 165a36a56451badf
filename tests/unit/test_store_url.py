"""The store's address: what is understood, what is refused, what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.store_url import StoreUrl, file_of, of_file, secrets_of, shown


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sqlite:////var/lib/store.db", "sqlite:////var/lib/store.db"),
        ("postgres://u@h/db", "postgresql://u@h/db"),
        ("postgresql://u:p@h:5432/db?sslmode=require", "postgresql://u:p@h:5432/db?sslmode=require"),
    ],
)
def test_addresses_are_understood(text: str, meant: str) -> None:
    assert StoreUrl().from_text(text) == meant


@pytest.mark.parametrize(
    "text",
    ["store.db", "sqlite:///store.db", "sqlite:////dir/", "mysql://h/db", "postgresql://h", "postgresql://h:x/db"],
)
def test_what_is_no_address_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        StoreUrl().from_text(text)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h/db",
        "postgresql://u:hun/ter2@h/db",
        "postgresql://u:hunt?er2@h/db",
        "postgresql://u:x@hunter2@h/db",
        "postgresql://h/db?user=u&password=hunter2",
        "postgresql://u@h/db?sslpassword=hunter2&x=y@z",
        "u:hunter2@h/db",
    ],
)
def test_no_password_is_ever_shown(url: str) -> None:
    assert "ter2" not in shown(url)
    assert shown(url) != url


@pytest.mark.parametrize("url", ["sqlite:////home/a@b:c/store.db", "postgresql://u@h/db", "postgresql:///db"])
def test_an_address_without_password_is_shown_as_it_is(url: str) -> None:
    assert shown(url) == url


def test_a_file_and_its_address_are_two_names_of_one_thing() -> None:
    path = Path("/var/lib/a b %41/store.db")

    assert file_of(of_file(path)) == path
    assert file_of("postgresql://h/db") is None


def test_passwords_are_named_for_redaction_as_written_and_as_meant() -> None:
    assert secrets_of("postgresql://u:a%40b@h/db?password=other") == ("a%40b", "a@b", "other")
    assert secrets_of("sqlite:////x.db") == ()
