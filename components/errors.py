"""Every failure of the runner, by name; the docstring is the default message."""

from __future__ import annotations


class RunnerError(Exception):
    """Something went wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or type(self).__doc__ or "")


class ConfigError(RunnerError):
    """The configuration has a mistake."""


class NotFound(RunnerError):
    """There is no such thing."""


class NotTold(RunnerError):
    """A notice was not delivered; where it is final, it would not be another time."""

    def __init__(self, message: str = "", *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class NotARepository(ConfigError):
    """The directory is not a git repository with at least one commit."""


class AgentMissing(RunnerError):
    """The agent's command is not installed."""


class AgentIdInUse(RunnerError):
    """Another daemon on this machine runs under the same agent id."""


class StateCorrupt(RunnerError):
    """A state file cannot be read; it was set aside and nothing was overwritten."""


class StateForeign(RunnerError):
    """A state file belongs to another host or to a newer version; it was left alone."""


class StoreTooNew(StateForeign):
    """The store was made by a newer version of the runner; it was left alone."""


class StoreUnavailable(RunnerError):
    """The store did not answer, or could not write; asking again later may help."""


class AmbiguousId(NotFound):
    """More than one execution has an id that begins so."""


class IllegalMove(RunnerError):
    """An execution's status cannot follow the one it has."""


class AlreadyLive(RunnerError):
    """The task has an execution that is not over."""


class TaskTaken(RunnerError):
    """Another agent holds the task."""


class TooManyTasks(RunnerError):
    """As many tasks run as are allowed at once."""


class StillRunning(RunnerError):
    """It still runs."""


class SourceUnavailable(RunnerError):
    """The source of tasks did not answer, or its answer made no sense; asking again later may help."""


class SourceRefused(RunnerError):
    """The source of tasks said no, and would say no again."""


class Unauthorized(RunnerError):
    """The source of tasks does not accept the API key."""


class HookPostponed(RunnerError):
    """A hook that guards the task asked to try again later."""


class HookRejected(RunnerError):
    """A hook that guards the task said no."""


class GitFailed(RunnerError):
    """A git command failed."""


class GitTimedOut(GitFailed):
    """A git command took longer than it may."""


class RemoteRefused(GitFailed):
    """The remote repository does not accept who asks: the token is missing, wrong, or may not do this."""


class RemoteMissing(GitFailed):
    """There is no such repository, or no such branch in it, or it is not shown to who asks."""


class RemoteUnavailable(GitFailed):
    """The remote repository did not answer; asking again later may help."""


class RepositoryTooLarge(GitFailed):
    """The repository is larger than it may be."""


class PushRejected(GitFailed):
    """The remote repository has work on this branch that the push does not contain, or a rule against the push."""


class MergeConflict(GitFailed):
    """Works that are to be one change the same lines."""


class NothingToCommit(GitFailed):
    """Nothing is staged."""


class UnsafeUrl(ConfigError):
    """The address of a repository may not reach git."""


class UnsavedWork(RunnerError):
    """Removing it would lose work."""


class UnsafeName(RunnerError):
    """An id or a branch name has characters that may not reach a path or git."""


class Draining(RunnerError):
    """The runner was asked to stop; the journal keeps what is in hand."""
