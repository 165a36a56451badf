"""What an agent may see of our environment."""

from __future__ import annotations

from components import agent_environment


def test_the_key_of_the_server_never_reaches_an_agent_even_when_asked_for() -> None:
    environ = {"HEADLESS_PM_API_KEY": "k1", "API_KEY_HEADLESS_PM": "k2", "API_KEY": "k3", "PATH": "/bin"}

    passed = agent_environment.passed(environ, ["API_KEY", "HEADLESS_PM_API_KEY"])

    assert passed == {"PATH": "/bin"}


def test_what_nobody_listed_stays_out_and_what_was_asked_for_comes_in() -> None:
    environ = {"DATABASE_PASSWORD": "x", "GOFLAGS": "-v", "ANTHROPIC_API_KEY": "sk", "LC_ALL": "C"}

    passed = agent_environment.passed(environ, ["GOFLAGS"])

    assert passed == {"GOFLAGS": "-v", "ANTHROPIC_API_KEY": "sk", "LC_ALL": "C"}
