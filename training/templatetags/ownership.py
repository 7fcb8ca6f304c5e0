"""Whether a page may offer what only owners of a task see."""

from django import template

from annotate.models import Task, Viewer

register = template.Library()


@register.filter
def owned_by(task: Task, user: Viewer) -> bool:
    """Whether this person curates the task (a query for owners and admins, none for others)."""
    return bool(getattr(user, "is_staff", False)) and task.is_owned_by(user)
