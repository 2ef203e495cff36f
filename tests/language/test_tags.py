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
    (["step:b", "model:m", "predict:predict_proba"], "%%step b --model m --predict predict_proba"),
    (["step:b", "retries:2", "retry-on:OSError", "timeout:1.5", "cache:off", "reads:data/x.csv"],
     "%%step b --retries 2 --retry-on OSError --timeout 1.5 --cache off --reads data/x.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "magic"), SAME, ids=[magic for _, magic in SAME])
def test_tags_and_magic_give_the_same_role(said: list[str], magic: str) -> None:
    by_tags = tags.role_of("x = 1", said)
    by_magic = tags.role_of(f"{magic}\nx = 1", [])
    assert by_tags.problems == by_magic.problems == ()
    assert by_magic.role.line_offset == 1
    for part in [
        "kind",
        "name",
        "body",
        "after",
        "metrics",
        "models",
        "examples",
        "predicts",
        "plots",
        "retries",
        "timeout",
    ]:
        assert getattr(by_tags.role, part) == getattr(by_magic.role, part), part
    assert (by_tags.role.cache, by_tags.role.reads) == (by_magic.role.cache, by_magic.role.reads)


def test_a_cell_without_a_word_is_exploration_and_skip_wins_over_all() -> None:
    assert tags.role_of("x = 1", []).role.kind == "exploration"
    assert tags.role_of("x = 1", ["someone-elses"]).role.kind == "exploration"
    assert tags.role_of("x = 1", ["step:a", "skip"]).role.kind == "skip"


PROBLEMS = [
    (["step:a", "test:a"], "", "2 roles"),
    (["step:"], "", "needs a name"),
    (["step:two words"], "", "such as step:two-words"),
    (["step:1_load"], "", "such as step:step_1_load"),
    (["step: train"], "", "such as step:train"),
    (["step:train,model:m"], "", "several tags in one"),
    (["step:train model:m"], "", "several tags in one"),
    (["step:" + "字" * 100], "", "needs a name"),
    (["model:m"], "", "belongs on a step"),
    (["step:a", "timeout:soon"], "", "timeout:soon"),
    (["step:a", "retries:-1"], "", "retries:-1"),
    (["step:a", "retry-on:OSError"], "", "does not say how often"),
    (["step:a", "retries:1", "retry-on:bad name"], "", "not the name of an error"),
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
    (["step:é\u0301 x"], "", "needs a name"),
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
    ("step train", "step:train"),
    ("step-train", "step:train"),
    ("step", "step:NAME"),
    ("steps:train", "step:train"),
    ("stpe:train", "step:train"),
    ("step：train", "step:train"),  # with the colon of a Chinese or Japanese keyboard
    (" step:train", "step:train"),
    ("metric=auc", "metric:auc"),
    ("metrics:auc", "metric:auc"),
    ("Model: m", "model:m"),
    ("exmaple:X", "example:X"),
    ("predicts:score", "predict:score"),
    ("timeouts:3", "timeout:3"),
    ("paramters", "parameters"),
    ("Parameters", "parameters"),
    (" parameters ", "parameters"),
    ("import", "imports"),
    ("function", "functions"),
    ("set-up", "setup"),
    ("tests", "test"),
    ("skip:slow", "skip"),
    ("parameters:x", "parameters"),
]


@pytest.mark.parametrize(("tag", "meant"), MISSPELLED, ids=[tag for tag, _ in MISSPELLED])
def test_a_misspelled_tag_finds_the_one_that_was_meant(tag: str, meant: str) -> None:
    assert not dialects.known(tag)
    assert tags.misspelled(tag) == meant


# what people and other tools write, and what none of ours was meant by
NOT_OURS = [
    "hyperparameters", "exports", "latest", "text", "text:intro", "mode:fast", "test-data", "test_q1", "example-1",
    "model", "metric", "plot", "example", "model-training", "model_zoo", "plot-style", "after-class", "cache-key",
    "my own remark", "skippable", "ready:x", "rest", "stop", "best", "contest", "prevs:a", "setup-instructions", "todo",
    "solution", "exercise", "intro", "data", "deps", "eda", "slow", "gpu", "mustexec", "mustexec-parameters", "dask",
    "name:value", "type:code", "lang:python", "id:3", "key:value", "note:x", "date:today", "node", "important", "tmp",
]  # fmt: skip


@pytest.mark.parametrize("tag", NOT_OURS)
def test_what_means_something_else_is_no_misspelling(tag: str) -> None:
    assert dialects.known(tag) or tags.misspelled(tag) is None


ALLOWED = ["train", "_x", "load.2013", "a-b", "prévision", "étape", "загрузка", "訓練", "Ünïcode_1", "a" * 100]


@pytest.mark.parametrize("name", ALLOWED)
def test_a_step_may_have_letters_of_any_alphabet(name: str) -> None:
    spoken = tags.role_of("x = 1", [f"step:{name}"])
    assert (spoken.role.name, spoken.problems) == (name, ())
    assert tags.role_of(f"%%step {name}\nx = 1", []).role.name == name


def test_names_that_look_the_same_are_the_same() -> None:
    """A keyboard may send é as one character or as two; Python binds ﬁt as fit."""
    assert tags.role_of("", ["step:e\u0301tape", "after:e\u0301"]).role.name == "étape"
    assert tags.role_of("", ["step:e\u0301tape", "after:e\u0301"]).role.after == ("é",)
    assert tags.role_of("", ["step:a", "metric:ﬁt"]).role.metrics == ("fit",)


def test_a_magic_of_another_tool_may_say_the_same_as_a_tag() -> None:
    spoken = tags.role_of("%%ipytest -qq\nx = 1", [], {"ipytest": "test"})
    assert (spoken.role.kind, spoken.role.body, spoken.role.line_offset) == ("test", "x = 1", 1)


@given(st.lists(st.text(max_size=30), max_size=5), st.text(max_size=60))
def test_no_tag_and_no_source_makes_the_grammar_fail(said: list[str], source: str) -> None:
    role = tags.role_of(source, said).role
    assert role.body == source or source.lstrip().startswith("%%")


@pytest.mark.parametrize("source", ["%%bash\nx", "%%time\nx = 1", "x = 1\n%%step a", "%%javascript\nx", "%%html"])
def test_magics_that_are_none_of_ours_are_no_problem(source: str) -> None:
    assert tags.role_of(source, []).problems == ()
