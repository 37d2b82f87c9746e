from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tandem.errors import UserError
from tandem.recipes import schema
from tandem.recipes.recipe import Recipe
from tandem.recipes.sections import Schedule

Changed = Callable[..., Recipe]


@pytest.mark.parametrize("name", sorted(p.stem for p in schema.shipped("quickstart").parent.glob("*.toml")))
def test_every_shipped_recipe_loads_by_name_and_resolves_to_itself(name: str) -> None:
    recipe = schema.load(name)
    again = schema.parse(schema.resolved(recipe))
    assert again.model_dump() == recipe.model_dump()
    assert schema.resolved(again) == schema.resolved(recipe)


def test_defaults_are_llamas(changed: Changed) -> None:
    recipe = changed("schedule.warmup=", "stage.short.tokens=2B", "stage.long.tokens=30B", "stage.long.batch=")
    assert recipe.stage[1].batch == 4 * 2**20
    assert recipe.schedule == Schedule(peak=3e-4, warmup=2000, final=0.1)
    o = recipe.optimizer
    assert (o.beta1, o.beta2, o.decay, o.clip) == (0.9, 0.95, 0.1, 1.0)


def test_keys_that_follow_from_others_are_filled_in(changed: Changed) -> None:
    m = changed().model
    assert (m.kv_heads, m.head_width, m.mlp_width, m.vocabulary, m.context) == (6, 32, 512, 4032, 512)
    assert changed("model.width=4096", "model.heads=32").model.mlp_width == 11_008
    assert changed("model.activation=gelu").model.mlp_width == 768


def test_an_override_is_toml_or_else_text_and_stages_go_by_name(changed: Changed) -> None:
    recipe = changed("stage.long.tokens=1M", "sources.code.path=my/own text", "model.tied=true", "title='a = b'")
    assert recipe.stage[1].tokens == 1_000_000
    assert recipe.sources["code"].path == "my/own text"
    assert recipe.model.tied is True
    assert recipe.title == "a = b"


def test_an_override_without_a_value_takes_the_key_out(changed: Changed) -> None:
    assert changed("tuning=").tuning is None
    recipe = changed("tokenizer.vocabulary=", "tokenizer.load=folder")
    assert recipe.tokenizer.vocabulary is None
    assert recipe.model.vocabulary is None


def test_an_override_makes_a_section_that_is_not_there(changed: Changed) -> None:
    recipe = changed("tuning=", "tuning.data=chat.jsonl", "tuning.lora.rank=4")
    assert recipe.tuning is not None and recipe.tuning.lora is not None
    assert (recipe.tuning.data, recipe.tuning.lora.rank) == ("chat.jsonl", 4)


@pytest.mark.parametrize("bad", ["model.layers", "stage.medium.tokens=4", "name.first=x", "=3", "a b=3"])
def test_an_override_that_cannot_be_applied_is_the_users_error(changed: Changed, bad: str) -> None:
    with pytest.raises(UserError, match="→"):
        changed(bad)


def test_nested_mixtures_are_taken_apart(changed: Changed) -> None:
    assert changed().shares("second") == pytest.approx({"code": 0.8, "passages": 0.2})


def test_shares_within_the_tolerance_are_made_to_sum_to_one(changed: Changed) -> None:
    recipe = changed("mixture.first.code.share=0.6005")
    assert sum(recipe.shares("first").values()) == pytest.approx(1, abs=1e-15)


def test_one_schedule_runs_over_all_stages_without_their_own(changed: Changed) -> None:
    recipe = changed()
    steps = [stage.steps for stage in recipe.stage]
    assert recipe.span(0) == (recipe.schedule, 0, sum(steps))
    assert recipe.span(1) == (recipe.schedule, steps[0], sum(steps))


def test_a_stage_with_its_own_schedule_inherits_what_it_leaves_out_and_leaves_the_common_one(changed: Changed) -> None:
    recipe = changed("stage.long.schedule.peak=1e-3")
    assert recipe.span(0)[1:] == (0, recipe.stage[0].steps)
    assert recipe.span(1) == (Schedule(peak=1e-3, warmup=20, final=0.1), 0, recipe.stage[1].steps)


def test_the_shape_of_the_model_can_take_the_rows_of_a_tokenizer(changed: Changed) -> None:
    shape = changed("tokenizer.vocabulary=", "tokenizer.load=folder").shape(vocabulary=640)
    assert (shape.vocabulary, shape.head_width) == (640, 32)


def test_a_recipe_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="quickstart"):
        schema.load(tmp_path / "none.toml")
    with pytest.raises(UserError, match="did you mean 'quickstart'"):
        schema.load("quikstart")


def test_a_recipe_that_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "x"\n[model\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"r\.toml:2: not TOML"):
        schema.load(path)


def test_a_recipe_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b'name = "\xff"\n')
    with pytest.raises(UserError, match="byte 8 is not UTF-8"):
        schema.load(path)


def test_planning_needs_no_files_and_running_does(small: str, tmp_path: Path) -> None:
    changes = [f"sources.code.path={tmp_path / 'text'}"]
    assert schema.parse(small, overrides=changes).sources["code"].path.endswith("text")
    with pytest.raises(schema.RecipeError, match=r"sources\.code\.path"):
        schema.parse(small, overrides=changes, files=True)
    (tmp_path / "text").mkdir()
    assert schema.parse(small, overrides=changes, files=True)


def test_a_glob_is_there_when_something_matches_it(small: str, tmp_path: Path) -> None:
    changes = [f"sources.code.path={tmp_path}/*.txt"]
    with pytest.raises(schema.RecipeError):
        schema.parse(small, overrides=changes, files=True)
    (tmp_path / "a.txt").write_text("a")
    assert schema.parse(small, overrides=changes, files=True)


def test_a_mark_of_byte_order_is_not_part_of_a_recipe(small: str, tmp_path: Path) -> None:
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf" + small.encode())
    assert schema.load(tmp_path / "marked.toml") == schema.parse(small)


def test_a_recipe_cut_short_is_named_with_its_last_line() -> None:
    with pytest.raises(UserError) as cut:
        schema.parse('name = "a"\nseed = ', "cut.toml")
    assert "cut.toml:2: not TOML" in str(cut.value)
