"""In what order people are asked, and about what not, as SQL that `validate.statements` runs."""

from __future__ import annotations

from typing import Final

from validate.policies.lots import MORE, MOST_PEOPLE, PRIME, WINDOW
from validate.policies.trust import FEW_OF_STANDING, HAS_GOLD, HAS_STANDING, IS_KNOWN

# What this person could be asked about: not their own, not answered, claimed or skipped by them.
# OFFSET keeps PostgreSQL from making joins of these: it would join with all that the person ever
# answered, where a look into an index for each of a few items is all it takes.
WAITING: Final = """
    q.task_id = %(task)s AND NOT q.withdrawn AND q.author_id <> %(validator)s
    AND NOT EXISTS (
        SELECT 1 FROM validate_vote v
        WHERE v.example_id = q.example_id AND v.validator_id = %(validator)s LIMIT 1 OFFSET 0)
    AND NOT EXISTS (
        SELECT 1 FROM validate_lease l
        WHERE l.example_id = q.example_id AND l.validator_id = %(validator)s
        AND (l.ended_at IS NULL OR l."end" = 'skipped') LIMIT 1 OFFSET 0)
"""

CAP_FROM_VOTES: Final = 20
NEW_UNTIL: Final = 60  # votes on an author's examples: some twenty of these
IT_MAY_TAKE: Final = 5  # people: three, and two more
HARDLY: Final = 3  # fewer than one vote of so many confirms an author

# Who is at work, and whether few of these are of standing (trust.is_new_crowd): then all count as
# such, or a new crowd's queue would stand still. Else `people`, among whom lots are cast, are those
# of whom something is known: fresh accounts make nobody's share smaller. People known from a log,
# or who stayed away for a week, are not among them.
_CROWD: Final = f"""
    SELECT standing, few, CASE WHEN few THEN people ELSE known END AS people FROM (
        SELECT people, known, standing,
            standing < {FEW_OF_STANDING} OR {FEW_OF_STANDING} * standing < known AS few
        FROM (
            SELECT COUNT(*) AS people, COUNT(CASE WHEN {IS_KNOWN} THEN 1 END) AS known,
                COUNT(CASE WHEN {HAS_STANDING} THEN 1 END) AS standing
            FROM validate_reliability r
            WHERE r.task_id = %(task)s AND r.quarantined_at IS NULL AND r.answered_at >= %(since)s
        ) at_work
    ) counted
"""  # noqa: S608
_OF_STANDING: Final = f"""
    SELECT r.validator_id, r.answered_at >= %(since)s AS at_work FROM validate_reliability r
    WHERE r.task_id = %(task)s AND r.quarantined_at IS NULL AND {HAS_STANDING}
"""  # noqa: S608

# Of whom this person is not asked: authors they are tied to, or who may be themselves under another
# name, and those of whose votes they gave as many as one person may. Where few people validate,
# each may give twice an even share, or the queue would stand still.
_NOT_FOR_THEM: Final = f"""
    SELECT s.author_id FROM validate_authorshare s
    WHERE s.task_id = %(task)s AND s.validator_id = %(validator)s AND (
        s.named_at IS NOT NULL
        OR s.votes >= %(least)s AND (
            SELECT SUM(o.votes) >= {CAP_FROM_VOTES}
                AND s.votes + 1 > CAST(%(cap)s AS double precision) * (SUM(o.votes) + 1)
                AND 2 * (SUM(o.votes) + 1) < (s.votes + 1) * (SELECT people FROM crowd)
            FROM validate_authorshare o
            WHERE o.task_id = %(task)s AND o.author_id = s.author_id))
    UNION ALL SELECT p.author_id FROM validate_apart p WHERE p.validator_id = %(validator)s
"""  # noqa: S608

# Their place in the lot of an example (validate.policies.lots), and whether they are picked for it.
# It asks of nothing but the entry itself, so that a database may ask it before all that costs more.
_X: Final = f"((%(turn)s * (q.example_id %% {PRIME}) + %(shift)s) %% {PRIME})"
_PLACE: Final = f"({_X} * {_X} %% {PRIME})"
_PICKED: Final = f"""
    q.open_from <= %(aged)s OR
        {_PLACE} * (
            SELECT CASE WHEN people < {MOST_PEOPLE} THEN people ELSE {MOST_PEOPLE} END FROM crowd)
            < CAST({PRIME} AS bigint) * %(picked)s
                * (CASE WHEN q.open_from <= %(now)s THEN {MORE} ELSE 1 END)
"""  # noqa: S608

# Whether who asks is of standing: by known answers, or where the task has too few by agreement.
_STANDS: Final = f"(%(proven)s = 1 OR %(agrees)s = 1 AND NOT ({HAS_GOLD}))"

# Somebody of no standing may begin until known answers have judged them: they give the first vote
# that counts, or none, and win their standing by it. Of authors whom people of standing know and
# mostly do not contradict, people who are tied to others are asked, too.
_FIRST: Final = """
    q.leases_active = 0 AND NOT EXISTS (
        SELECT 1 FROM validate_vote f
        WHERE f.example_id = q.example_id AND NOT f.dropped AND NOT f.surplus LIMIT 1 OFFSET 0)
"""
_IS_NEW: Final = f"""
    (SELECT COALESCE(SUM(a.votes), 0) < {NEW_UNTIL} OR {HARDLY} * SUM(a.agreed) < SUM(a.votes)
    FROM validate_authorshare a
    JOIN validate_reliability r ON r.task_id = a.task_id AND r.validator_id = a.validator_id
    WHERE a.task_id = %(task)s AND a.author_id = {{author}}
        AND a.named_at IS NULL AND r.quarantined_at IS NULL AND {HAS_STANDING})
"""  # noqa: S608
_KNOWN_AUTHOR: Final = f"NOT {_IS_NEW.format(author='q.author_id')}"

# Who was judged is asked of such authors, and everybody of what is old, but nothing is decided by
# them alone: they begin, or come where somebody of standing has voted, or all of these who are at
# work and may be asked skipped it.
_BESIDE: Final = f"""
    ({_FIRST} OR EXISTS (
        SELECT 1 FROM validate_vote f
        WHERE f.example_id = q.example_id AND NOT f.dropped AND NOT f.surplus AND NOT f.automatic
            AND f.validator_id IN (SELECT validator_id FROM of_standing) LIMIT 1 OFFSET 0)
    OR NOT EXISTS (
        SELECT 1 FROM of_standing o
        WHERE o.at_work AND o.validator_id <> q.author_id
            AND NOT EXISTS (
                SELECT 1 FROM validate_lease l
                WHERE l.example_id = q.example_id AND l.validator_id = o.validator_id
                    AND l."end" = 'skipped' LIMIT 1 OFFSET 0)
            AND NOT EXISTS (
                SELECT 1 FROM validate_authorshare s
                WHERE s.task_id = %(task)s AND s.validator_id = o.validator_id
                    AND s.author_id = q.author_id AND s.named_at IS NOT NULL LIMIT 1 OFFSET 0)
            AND NOT EXISTS (
                SELECT 1 FROM validate_apart p
                WHERE p.validator_id = o.validator_id AND p.author_id = q.author_id
                LIMIT 1 OFFSET 0)
        LIMIT 1 OFFSET 0))
"""  # noqa: S608
_UNTIED: Final = f"""
    (NOT EXISTS (
        SELECT 1 FROM validate_authorshare t
        WHERE t.task_id = %(task)s AND t.validator_id = %(validator)s AND t.named_at IS NOT NULL)
    OR {_KNOWN_AUTHOR})
"""  # noqa: S608
_TRUSTED: Final = f"""
    (SELECT few FROM crowd) OR ({_STANDS} OR %(begins)s = 1 AND {_FIRST}) AND {_UNTIED}
    OR (q.open_from <= %(aged)s OR %(begins)s = 0 AND {_KNOWN_AUTHOR}) AND ({_STANDS} OR {_BESIDE})
"""  # noqa: S608


def _free(trusted: str, *, alike: str = "", more: str = "") -> str:
    """From the first ones as one would order them the lot takes one. Only that one is locked, and
    what it was chosen for is asked of it again: somebody may have changed it meanwhile."""
    return f"""
    WITH crowd AS ({_CROWD}){more}, candidates AS (
        SELECT q.example_id, q.priority, q.urgency, q.votes_wanted, q.leases_active,
            {_PLACE} AS place
        FROM validate_queueitem q
        WHERE {WAITING} AND q.votes_wanted > q.leases_active
            AND ({_PICKED}) AND q.author_id NOT IN ({_NOT_FOR_THEM}) AND ({trusted})
        ORDER BY q.priority, q.urgency DESC, q.example_id LIMIT {WINDOW}
    )
    SELECT q.example_id FROM candidates c JOIN validate_queueitem q ON q.example_id = c.example_id
    WHERE NOT q.withdrawn AND q.votes_wanted > q.leases_active {alike}
    ORDER BY c.priority, c.place, c.urgency DESC, c.example_id LIMIT 1 {{lock}}
    """  # noqa: S608 (nobody's text)


FREE: Final = _free(
    _TRUSTED,
    alike=f"""AND ({_STANDS} OR (SELECT few FROM crowd)
        OR q.leases_active = c.leases_active AND q.votes_wanted = c.votes_wanted)""",  # noqa: S608
    more=f", of_standing AS ({_OF_STANDING})",
)
# To who is of standing by known answers, as most who ask are: with nothing that is for others.
FREE_TO_PROVEN: Final = _free(
    f"(SELECT few FROM crowd) OR q.open_from <= %(aged)s OR {_UNTIED}"  # noqa: S608
)

# Whether somebody of standing has voted on an example, or the crowd is new: a judge may follow.
HAS_A_WORD: Final = f"""
    SELECT (SELECT crowd.few FROM ({_CROWD}) crowd) OR EXISTS (
        SELECT 1 FROM validate_vote f
        WHERE f.example_id = %(example)s AND NOT f.dropped AND NOT f.surplus AND NOT f.automatic
            AND f.validator_id IN (SELECT validator_id FROM ({_OF_STANDING}) of_standing))
"""  # noqa: S608

# Whether enough people of standing are at work to look more closely at one whose author is new or
# hardly confirmed, or whom this person, of no standing, began (2), or else enough of all to do so
# at what rests on two people (1); whether the task has gold; whether this person is tied to the
# author. What a vote is worth depends on all of these, and here they cost no statement.
_ENOUGH: Final = f"""
    (SELECT crowd.standing > {FEW_OF_STANDING} AND NOT crowd.few FROM ({_CROWD}) crowd)
"""  # noqa: S608
ADD_TO_SHARE: Final = f"""
    INSERT INTO validate_authorshare AS s (task_id, author_id, validator_id, votes, agreed)
    VALUES (%(task)s, %(author)s, %(validator)s, %(votes)s, %(agreed)s)
    ON CONFLICT (task_id, validator_id, author_id)
    DO UPDATE SET votes = s.votes + %(votes)s, agreed = s.agreed + %(agreed)s
    RETURNING
        CASE WHEN {_IS_NEW.format(author="%(author)s")} THEN CASE WHEN {_ENOUGH} THEN 2 ELSE 0 END
        WHEN NOT EXISTS (
            SELECT 1 FROM validate_reliability r
            WHERE r.task_id = %(task)s AND r.validator_id = %(validator)s AND {HAS_STANDING})
            AND {_ENOUGH} THEN 2
        WHEN %(rests_on_two)s = 1
        THEN (SELECT CASE WHEN people > {IT_MAY_TAKE} THEN 1 ELSE 0 END FROM ({_CROWD}) crowd) END,
        EXISTS (SELECT 1 FROM validate_gold g
            WHERE g.task_id = %(task)s AND g.retired_at IS NULL),
        named_at
"""  # noqa: S608
