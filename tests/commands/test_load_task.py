"""Task files: the least that works, and a sentence for what does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from accounts.models import User
from annotate.models import Task, TaskConfig

pytestmark = pytest.mark.once

MINIMAL = """
slug: my-nli
name: My NLI study
input: text_pair            # image | text | text_pair | passage_qa | text_multilabel
labels: [e, n, c]           # or a list of {value, name, key}
validation: {policy: two_plus_one}
"""
OPEN = "slug: open\nname: Open\ninput: {}\n"
PICTURE = "instructions: {{pictures: [{{image: {}, caption: A four, good: true}}]}}\n"


@pytest.fixture
def load(command: Any, tmp_path: Path) -> Any:
    def load(text: str, *options: str) -> dict[str, Any]:
        (tmp_path / "task.yaml").write_text(text)
        output = command("load_task", str(tmp_path / "task.yaml"), "--json", *options)
        return dict(json.loads(output.splitlines()[-1]))

    return load


def test_the_least_task_file_gets_every_default(load: Any) -> None:
    assert load(MINIMAL) == {"task": "my-nli", "version": 1, "changed": True}

    task = Task.objects.get()
    assert task.config is not None
    assert task.config.file.label_values == ["e", "n", "c"]
    assert task.config.data["validation"]["policy"] == "two_plus_one"
    assert task.config.data["retraining"]


def test_a_file_loaded_again_changes_nothing_and_a_changed_one_makes_a_version(load: Any) -> None:
    load(MINIMAL)

    assert load(MINIMAL + "# a remark\n")["changed"] is False
    assert load(MINIMAL.replace("My NLI", "Our NLI"))["version"] == 2
    assert TaskConfig.objects.count() == 2


def test_an_owner_is_given_the_task(load: Any, owner: User, annotator: User) -> None:
    load(MINIMAL, "--owner", "Olive")

    assert list(Task.objects.get().owners.all()) == [owner]
    with pytest.raises(CommandError, match="anna is annotator"):
        load(MINIMAL, "--owner", "anna")
    with pytest.raises(CommandError, match="nobody called zoe"):
        load(MINIMAL, "--owner", "zoe")


@pytest.mark.parametrize("input", ["passage_qa", "text_multilabel"])
def test_open_answers_are_counted_and_not_weighed(load: Any, input: str) -> None:
    file = f"slug: open\nname: Open\ninput: {input}\nlabels: [a, b]\n"

    load(file)

    config = TaskConfig.objects.get()
    assert config.file.section("validation").policy == "k_matching"
    with pytest.raises(CommandError, match="choose k_matching"):
        load(f"{file}validation: {{policy: bayes}}\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("slug: [", "is not YAML"),
        ("just words", "A task file is a mapping"),
        ("", "A task file is a mapping"),
        (MINIMAL.replace("my-nli", "My NLI"), "slug: "),
        (MINIMAL.replace("text_pair ", "speech "), "input: "),
        (MINIMAL.replace("[e, n, c]", "[e]"), "at least two labels"),
        (MINIMAL.replace("[e, n, c]", "[e, e]"), "two labels have the same value"),
        (MINIMAL.replace("[e, n, c]", "[true, no]"), "in quotes"),
        (MINIMAL.replace("[e, n, c]", "[1.50, 2]"), "in quotes"),
        (MINIMAL.replace("[e, n, c]", "[-0, 0]"), "in quotes"),
        (MINIMAL.replace("[e, n, c]", "[null, e]"), "in quotes"),
        (MINIMAL.replace("two_plus_one", "three"), "Unknown policy 'three'"),
        (MINIMAL.replace("two_plus_one", "two_plus_one, n: 3"), "no parameter n"),
        (MINIMAL + "colour: red\n", "colour: "),
        (MINIMAL + "comparator: {rule: guess}\n", "Unknown rule 'guess'"),
        (MINIMAL.replace("[e, n, c]", '["é", "e\u0301"]'), "look the same"),
        (MINIMAL.replace("[e, n, c]", '[a b, "a  b"]'), "look the same"),
        (MINIMAL.replace("[e, n, c]", "[{value: e, name: Yes.}, {value: n, name: Yes.}]"), "same"),
        (MINIMAL + "comparator: {rule: ask_annotator}\n", "cannot compare answers to text_pair"),
        (MINIMAL + "comparator: {rule: ensemble}\n", "Unknown rule 'ensemble'"),
        (MINIMAL + "comparator: {rule: numeric}\n", "'e' is not a number"),
        (MINIMAL + "quality: {min_characters: 9, max_characters: 8}\n", "is more than max"),
        (MINIMAL + "quality: {min_words: 5, max_characters: 8}\n", "do not fit"),
        (OPEN.format("passage_qa\ncomparator: {rule: ask_annotator}"), "cannot compare answers"),
        (OPEN.format("passage_qa\ncomparator: {rule: numeric}"), "cannot compare answers"),
        (
            OPEN.format("text_multilabel\nlabels: [a, b]\ncomparator: {rule: exact_match}"),
            "choose label_set",
        ),
        (MINIMAL + "name: Another\n", "name is there twice"),
        (MINIMAL + "language: &a nl\ncontent_warning: *a\n", "Aliases"),
        (MINIMAL + "instructions: {<<: {goal: Go}}\n", "a plain word"),
        (MINIMAL + "x: !!python/object/apply:os.system ['true']\n", "is not YAML"),
        ("[" * 5_000, "nested too deep"),
        (f"{MINIMAL}comparator: {'{a: ' * 500}1{'}' * 500}\n", "nested too deep"),
        (MINIMAL.replace("[e, n, c]", "['', n]"), "labels.0.value"),
        (MINIMAL.replace("[e, n, c]", "[e, 'e ']"), "labels.1.value"),
        (MINIMAL.replace("[e, n, c]", r'["e\0", n]'), "NUL"),
        (MINIMAL.replace("My NLI study", "' '"), "name: "),
        (MINIMAL + PICTURE.format("nowhere.png"), "no static file nowhere.png"),
        (MINIMAL + PICTURE.format("../../../etc/passwd"), "no static file"),
        (
            MINIMAL.replace(
                "[e, n, c]", "[{value: e, name: e, key: a}, {value: n, name: n, key: A}]"
            ),
            "two labels have the same key",
        ),
    ],
    ids=lambda text: repr(text)[-30:],
)
def test_a_mistake_is_named_in_a_sentence(load: Any, text: str, sentence: str) -> None:
    with pytest.raises(CommandError) as refused:
        load(text)

    assert sentence in str(refused.value)
    assert not Task.objects.exists()


def test_labels_stay_as_they_were_written(load: Any) -> None:
    labels = ["01", "010", "16:9", "1_000", "0x1F", "yes", "no", "1", "~x", "0123.5"]
    load(MINIMAL.replace("[e, n, c]", f"[{', '.join(labels)}]"))

    config = TaskConfig.objects.get()
    assert config.file.label_values == labels

    load(MINIMAL.replace("[e, n, c]", "[{value: 7, name: 07, key: 7}, {value: 1_0, name: x}]"))
    assert TaskConfig.objects.latest("id").file.label_values == ["7", "1_0"]


def test_a_file_that_is_not_there_is_named(command: Any, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        command("load_task", str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("comparator", "stored"),
    [
        ("", {"rule": "string_f1", "by_character": True}),
        ("comparator: {rule: exact_match}\n", {"rule": "exact_match", "ignore_place": True}),
        (
            "comparator: {rule: string_f1, by_character: false}\n",
            {"rule": "string_f1", "by_character": False},
        ),
    ],
)
def test_a_new_file_of_free_answers_says_how_they_are_compared(
    load: Any, comparator: str, stored: dict[str, Any]
) -> None:
    load(OPEN.format("passage_qa") + comparator)
    assert TaskConfig.objects.get().data["comparator"] == stored
