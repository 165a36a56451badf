"""A task's level chooses the model."""

from __future__ import annotations

import pytest

from components.model_mapper import ModelMapper
from components.states import Level


@pytest.mark.parametrize(("level", "model"), [("junior", "sonnet"), ("senior", "sonnet"), ("principal", "opus")])
def test_each_level_has_its_model_unless_told_otherwise(level: str, model: str) -> None:
    assert ModelMapper().model(level) == model
    assert ModelMapper().get_model(Level(level)) == model


def test_three_levels_can_have_three_models() -> None:
    """R2: the earlier runner read a field that the server never sent, so that every task was done by one model."""
    mapper = ModelMapper({"junior": "haiku"})

    assert [mapper.model(level) for level in Level] == ["haiku", "sonnet", "opus"]


def test_a_level_is_found_however_it_is_spelled() -> None:
    warnings: list[str] = []

    assert ModelMapper({"Principal": "fable"}, warn=warnings.append).model(" PRINCIPAL ") == "fable"
    assert warnings == []


def test_further_levels_can_be_configured() -> None:
    assert ModelMapper({"intern": "haiku"}).model("intern") == "haiku"


def test_an_unknown_level_gets_the_senior_model_and_one_warning() -> None:
    warnings: list[str] = []
    mapper = ModelMapper({"senior": "mine"}, warn=warnings.append)

    assert [mapper.model(level) for level in ("wizard", "wizard", "", "wizard")] == ["mine"] * 4
    assert len(warnings) == 2
    assert "'wizard'" in warnings[0]
    assert "junior, senior, principal" in warnings[0]


def test_a_hostile_level_is_shown_short_and_plain() -> None:
    warnings: list[str] = []

    ModelMapper(warn=warnings.append).model("\x1b[2J" + "x" * 100_000)

    assert "\x1b" not in warnings[0]
    assert len(warnings[0]) < 300


def test_the_fallback_is_empty_unless_configured() -> None:
    mapper = ModelMapper(fallbacks={"senior": "haiku", "principal": "sonnet"})

    assert [mapper.fallback(level) for level in ("junior", "senior", "principal")] == ["", "haiku", "sonnet"]
    assert mapper.fallback("wizard") == "haiku"
    assert ModelMapper().fallback("principal") == ""
