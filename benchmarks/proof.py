"""What a server holds, compared with what it told people: run in the server's environment.

Standard input is `{"accepted": {client_id: example}, "votes": {lease: label}}`; prints JSON with
the differences: what was acknowledged and is missing, what is there twice, what nobody was told.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
    import django

    django.setup()
    from django.db.models import Count

    from annotate.models import Example
    from training.models import TrainingRun
    from validate.models import Vote

    told = json.load(sys.stdin)
    sent = Example.objects.exclude(client_id=None).values_list("client_id", "uid")
    kept = [(str(client_id), str(uid)) for client_id, uid in sent]
    cast = Vote.objects.exclude(lease=None).values_list("lease_id", "label")
    votes = {str(lease): label for lease, label in cast}
    by_pair = Vote.objects.values("example", "validator").annotate(n=Count("id")).filter(n__gt=1)
    found = {
        "submissions acknowledged": len(told["accepted"]),
        "votes acknowledged": len(told["votes"]),
        "submissions lost": len(set(told["accepted"].items()) - set(kept)),
        "submissions double": sum(n > 1 for n in Counter(key for key, _ in kept).values()),
        # Everybody asked until they were answered: what is there, somebody was told.
        "submissions unannounced": len({key for key, _ in kept} - set(told["accepted"])),
        "votes lost": sum(votes.get(lease) != label for lease, label in told["votes"].items()),
        "votes double": by_pair.count(),
        "runs": dict(Counter(TrainingRun.objects.values_list("status", flat=True))),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
