"""The grammar of cells: tags and magics say the same, and what cannot be meant is a problem, not a guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nb2prod.language import dialects, tags

SAME = [
    (["parameters"], "%%parameters"),
    (["imports"], "%%imports"),
    (["functions"], "%%functions"),
    (["setup"], "%%setup"),
    (["step:train"], "%%step train"),
    (["test:train"], "%%test train"),
    (["test"], "%%test"),
    (["step:train", "model:model", "metric:auc", "metric:f1"], "%%step train --model model --metric auc --metric=f1"),
    (["step:b", "after:a", "example:X", "plot:fig"], "%%step b --after a --example X --plot fig"),
    (["step:b", "retries:2", "timeout:1.5", "cache:off", "reads:data/x.csv"],
     "%%step b --retries 2 --timeout 1.5 --cache off --reads data/x.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "magic"), SAME, ids=[magic for _, magic in SAME])
def test_tags_and_magic_give_the_same_role(said: list[str], magic: str) -> None:
    by_tags = tags.role_of("x = 1", said)
    by_magic = tags.role_of(f"{magic}\nx = 1", [])
    assert by_tags.problems == by_magic.problems == ()
    assert by_magic.role.line_offset == 1
    for part in ("kind", "name", "body", "after", "metrics", "models", "examples", "plots", "retries", "timeout"):
        assert getattr(by_tags.role, part) == getattr(by_magic.role, part), part
    assert (by_tags.role.cache, by_tags.role.reads) == (by_magic.role.cache, by_magic.role.reads)


def test_a_cell_without_a_word_is_exploration_and_skip_wins_over_all() -> None:
    assert tags.role_of("x = 1", []).role.kind == "exploration"
    assert tags.role_of("x = 1", ["someone-elses"]).role.kind == "exploration"
    assert tags.role_of("x = 1", ["step:a", "skip"]).role.kind == "skip"


PROBLEMS = [
    (["step:a", "test:a"], "", "2 roles"),
    (["step:"], "", "needs a name"),
    (["step:two words"], "", "needs a name"),
    (["model:m"], "", "belongs on a step"),
    (["step:a", "timeout:soon"], "", "timeout:soon"),
    (["step:a", "retries:-1"], "", "retries:-1"),
    (["step:a", "cache:maybe"], "", "neither cache:on nor cache:off"),
    (["step:a", "metric:a.b"], "", "not a name that a cell can bind"),
    ([], "%%step", "needs a name"),
    ([], "%%step a b", "does not take 'b'"),
    ([], "%%step a --modle m", "did you mean --model?"),
    ([], "%%step a --model", "--model needs a value"),
    ([], "%%step 'a", "No closing quotation"),
    ([], "%%parameters x", "does not take 'x'"),
    (["step:a\n"], "", "needs a name"),
    (["step:" + "a" * 101], "", "at most 100"),
    (["step:../../x"], "", "needs a name"),
    (["step:a.."], "", "needs a name"),
    (["step:setup"], "", "no step can be named 'setup'"),
    (["step:parameters"], "", "no step can be named 'parameters'"),
    ([], "%%step pipeline", "no step can be named 'pipeline'"),
    ([], "%%time\n%%step a", "stands below another line"),
    ([], "# first a comment\n%%step a", "stands below another line"),
    ([], "%step a", "one % too few"),
    ([], "%%Step a", "did you mean %%step?"),
    ([], "%%stp a", "did you mean %%step?"),
]


@pytest.mark.parametrize(("said", "magic", "reason"), PROBLEMS, ids=[str(row[:2]) for row in PROBLEMS])
def test_what_cannot_be_meant_is_a_problem(said: list[str], magic: str, reason: str) -> None:
    problems = tags.role_of(f"{magic}\nx = 1", said).problems
    assert any(reason in problem for problem in problems), problems


MISSPELLED = [
    ("Step:train", "step:train"),
    ("step: train", None),  # ours, with a bad name: a problem of the grammar
    ("step train", "step:train"),
    ("steps:train", "step:train"),
    ("paramters", "parameters"),
    ("Parameters", "parameters"),
    ("metrics:auc", "metric:auc"),
    ("prevs:a", None),
    ("hide-input", None),
    ("image:python:3.11", None),
    ("raises-exception", None),
    ("my own remark", None),
]


@pytest.mark.parametrize(("tag", "meant"), MISSPELLED, ids=[tag for tag, _ in MISSPELLED])
def test_a_misspelled_tag_is_told_from_another_tools(tag: str, meant: str | None) -> None:
    assert tags.misspelled(tag) == meant


@given(st.lists(st.text(max_size=30), max_size=5), st.text(max_size=60))
def test_no_tag_and_no_source_makes_the_grammar_fail(said: list[str], source: str) -> None:
    role = tags.role_of(source, said).role
    assert role.body == source or source.lstrip().startswith("%%")


TRANSLATED = [
    (["block:load", "prev:a"], "", ("step:load", "after:a")),
    (["pipeline-parameters"], "", ("parameters",)),
    (["step:a", "cache:disabled"], "", ("step:a", "cache:off")),
    (["injected-parameters"], "", ("skip",)),
    (["skip-execution"], "", ("skip",)),
    ([], "#| export\ndef f(): ...", ("functions",)),
    ([], "#| eval: false\nboom()", ("skip",)),
    ([], "x = 1\n#| eval: false", ()),
]


@pytest.mark.parametrize(("said", "source", "here"), TRANSLATED)
def test_other_tools_words_are_translated(said: list[str], source: str, here: tuple[str, ...]) -> None:
    assert dialects.translate(said, source) == here


@pytest.mark.parametrize("source", ["%%bash\nx", "%%time\nx = 1", "x = 1\n%%step a", "%%javascript\nx", "%%html"])
def test_magics_that_are_none_of_ours_are_no_problem(source: str) -> None:
    assert tags.role_of(source, []).problems == ()
