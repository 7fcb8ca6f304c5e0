"""Live predictions: how many, how soon, and beside the bare limit and Gradio in the same run."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any

from benchmarks import peers
from benchmarks.measure import (
    Row,
    cpu_of,
    measure,
    middle,
    rates,
    ratios,
    show_table,
    spread_of,
    trouble,
)
from benchmarks.servers import Server, bare, ours
from benchmarks.world import trained_model

QUIET = {"retraining": {"trigger": None}}  # no training shall begin beside a measurement
PEER_SOCKETS = 128
CLASS, STROKES, KEYSTROKES = 32, 10, 5  # people, strokes or keystrokes a second each
HEAD = ("server", "sockets", "a second", "p50 ms", "p95 ms", "p99 ms", "CPU ms each", "client CPU")


def _line(rows: list[Row], sockets: int, what: str = "predict") -> list[object]:
    times = f"latency_ms.{what}"
    return [
        rows[0]["server"],
        sockets,
        spread_of(rows, "rate"),
        *(spread_of(rows, f"{times}.{share}", 1) for share in ("p50", "p95", "p99")),
        cpu_of(rows),
        f"{middle(rows, 'client_cpu_ms'):.2f}",
    ]


def _asked(server: Server, cookies: list[str], sockets: int, seconds: float, **how: Any) -> Row:
    orders = {"sockets": sockets, "seconds": seconds, "drawings": int(seconds * 4000) + 2000}
    return measure(server, how.pop("load", "predict"), cookies=cookies, **orders, **how)


def predict(asked: argparse.Namespace) -> dict[str, Any]:
    """Closed loop: everybody draws on as soon as the bars have moved; one web process each."""
    body: list[list[object]] = []
    found: dict[str, Any] = {}
    with ours(annotators=max(asked.sockets), task=QUIET) as world, bare() as limit:
        people = world.sessions["annotator"]
        for sockets in asked.sockets:
            mine: list[Row] = []
            theirs: list[Row] = []
            naked: list[Row] = []
            for _ in range(asked.rounds):
                mine.append(_asked(world.server, people, sockets, asked.seconds))
                theirs.append(_asked(limit, [], sockets, asked.seconds))
                naked.append(_asked(limit, [], sockets, asked.seconds, pixels=True))
            for row in naked:
                row["server"] = "bare, 784 bytes"
            body += [_line(rows, sockets) for rows in (mine, theirs, naked)]
            found[str(sockets)] = {
                "ours": mine,
                "bare": theirs,
                "bare_pixels": naked,
                "ratio_to_bare": ratios(rates(mine), rates(theirs)),
                "ratio_to_bare_pixels": ratios(rates(mine), rates(naked)),
                "p50_above_bare_ms": middle(mine, "latency_ms.predict.p50")
                - middle(theirs, "latency_ms.predict.p50"),
                "trouble": trouble(mine),
            }
    show_table(f"Predictions, {asked.seconds:g} s each, {asked.rounds} rounds in turn", HEAD, body)
    show_table(
        "Ours to the bare limit",
        ("sockets", "same reading", "784 bytes", "p50 above bare", "anything but answers"),
        (
            (
                sockets,
                found[sockets]["ratio_to_bare"],
                found[sockets]["ratio_to_bare_pixels"],
                f"{found[sockets]['p50_above_bare_ms']:.2f} ms",
                found[sockets]["trouble"],
            )
            for sockets in found
        ),
    )
    return found


def gradio(asked: argparse.Namespace) -> dict[str, Any]:
    """128 sockets beside Gradio's tutorial app, each at its best: ours with two web processes."""
    settings = peers.GRADIO_SETTINGS
    found: dict[str, list[Row]] = {"ours": []} | {name: [] for name in settings}
    with ExitStack() as stack:
        try:
            apps = {name: stack.enter_context(peers.gradio(name)) for name in settings}
        except peers.NotInstalled as missing:
            print(f"\n{missing}\n")
            return {"missing": str(missing)}
        world = stack.enter_context(
            ours("postgresql", workers=asked.workers, annotators=PEER_SOCKETS, task=QUIET)
        )
        world.server.name = f"ours, {asked.workers} web processes"
        people = world.sessions["annotator"]
        for _ in range(asked.rounds):
            for name, app in apps.items():
                found["ours"].append(_asked(world.server, people, PEER_SOCKETS, asked.seconds))
                how = {key: settings[name][key] for key in ("input", "queue")}
                row = _asked(app, [], PEER_SOCKETS, asked.seconds, load="gradio", **how)
                found[name].append(row)
    show_table(
        f"Beside Gradio {peers.version(peers.environment('gradio'), 'gradio')}",
        HEAD,
        (_line(rows, PEER_SOCKETS) for rows in found.values()),
    )
    # The run before each of Gradio's is its pair.
    mine = found["ours"]
    pairs = {
        name: ratios(rates(mine[place :: len(settings)]), rates(found[name]))
        for place, name in enumerate(settings)
    }
    show_table("Ours to Gradio", ("Gradio", "times as many"), pairs.items())
    return {"rows": found, "ratios": pairs}


def texts(asked: argparse.Namespace) -> dict[str, Any]:
    """Texts of the library's task of moods: a closed loop beside the bare limit, and keystrokes."""
    lines = (trained_model("sentiment") / "dev.tsv").read_text().splitlines()[1:]
    how = {"texts": [line.split("\t")[0] for line in lines], "path": "/ws/tasks/sentiment/"}
    mine: list[Row] = []
    theirs: list[Row] = []
    written: list[Row] = []
    with ours(annotators=PEER_SOCKETS, library="sentiment", task=QUIET) as world, bare() as limit:
        people = world.sessions["annotator"]
        for _ in range(asked.rounds):
            mine.append(_asked(world.server, people, PEER_SOCKETS, asked.seconds, **how))
            theirs.append(_asked(limit, [], PEER_SOCKETS, asked.seconds, **how))
            written.append(
                _asked(
                    world.server, people, CLASS, asked.seconds,
                    load="strokes", rate=KEYSTROKES, **how,
                )
            )  # fmt: skip
    ratio = ratios(rates(mine), rates(theirs))
    show_table(
        f"Texts, {asked.seconds:g} s each, {asked.rounds} rounds in turn",
        HEAD,
        [
            _line(mine, PEER_SOCKETS),
            _line(theirs, PEER_SOCKETS),
            _line(written, CLASS, "stroke"),
        ],
    )
    print(f"\nours to the bare limit: {ratio}; anything but answers: {trouble(mine + written)}")
    return {"ours": mine, "bare": theirs, "keystrokes": written, "ratio_to_bare": ratio}


def strokes(asked: argparse.Namespace) -> dict[str, Any]:
    """Open loop: a class of 32 draws ten strokes a second each; from stroke to bars."""
    orders = {"sockets": CLASS, "rate": STROKES, "drawings": int(asked.seconds * 400) + 1000}
    rows = []
    with ours(annotators=CLASS, task=QUIET) as world:
        for _ in range(asked.rounds):
            cookies = world.sessions["annotator"]
            seconds = asked.seconds
            rows.append(
                measure(world.server, "strokes", cookies=cookies, seconds=seconds, **orders)
            )
    show_table(
        f"{CLASS} people, {STROKES} strokes a second each, from stroke to bars",
        HEAD,
        [_line(rows, CLASS, "stroke")],
    )
    print(f"\nanything but answers: {trouble(rows)}")
    return {"rows": rows}
