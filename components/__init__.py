"""The Advanced Agent Runner."""

__version__ = "0.1.0"

_PUBLIC = {
    "TaskPersistence": "task_persistence",
    "ModelMapper": "model_mapper",
    "TerminalUI": "terminal_ui",
    "GitWorktree": "git_worktree",
    "ClaudeExecutor": "executors.claude",
    "HookRunner": "hook_runner",
    "Config": "config",
    "AdvancedAgentRunner": "app",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is asked for: a start must not import what it does not use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"components.{_PUBLIC[name]}"), name)
