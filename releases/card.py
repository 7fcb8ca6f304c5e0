"""README.md of a release: how to load it, and a data card written from what was counted. No Django.

An owner adds words; every number is the program's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import yaml

from releases.figures import ARMS
from releases.folders import ROUNDS
from releases.people import SHARES, SPLITS, TEST, VALIDATION

Json = Any
ONE_ROUNDS: Final = f"[{ROUNDS[0]}]{ROUNDS[1:]}"  # a pattern of it alone

COLUMNS: Final = {
    "id": "the example, the same in every version",
    "round": "in which round it was submitted",
    "author": "who submitted it, by pseudonym",
    "label": "what its author says is right",
    "prediction": "what the model in the loop said, as the server computed it, or a log says",
    "probabilities": "the model's probabilities, empty where it gave none",
    "model": "which model that was",
    "fooled": "the task's rule says that prediction and label differ: a claim until validated",
    "status": "what became of it: verified, rejected, relabelled, ambiguous, flagged, open",
    "final_label": "the label that validators or an owner settled on",
    "adjudicated": "an owner decided",
    "voted_status": "what the votes alone say, before any adjudication",
    "voted_label": "the label on which the votes agreed",
    "explanation": "what its author said of the model's answer",
    "probes": "live predictions seen before it was submitted",
    "tries": "submissions since the author's last fooling",
    "seconds": "time spent on it, by the server's clock",
    "created_at": "when it was submitted",
    "settled_at": "when it got its status",
    "arm": "live: its author saw the model's answers before they submitted; alone: none before; "
    "log: it came by a log, prediction and votes made elsewhere",
    "config": "the version of the task's rules that it met (release.json has each)",
    "targets": "what each model said, and whether that fooled it, where a round asks several "
    "(`model` is then one whose verdict is the round's); empty elsewhere",
    "votes": "every vote in the order they came: validator (`judge-…`: a model that passed a test "
    "beside people), label or flag, time, effect (counts; "
    "surplus: after the verdict; dropped: its validator lost their say), the weight it had, and "
    "whether that was ever withheld",
}


def readme(about: Mapping[str, Json], columns: Sequence[str]) -> str:
    """The whole README, `configs:` first."""
    parts = [
        f"---\n{yaml.safe_dump(_front(about), sort_keys=False, allow_unicode=True)}---",
        f"# {about['name']} {about['version']}",
        about["description"],
        _loading(about),
        _numbers(about),
        _rounds(about),
        _columns(columns),
        _methods(about),
        _consent(about),
        _left_out(about),
        _limits(about),
        _splits(),
        _models(about),
        _checking(about),
        _changes(about),
        _licence(about),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def readme_of_rounds(about: Mapping[str, Json], text: str, numbers: Collection[int]) -> str:
    """The same README for whoever has the files of some rounds only."""
    rounds = [part for part in about["figures"]["rounds"] if part["round"] in numbers]
    splits = {split: sum(part["splits"][split] for part in rounds) for split in SPLITS}
    figures = {**about["figures"], "rounds": rounds, "splits": splits}
    front = yaml.safe_dump(_front({**about, "figures": figures}), sort_keys=False)
    which = " and ".join(str(part["round"]) for part in rounds)
    note = f"**Of this release you have the tables of round {which} only.** SHA256SUMS is of all."
    _, _, rest = text.split("---\n", 2)
    return f"---\n{front}---\n\n{note}\n{rest}"


def _licence(about: Mapping[str, Json]) -> str:
    theirs = "".join(
        f"\n- {one['title']}, <{one['home']}>: {one['licence']}" for one in about["sources"]
    )
    also = (
        f"\n\nPart of it was published before, under terms of its own:\n{theirs}" if theirs else ""
    )
    cited = f"```\n{about['citation']}\n```"
    return f"## Licence and citation\n\n{about['licence']}{also}\n\n{cited}"


def _front(about: Mapping[str, Json]) -> dict[str, Json]:
    """What `datasets` reads, with all files or with some that were taken by hand.

    Of all rounds a folder, whose files' names begin with their splits: a split named here fails
    where none of its files is there. The others name only splits that have rows, because one
    without makes all of them fail, with a file or without; and they name them by a pattern of
    exactly one file, because a plain name whose file is absent makes the configs after it fail.
    """
    early = about.get("format", 0) < 4  # proven as it was written

    def config(name: str, files: str, counts: Json, **more: Json) -> dict[str, Json]:
        there = [split for split in SPLITS if counts[split]]
        paths = [{"split": split, "path": f"data/{split}-{files}.parquet"} for split in there]
        return {"config_name": name, **more, "data_files": paths}

    def of_round(number: int) -> str:
        text = f"round-{number}"
        return text if early else f"{text[:-1]}[{text[-1]}]"

    whole: dict[str, Json] = {"config_name": "default", "default": True, "data_dir": "data"}
    rounds = {"config_name": "rounds", "data_files": [{"split": "rounds", "path": ONE_ROUNDS}]}
    figures = about["figures"]
    return {
        "pretty_name": f"{about['name']} {about['version']}",
        "license": "other" if about["sources"] or " " in (own := about["licence"]) else own.lower(),
        "tags": ["dynamic-adversarial-data-collection", "human-votes"],
        "configs": [
            config("default", "round-*", figures["splits"], default=True) if early else whole,
            *(
                config(f"round_{part['round']}", of_round(part["round"]), part["splits"])
                for part in figures["rounds"]
            ),
            *([] if early else [rounds]),
        ],
    }


def _loading(about: Mapping[str, Json]) -> str:
    first = about["figures"]["rounds"][0]["round"]
    return LOADING.replace("ROUND", f"round_{first}")


LOADING: Final = """## Load it

```python
from datasets import load_dataset

data = load_dataset("path/to/this/folder")  # or "ROUND" as second argument
confirmed = data["train"].filter(lambda row: row["status"] == "verified")
```

```sql
SELECT round, avg(fooled::int) FROM 'data/*.parquet' GROUP BY round  -- DuckDB
```

`croissant.json` describes the same files to mlcroissant; `log.jsonl` holds the same rows as lines
for people and for `manage.py import_log`."""


def _numbers(about: Mapping[str, Json]) -> str:
    figures = about["figures"]
    rows = "\n".join(
        f"| {part['round']} | {', '.join(part['models'])} | {part['first'][:10]} to "
        f"{part['last'][:10]} | {part['authors']:,} | {part['examples']:,} | {part['fooled']:,} | "
        f"{part['claims']['verified']:,} | {rate(part['mer'])} | {rate(part['vmer'])} | "
        f"{part['votes']:,} | {alpha(part['agreement'])} | {rate(part['prevalence'])} |"
        for part in figures["rounds"]
    )
    labels = "; ".join(f"{label}: {n:,}" for label, n in figures["labels"].items())
    statuses = ", ".join(f"{n:,} {status}" for status, n in figures["statuses"].items() if n)
    head = (
        *("round", "models", "from, to", "authors", "examples", "claimed foolings", "verified"),
        *("MER", "vMER", "votes", "alpha", "votes for the author"),
    )
    return f"""## In numbers

{figures["examples"]:,} examples by {people(figures["authors"], "author")}, {figures["votes"]:,}
votes by {people(figures["validators"], "validator")}{_judges(figures)}. Of the examples
{statuses}. By their authors' labels: {labels}.

| {" | ".join(head)} |
|{"---|" * len(head)}
{rows}

MER is claimed, vMER verified foolings by examples *of this release*, with 95 % intervals that
know how far authors differ. Alpha is Krippendorff's, of the first two votes on each example that
count: later ones are asked for because those differ. Where nearly all votes are for the author (the
last column) alpha is low even if people agree; read the two together."""


def _rounds(about: Mapping[str, Json]) -> str:
    """Each round's models, times and rules; what each model met where all of them were asked."""
    if "rounds" not in about:
        return ""
    rows = "\n".join(
        f"| {told['round']} | {', '.join(told['targets'])}{_asked(told)} | "
        f"{_day(told['opened_at'] or told['opens_at'])} to "
        f"{_day(told['closed_at'] or told['closes_at'])}, {told['status']} | {_rules_of(told)} | "
        f"{', '.join(part['configs'])} | "
        f"{', '.join(f'{n:,} {arm}' for arm, n in part['arms'].items() if n)} |"
        for told, part in zip(about["rounds"], about["figures"]["rounds"], strict=True)
    )
    each = "\n".join(
        f"- round {part['round']}, `{name}`: answered {met['answered']:,}, fooled by "
        f"{met['fooled']:,}, {met['verified']:,} of them verified"
        for part in about["figures"]["rounds"]
        for name, met in part["met"].items()
        if len(part["met"]) > 1
    )
    beside = f"\n\nWhat each model met, where there were several:\n\n{each}" if each else ""
    return f"""## Rounds

| round | models | opened, closed | rules of its own | task's rules | examples |
|---|---|---|---|---|---|
{rows}

`{ROUNDS}` has the same as a table: `load_dataset(…, "rounds")`. The task's rules are told below, by
version.{beside}"""


def _asked(told: Mapping[str, Json]) -> str:
    if told["needed"]:
        return f" (all asked, {told['needed']} must be fooled)"
    return " (one by lot)" if len(told["targets"]) > 1 else ""


def _day(moment: str | None) -> str:
    return moment[:10] if moment else "–"


def _rules_of(told: Mapping[str, Json]) -> str:
    words = {
        "submissions": "{:,} submissions",
        "verified": "{:,} verified foolings",
        "submissions_each": "{:,} submissions a person",
        "verified_each": "{:,} verified foolings a person",
    }
    rules = told["rules"]
    said = [how.format(rules[name]) for name, how in words.items() if rules[name]]
    if rules["retraction"] != "always":
        said.append(f"taken back {rules['retraction'].replace('_', ' ')}")
    return ", ".join(said) or "none"


def _judges(figures: Mapping[str, Json]) -> str:
    votes = figures.get("votes_by_judges")
    return f" and, {votes:,} of them, by models that passed a test beside people" if votes else ""


def _columns(columns: Sequence[str]) -> str:
    rows = "\n".join(
        f"| `{name}` | {COLUMNS.get(name, 'the input, or what it was written about')} |"
        for name in columns
    )
    return f"## Columns\n\n| column | what it is |\n|---|---|\n{rows}"


def _methods(about: Mapping[str, Json]) -> str:
    figures = about["figures"]
    rules = "\n".join(_rules(version, about["configs"][version]) for version in figures["configs"])
    effects = figures["vote_effects"]
    return f"""## Methods

{_made(figures)} Of {figures["votes"]:,} votes {effects["counts"]:,} count,
{effects["surplus"]:,} came after the verdict and {effects["dropped"]:,} lost their weight with
their validators' standing. An owner decided on {figures["adjudicated"]:,} examples; what the votes
alone say of these stands beside it.

Median time: {seconds(figures["seconds_an_example"])} an example,
{seconds(figures["seconds_a_vote"])} a vote. {_pay(about["pay"])}

Rules in force, by version of the task's file:

{rules}"""


def _made(figures: Mapping[str, Json]) -> str:
    """How examples came to be, and what nobody here can say of those that others made."""
    live, alone, log = (figures["arms"][arm] for arm in ARMS)
    said = []
    if live:
        said.append(
            f"Authors of {live:,} examples saw the live model's answers while they made them."
        )
    if alone:
        said.append(f"Authors of {alone:,} saw none before they submitted.")
    if live or alone:
        said.append(
            "They were told on submission whether a model was fooled; the server computed "
            "prediction, probabilities and verdict. Validators judged claimed foolings, and a "
            "share of the others, one at a time and blind: without the author's label, the "
            "prediction or earlier votes, never their own."
        )
    if log:
        said.append(
            f"{log:,} examples came by a log: their predictions are as it says, and how its "
            "authors worked and its voters were asked, blind or not, this server does not know."
        )
    return "\n".join(said)


def _pay(pay: Sequence[Mapping[str, Json]]) -> str:
    """What the ledger says; of others it knows nothing."""
    if not pay:
        return "Pay: this server keeps no record of any for this task."
    sums = [
        f"{one['paid']} {one['currency']} to {people(one['people'], 'person', 'people')} for "
        f"{people(one['visits'], 'visit')} of together {one['hours']:,} hours"
        + (f", {one['hourly']} an hour at the median" if one["hourly"] else "")
        for one in pay
    ]
    return f"Pay, by the ledger when this was made: {'; '.join(sums)}. Of others it has no record."


def _rules(version: str, config: Mapping[str, Json]) -> str:
    instructions = config["instructions"]
    steps = " ".join(instructions["steps"])
    claim = f", the model standing for `{config['claim']}`" if config.get("claim") else ""
    policy = {"policy": config["validation"]["policy"], **config["validation"]["parameters"]}
    return (
        f"- **{version}**: authors read “{instructions['goal']}”{f' ({steps})' if steps else ''}, "
        f"validators “{instructions['validation']}”. Fooled by the rule `{config['comparator']}`"
        f"{claim}; verdicts by `{policy}`."
        + (f" Before that: “{warning}”" if (warning := config.get("content_warning")) else "")
    )


def _consent(about: Mapping[str, Json]) -> str:
    """What people by link had agreed to, and what became of what they asked for."""
    if "consents" not in about:
        return ""
    rows = [
        f"| {one['version']} (`{one['text_sha256'][:12]}`), {one['platform']} | "
        f"{'it may stay, under another name' if one['keep'] else 'it goes'} | "
        f"{one['examples']:,} | {one['authors']:,} | {one['votes']:,} | {one['validators']:,} |"
        for one in about["consents"]
    ]
    head = (
        "| consent and platform | what they made, once they ask to be forgotten | examples | "
        "authors | votes | validators |\n|---|---|---|---|---|---|"
    )
    said = "Nobody came by a campaign's link, with a text to agree to.\n"
    if rows:
        said = (
            "Who came by a campaign's link agreed to one of these texts before all else (by its "
            "version and the first digits of its SHA-256):\n\n" + "\n".join([head, *rows]) + "\n"
        )
    others = about["figures"]["examples"] - sum(one["examples"] for one in about["consents"])
    withdrawn = about["left_out"]["withdrawn by their authors"]
    return (
        f"## Consent\n\n{said}\nOf people with an account of this server, or by a log: "
        f"{people(others, 'example')}. Withdrawn by their authors up to this version: "
        f"{withdrawn:,} of the task's, {about['erased']:,} of them erased with all that they said. "
        f"{people(about['forgotten'], 'person', 'people')} who came by link asked to be forgotten."
    )


def _left_out(about: Mapping[str, Json]) -> str:
    counts = about["left_out"].items()
    rows = [f"- {n:,} {why}" for why, n in counts if n]
    return "## What was left out\n\n" + ("\n".join(rows) or "Nothing that was submitted.")


def _limits(about: Mapping[str, Json]) -> str:
    limits = [
        "Authors set out to fool these models: error rates here say nothing of usual inputs.",
        "`fooled` without the status `verified` is a claim that nobody confirmed.",
        "Examples of one author resemble each other; intervals that ignore that are too narrow.",
    ]
    if gone := about.get("gone"):
        limits.append(
            f"{people(gone, 'author')} left the server or asked to be forgotten: their names here "
            "lead to nobody."
        )
    if waiting := about["figures"]["statuses"]["open"]:
        limits.append(f"{waiting:,} examples have no verdict.")
    if about["figures"]["validators"] < 3:
        limits.append("Fewer than three people validated: agreement is theirs alone.")
    return "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _splits() -> str:
    return (
        f"## Splits\n\nBy author, never by row, and for ever: {SHARES[TEST]:.0%} of the authors "
        f"test, {SHARES[VALIDATION]:.0%} validate. Whoever taught the model in the loop is in "
        "`train`; whose foolings tested it, in `test` (release.json lists these)."
    )


def _models(about: Mapping[str, Json]) -> str:
    if not about["models"]:
        return ""
    rows = "\n".join(
        f"- `{name}`: {model['backend'] or 'known from a log only'}"
        + (f", file `{model['file']}`" if model.get("file") else "")
        + (f": {model['withheld']}" if model.get("withheld") else "")
        for name, model in about["models"].items()
    )
    return (
        "## The models in the loop\n\n"
        + rows
        + "\n\n`manage.py replay DIR` asks those whose files "
        "are here again, and says how many of the published foolings fool them."
        + _replayed(about.get("replay", ()))
    )


def _replayed(replay: Sequence[Mapping[str, Json]]) -> str:
    """What that came to when the release was made; a line an example is in a file of its own."""
    rows = [
        f"- `{one['model']}`, {one['foolings']:,} foolings: "
        + (
            f"fooled {rate({**one, 'count': one['fooled'], 'of': one['asked']})}, each asked "
            f"{people(one['times'], 'time')}: "
            + f"{'its answers vary' if one['varies'] else 'it does not sample'}. {one['why_not']}"
            if one["times"]
            else one["why_not"]
        )
        for one in replay
    ]
    rows = [row.rstrip() for row in rows]
    said = "\n\nAsked so when this was made (`replay.jsonl` has each example, with the date):\n\n"
    return said + "\n".join(rows) if rows else ""


def _checking(about: Mapping[str, Json]) -> str:
    return (
        "## Check it\n\n`sha256sum -c SHA256SUMS` proves the bytes. `manage.py verify DIR` of DADC "
        "Server, on any machine, counts every fooling, verdict, split and number of this page anew "
        f"from `log.jsonl`, and checks the signature of the key `{about['public_key']}`."
    )


def _changes(about: Mapping[str, Json]) -> str:
    rows = "\n".join(
        f"- **{one['version']}** ({one['date'][:10]}): {in_words(one)}" for one in about["changes"]
    )
    return f"## Changelog\n\n{rows}"


def in_words(change: Mapping[str, Json]) -> str:
    """One line of the changelog."""
    if change["previous"] is None:
        return f"first version, {change['added']:,} examples."
    return (
        f"since {change['previous']}: {change['added']:,} added, {change['removed']:,} removed, "
        f"{change['changed']:,} with other votes or another verdict."
    )


# --- numbers in words -----------------------------------------------------------------------------
def rate(found: Mapping[str, Json]) -> str:
    if not found["of"]:
        return "–"
    share = found["count"] / found["of"]
    return f"{share:.1%} ({found['low']:.1%} to {found['high']:.1%})"


def alpha(found: Mapping[str, Json]) -> str:
    if found["alpha"] is None:
        return f"– ({found['pairs']:,} pairs)"
    if found["low"] is None:
        return f"{found['alpha']:.2f} ({found['pairs']:,} pairs)"
    bounds = f"{found['low']:.2f} to {found['high']:.2f}"
    return f"{found['alpha']:.2f} ({bounds}, {found['pairs']:,} pairs)"


def seconds(value: float | None) -> str:
    return "not known for" if value is None else f"{value:.1f} s"


def people(number: int, what: str, several: str = "") -> str:
    return f"{number:,} {what if number == 1 else several or f'{what}s'}"
