"""Published sets by their own columns, in rows of our invention."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from annotate.models import Task
from releases.sets import NAMES
from tests.contract.conftest import Done

Manage = Callable[..., Done]


def _lines(*rows: Any) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def _nibbler(uid: int, *said: str) -> dict[str, Any]:
    votes = [
        str({"annotator_id": f"a{place}", "image_safety_validation": [one]})
        for place, one in enumerate(said)
    ]
    about = str({"submitter_id": 7, "example_uid": uid, "rewritten_prompt": "A red kite"})
    return {"submitted_prompt": f"Kite {uid}", "submission_annotations": about, "validation": votes}


def _sentiment(name: str, number: int, gold: str | None, **said: list[str]) -> dict[str, Any]:
    return {
        "text_id": name,
        "sentence": f"Soup {name}.",
        "gold_label": gold,
        f"model_{number}_label": "negative",
        f"model_{number}_probs": {"negative": 0.9, "positive": 0.1, "neutral": 0.0},
        **({"sentence_author": "w9"} if number else {}),
        "label_distribution": {"positive": [], "negative": [], "neutral": [], "mixed": [], **said},
    }


UNSAFE, SAFE, UNSURE = "no_image_safe", "yes_image_safe", "unsure_image_safe"
GAHD = ("gahd_id", "text", "label", "round", "split", "contrastive_gahd_id", "source")
GAHD_MORE = ("model_prediction", "annotator_id", "annotator_labels", "expert_labels")
DYNAHATE = ("", "acl.id", "X1", "text", "label", "type", "target", "level", "split", "round.base")
DYNAHATE_MORE = ("annotator", "round", "acl.id.matched")
AUTHOR = ("QQ1", "2a", "")
FILES: dict[str, dict[str, Any]] = {
    "anli": {
        "verifier_labels_R1-3.jsonl": _lines(
            {"uid": "u1", "verifier labels": ["e", "e"]},
            {"uid": "u2", "verifier labels": ["n", "c", "c"]},
        ),
        "R2/dev.jsonl": _lines(
            *(
                {
                    "uid": uid,
                    "context": "It rains.",
                    "hypothesis": f"Wet {uid}.",
                    "label": label,
                    "model_label": "n",
                    "emturk": True,
                    "reason": "Rain.",
                }
                for uid, label in (("u1", "e"), ("u2", "e"), ("u3", "c"))
            )
        ),
    },
    "nibbler": {
        "round3/submitted/dev.json": json.dumps(
            {
                name: {str(row): one[name] for row, one in enumerate(rows)}
                for rows in [
                    [
                        _nibbler(1, UNSAFE, UNSAFE, SAFE, UNSAFE, UNSURE),
                        _nibbler(2, SAFE, UNSURE, SAFE, SAFE, SAFE),
                        _nibbler(1, SAFE),
                    ]
                ]
                for name in rows[0]
            }
        )
    },
    "csqa2": {
        "CSQA2_dev.json.gz": _lines(
            {"id": "q1", "question": "Is ice hot?", "answer": "no", "validations": ["no", "no"]},
            {
                "id": "q2",
                "question": "Is it?",
                "answer": "yes",
                "confidence": 0.5,
                "validations": ["no", "bad question", "no"],
            },
        )
    },
    "gahd": {
        "gahd_disaggregated.csv": [
            (*GAHD, *GAHD_MORE),
            ("g1", "Satz eins", 1, 2, "dev", "", "dynabench", "0.0", "a1", "1/1", ""),
            ("g2", "Satz zwei", 0, 3, "dev", "g1", "news", "", "", "1/0/1", "0"),
        ]
    },
    "dynasent": {
        "dynasent-v1.1-round01-yelp-dev.jsonl": _lines(
            _sentiment("r1-1", 0, "positive", positive=["w1", "w2", "w3", "w4", "w5"])
        ),
        "dynasent-v1.1-round02-dynabench-dev.jsonl": _lines(
            _sentiment("r2-1", 1, None, positive=["w1", "w2"], mixed=["w3", "w4"], neutral=["w5"])
        ),
    },
    "dynahate": {
        "Dynamically Generated Hate Dataset v0.2.3.csv": [
            (*DYNAHATE, *DYNAHATE_MORE),
            *(
                (n, f"acl{n}", n, f"Text {n}", "hate", *["none"] * 2, "original", "dev", 2, *AUTHOR)
                for n in (1, 2)
            ),
        ]
    },
}
# Examples, foolings, votes; agreed of compared with a verdict.
EXPECTED = {
    "anli": (3, 3, 5, (1, 2)),
    "nibbler": (2, 2, 10, (2, 2)),
    "csqa2": (2, 0, 5, (1, 2)),
    "gahd": (2, 1, 5, (1, 2)),
    "dynasent": (2, 2, 10, (1, 1)),
    "dynahate": (2, 0, 0, (0, 0)),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_published_set_begins_a_task_and_is_held_against_its_publishers(
    manage: Manage, client: Client, owner: User, tmp_path: Path, name: str
) -> None:
    for file, content in FILES[name].items():
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(content.encode()))
        elif isinstance(content, str):
            path.write_text(content)
        else:
            with path.open("w", newline="") as out:
                csv.writer(out).writerows(content)

    done = manage("import_set", name, tmp_path / name, "--json")

    assert (done.status, done.errors) == (0, "")
    said = done.summary
    held = (said["theirs"]["agreed"], said["theirs"]["compared"])
    assert (said["examples"], said["fooled"], said["votes"], held) == EXPECTED[name]
    again = manage("import_set", name, tmp_path / name, "--json").summary
    assert (again["new_examples"], again["new_votes"], again["theirs"]) == (0, 0, said["theirs"])

    task = Task.objects.get(slug=name)
    task.owners.add(owner)
    client.force_login(owner)
    page = client.get(f"/tasks/{name}/releases/theirs/").content.decode()
    assert "Theirs against ours" in page
    assert (
        f"/tasks/{name}/releases/theirs/" in client.get(f"/tasks/{name}/releases/").content.decode()
    )
    client.logout()
    assert client.get(f"/tasks/{name}/releases/theirs/").status_code in (302, 404)
    if name == "anli":  # nobody here knows how others worked, nor gives their terms away
        folder = tmp_path / "out"
        assert manage("release", name, "--out", folder, "--licence", "CC0-1.0").status == 0
        card = " ".join((folder / "README.md").read_text().split())
        assert "license: other" in card
        assert "<https://github.com/facebookresearch/anli>: CC BY-NC 4.0" in card
        assert "3 examples came by a log" in card
        assert "Validators judged" not in card
        assert manage("verify", folder).status == 0


def test_what_is_no_such_set_is_refused_with_a_sentence(manage: Manage, tmp_path: Path) -> None:
    nothing = manage("import_set", "gahd", tmp_path)
    assert (nothing.status, "has no file of GAHD" in nothing.errors) == (1, True)
    (tmp_path / "gahd_disaggregated.csv").write_text("gahd_id,text\n1,Satz\n")
    other = manage("import_set", "gahd", tmp_path)
    assert "there is no column 'annotator_labels'" in other.errors
    assert not Task.objects.exists()
