"""What is counted and timed for operators: a dozen, chosen by what one looks at when it is slow.

Of a signed-in person, an input or an address nothing is said here; every label has few values.
With PROMETHEUS_MULTIPROC_DIR (bin/serve sets it) all processes of a machine write into files there,
and each of them can tell the sum (dadc_server/web/probes.py).
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LIVE = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_WRITES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

FRAMES = Counter("dadc_frames", "Frames that pages sent over websockets.", ["type"])
PREDICT_SECONDS = Histogram(
    "dadc_predict_seconds",
    "From an input's frame to its answer, as the server sees it.",
    buckets=_LIVE,
)
BATCH_SIZE = Histogram(
    "dadc_batch_size", "Inputs that the model answered together.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
QUEUE_DEPTH = Gauge(
    "dadc_queue_depth",
    "Inputs that waited when the last batch began.",
    ["model"],
    multiprocess_mode="livesum",
)
OPEN_SOCKETS = Gauge("dadc_open_sockets", "Open websockets.", multiprocess_mode="livesum")
REFUSALS = Counter(
    "dadc_refusals", "What was answered with an error, by its code.", ["door", "code"]
)
SUBMIT_SECONDS = Histogram(
    "dadc_submit_seconds",
    "Submitting an example: the model's answer and the commit.",
    buckets=_WRITES,
)
VOTE_SECONDS = Histogram(
    "dadc_vote_seconds", "Recording a vote, until its commit.", buckets=_WRITES
)
DECISIONS = Counter("dadc_decisions", "Examples settled, by what they came to.", ["outcome"])
JOB_SECONDS = Histogram(
    "dadc_job_seconds",
    "Background jobs, from their start to their end.",
    ["job", "outcome"],
    buckets=(1, 5, 10, 30, 60, 120, 300, 600, 1800),
)
REQUEST_SECONDS = Histogram(
    "dadc_request_seconds",
    "HTTP requests, by the status of their answer.",
    ["status"],
    buckets=_WRITES,
)

# Looked up once: a prediction counts its frame and its time, 2.7 µs together.
PREDICT_FRAMES = FRAMES.labels("predict")
SUBMIT_FRAMES = FRAMES.labels("submit")
BAD_FRAMES = FRAMES.labels("bad")
