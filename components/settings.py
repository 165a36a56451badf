"""Every setting of the runner, as a table.

A new setting is one row here with one field of the same name in `config.Config`. The reader, the messages,
`config show`, `config init` and docs/configuration.md follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from components.api_url import ApiUrl
from components.queue_settings import SHARED_QUEUE
from components.remote_settings import REPOSITORIES, WEBHOOKS
from components.service_settings import SERVICE
from components.setting import Setting
from components.setting_kinds import Argv, Choice, Commands, FilePath, Flag, Names, Number, PerLevel, Places, Text
from components.states import Level, Role
from components.store_url import StoreUrl, shown

CONFIG_VARIABLE = "HEADLESS_PM_CONFIG"
FULLSTACK = "; a Headless PM server has no such role: run two agents, frontend_dev and backend_dev"
NO_MODELS: Mapping[str, str] = MappingProxyType({})
MODELS: Mapping[str, str] = MappingProxyType({"junior": "sonnet", "senior": "sonnet", "principal": "opus"})
TOOLS = ("Bash", "Edit", "Write", "Read", "Glob", "Grep", "NotebookEdit", "TodoWrite")
PERMISSION_MODES = ("acceptEdits", "auto", "bypassPermissions", "manual", "default", "dontAsk", "plan")

ROLE = Choice(tuple(Role), Role, dict.fromkeys(("fullstack_dev", "fullstack", "full_stack_dev"), FULLSTACK))
AGENT_ID = Text(
    "1 to 64 of the characters A-Z a-z 0-9 _ . @ -, a letter or a digit first",
    re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}"),
)
API_KEY = Text("printable characters without spaces", re.compile(r"[!-~]{1,4096}"))
EXECUTOR = Text("the name of an executor, such as claude or command", re.compile(r"[a-z][a-z0-9_]{0,63}"))
VARIABLES = Names("names of environment variables, such as [CI, GOFLAGS]", re.compile(r"[A-Za-z_][A-Za-z0-9_]*"))
DIRECTORY = FilePath("directory")
SECONDS = Number(0.1, 30 * 86400, "seconds")
COUNT = Number(1, 1_000_000, whole=True)
BYTES = Number(1 << 20, 1 << 40, "bytes", whole=True)
USD = Number(0.01, 1_000_000, "USD")
REMOTE = Text("the name of a git remote", re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"))
HEARTBEAT = Number(0.1, 900, "seconds")  # half of the 1800 s after which a server forgets a silent agent's locks
SETTLE = Number(0.5, 60, "seconds")  # below half a second two agents were seen to believe that they hold one task

AGENT = (
    Setting("role", ROLE, None, "Whose tasks to take; `run` needs it."),
    Setting("level", Choice(tuple(Level), Level), Level.SENIOR, "The hardest tasks to take."),
    Setting(
        "agent_id",
        AGENT_ID,
        "",
        "The agent's name at the server, its own among all agents on all machines: agents of one name share locks.",
        derived="`<role>_001`",
    ),
)
SERVER = (
    Setting(
        "api_url",
        ApiUrl(),
        "http://localhost:6969",
        "Where the Headless PM server is.",
        ("HEADLESS_PM_API_URL", "HEADLESS_PM_URL"),
    ),
    Setting(
        "api_key",
        API_KEY,
        "",
        "The server's key; also searched for in `.env` of the repository and of the current directory.",
        ("HEADLESS_PM_API_KEY", "API_KEY_HEADLESS_PM", "API_KEY"),
        secret=True,
    ),
    Setting("api_key_file", FilePath("file"), None, "A private file (0600) with nothing but the key."),
    Setting("heartbeat_interval", HEARTBEAT, 240.0, "How often to tell the server that the agent lives."),
    Setting(
        "settle",
        SETTLE,
        1.0,
        "The wait between a lock and the look whose it is; there is none where the server's locks are atomic.",
    ),
)
PLACES = (
    Setting("home", FilePath(), Path("~/.headless-pm"), "State, logs and `config.yaml`."),
    Setting(
        "store",
        StoreUrl(),
        "",
        "Where the history of executions is kept: a file, or a PostgreSQL database that many machines share.",
        masked=shown,
        derived="`store.db` in the home",
    ),
    Setting(
        "repository",
        DIRECTORY,
        None,
        "The git repository to work in.",
        flag="--repo",
        derived="the current directory",
    ),
    Setting("projects", Places(), NO_MODELS, "Repositories by name, for `task <project>`."),
    Setting("worktree_base", FilePath(), None, "Where worktrees are made.", derived="`.worktrees` in the repository"),
    Setting(
        "team_roles",
        DIRECTORY,
        None,
        "Role instructions: `<role>_<level>.md` or `<role>.md`.",
        derived="searched for near the repository, else built in",
    ),
    Setting(
        "hooks_directory",
        DIRECTORY,
        None,
        "Hooks by moment: `pre_task.py`, `post_task.py`, `health_check.py`.",
        flag="--hooks-dir",
        derived="the hooks that come with the runner",
    ),
)
QUEUE = (
    Setting("poll_interval", Number(0.1, 86400, "seconds"), 5.0, "How long to rest when there is no task."),
    Setting("idle_timeout", SECONDS, None, "Exit after so long without a task."),
    Setting("max_tasks", COUNT, None, "Exit after so many tasks."),
    Setting("single_task", Flag(), False, "Do one task and exit."),
    Setting(
        "max_parallel_tasks",
        Number(1, 1000, whole=True),
        10,
        "How many tasks typed by people run at once, at most.",
    ),
    Setting("max_attempts", Number(1, 100, whole=True), 3, "How often a task is tried before it is parked."),
    Setting(
        "on_term",
        Choice(("leave", "wait", "stop")),
        "leave",
        "What the first SIGTERM does to a working agent: leave it to the next start, wait for it, or stop it.",
    ),
    Setting(
        "keep_runs_days",
        Number(0, 36_500, "days"),
        None,
        "What executions have left is deleted after so long, by an idle runner once an hour; `prune` does it at once.",
    ),
    Setting(
        "keep_runs_bytes",
        BYTES,
        None,
        "How much of it may stay: the oldest go first.",
    ),
    Setting(
        "snapshot_interval",
        Number(1, 86400, "seconds"),
        300.0,
        "How often the unsaved work of an agent is kept while it works.",
    ),
    Setting("hook_timeout", SECONDS, 30.0, "How long a hook may take."),
    Setting("health_check_interval", SECONDS, 300.0, "How often the health check hook runs."),
)
PROGRAM = (
    Setting(
        "executor",
        EXECUTOR,
        "",
        "Which kind of agent does the work.",
        derived="claude, or command where agent_command is set",
    ),
    Setting("agent_command", Argv(), (), "Any program to do the work instead of Claude.", ("AGENT_COMMAND",)),
    Setting(
        "claude_path",
        FilePath("file"),
        None,
        "The Claude CLI.",
        derived="searched for: PATH, npm, ~/.claude/local, ~/.local/bin, Homebrew, claude-agent-sdk",
    ),
    Setting("codex_path", FilePath("file"), None, "The Codex CLI.", derived="searched for on PATH"),
    Setting(
        "claude_config",
        Choice(("shared", "own")),
        "shared",
        "Whether agents share the user's Claude configuration and log-in, or each has a directory of its own.",
    ),
    Setting("models", PerLevel(), MODELS, "The model for each level of a task."),
    Setting("fallback_models", PerLevel(), NO_MODELS, "The model for each level while the first is overloaded."),
    Setting("permission_mode", Choice(PERMISSION_MODES), "acceptEdits", "What the Claude CLI may do unasked."),
    Setting("allowed_tools", Names(), TOOLS, "Tools that need no permission."),
    Setting("disallowed_tools", Names(), (), "Tools that are refused."),
    Setting("extra_directories", Names(), (), "Directories besides the workspace that the agent may use."),
    Setting("mcp_config", FilePath("file"), None, "A file that names MCP servers for the agent."),
    Setting("strict_mcp", Flag(), True, "Use no MCP servers but those of mcp_config."),
    Setting("claude_settings", FilePath("file"), None, "A settings file for the Claude CLI."),
    Setting(
        "trust_repository",
        Flag(),
        False,
        "Let the repository's own `.claude/settings.json` (its hooks too) and CLAUDE.md take effect.",
    ),
    Setting("append_system_prompt", Text("one line of text"), "", "What is added to the agent's system prompt."),
    Setting("sandbox", Flag(), False, "Say that this machine is a sandbox: root may then skip permissions."),
    Setting("environment", VARIABLES, (), "Environment variables that the agent may see besides the usual ones."),
)
LIMITS = (
    Setting("claude_timeout", SECONDS, 600.0, "How long one attempt of an agent may take."),
    Setting(
        "silence_timeout",
        SECONDS,
        400.0,
        "How long an agent may show no sign of life between tool calls.",
    ),
    Setting("tool_timeout", SECONDS, 1800.0, "How long it may show none within one tool call."),
    Setting("after_result", SECONDS, 120.0, "How long it may stay after its result while what it started is at work."),
    Setting("grace", SECONDS, 10.0, "What lies between asking an agent to end and killing it."),
    Setting("cancel_grace", SECONDS, 5.0, "The same, where a person cancels it."),
    Setting("leash", SECONDS, 3600.0, "How long an agent may work on when no runner looks after it."),
    Setting("output_limit", BYTES, 1 << 30, "How much an agent may print before it is ended."),
    Setting("memory_limit", BYTES, None, "How much memory an agent and all it started may use together."),
    Setting("max_turns", COUNT, None, "How many requests to the model one attempt may make."),
    Setting("max_budget_usd", USD, None, "What one attempt may cost."),
    Setting("task_budget_usd", USD, None, "What all attempts at one task may cost together."),
    Setting(
        "daily_budget_usd", USD, None, "What the agent may cost a day (UTC); then it takes nothing until the next."
    ),
    Setting("api_retries", Number(0, 20, whole=True), 4, "How often the agent asks the model's service again."),
    Setting("api_timeout", SECONDS, 300.0, "How long it waits for one answer; all tries fit into `claude_timeout`."),
)
PROOF = (
    Setting(
        "evidence",
        Choice(("auto", "commit", "change", "none")),
        "auto",
        "What shows that a task was done: a commit, any change, or nothing but the agent's word."
        " `auto` asks developers for a change and nobody else for anything.",
    ),
    Setting(
        "checks",
        Commands(),
        (),
        "Commands that must end with 0 in the workspace before a developer's task counts as done.",
    ),
    Setting("repository_checks", Flag(), True, "Run the checks of the repository's `.agent-runner.yaml` too."),
    Setting("check_timeout", SECONDS, 600.0, "How long one check may take."),
    Setting("push", Choice(("auto", "never")), "auto", "Push a major task's branch, where a remote is configured."),
    Setting("push_remote", REMOTE, "origin", "The remote to push to."),
    Setting(
        "pull_request",
        Choice(("auto", "never")),
        "auto",
        "Open a pull request for a branch that was pushed, where `gh` or pull_request_command can.",
    ),
    Setting(
        "pull_request_command",
        Argv(),
        (),
        "A program that opens it: it is given JSON on standard input and prints the address.",
        derived="`gh`, where it is installed",
    ),
)
TERMINAL = (
    Setting("interactive", Flag(), False, "Ask the operator on the terminal when a hook fails."),
    Setting("verbosity", Number(-2, 3, whole=True), 0, "How much is said; below 0 is quiet."),
    Setting("log_json", Flag(), False, "Write log lines as JSON."),
)
GROUPS: Mapping[str, tuple[Setting, ...]] = MappingProxyType(
    {
        "The agent": AGENT,
        "The Headless PM server": SERVER,
        "Places": PLACES,
        "Taking tasks": QUEUE,
        "The agent's program": PROGRAM,
        "Limits": LIMITS,
        "Proof of work": PROOF,
        "Repositories elsewhere": REPOSITORIES,
        "Webhooks": WEBHOOKS,
        "The queue and its workers": SHARED_QUEUE,
        "The service": SERVICE,
        "The terminal": TERMINAL,
    }
)
SETTINGS: tuple[Setting, ...] = tuple(setting for group in GROUPS.values() for setting in group)
PER_TASK: frozenset[str] = frozenset(one.name for one in (*PROGRAM, *LIMITS, *PROOF)) - {"daily_budget_usd"}
"""What may be set for some tasks only; the budget of a day is the agent's."""
BY_NAME: Mapping[str, Setting] = MappingProxyType({setting.name: setting for setting in SETTINGS})
