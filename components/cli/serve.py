"""`serve`: the runner as a service for other programs, and for people at a browser."""

from __future__ import annotations

import ipaddress
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from components import cli
from components.cli.output import show
from components.errors import ConfigError

if TYPE_CHECKING:
    from components.config import Config

HELP = """Serve the API, live streams, the dashboard and metrics.

Executions that it starts have runners of their own: stopping, killing or restarting the service touches none of them.
At its first start it makes two tokens in private files, one that may do everything and one that may only read, and
shows them once.

\b
Start it, and look at it with a browser:
  agent-runner serve
\b
Put a task on the board and run it:
  export T="Authorization: Bearer $(cat ~/.headless-pm/serve.token)"
  curl -H "$T" localhost:6970/api/tasks -d '{"title": "Make the tests green"}' -H 'Content-Type: application/json'
  curl -H "$T" -X POST localhost:6970/api/tasks/ID/run
  curl -H "$T" -N localhost:6970/api/tasks/ID/stream
\b
For other machines: make the tokens first, then listen with TLS.
  agent-runner serve --make-tokens
  agent-runner serve --host 0.0.0.0 --tls-certificate cert.pem --tls-key key.pem

Exit codes: 0 stopped, 2 a mistake in the call or the configuration, or an address that cannot be had; 75 the store is
of a newer version.
"""


@click.command(name="serve", help=HELP, short_help="Serve the API, live streams and the dashboard.")
@click.option("--host", "serve_host", metavar="ADDRESS", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", "serve_port", metavar="PORT", help="Its port; 0 takes a free one.  [default: 6970]")
@click.option("--token-file", metavar="FILE", help="The token that may do everything.")
@click.option("--read-token-file", metavar="FILE", help="The token that may only read.")
@click.option("--no-token", is_flag=True, help="Ask nobody for a token; for this machine only.")
@click.option("--make-tokens", is_flag=True, help="Make the tokens that are not there yet, show them, and exit.")
@click.option("--tls-certificate", metavar="FILE", help="Serve HTTPS with this certificate.")
@click.option("--tls-key", metavar="FILE", help="The certificate's key.")
@click.option("--repo", "repository", metavar="DIR", help="A repository besides those of `projects:`.")
@click.option("--config", "file", metavar="FILE", type=Path, help="A configuration file.")
@click.pass_context
def command(context: click.Context, /, *, file: Path | None, no_token: bool, make_tokens: bool, **_: object) -> int:
    """Load the configuration, open the store, and serve."""
    from components import history_sync
    from components.cli.run import terminal
    from components.config import load

    try:
        from components.server import api, serving, tokens
    except ModuleNotFoundError as error:
        remedy = "pip install 'advanced-agent-runner[server]'"
        raise ConfigError(f"{error.name} is not installed; run: {remedy}") from error

    own = ("file", "no_token", "make_tokens")
    given = {name: value for name, value in cli.settings_of(context).items() if name not in own}
    loaded = load({**given, **({"require_token": False} if no_token else {})}, os.environ, file=file)
    config = loaded.config
    if make_tokens:
        show_tokens(tokens.make(config))
        return 0
    require_tokens(config)
    ui = terminal(config)
    made = tokens.make(config) if config.require_token else {}
    in_force = tokens.load(config) if config.require_token else tokens.Tokens(())
    core = api.make_core(loaded, os.environ, history_sync.opened(config.home, config.store, ui.warning))
    app = api.create_app(core, in_force)

    def announce(url: str) -> None:
        show(f"Serving at {url}", "green")
        show_tokens(made)
        sys.stdout.flush()

    signal.signal(signal.SIGTERM, _exit)
    serving.serve(app, core, config, announce=announce)
    return 0


def require_tokens(config: Config) -> None:
    """Raise ConfigError where other machines could call without a token that its owner has seen."""
    from components.server import tokens

    if bool(config.tls_certificate) != bool(config.tls_key):
        raise ConfigError("tls_certificate, tls_key: one is nothing without the other; give both, or none")
    if is_loopback(config.serve_host):
        return
    if not config.require_token:
        raise ConfigError(f"serve_host = {config.serve_host!r}: other machines may not call without a token")
    missing = [str(path) for path in tokens.paths(config).values() if not path.exists()]
    if missing:
        raise ConfigError(
            f"serve_host = {config.serve_host!r}: other machines can call it, and there is no token yet"
            f" ({', '.join(missing)}); run `serve --make-tokens` first"
        )


def is_loopback(host: str) -> bool:
    """Can nobody but this machine reach an address?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def show_tokens(made: object) -> None:
    """Show tokens that were made: this once."""
    from collections.abc import Mapping

    assert isinstance(made, Mapping)
    for right, token in made.items():
        show(f"The {right} token, shown this once: {token}")


def _exit(_: int, __: FrameType | None) -> None:
    sys.exit(0)
