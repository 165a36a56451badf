"""The configuration file: YAML, each key with its line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components import task_options, text_file
from components.given import Given
from components.setting_kinds import nearest
from components.settings import BY_NAME
from components.states import Role
from components.task_options import TASKS

if TYPE_CHECKING:
    import yaml

ROLES = "roles"
TOO_OPEN = "other users may read this file, which holds a secret; run: chmod 600 {}"
WRITABLE = "any user may change this file, which says what the runner starts; run: chmod 600 {}"


def read(path: Path, mistakes: list[str]) -> list[Given]:
    """Return what the file gives: first what is for all, then what is for one role, then for some tasks.

    Mistakes are added to the list.
    """
    import yaml

    try:
        opened = text_file.read(path)
    except FileNotFoundError:
        mistakes.append(f"config = {str(path)!r}: there is no such file; make one with `config init`")
        return []
    except text_file.Unreadable as error:
        mistakes.append(f"config = {str(path)!r}: {error}")
        return []
    try:
        given = list(_Reader(path, opened.text, mistakes).given())
    except yaml.MarkedYAMLError as error:
        mistakes.append(f"{_place(path, error)}: not YAML: {error.problem or error.context}; mend the line")
        return []
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mistakes.append(f"file {path}: not YAML: {' '.join(str(error).split())[:200]}; mend the file")
        return []
    mistakes.extend(_access(path, opened, given))
    return sorted(given, key=lambda one: (bool(one.tasks), bool(one.section)))


def _place(path: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"file {path}, line {mark.line + 1}, column {mark.column + 1}" if mark else f"file {path}"


def _access(path: Path, opened: text_file.TextFile, given: list[Given]) -> Iterator[str]:
    """Yield a mistake when others have more access to the file than its content bears."""
    quoted = shlex.quote(str(path))
    if opened.is_world_writable:
        yield f"config = {str(path)!r}: {WRITABLE.format(quoted)}"
    secrets = [one for one in given if one.setting.holds_secret(one.value)]
    if secrets and not opened.is_private:
        yield secrets[0].mistake(TOO_OPEN.format(quoted))


class _Reader:
    """Walks the document by its nodes, which know their lines."""

    def __init__(self, path: Path, text: str, mistakes: list[str]) -> None:
        import yaml

        self.path = path
        self.mistakes = mistakes
        self.loader = yaml.SafeLoader(text)

    def given(self) -> Iterator[Given]:
        """Yield every value. Raises yaml.YAMLError, ValueError or RecursionError for what is no YAML."""
        root = self.loader.get_single_node()
        if root is None:
            return
        self._refuse_duplicates(root, set())
        for key, line, node in self._pairs(root, "the file"):
            if key == ROLES:
                yield from self._roles(node)
            elif key == TASKS:
                yield from self._tasks(node)
            else:
                yield from self._one(key, line, node)

    def _roles(self, node: yaml.Node) -> Iterator[Given]:
        for role, line, section in self._pairs(node, ROLES):
            if role not in tuple(Role):
                known = tuple(Role)
                self._mistake(
                    f"{ROLES}.{role}", line, f"not known; write one of {', '.join(known)}{nearest(role, known)}"
                )
                continue
            for key, key_line, value in self._pairs(section, f"{ROLES}.{role}"):
                if key in {"role", "home", ROLES, TASKS}:
                    self._mistake(f"{ROLES}.{role}.{key}", key_line, "not for one role; write it at the left margin")
                else:
                    yield from self._one(key, key_line, value, section=role)

    def _tasks(self, node: yaml.Node) -> Iterator[Given]:
        for name, line, section in self._pairs(node, TASKS):
            if problem := task_options.problem_of_section(name):
                self._mistake(f"{TASKS}.{name}", line, problem)
                continue
            for key, key_line, value in self._pairs(section, f"{TASKS}.{name}"):
                if key in BY_NAME and (problem := task_options.problem_of_key(key)):
                    self._mistake(f"{TASKS}.{name}.{key}", key_line, problem)
                else:
                    yield from self._one(key, key_line, value, tasks=name)

    def _one(self, key: str, line: int, node: yaml.Node, *, section: str = "", tasks: str = "") -> Iterator[Given]:
        setting = BY_NAME.get(key)
        if setting is None:
            label = f"{ROLES}.{section}.{key}" if section else f"{TASKS}.{tasks}.{key}" if tasks else key
            offer = nearest(key, (*BY_NAME, ROLES, TASKS)) or "; take it out (`config reference` lists the keys)"
            self._mistake(label, line, f"unknown key{offer}")
            return
        value = self.loader.construct_object(node, deep=True)
        origin = f"file {self.path}:{line}"
        yield Given(setting, value, origin, self.path.parent, is_text=False, section=section, tasks=tasks)

    def _pairs(self, node: yaml.Node, what: str) -> list[tuple[str, int, yaml.Node]]:
        """Return the keys of a mapping, with line and value; anything but a mapping is a mistake."""
        import yaml

        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            if not (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
                self._mistake(what, line, "not a table; write lines of `key: value`")
            return []
        self.loader.flatten_mapping(node)
        return [(str(key.value), key.start_mark.line + 1, value) for key, value in node.value]

    def _refuse_duplicates(self, node: yaml.Node, visited: set[int]) -> None:
        import yaml

        if id(node) in visited or isinstance(node, yaml.ScalarNode):
            return
        visited.add(id(node))
        lines: dict[str, int] = {}
        for item in node.value:
            key, value = item if isinstance(item, tuple) else (None, item)
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in lines:
                    self._mistake(key.value, line, f"given before, in line {lines[key.value]}; keep one of them")
                lines.setdefault(key.value, line)
            self._refuse_duplicates(value, visited)

    def _mistake(self, key: str, line: int, problem: str) -> None:
        label = key if key.isprintable() and len(key) <= 80 else repr(key[:80])
        self.mistakes.append(f"{label} (file {self.path}:{line}): {problem}")
