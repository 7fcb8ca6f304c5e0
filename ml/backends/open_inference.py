"""The Open Inference Protocol, version 2, over HTTP: KServe, MLServer, Triton and others.

They differ where the protocol leaves room: texts come back as [n, 1] or [n], an id is needed by one
and null in another, `parameters` may be missing, a wrong shape may be answered with 200. So a
question has an id and one input, and names and counts of what comes back are checked here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from kinds import Prepared
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Failed, Source, answers_of
from ml.remote import Remote, RemoteOptions, options_in


class OpenInference(RemoteOptions):
    model: str = Field(pattern=r"^[\w.-]+$", description="Its name on its server.")
    version: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    inputs: dict[str, str] = Field(
        default_factory=dict,
        description="What its server calls the fields of an input (text, context, hypothesis, …), "
        "where they are not called the same; `features` is an array's.",
    )
    probabilities: str | None = Field(
        default=None, description="The output with a probability a label, in the labels' order."
    )
    label: str | None = Field(default=None, description="The output with the label as a text.")

    @model_validator(mode="after")
    def _one_output(self) -> OpenInference:
        if (self.probabilities is None) == (self.label is None):
            raise ValueError("name one of its outputs, under `probabilities` or under `label`")
        return self


OPTIONS = OpenInference


class OpenInferenceBackend:
    """A model of somebody's server; each input is a question of its own."""

    at_once = 1
    remote = True

    def __init__(self, options: OpenInference, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._options, self._remote = options, Remote(options)
        self.lanes, self.seconds = options.lanes, options.seconds
        version = f"/versions/{options.version}" if options.version else ""
        self._path = f"/v2/models/{options.model}{version}"
        self.remarks = (
            "It runs on a server of somebody's: this one cannot tell if it is changed.",
        )

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [self._ask(one.features) for one in inputs]

    def _ask(self, features: Any) -> Answer:
        asked = str(uuid.uuid4())
        body = {"id": asked, "inputs": list(self._tensors(features))}
        told = self._remote.post(f"{self._path}/infer", body)
        if told.get("id") not in (None, asked):
            raise Failed("The model's server answered another question.")
        if self._options.label is not None:
            (said,) = self._output(told, self._options.label, 1)
            return Answer(said)
        shares = self._output(told, str(self._options.probabilities), len(self.labels))
        try:
            return answers_of(self.labels, np.array([shares], np.float32))[0]
        except (TypeError, ValueError) as error:
            raise Failed("The model's server answered what are no probabilities.") from error

    def _tensors(self, features: Any) -> Iterator[dict[str, Any]]:
        if isinstance(features, dict):
            for name, text in features.items():
                yield {
                    "name": self._options.inputs.get(name, name),
                    "shape": [1],
                    "datatype": "BYTES",
                    "data": [text],
                }
            return
        array = np.asarray(features, np.float32)
        yield {
            "name": self._options.inputs.get("features", "features"),
            "shape": [1, *array.shape],
            "datatype": "FP32",
            "data": array.ravel().tolist(),
        }

    def _output(self, told: dict[str, Any], name: str, count: int) -> list[Any]:
        """An output's values, however nested; Failed where there are not so many."""
        outputs = told.get("outputs")
        for output in outputs if isinstance(outputs, list) else ():
            if isinstance(output, dict) and output.get("name") == name:
                values = list(_flat(output.get("data")))
                if len(values) != count:
                    raise Failed(f"The model's {name} has {len(values)} values, not {count}.")
                return values
        raise Failed(f"The model's server answered without an output {name}.")


def _flat(data: Any) -> Iterator[Any]:
    if isinstance(data, list):
        for part in data:
            yield from _flat(part)
    else:
        yield data


def load(source: Source) -> Backend:
    """The labels are in the order of the model's probabilities."""
    options = options_in(source.config, OpenInference)
    labels = source.config.get("labels", ())
    if not labels:
        raise ArtifactError("Name its labels, in the order of its probabilities.")
    return OpenInferenceBackend(options, labels)
