"""A file of tasks is understood wholly, or each of its mistakes is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import ConfigError
from components.headless_pm.desk import KEY_LINE, Draft
from components.headless_pm.task_file import parse

FILE = Path("tasks.yaml")


def test_what_is_said_for_all_holds_for_each_that_does_not_say_otherwise() -> None:
    content = (
        b"role: qa\nlevel: junior\npending: yes\nfeature:\ntasks:\n  - title: 5\n  - {title: b, level: principal}\n"
    )

    first, second = parse(content.replace(b"yes", b"true"), FILE)

    assert first == Draft("5", role="qa", level="junior", pending=True)
    assert second == Draft("b", role="qa", level="principal", pending=True)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "tasks.yaml:1: the file must be a mapping"),
        (b"- title: x\n", "tasks.yaml:1: the file must be a mapping"),
        (b"tasks:\n", "tasks: a list of at least one task is needed"),
        (b"tasks: []\n", "tasks: a list of at least one task is needed"),
        (b"tasks: x\n", "tasks: a list of at least one task is needed"),
        (b"role: boss\ntasks: [{title: a}]\n", "tasks.yaml:1: role: 'boss' is none of: frontend_dev"),
        (b"tasks:\n- a\n", "tasks.yaml:2: tasks[0]: a task is a mapping"),
        (b"tasks:\n- {role: qa}\n", "tasks.yaml:2: tasks[0].title: is missing"),
        (b"tasks:\n- title: ''\n", "tasks[0].title: is missing"),
        (b"tasks:\n- title: a\n  lvl: x\n", "tasks.yaml:3: tasks[0].lvl: there is no such key; choose from: title"),
        (b"tasks:\n- title: a\n  title: b\n", "tasks.yaml:3: tasks[0].title: is given twice"),
        (b"tasks:\n- title: a\n  description: [1]\n", "tasks.yaml:3: tasks[0].description: must be a text"),
        (b"tasks:\n- title: a\n  pending: maybe\n", "tasks[0].pending: 'maybe' is none of: true, false"),
        (b"tasks:\n- {title: a, key: k}\n- {title: b, key: k}\n", "tasks.yaml:3: tasks[1].key: 'k' is another"),
        (b"tasks:\n- {title: a, key: a b}\n", "tasks[0].key: 'a b' has characters"),
        (b"tasks:\n- {title: a, description_file: no.md}\n", "tasks[0].description_file: 'no.md' cannot be read"),
        (b"tasks:\n- {? [x] : y}\n", "tasks[0].?: there is no such key"),
        (b"tasks: [\n", "tasks.yaml is not YAML"),
        (b"\xff\xfe\xff", "tasks.yaml is not YAML"),
        (b"tasks: !!python/object/apply:os.system ['id']\n", "tasks"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_remedy(content: bytes, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(content, FILE)

    assert named in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(b"rolle: x\ntasks:\n- titel: a\n- {title: b, level: guru}\n", FILE)

    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        "tasks.yaml:1",
        "tasks.yaml:3",
        "tasks.yaml:3",
        "tasks.yaml:4",
    ]


def test_a_draft_of_aliases_stays_small() -> None:
    laughs = b"a: &a [x]\n" + b"".join(b"k%d: &k%d [*a, *a]\n" % (n, n) for n in range(50)) + b"tasks: [{title: t}]\n"

    with pytest.raises(ConfigError, match="there is no such key"):
        parse(laughs, FILE)


def test_the_key_is_found_again_in_the_description() -> None:
    found = KEY_LINE.search(Draft("t", description="a\nKey: not-this\nb", key="the/key-1").text)

    assert found is not None
    assert found.group(1) == "the/key-1"
    assert Draft("t", key="alone").text == "Key: alone"
    assert Draft("t", description="x").text == "x"
