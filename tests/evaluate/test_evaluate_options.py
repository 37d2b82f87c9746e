"""The options of `tandem evaluate`: what its help says holds, and what means nothing is refused by its own name."""

import argparse

import pytest

from choice_sample import folder
from tandem.cli.evaluate import TASKS
from tandem.cli.evaluate_options import configure
from tandem.cli.main import main


def parser():
    made = argparse.ArgumentParser()
    configure(made)
    return made


def test_every_task_is_named_in_the_help():
    words = parser().format_help().replace(",", " ").replace(";", " ").split()
    assert set(TASKS) <= set(words)


def test_a_default_that_the_help_names_is_the_default():
    """The longest answer of an evaluation is not that of a single question."""
    given = parser().parse_args(["--tasks", "mmlu"])
    assert f"longest answer, in tokens ({given.max_tokens})" in " ".join(parser().format_help().split())
    assert given.max_tokens == 512


def test_no_group_is_longer_than_a_screen():
    groups = [group for group in parser()._action_groups if group._group_actions]
    assert len(groups) == 8 and max(len(group._group_actions) for group in groups) <= 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--samples-per-task", "0"), "--samples-per-task: is 0"),
        (("--max-tokens", "0"), "--max-tokens: is 0"),
    ],
)
def test_a_number_that_means_nothing_is_refused_by_the_options_name(tmp_path, capsys, arguments, said):
    data = folder(tmp_path / "data")
    given = ["evaluate", "--tasks", "arc_challenge", "--data", str(data), "--model", "scripted:none.toml"]
    assert main([*given, "--out", str(tmp_path / "run"), *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("task", ["alpaca_eval", "mt_bench", "hops"])
def test_tasks_that_are_asked_once_refuse_several_samples(tmp_path, capsys, task):
    given = ["evaluate", "--tasks", task, "--model", "scripted:none.toml", "--out", str(tmp_path / "run")]
    assert main([*given, "--samples-per-task", "2", "--temperature", "1"]) == 2
    assert f"--samples-per-task: {task} is asked once, not 2 times" in capsys.readouterr().err


def test_a_task_whose_items_are_not_looked_for_in_training_text_says_so(tmp_path, capsys):
    """Not found would otherwise read as not contained."""
    (tmp_path / "text.txt").write_text("Something.")
    given = ["evaluate", "--tasks", "multiplication", "--model", "scripted:none.toml", "--out", str(tmp_path / "run")]
    assert main([*given, "--training", str(tmp_path / "text.txt")]) == 2
    assert "--training: does not look for multiplication" in capsys.readouterr().err
