"""The settings of the service, `serve`: a part of the table in `settings`."""

from __future__ import annotations

import re

from components.setting import Setting
from components.setting_kinds import FilePath, Flag, Names, Number, Text

ADDRESS = Text("an IP address or a host name", re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]{0,254}"))

SERVICE = (
    Setting("serve_host", ADDRESS, "127.0.0.1", "The address that `serve` listens on.", flag="--host"),
    Setting("serve_port", Number(0, 65535, whole=True), 6970, "Its port; 0 takes a free one.", flag="--port"),
    Setting(
        "token_file",
        FilePath(),
        None,
        "A private file (0600) with the token that may do everything; it is made where there is none.",
        derived="`serve.token` in the home",
    ),
    Setting(
        "read_token_file",
        FilePath(),
        None,
        "The same for the token that may only read.",
        derived="`serve.read-token` in the home",
    ),
    Setting("require_token", Flag(), True, "Ask for a token. Without one, nothing but this machine is listened to."),
    Setting("allowed_hosts", Names(), (), "Names under which browsers reach it, besides `localhost` and its address."),
    Setting("allowed_origins", Names(), (), "Other sites whose pages may call it, such as https://example.org."),
    Setting("tls_certificate", FilePath("file"), None, "The certificate (PEM, with its chain) to serve HTTPS with."),
    Setting("tls_key", FilePath("file"), None, "The key of the certificate."),
    Setting("body_limit", Number(1024, 1 << 30, "bytes", whole=True), 4 << 20, "The largest body of a request."),
    Setting(
        "rate_limit",
        Number(1, 10_000_000, whole=True),
        60_000,
        "How many requests a minute one address may make.",
    ),
    Setting("max_streams", Number(1, 100_000, whole=True), 2000, "How many live streams may be open at once."),
    Setting(
        "tasks_per_project", Number(1, 1000, whole=True), 1, "How many tasks of the board run at once in a project."
    ),
    Setting(
        "max_concurrent_agents", Number(1, 1000, whole=True), 5, "How many executions of the agent runtime at once."
    ),
    Setting(
        "workspace_base_dir",
        FilePath(),
        None,
        "Where clones are made.",
        derived="`workspaces` in the home",
    ),
    Setting(
        "agent_timeout_ms",
        Number(100, 30 * 86_400_000, "milliseconds", whole=True),
        None,
        "How long an attempt of an agent started here may take.",
        derived="claude_timeout",
    ),
    Setting("claude_model", Text("the name of a model"), "", "The model of agents started here.", derived="models"),
    Setting("metrics_port", Number(0, 65535, whole=True), None, "Where `run` serves its metrics; 0 takes a free port."),
)
