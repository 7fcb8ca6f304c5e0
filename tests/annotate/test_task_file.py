"""A task's file as its owner reads, checks and changes it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from accounts.models import User
from annotate.config import parse_task_file, read_task_file
from annotate.models import Task
from annotate.registry import read_model_file, register
from annotate.task_text import as_yaml, keys
from core import strict_yaml
from core.errors import Refused
from core.strict_yaml import NotYaml
from dadc_server.bootstrap import LIBRARY
from kinds.photo.tests import colours
from tests import cast

FILES = sorted(LIBRARY.glob("*.yaml"))
PAGE = "/tasks/texts/file/"
RICH = {
    "slug": "rich",
    "name": "Rich",
    "input": "text_pair",
    "labels": [{"value": "01", "name": "yes", "key": "y"}, "no", {"value": "16:9", "name": "wide"}],
    "explanation": {"asked": "before", "required": True},
    "feedback": "on_submit",
    "contexts": {"goal": "balanced", "tries": 2},
    "quality": {"min_words": 3},
    "validation": {"policy": "bayes", "threshold": 0.9},
    "awards": [],
    "language": "de",
    "instructions": {"goal": "Täusche: es", "steps": ["# one", "- two"]},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_shown_is_what_was_written_and_the_schema_takes_it(path: Path) -> None:
    content = strict_yaml.loads(path.read_text())
    for name in ("model", "model_setting", "contexts_file"):  # which a library's file may have
        content.pop(name, None)
    file = parse_task_file(content)
    shown = as_yaml(file)
    assert read_task_file(shown) == file
    assert strict_yaml.loads(shown).keys() == content.keys(), "defaults are left out"
    schema = APIClient().get("/api/v1/task-file/schema/").json()
    Draft202012Validator.check_schema(schema)
    for told in (content, strict_yaml.loads(shown)):
        Draft202012Validator(schema).validate(told)


def test_labels_stay_as_they_are_and_the_schema_knows_every_key() -> None:
    for told in (RICH, cast.task_file(), colours.task_file()):
        file = parse_task_file(told)
        assert read_task_file(as_yaml(file)) == file
    schema = Draft202012Validator(APIClient().get("/api/v1/task-file/schema/").json())
    schema.validate(RICH)
    for wrong in ({"lables": []}, {"input": "sound"}, {"explanation": {"asked": "twice"}}):
        assert not schema.is_valid({**RICH, **wrong})
    for section, said in (
        ("comparator", {"rule": "exactmatch"}),
        ("comparator", {"rule": "numeric", "threshold": 1}),
        ("comparator", {"rule": "string_f1", "threshold": "much"}),
        ("validation", {"policy": "three"}),
        ("validation", {"thresold": 0.9}),
    ):
        assert not schema.is_valid({**RICH, section: said})
    for right in ({"rule": "label_set", "threshold": None}, {"rule": "string_f1"}):
        schema.validate({**RICH, "comparator": right})
    named = {key.name for key in keys()}
    assert {"slug", "explanation.asked", "validation.policy", "chat.turns", "daily"} <= named


def test_a_mistake_is_told_with_its_line() -> None:
    text = "slug: a\nname: A\ninput: text\nlabels:\n  - yes\n  - {value: no, nam: No}\n"
    text += "quality:\n  min_words: none\n"
    with pytest.raises(NotYaml) as told:
        read_task_file(text)
    assert [one.line for one in told.value.mistakes] == [6, 6, 8]
    assert "Line 8: quality.min_words: " in str(told.value)
    with pytest.raises(NotYaml, match=r"^Line 3: input: ") as told:
        read_task_file("slug: a\nname: A\ninput: sound\n")
    with pytest.raises(NotYaml) as told:
        read_task_file("slug: a\nname: [\n")
    assert told.value.mistakes[0].line == 3


@pytest.mark.django_db
def test_an_owner_checks_previews_and_saves_a_version(
    client: Client, owner: User, annotator: User
) -> None:
    task = cast.text_task()
    task.owners.add(owner)
    client.force_login(owner)
    shown = client.get(PAGE)
    before = shown.context["form"].initial
    assert before["text"] == "slug: texts\nname: Texts\ninput: text\nlabels:\n- 'yes'\n- 'no'\n"
    assert b"explanation.asked" in shown.content

    def post(text: str, how: str, after: int = 1) -> Any:
        body = {"text": text, "after": after, how: ""}
        return client.post(PAGE, {**body, "text": text.replace("\n", "\r\n")})

    wrong = post(f"{before['text']}daily: many\n", "save").content.decode()
    assert "Line 7" in wrong
    assert "<code>daily: many</code>" in wrong
    assert wrong.count("daily: many") == 2, "what was written is still there"
    many = "".join(f"k{number}: 1\n" for number in range(400))
    began = time.thread_time()
    wrong = post(f"{before['text']}{many}", "check").content.decode()
    assert wrong.count("Extra inputs are not permitted") == 400
    assert time.thread_time() - began < 4, "each mistake reads the whole file anew: 12 s and more"

    changed = before["text"].replace("- 'no'", "- 'no'\n- <b>perhaps</b>")
    looked = post(f"{changed}explanation: {{required: true}}\n", "check").content.decode()
    assert "<ins>+ - &lt;b&gt;perhaps&lt;/b&gt;</ins>" in looked
    assert "never says &lt;b&gt;perhaps&lt;/b&gt;" in looked
    assert "What confused it?" in looked
    task.refresh_from_db()
    assert (task.config and task.config.version) == 1, "checking changes nothing"

    assert post(changed, "save").status_code == 302
    task = Task.objects.get()
    assert task.config is not None
    assert (task.config.version, task.config.created_by) == (2, owner)
    assert "Version 2 came meanwhile" in post(before["text"], "save").content.decode()
    assert "This changes nothing" in post(changed, "save", after=2).content.decode()

    cast.submission(task, annotator, input={"text": "Fine."}, label="no", fooled=False)
    rule = "comparator: {rule: exact_match, ignore_case: false}\n"
    looked = post(f"{changed}{rule}", "check", after=2).content.decode()
    assert "models are evaluated anew" in looked
    gone = "slug: texts\nname: Texts\ninput: text\nlabels: [maybe, 'yes']\n"
    refused = post(gone, "check", after=2).content.decode()
    assert "labels: examples of texts say no: keep that label" in refused
    task.examples.update(label="yes")
    assert "This can be saved" in post(gone, "check", after=2).content.decode()
    other = post(gone.replace("texts", "others"), "check", after=2).content.decode()
    assert "another slug is another task" in other


@pytest.mark.django_db
def test_a_label_that_several_go_with_is_kept_too(annotator: User) -> None:
    how = {"input": "text_multilabel", "slug": "marks"}
    task = cast.text_task(labels=["a", "b", "c"], **how)
    register(task=task, file=read_model_file("{name: guess, backend: null}"), open_round=True)
    cast.submission(task, annotator, input={"text": "Fine."}, label=["a", "b"], fooled=False)
    with pytest.raises(Refused, match="keep that label"):
        cast.text_task(labels=["a", "c"], **how)
    cast.text_task(labels=["a", "b"], **how)
