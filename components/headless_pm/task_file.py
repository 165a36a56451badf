"""A file of tasks in YAML, checked wholly before any of it is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from components.errors import ConfigError
from components.headless_pm.desk import Draft
from components.states import Complexity, Level, Role

FILE_LIMIT = 8 << 20
TEXTS = ("title", "description", "description_file", "role", "level", "complexity", "branch", "feature", "epic", "key")
SHARED = ("role", "level", "complexity", "branch", "feature", "epic", "pending")
WORDS: Mapping[str, tuple[str, ...]] = {
    "role": tuple(Role),
    "level": tuple(Level),
    "complexity": tuple(Complexity),
    "pending": ("true", "false"),
}
KEY = re.compile(r"[A-Za-z0-9._/-]{1,100}\Z")

Fields = dict[str, str]


def read(path: Path) -> list[Draft]:
    """Return the tasks of a file. Raises ConfigError that names every mistake with its line and what to write."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); name a YAML file of tasks") from error
    if len(content) > FILE_LIMIT:
        raise ConfigError(f"{path} is larger than {FILE_LIMIT >> 20} MB; split it")
    return parse(content, path)


def parse(content: bytes, path: Path) -> list[Draft]:
    """Return the tasks of a file's content; `path` is for messages, and for where its description files are."""
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    reader = _Reader(path)
    drafts = reader.drafts(root)
    if reader.mistakes:
        raise ConfigError("\n".join(reader.mistakes))
    return drafts


class _Reader:
    """Walks the nodes of one file, and gathers what is wrong with them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.mistakes: list[str] = []

    def drafts(self, root: yaml.Node | None) -> list[Draft]:
        """Return what can be made of the file; worthless when there are mistakes."""
        if not isinstance(root, yaml.MappingNode):
            self._wrong(root, "", "the file must be a mapping with the key `tasks`")
            return []
        tasks = [value for key, value in root.value if key.value == "tasks"]
        if len(tasks) != 1 or not isinstance(tasks[0], yaml.SequenceNode) or not tasks[0].value:
            self._wrong(
                tasks[0] if tasks else root,
                "tasks",
                "a list of at least one task is needed, as\n  tasks:\n    - title: ...",
            )
            return []
        shared = self._fields(root, "", (*SHARED, "tasks"))
        found = [self._draft(node, f"tasks[{place}]", shared) for place, node in enumerate(tasks[0].value)]
        self._check_keys(tasks[0], found)
        return found

    def _draft(self, node: yaml.Node, where: str, shared: Fields) -> Draft:
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node, where, "a task is a mapping, as `- title: ...`")
            return Draft("")
        fields = shared | self._fields(node, f"{where}.", (*TEXTS, "pending"))
        if not fields.get("title", "").strip():
            self._wrong(node, f"{where}.title", "is missing; say in one line what is to be done")
        if "description_file" in fields:
            fields["description"] = self._file(node, where, fields)
        if "key" in fields and not KEY.match(fields["key"]):
            self._wrong(node, f"{where}.key", f"{fields['key']!r} has characters beyond letters, digits and . _ / -")
        pending = fields.pop("pending", "false").lower() == "true"
        return Draft(**{"title": "", **fields}, pending=pending)

    def _fields(self, node: yaml.MappingNode, where: str, allowed: tuple[str, ...]) -> Fields:
        """Return the texts of a mapping; `tasks`, and whatever is wrong, is left out."""
        fields: Fields = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if name not in allowed:
                self._wrong(key, where + name, f"there is no such key; choose from: {', '.join(allowed)}")
            elif name in fields:
                self._wrong(key, where + name, "is given twice; keep one")
            elif name == "tasks":
                continue
            elif not isinstance(value, yaml.ScalarNode):
                self._wrong(value, where + name, "must be a text; put it in quotes, or below `|` for many lines")
            elif value.tag != "tag:yaml.org,2002:null" and self._is_word(value, where, name):
                fields[name] = value.value
        return fields

    def _is_word(self, value: yaml.ScalarNode, where: str, name: str) -> bool:
        words = WORDS.get(name)
        said = value.value.lower() if name == "pending" else value.value
        if words is None or said in words:
            return True
        self._wrong(value, where + name, f"{value.value!r} is none of: {', '.join(words)}")
        return False

    def _file(self, node: yaml.Node, where: str, fields: Fields) -> str:
        name = fields.pop("description_file")
        if "description" in fields:
            self._wrong(node, f"{where}.description_file", "is given beside `description`; keep one")
        try:
            return (self._path.parent / name).read_text("utf-8")
        except (OSError, ValueError) as error:
            self._wrong(node, f"{where}.description_file", f"{name!r} cannot be read ({error})")
            return ""

    def _check_keys(self, tasks: yaml.SequenceNode, drafts: list[Draft]) -> None:
        seen: set[str] = set()
        for place, (node, draft) in enumerate(zip(tasks.value, drafts, strict=True)):
            if draft.key and draft.key in seen:
                self._wrong(node, f"tasks[{place}].key", f"{draft.key!r} is another task's key too; keys are unique")
            seen.add(draft.key)

    def _wrong(self, node: yaml.Node | None, where: str, remedy: str) -> None:
        line = node.start_mark.line + 1 if node is not None else 1
        self.mistakes.append(f"{self._path}:{line}: {where}{': ' if where else ''}{remedy}")
