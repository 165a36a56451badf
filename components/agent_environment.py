"""Which of our environment variables an agent or a hook may see: what is let through is listed, so no secret is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

NAMES = frozenset(
    """
    PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM COLORTERM TMPDIR PWD
    SSH_AUTH_SOCK SSH_AGENT_PID GNUPGHOME GPG_TTY
    HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy
    SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO
    VIRTUAL_ENV CONDA_PREFIX PYENV_ROOT NVM_DIR GOPATH GOROOT CARGO_HOME RUSTUP_HOME JAVA_HOME NPM_CONFIG_PREFIX
    API_TIMEOUT_MS IS_SANDBOX NO_COLOR CI
    """.split()
)
PREFIXES = ("LC_", "XDG_", "GIT_AUTHOR_", "GIT_COMMITTER_")
MODELS = ("ANTHROPIC_", "CLAUDE_", "AWS_", "GOOGLE_", "OPENAI_", "CODEX_")
OURS = frozenset({"HEADLESS_PM_API_KEY", "API_KEY_HEADLESS_PM", "API_KEY"})
"""The names of our own key: never let through, whoever asks for it."""


def passed(
    environ: Mapping[str, str], extra: Iterable[str] = (), prefixes: tuple[str, ...] = PREFIXES + MODELS
) -> dict[str, str]:
    """Return what an agent is given of our environment: the usual variables, its model's, and those asked for."""
    wanted = NAMES | frozenset(extra)
    return {
        name: value
        for name, value in environ.items()
        if name not in OURS and (name in wanted or name.startswith(prefixes))
    }


def for_hooks(environ: Mapping[str, str], extra: Iterable[str] = ()) -> dict[str, str]:
    """Return what a hook is given: the usual variables and those asked for, none of a model's."""
    return passed(environ, extra, PREFIXES)
