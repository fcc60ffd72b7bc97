"""The help of ``allin1 analyze`` fits a terminal of 80 by 24: the common options, and each group of all."""

from __future__ import annotations

import click
import pytest

from allin1_core.cli.analyze import AnalyzeCommand, command
from allin1_core.cli.main import cli, run


def test_the_common_options_fit_a_terminal(capsys):
    assert run(["analyze", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert any("--help-all" in line for line in lines)


def test_each_group_of_all_options_fits_a_terminal(capsys):
    assert run(["analyze", "--help-all"]) == 0
    printed = capsys.readouterr().out
    context = click.Context(command, info_name="analyze", parent=click.Context(cli))
    for group in command.groups(context):
        assert len(group.splitlines()) <= 23, group
        assert max(map(len, group.splitlines())) <= 80
        assert group in printed


def test_every_option_is_in_one_group():
    grouped = sorted(name for names in AnalyzeCommand.GROUPS.values() for name in names)
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    assert grouped == sorted(p.name for p in options if p.name != "help_all")
    assert set(AnalyzeCommand.COMMON) <= set(grouped)


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_needs_no_songs(word, capsys):
    assert run(["analyze", word]) == 0
    assert "Common options" in capsys.readouterr().out
