"""The owner's page of a round's times and quotas, and the fields of it that others show."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.caller import person
from annotate.models import Round
from annotate.owners import owned_task_or_404
from annotate.schedule import change_round, read_rules
from annotate.sections import Rounds
from core.errors import Refused


class Moment(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class RulesForm(forms.Form):
    """When a round takes what, and how much; all of it may be left out."""

    opens_at = forms.DateTimeField(label="Opens at (UTC)", required=False, widget=Moment())
    closes_at = forms.DateTimeField(label="Closes at (UTC)", required=False, widget=Moment())
    submissions = forms.IntegerField(label="Submissions it takes in all", required=False)
    verified = forms.IntegerField(label="Verified foolings with which it is over", required=False)
    submissions_each = forms.IntegerField(label="Submissions of one person", required=False)
    verified_each = forms.IntegerField(
        label="Verified foolings with which a person is done", required=False
    )
    retraction = forms.ChoiceField(
        label="People may take back what they sent",
        choices=[("always", "always"), ("while_open", "while it is open"), ("never", "never")],
    )

    @classmethod
    def of(cls, rules: Rounds) -> RulesForm:
        return cls(initial=rules.model_dump())

    @property
    def rules(self) -> Rounds:
        """What was chosen; Refused where it cannot be."""
        if self.is_valid():
            return read_rules(self.cleaned_data)
        name, complaints = next(iter(self.errors.items()))
        raise Refused("bad_rules", f"{self.fields[name].label}: {complaints[0]}")


@require_http_methods(["GET", "HEAD", "POST"])
def round_rules(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Change when an open or a scheduled round takes what, end it, or take it off the calendar."""
    task = owned_task_or_404(request, slug)
    round_ = Round.objects.filter(task=task, number=number).first() if number < 2**31 else None
    if round_ is None or round_.status == Round.Status.CLOSED:
        raise Http404
    form, complaint, reason = RulesForm.of(round_.limits), "", request.POST.get("reason", "")
    if request.method == "POST":
        form = RulesForm(request.POST)
        try:
            changed = change_round(
                task=task,
                number=number,
                changes=form.rules.model_dump(),
                reason=reason,
                actor=person(request),
            )
        except Refused as refused:
            complaint = refused.message
        else:
            messages.success(request, _told(changed))
            return redirect("training", slug=slug)
    shown: dict[str, Any] = {
        "task": task,
        "round": round_,
        "form": form,
        "reason": reason,
        "complaint": complaint,
    }
    return render(request, "training/round.html", shown, status=400 if complaint else 200)


def _told(changed: Round) -> str:
    if not changed.pk:
        return f"Round {changed.number} is off the calendar."
    if changed.status == Round.Status.CLOSED:
        return f"Round {changed.number} is closed."
    return f"Round {changed.number} goes by its new rules."
