"""What cheating moves on the board, with the rules and without; and the command that plays it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command

from accounts.models import User
from annotate.models import ContentKey, Task
from kinds.likeness import Ruling
from scoring import board_attacks
from scoring.board_attacks import Claim, Facts, Moved, audit
from scoring.management.commands.audit_board import facts_of
from scoring.models import Tally
from tests import cast
from validate.policies import Ballot, TwoPlusOne

LABELS = ["a", "b", "c"]


def world(**changes: Any) -> Facts:
    """Ten authors of forty to fifty claims each, right in 10 to 82 %; ten honest validators."""
    rng = np.random.default_rng(2)
    claims = []
    for author in range(10):
        for _ in range(40 + author):
            right = rng.random() < 0.1 + 0.08 * author
            voters = rng.permutation(10).tolist()[:2]
            ballots = tuple(Ballot(one, "a" if right else "b") for one in voters)
            claims.append(Claim(author, "a", ballots))
    facts = Facts(
        dict.fromkeys(range(10), 100), claims, TwoPlusOne(), LABELS, 10, 4, 0.2, 20,
        lambda _: [Ruling.COPY] * 3 + [Ruling.REVIEW],
    )  # fmt: skip
    return replace(facts, **changes)


def by_name(found: list[Moved]) -> dict[str, Moved]:
    return {one.attack.split()[0]: one for one in found}


def test_the_rules_hold_what_is_open_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = by_name(audit(world(), colluding=0.2, runs=2))
    league, repeats, flood = found["2"], found["each"], found["5"]
    down, unread = found["downvoting"], found["unreadable"]
    assert min(one.most_without for one in (league, repeats, flood, down, unread)) >= 7
    assert max(league.most, down.most) <= 2
    assert unread.most == 0, "what nobody else could read is no fooling"
    assert (repeats.most, flood.most) == (0, 0)
    assert flood.mean < repeats.mean < 0, "who sends what nobody confirms falls"
    assert found["a"].most == 0

    # Each rule that is taken away lets the copies, or the league, in.
    taken = by_name(audit(world(again=lambda _: [Ruling.DISTINCT] * 4), runs=1))["each"]
    assert (taken.most, taken.mean) == (repeats.most_without, repeats.mean_without)
    monkeypatch.setattr(board_attacks, "_is_named", lambda *_: False)
    monkeypatch.setattr(board_attacks, "_stops", lambda *_: False)
    monkeypatch.setattr(board_attacks, "NEW_UNTIL", 0)
    opened = by_name(audit(world(picked=10, share_cap=1.0), colluding=0.2, runs=2))
    open_ = opened["2"]
    assert open_.mean > league.mean + 1
    assert opened["downvoting"].mean > down.mean + 1


def test_a_rank_that_nobody_has_cannot_be_moved() -> None:
    assert audit(world(ranked_from=1_000)) == []


def test_the_command_plays_on_what_the_task_has(
    task: Task, annotator: User, validator: User, other_validator: User,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cast.submission(task, annotator, 1)
    for person in (validator, other_validator):
        cast.answer(person, task)
    facts = facts_of(task)
    (claim,) = facts.claims
    assert (claim.author, len(claim.ballots)) == (annotator.pk, 2)
    assert set(facts.again(claim)) == {Ruling.COPY}
    call_command("audit_board", "digits")
    assert "so nobody ranks" in capsys.readouterr().out
    Tally.objects.update(submitted=30)
    call_command("audit_board", "digits", "--json")
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["authors"], told["claims"], len(told["attacks"])) == (1, 1, 6)


def test_a_text_sent_again_in_another_dress_meets_the_server_s_own_rule(
    annotator: User,
) -> None:
    texts = cast.text_task()
    words = {"text": "The rain in the hills has come down to the river since."}
    one = cast.submission(texts, annotator, fooled=False, input=words, label="yes")
    facts = facts_of(texts)
    claim = Claim(annotator.pk, one.label, (), one.pk)
    assert set(facts.again(claim)) == {Ruling.COPY}
    ContentKey.objects.all().delete()
    assert set(facts.again(claim)) == {Ruling.DISTINCT}, "it is looked up"
