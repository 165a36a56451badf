"""Secrets, escapes and excess length are taken out, in time that grows with the text and no faster."""

from __future__ import annotations

import base64
import time
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.redact import SECRET, Redactor, plain, shorten

KEY = "p4ss/w+rd of the PM?"
HOSTILE_CHARACTERS = 1_000_000
HOSTILE_SECONDS = 30
"""It takes about 0.2 s; what grows with the square of the length would take hours."""


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        quote(KEY, safe=""),
        quote_plus(KEY),
        base64.b64encode(KEY.encode()).decode(),
        base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    ],
)
def test_a_known_secret_is_taken_out_in_each_form(form: str) -> None:
    assert Redactor([KEY])(f"before {form} after").replace("=", "") == f"before {SECRET} after"


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:", "agent:"])
def test_a_secret_is_found_inside_longer_base64(before: str) -> None:
    encoded = base64.b64encode(f"{before}{KEY}, and more".encode()).decode()

    left, right = Redactor([KEY])(encoded).split(SECRET)

    hidden = len(encoded) - len(left) - len(right)
    assert hidden >= len(KEY) * 8 // 6 - 2
    assert encoded.startswith(left)
    assert encoded.endswith(right)


def test_a_secret_with_quotes_is_found_in_json() -> None:
    assert Redactor(['say "hush" now'])(r'{"key": "say \"hush\" now"}') == f'{{"key": "{SECRET}"}}'


def test_a_secret_of_several_lines_is_found_line_by_line() -> None:
    first, second = "first line of the key", "second line of the key"

    assert Redactor([f"{first}\n{second}"])(f"log: {second}") == f"log: {SECRET}"


def test_of_two_secrets_that_begin_alike_none_leaves_a_rest() -> None:
    assert Redactor(["abcdef", "abcdefghij"])("abcdefghij abcdef") == f"{SECRET} {SECRET}"


def test_short_values_are_let_be() -> None:
    assert Redactor(["", "the", "abcde"])("abcde the end") == "abcde the end"


TOKENS = [
    "sk-ant-api03-AbCd_ef-1234567890",
    "sk-proj-0123456789abcdefghij",
    "sk-" + "a1B2" * 10,
    "ghp_" + "a1" * 18,
    "ghs_" + "a1" * 18,
    "github_pat_11ABCDEFG0_abcdefghijklm",
    "glpat-abcdefghij1234567890",
    "AKIAIOSFODNN7EXAMPLE",
    "xoxb-123456789-abcdef",
    "xoxp-123456789-abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl-X",
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "key={}", '{{"key": "{}"}}', "({})", "a {} b"])
def test_tokens_are_known_by_their_look(token: str, around: str) -> None:
    assert Redactor()(around.format(token)) == around.format(SECRET)


def test_of_a_header_or_an_address_only_the_secret_goes() -> None:
    redact = Redactor()

    assert redact("Authorization: Bearer abc.def-123456") == f"Authorization: Bearer {SECRET}"
    assert redact("authorization: basic dXNlcjpwYXNz") == f"authorization: basic {SECRET}"
    assert redact("https://me:hunter2@example.com/x") == f"https://me:{SECRET}@example.com/x"


def test_a_private_key_goes_whole_and_a_torn_one_too() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE/+ab\ncd==\n-----END RSA PRIVATE KEY-----"

    assert Redactor()(f"a {key} b") == f"a {SECRET} b"
    assert Redactor()(f"a {key[:60]}") == f"a {SECRET}"


@pytest.mark.parametrize(
    "text",
    [
        "task-ant-hill and risk-proj",
        "the bearer of news",
        "https://example.com:8080/a@b",
        "git@github.com:me/repository.git",
        "sk-learn",
        "commit 3f2a9c1d5e7b8a6f4c2d1e0f9a8b7c6d5e4f3a2b",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor(["secret-value"])(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b1;31mred", "red"),
        ("\x1b]0;a title\x07shown", "shown"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2\x1b\\after", "after"),
        ("\x1b]0;never ended\nnext line", "0;never ended\nnext line"),
        ("\x1b(Bset \x1bcreset \x1b7save", "set reset save"),
        ("a\x00b\x08c\rd\x7fe\x85f", "abcdef"),
        ("one\ttab\nline", "one\ttab\nline"),
        ("\u202etxt.exe\u2066 \u200f", "txt.exe "),
        ("seen\U000e0041\U000e0042", "seen"),
        ("half \ud83d a pair", "half \ufffd a pair"),
        ("\x1b\x1b[31m[0mtext", "[0mtext"),
        ("cut in the \x1b[3", "cut in the "),
    ],
)
def test_what_a_terminal_acts_upon_is_removed(text: str, left: str) -> None:
    assert plain(text) == left


@given(st.text(st.characters() | st.sampled_from("\x1b\x9b\x9d[]0;m\x07\\")))
@example("\x1b" * 5 + "[" * 5)
def test_nothing_that_a_terminal_acts_upon_is_ever_left(text: str) -> None:
    left = plain(text)

    controls = {character for character in left if unicodedata.category(character) in ("Cc", "Cs")}
    assert controls <= {"\n", "\t"}
    assert plain(left) == left
    left.encode()


@given(st.text(), st.text(), st.text(min_size=6))
def test_a_known_secret_is_never_left(before: str, after: str, secret: str) -> None:
    """A secret that is a part of our own sign would always be left: that one is no secret."""
    assert secret in SECRET or secret not in Redactor([secret])(before + secret + after).replace(SECRET, "\0")


@given(st.text(), st.integers(1, 50))
def test_a_shortened_text_is_never_longer_than_allowed(text: str, limit: int) -> None:
    shortened = shorten(text, limit)

    assert len(shortened) <= limit
    assert shortened == text or shortened.endswith("…")


@pytest.mark.parametrize(
    "unit",
    [
        "\x1b]",
        "\x1b[",
        "\x9d",
        "\x1b]\x9d",
        "\x1b[0;",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        "eyJ",
        "eyJ-",
        "eyJaaaaaaaa.",
        "://",
        "://a:b",
        "Bearer ",
        "sk-",
        "known-secre",
    ],
)
@pytest.mark.parametrize("work", [plain, Redactor(["known-secret"])], ids=["plain", "redact"])
def test_hostile_text_takes_no_longer_than_its_length(unit: str, work: Callable[[str], str]) -> None:
    text = unit * (HOSTILE_CHARACTERS // len(unit))
    began = time.process_time()

    work(text)

    assert time.process_time() - began < HOSTILE_SECONDS
