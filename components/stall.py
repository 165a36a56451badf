"""Whether a silent agent is dead: silence makes it a suspect, and only a closer look at it condemns it."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_PERIODS = 4
"""How many periods of silence an agent gets at most, whatever life it shows otherwise."""
IDLE_SHARE = 0.02
IDLE_SECONDS = 0.05
"""CPU time that proves nothing, as a share of the time and at least: a CLI that waits for ever uses 0.4 % of a core."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What was seen of a run at the moment `at`. All times in seconds.

    `processes` are named by number and start. `children_cpu` is that of all the agent started, ended ones too.
    `background` of the processes have sessions of their own, as an agent's shell commands have. `transcript` is size
    and age of the agent's own record; `unheard` is how many bytes it has printed that make no line yet.
    """

    at: float
    processes: frozenset[tuple[int, int]] = field(default=frozenset())
    agent_cpu: float = 0.0
    children_cpu: float = 0.0
    background: int = 0
    transcript: tuple[int, int] = (0, 0)
    unheard: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """What an agent is silent in, and how long it may be: `period` seconds, and `cap` with signs of life.

    `is_waiting` says that it has told its result and waits for commands in the background, which may bring it to more.
    """

    words: str
    setting: str
    period: float
    cap: float
    has_result: bool = False
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What a closer look has found, for people; nothing where there is nothing to tell yet.

    `is_at_work` says that it shows signs of life, and has had all its time.
    """

    is_dead: bool = False
    is_at_work: bool = False
    words: str = ""


def between_messages(tool: str, silence_timeout: float, tool_timeout: float) -> Situation:
    """Return the situation of an agent that is at work."""
    if tool:
        return Situation(f"within a call of {tool}", "tool_timeout", tool_timeout, MOST_PERIODS * tool_timeout)
    return Situation("between tool calls", "silence_timeout", silence_timeout, MOST_PERIODS * silence_timeout)


def after_result(linger: float, longest: float) -> Situation:
    """Return the situation of an agent that has told its result: it stays no longer, whatever it left at work."""
    return Situation("after its result", "after_result", min(linger, longest), longest, has_result=True)


def waiting(longest: float, tool_timeout: float) -> Situation:
    """Return the situation of one that has told its result and waits for commands in the background.

    One that works has the time of a tool call. One that does nothing, such as a server, is not waited for so long.
    """
    words = "after its result, with commands in the background"
    return Situation(words, "after_result", longest, tool_timeout, has_result=True, is_waiting=True)


def life(before: Signs, after: Signs, situation: Situation) -> list[str]:
    """Return what moved between two looks, in words; of an agent that has told its result only what it started."""
    has_result = situation.has_result
    trace = max(IDLE_SECONDS, IDLE_SHARE * (after.at - before.at))
    used = after.children_cpu - before.children_cpu
    used += 0.0 if has_result else after.agent_cpu - before.agent_cpu
    started = len(after.processes - before.processes)
    signs = {
        f"its processes used {used:.2f} s of CPU time": used > trace,
        f"it started {started} processes": started > 0,
        "its transcript grew": after.transcript > before.transcript,
        "it prints a long line": after.unheard > before.unheard,
        f"commands of its own are at work ({after.background} processes)": has_result
        and not situation.is_waiting
        and after.background > 0,
    }
    return [words for words, is_seen in signs.items() if is_seen]


class Silence:
    """One agent's silence: how long it lasts, when to look closer, and what that means.

    The first look comes after half a period: what moved since then is what the second one, at its end, is after.
    """

    def __init__(self, now: float) -> None:
        self._since = now
        self._heard: object = None
        self._before: Signs | None = None
        self._looks = 0

    def hear(self, told: object, now: float) -> None:
        """Take what the agent has told so far; the silence begins anew when that is not what it was."""
        if told != self._heard:
            self._since, self._heard, self._before, self._looks = now, told, None, 0

    def lasts(self, now: float) -> float:
        """Return how long the agent has been silent, in seconds."""
        return now - self._since

    def wants_look(self, situation: Situation, now: float) -> bool:
        """Whether it is time for a closer look. Looks lie apart also when we were held up: a moment shows no life."""
        if self._before is None:
            return self.lasts(now) >= situation.period / 2
        due = min(self._looks * situation.period, situation.cap)
        return self.lasts(now) >= due and now - self._before.at >= situation.period / 4

    def examine(self, situation: Situation, signs: Signs) -> Finding:
        """Judge the agent by what moved since the look before; the first look only notes."""
        before, self._before = self._before, signs
        self._looks += 1
        if before is None:
            return Finding()
        lasts = self.lasts(signs.at)
        said = f"silent {situation.words} for {lasts:.1f} s ({situation.setting})"
        alive = life(before, signs, situation)
        if not alive:
            looked = f"neither its {len(signs.processes)} processes nor its transcript or output moved"
            return Finding(is_dead=True, words=f"{said}; in the last {signs.at - before.at:.1f} s {looked}")
        if lasts >= situation.cap:
            words = f"{said}, which is too long though {', '.join(alive)}"
            return Finding(is_dead=True, is_at_work=True, words=words)
        return Finding(words=f"{said}, but {', '.join(alive)}: it is given more time")
