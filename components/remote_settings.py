"""The settings of repositories elsewhere and of webhooks: a part of the table in `settings`."""

from __future__ import annotations

import re

from components.event import Event
from components.notify_kind import Addresses
from components.setting import Setting
from components.setting_kinds import FilePath, Flag, Names, Number, Places
from components.webhook_kind import Webhooks

EVENTS = tuple(Event)
HOSTS = Names("names of hosts, such as [github.com, git.example.org]")

REPOSITORIES = (
    Setting("repository_hosts", HOSTS, (), "The only hosts that repositories may be cloned from.", derived="any"),
    Setting(
        "repository_plain_hosts", HOSTS, (), "Hosts that may be reached by http without TLS, besides this machine."
    ),
    Setting("repository_roots", Names(), (), "Directories whose repositories may be cloned by a path."),
    Setting(
        "git_tokens", Places(), {}, "For a host, a private file (0600) with the token for it: TOKEN or USER:TOKEN."
    ),
    Setting("clone_depth", Number(1, 1_000_000, whole=True), None, "How many commits deep a clone is made."),
    Setting(
        "clone_timeout", Number(0.1, 86400, "seconds"), 600.0, "How long a clone, a fetch or a push with it may take."
    ),
    Setting(
        "clone_limit", Number(1 << 20, 1 << 50, "bytes", whole=True), 10 << 30, "How much a clone may take on the disk."
    ),
    Setting(
        "keep_workspaces_days",
        Number(0, 36_500, "days"),
        None,
        "Worktrees and clones that nobody has used for so long, and in which nothing is unsaved, are removed by the"
        " service, at its start and once an hour; `workspaces prune` does it at once.",
    ),
)
WEBHOOKS = (
    Setting(
        "webhooks",
        Webhooks(),
        {},
        "For a moment of a task's life, the addresses that are told of it by POST, with the JSON that hooks get.",
    ),
    Setting("webhook_secret_file", FilePath("file"), None, "A private file (0600) with the secret that signs them."),
    Setting("webhook_timeout", Number(0.1, 120, "seconds"), 5.0, "How long an address may take to answer."),
    Setting("webhook_tries", Number(1, 10, whole=True), 3, "How often a request is made before it is given up."),
    Setting("webhook_gates", Flag(), False, "Let the answers of `pre_task` addresses stop a task, as a hook may."),
    Setting(
        "notify",
        Addresses(),
        (),
        "Where people are told how tasks end: http and https addresses by POST, any other as Apprise knows it"
        " (`pip install 'advanced-agent-runner[notify]'`).",
        secret=True,
    ),
    Setting(
        "notify_on",
        Names(f"some of {', '.join(EVENTS)}", re.compile("|".join(EVENTS))),
        ("failed", "parked", "auth", "budget", "error"),
        "Of what they are told.",
    ),
)
