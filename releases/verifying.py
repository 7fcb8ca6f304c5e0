"""Prove a release on any machine, from its files alone: equal, or the first difference by name.

Bytes and signature first; then every fooling, verdict, split, row and number is worked out anew
from `log.jsonl` by the task's own rules. Asks no database.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pyarrow.parquet as pq

from annotate.config import TaskFile
from core.strict_json import loads
from kinds import Kind, kind_named
from kinds.answers import in_order
from releases.changes import changes_between, prints_of
from releases.columns import batch_of, rounds_table, schema_of
from releases.figures import DROPPED, SURPLUS, Figures
from releases.figures import LOG as LOG_ARM
from releases.folders import FORMATS, LEDGER, ROUNDS, SUMS, files_below, read_sums, sha256_of
from releases.ledger import is_signed, text_of
from releases.orders import ABOUT, LOG, REPLAY, Progress
from releases.papers import papers
from releases.people import split_of
from releases.reading import Difference, read_log
from releases.replaying import Replayed, bounds, fooled_by
from releases.rows import said_by
from validate.decisions import decision_on
from validate.policies import JUDGE

BATCH: Final = 2_000
MOST_UNSTEADY: Final = 8  # of which every choice is tried
Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Proven:
    """What was found equal, and whose signature it bears."""

    about: dict[str, Any]
    ledger: dict[str, Any]
    files: int
    examples: int
    votes: int


def verify(folder: Path, progress: Progress = lambda *_: None) -> Proven:
    """Raise Difference with the first one, or return what was proven."""
    ledger, about, files = _check_bytes(folder, progress)
    progress(0.2, "Reading the log.")
    examples, votes = read_log(folder / LOG)
    if about.get("format") not in FORMATS:
        raise Difference(
            f"{ABOUT}: its format is {about.get('format')}, and this version of DADC Server proves "
            f"{' and '.join(map(str, FORMATS))}: take the one that made it."
        )
    referee = _Referee(about, examples, votes)
    progress(0.4, "Judging every example anew.")
    referee.judge()
    progress(0.6, "Comparing the tables.")
    referee.compare_tables(folder / "data")
    progress(0.95, "Counting.")
    _same(about["figures"], json.loads(json.dumps(referee.figures.as_json())), f"{ABOUT}: figures")
    if about["format"] > 3:
        referee.compare_rounds(about, folder / ROUNDS)
    referee.compare_papers(about, folder)
    counted = sum(map(len, votes.values()))
    return Proven(about=about, ledger=ledger, files=files, examples=len(examples), votes=counted)


def carries_on(proven: Proven, folder: Path, previous: Path) -> None:
    """Difference unless this release follows that of an earlier folder, as its changes say."""
    before = _json(previous / LEDGER)
    signed_by, chain = proven.about["public_key"], proven.ledger["chain"]
    if before["public_key"] != signed_by or before["chain"][-1] not in chain:
        raise Difference(f"{LEDGER}: its events do not carry on those of {previous}.")
    then = _json(previous / ABOUT)
    for version, config in then["configs"].items():
        _same(proven.about["configs"].get(version), config, f"{ABOUT}: configs: {version}")
    change, *earlier = proven.about["changes"]
    if change["previous"] == then["version"]:
        logs = (prints_of(*read_log(home / LOG)) for home in (previous, folder))
        _same(change, change | changes_between(*logs), f"{ABOUT}: changes")
    _same(earlier[-len(then["changes"]) :], then["changes"], f"{ABOUT}: changes")


# --- bytes ----------------------------------------------------------------------------------------
def _check_bytes(folder: Path, progress: Progress) -> tuple[Line, Line, int]:
    ledger = _json(folder / LEDGER)
    if not is_signed(ledger) or (folder / LEDGER).read_text() != text_of(ledger):
        raise Difference(f"{LEDGER}: the signature is not its key's, of what it says.")
    there = files_below(folder)
    if SUMS not in there or sha256_of(there[SUMS]) != ledger.get("sums"):
        raise Difference(f"{SUMS}: it is not the one that was signed.")
    sums = read_sums(folder)
    for place, (name, sha256) in enumerate(sums.items()):
        progress(0.2 * place / len(sums), f"Reading {name}.")
        if name not in there:
            raise Difference(f"{name}: it is missing.")
        if sha256_of(there[name]) != sha256:
            raise Difference(f"{name}: its bytes are not those that were signed.")
    if more := sorted(there.keys() - sums.keys() - {SUMS, LEDGER}):
        raise Difference(f"{more[0]}: it is no part of the release.")
    about = _json(folder / ABOUT)
    for name in ("task", "version", "release", "public_key"):
        _same(about.get(name), ledger.get(name), f"{LEDGER}: {name}")
    return ledger, about, len(sums) + 2


def _json(path: Path) -> Line:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise Difference(f"{path.name}: it is missing.") from None
    except ValueError:
        raise Difference(f"{path.name}: it is no JSON.") from None
    if not isinstance(data, dict):
        raise Difference(f"{path.name}: it is no JSON object.")
    return data


# --- what was decided -----------------------------------------------------------------------------
class _Referee:
    """Judges the examples of a log by the rules that the release names."""

    def __init__(
        self, about: Line, examples: Mapping[str, Line], votes: Mapping[str, list[Line]]
    ) -> None:
        self._examples, self._votes = examples, votes
        self._kind: Kind = kind_named(about["kind"])
        self._fixed: Mapping[str, str] = about["splits"]["fixed"]
        self._format: int = about["format"]
        self._rounds = {told["round"]: told for told in about.get("rounds", ())}
        self._configs = {
            int(version): SimpleNamespace(file=TaskFile.model_validate(config))
            for version, config in about["configs"].items()
        }
        files = {version: config.file for version, config in self._configs.items()}
        self.figures = Figures(files, self._format)

    def judge(self) -> None:
        for name, line in self._examples.items():
            votes = self._votes.get(name, [])
            self._judge_claim(line)
            self._judge_verdict(line, votes)
            self.figures.add(line, votes, self._split(line))

    def _split(self, line: Line) -> str:
        return self._fixed.get(line["author"]) or split_of(line["author"])

    def _judge_claim(self, line: Line) -> None:
        rule = self._configs[line["config"]].file.comparator_rule
        fooled = rule.fooled(line["prediction"], line["label"], claimed=line["fooled"])
        _same(line["fooled"], fooled, f"{LOG}: {line['id']}: fooled")
        if self._format > 3:
            self._judge_targets(line)

    def _judge_targets(self, line: Line) -> None:
        """What each model of its round said, where all are asked, and that so many were fooled."""
        where, said = f"{LOG}: {line['id']}: targets", line.get("targets", [])
        told = self._rounds.get(line["round"], {})
        if not said:
            if told.get("needed") and line["arm"] != LOG_ARM:
                raise Difference(f"{where}: round {line['round']} asks all of its models.")
            return
        models = {one["model"] for one in said}
        if strangers := models - {*told.get("targets", ())}:
            raise Difference(f"{where}: round {line['round']} has no model {min(strangers)}.")
        _same(len(said), len(models), where)
        rule = self._configs[line["config"]].file.comparator_rule
        for one in said:
            fooled = rule.fooled(one["prediction"], line["label"], claimed=one["fooled"])
            _same(one["fooled"], fooled, f"{where}: {one['model']}: fooled")
        enough = sum(one["fooled"] for one in said) >= (told["needed"] or len(said) + 1)
        _same(line["fooled"], enough, f"{LOG}: {line['id']}: fooled")
        own = {n: line.get(n) for n in ("model", "prediction", "probabilities", "fooled")}
        if own not in [{name: one.get(name) for name in own} for one in said]:
            raise Difference(f"{where}: none of them is {line['model']} with its answer.")

    def _judge_verdict(self, line: Line, votes: Sequence[Line]) -> None:
        """What the votes say, and that it stands where no owner decided.

        A verdict outlives the standing of those who voted: where some had no weight for a time,
        some choice of these votes must bear it.
        """
        heard = [vote for vote in votes if vote["effect"] != SURPLUS]
        said = self._said(line, heard, {n for n, v in enumerate(heard) if v["effect"] == DROPPED})
        stands = (line["voted_status"], in_order(line["voted_label"]))
        if stands != said and (line["adjudicated"] or not self._once_said(line, heard, stands)):
            where = f"{LOG}: {line['id']}: voted_status"
            raise Difference(f"{where}: it says {_show(stands)}, its votes say {_show(said)}.")
        if not line["adjudicated"]:
            final = (line["status"], in_order(line["final_label"]))
            _same(final, stands, f"{LOG}: {line['id']}: status")

    def _once_said(self, line: Line, heard: Sequence[Line], stands: Any) -> bool:
        unsteady = [place for place, vote in enumerate(heard) if vote["unsteady"]][:MOST_UNSTEADY]
        return any(
            self._said(line, heard, without) == stands
            for number in range(len(unsteady) + 1)
            for without in combinations(unsteady, number)
        )

    def _said(self, line: Line, votes: Sequence[Line], dropped: Collection[int]) -> Any:
        """What these votes decide, some of them without weight: a closer look, asked for by one,
        is still asked for."""
        example: Any = SimpleNamespace(
            label=line["label"],
            wrong=line["prediction"] if line["fooled"] else None,
            config=self._configs[line["config"]],
        )
        ballots: Any = [
            SimpleNamespace(
                validator_id=vote["validator"],
                label=vote.get("label"),
                flag=vote.get("flag"),
                reliability=vote["weight"],
                close=vote["close"],
                automatic=vote["validator"].startswith(JUDGE),
                dropped=place in dropped,
            )
            for place, vote in enumerate(votes)
        ]
        return said_by(decision_on(example, ballots))

    # --- the tables -------------------------------------------------------------------------------
    def compare_tables(self, data: Path) -> None:
        schema, seen = schema_of(self._kind, self._format), set[str]()
        for path in sorted(data.glob("*.parquet")):
            split, _, number = path.stem.partition("-round-")
            file = pq.ParquetFile(path)
            if not file.schema_arrow.equals(schema):
                raise Difference(f"data/{path.name}: its columns are not those of a release.")
            for batch in file.iter_batches(BATCH):
                names = batch["id"].to_pylist()
                for name in names:
                    where, line = f"data/{path.name}: {name}", self._examples.get(name)
                    if line is None:
                        raise Difference(f"{where}: it is not in {LOG}.")
                    if name in seen:
                        raise Difference(f"{where}: it is there twice.")
                    place = (self._split(line), line["round"])
                    _same((split, int(number)), place, f"{where}: split")
                    seen.add(name)
                lines = [self._examples[name] for name in names]
                votes = [self._votes.get(name, []) for name in names]
                rows = batch_of(self._kind, lines, votes, self._format)
                # Compared as columns: taking a million times of day out of these takes minutes.
                if not batch.equals(rows):
                    for found, row in zip(batch.to_pylist(), rows.to_pylist(), strict=True):
                        _same(found, row, f"data/{path.name}: {row['id']}")
        for name in self._examples:
            if name not in seen:
                raise Difference(f"data: {name} of {LOG} is in no table.")

    def compare_rounds(self, about: Line, file: Path) -> None:
        """Each round with examples is told of, once, and the table says the same."""
        numbers = [part["round"] for part in about["figures"]["rounds"]]
        _same([told["round"] for told in about.get("rounds", ())], numbers, f"{ABOUT}: rounds")
        for told in about["rounds"]:
            if strangers := set(told["targets"]) - about["models"].keys():
                where = f"{ABOUT}: rounds: {told['round']}: targets"
                raise Difference(f"{where}: {min(strangers)} is no model of it.")
        found, rows = pq.read_table(file), rounds_table(about)
        if not found.equals(rows):
            _same(found.to_pylist(), rows.to_pylist(), ROUNDS)
            raise Difference(f"{ROUNDS}: its columns are not those of a release.")

    # --- what it says of itself -------------------------------------------------------------------
    def compare_papers(self, about: Line, folder: Path) -> None:
        """The card, what machines read of it, who is listed by split, and what cannot be counted
        from these files, as far as it can be wrong."""
        for name, text in papers(about, self._kind, folder).items():
            if (said := (folder / name).read_text()) != text:
                pairs = zip(said.splitlines(), text.splitlines(), strict=False)
                _same(*next((pair for pair in pairs if pair[0] != pair[1]), (said, text)), name)
        if strangers := self._fixed.keys() - {line["author"] for line in self._examples.values()}:
            raise Difference(f"{ABOUT}: splits: {min(strangers)} is no author of it.")
        for why, number in about["left_out"].items():
            if type(number) is not int or number < 0:
                raise Difference(f"{ABOUT}: left_out: {why}: {_show(number)} is no count.")
        for what in ("examples", "votes"):
            counts = [one[what] for one in about.get("consents", ())]
            if not 0 <= sum(counts) <= about["figures"][what] or min(counts, default=0) < 0:
                raise Difference(f"{ABOUT}: consents: {what}: they are more than there are.")
        for name, model in about["models"].items():
            if file := model.get("file"):
                _same(model["sha256"], sha256_of(folder / file), f"{file}: sha256")
            told = folder / "models" / str(model["number"]) / "model.json"
            if self._format > 3 and told.exists():
                where = told.relative_to(folder).as_posix()
                _same(_json(told), {"name": name, **model}, where)
        self._compare_replay(about.get("replay", []), folder / REPLAY)
        change = about["changes"][0]
        _same(change["version"], about["version"], f"{ABOUT}: changes: version")
        _same(change["date"], about["frozen_at"], f"{ABOUT}: changes: date")
        if change["previous"] is None:
            now = prints_of(self._examples, self._votes)
            _same(change, change | changes_between(None, now), f"{ABOUT}: changes")

    def _compare_replay(self, said: Sequence[Line], file: Path) -> None:
        """Its lines are of foolings of that model, each once, and come to what the card says."""
        lines: defaultdict[str, dict[str, Line]] = defaultdict(dict)
        for text in file.read_bytes().splitlines() if file.exists() else ():
            line = loads(text)
            where, of_model = f"{REPLAY}: {line['id']}", lines[line["model"]]
            if line["model"] not in fooled_by(self._examples.get(line["id"], {})):
                raise Difference(f"{where}: it is no fooling of {line['model']}.")
            if line["id"] in of_model:
                raise Difference(f"{where}: it is there twice.")
            _same(line, line | bounds(line["fooled"], line["times"]), where)
            of_model[line["id"]] = line
        for one in said:
            asked = lines.pop(one["model"], {}).values()
            counted = Replayed(
                model=one["model"],
                foolings=len(asked) or one["foolings"],
                times=max((line["times"] for line in asked), default=0),
                fooled=sum(line["fooled"] for line in asked),
                always=sum(line["fooled"] == line["times"] for line in asked),
                varies=one["varies"],
                why_not=one["why_not"],
            ).as_json()
            _same(one, counted, f"{ABOUT}: replay: {one['model']}")
        if lines:
            raise Difference(f"{REPLAY}: {ABOUT} says nothing of {min(lines)}.")


# --- differences ----------------------------------------------------------------------------------
def _same(found: Any, expected: Any, where: str) -> None:
    """Difference unless they are equal, with the path to the first part that is not."""
    if found == expected:
        return
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in [*found, *expected]:
            _same(found.get(name), expected.get(name), f"{where}: {name}")
    if isinstance(found, list) and isinstance(expected, list):
        for place, (one, other) in enumerate(zip(found, expected, strict=False)):
            _same(one, other, f"{where}: {place}")
    raise Difference(f"{where}: it says {_show(found)}, and should say {_show(expected)}.")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
