"""Addresses of repositories: what may reach git, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from components import git_url
from components.errors import UnsafeUrl
from components.git_url import Admission

HOSTILE = [
    "ext::sh -c touch% /tmp/owned",
    "ext::sh",
    "fd::17",
    "EXT::sh",
    "file:///etc",
    "FILE:///etc",
    "file:/etc",
    "/etc",
    "../secrets",
    "~/secrets",
    "--upload-pack=touch /tmp/owned",
    "--upload-pack=touch",
    "-oProxyCommand=touch",
    "ssh://-oProxyCommand=touch/x",
    "ssh://git@-oProxyCommand=touch/x",
    "ssh://-oProxyCommand=touch@host/x",
    "-oProxyCommand=touch:x",
    "git@-oProxyCommand=touch:x",
    "git@host:-oProxyCommand",
    "git@host:--upload-pack=x",
    "https://host/a\nb",
    "https://host/a%0ahost=evil.example",
    "https://host/a%00",
    "https://host/a b",
    "https://host/a?x=1",
    "https://host/a#x",
    "https://user:secret@host/a",
    "https://token@host/a",
    "https://host\\@evil.example/a",
    "http://example.org/a",
    "git://example.org/a",
    "ftp://example.org/a",
    "javascript://example.org/a",
    "https://",
    "https:///a",
    "https://host",
    "https://host/",
    "https://ho..st/a",
    "https://host:99999/a",
    "https://host:port/a",
    "https://[::1/a",
    "https://hoſt/a",
    "$(touch x)",
    "`touch x`",
    "just-a-word",
    "",
    "https://host/" + "a" * 3000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_could_make_git_do_something_else_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(UnsafeUrl) as refused:
        Admission().admit(text)

    words = str(refused.value)
    assert words.startswith("repository '")
    assert "\n" not in words
    assert len(words) < 600
    assert "secret" not in words.replace("~/secrets", "").replace("../secrets", "")


@pytest.mark.parametrize(
    ("text", "name", "origin"),
    [
        ("https://example.org/team/shop.git", "shop", "https://example.org"),
        ("https://Example.ORG:8443/team/shop", "shop", "https://example.org:8443"),
        ("http://127.0.0.1:8080/shop.git/", "shop", "http://127.0.0.1:8080"),
        ("http://localhost/shop", "shop", "http://localhost"),
        ("http://[::1]:80/shop", "shop", "http://[::1]:80"),
        ("ssh://git@example.org:22/team/shop.git", "shop", "ssh://example.org:22"),
        ("git@example.org:team/shop.git", "shop", "ssh://example.org"),
        ("https://example.org/..%2f..%2fetc", "etc", "https://example.org"),
        ("https://example.org/a/..", "repository", "https://example.org"),
    ],
)
def test_an_ordinary_address_is_let_in(text: str, name: str, origin: str) -> None:
    url = Admission().admit(text)

    assert (url.name, url.origin) == (name, origin)
    assert "/" not in url.slug
    assert not url.slug.startswith((".", "-"))


def test_two_addresses_never_share_a_directory() -> None:
    one, other = (Admission().admit(f"https://{host}.example.org/shop") for host in ("a", "b"))

    assert one.name == other.name
    assert one.slug != other.slug


def test_where_hosts_are_listed_others_are_refused_and_redirects_are_not_followed() -> None:
    listed = Admission(hosts=("git.example.org",))

    assert listed.admit("https://git.example.org/a").is_pinned
    assert listed.admit("git@git.example.org:a").host == "git.example.org"
    with pytest.raises(UnsafeUrl, match="repository_hosts"):
        listed.admit("https://169.254.169.254/latest")


def test_plain_http_is_for_this_machine_and_for_the_hosts_that_are_listed() -> None:
    assert Admission(plain_hosts=("git.lan",)).admit("http://git.lan/a").host == "git.lan"
    with pytest.raises(UnsafeUrl, match="unencrypted"):
        Admission(plain_hosts=("git.lan",)).admit("http://localhost.evil.example/a")


def test_a_local_repository_is_let_in_below_a_configured_directory_only(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to("/etc")
    admission = Admission(roots=(tmp_path / "root",))

    assert admission.admit(f"{tmp_path}/root/shop").text == f"file://{tmp_path}/root/shop"
    assert admission.admit(f"file://{tmp_path}/root/shop").scheme == "file"
    for outside in (f"{tmp_path}/root/../other", f"{tmp_path}/rootless", f"{tmp_path}/root/out", "file:///etc"):
        with pytest.raises(UnsafeUrl, match="repository_roots"):
            admission.admit(outside)


@pytest.mark.parametrize(
    ("word", "is_address"),
    [
        ("https://example.org/a", True),
        ("git@example.org:a", True),
        ("ext::sh", True),
        ("file:///etc", True),
        ("shop", False),
        ("/srv/shop", False),
        ("./a:b", False),
        ("~/src/shop", False),
    ],
)
def test_an_address_is_told_from_a_name_and_a_path(word: str, is_address: bool) -> None:
    assert git_url.is_address(word) is is_address
