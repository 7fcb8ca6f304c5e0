"""The queue, the votes, and what is known of those who cast them."""

from validate.models.judges import Judge, JudgeAnswer, JudgeTest
from validate.models.people import Apart, AuthorShare, Reliability
from validate.models.queue import Lease, QueueItem, in_a_day
from validate.models.votes import Gold, Review, Vote, VoteQuerySet

__all__ = [
    "Apart",
    "AuthorShare",
    "Gold",
    "Judge",
    "JudgeAnswer",
    "JudgeTest",
    "Lease",
    "QueueItem",
    "Reliability",
    "Review",
    "Vote",
    "VoteQuerySet",
    "in_a_day",
]
