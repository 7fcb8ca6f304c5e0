"""The MNIST app of Gradio's tutorial with our net: run by the Python of its own environment.

It imports nothing of this project. The environment says how: GRADIO_INPUT is `sketchpad` (the
tutorial's) or `text` (base64 in a text box: no files, the least that Gradio can be asked to carry),
GRADIO_BATCH how many it answers at once (0: one by one), GRADIO_CONCURRENCY how many calls run at a
time, GRADIO_QUEUE 0 for none.
"""

import base64
import os
from io import BytesIO

import gradio as gr
import numpy as np
import onnxruntime
from PIL import Image

BATCH = int(os.environ["GRADIO_BATCH"])
AS_TEXT = os.environ["GRADIO_INPUT"] == "text"

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(
    os.environ["GRADIO_MODEL"], options, providers=["CPUExecutionProvider"]
)
name = session.get_inputs()[0].name


def pixels(drawn):
    """The tutorial's reading: shrink, and divide by 255."""
    image = Image.open(BytesIO(base64.b64decode(drawn))) if AS_TEXT else drawn["composite"]
    small = image.convert("L").resize((28, 28))
    return np.asarray(small, dtype=np.float32) / 255


def answer(rows):
    return [{str(digit): float(p) for digit, p in enumerate(row)} for row in rows]


def predict(drawn):
    return answer(session.run(None, {name: pixels(drawn)[None]})[0])[0]


def predict_batch(drawn):
    return [answer(session.run(None, {name: np.stack([pixels(one) for one in drawn])})[0])]


demo = gr.Interface(
    predict_batch if BATCH else predict,
    gr.Textbox() if AS_TEXT else gr.Sketchpad(type="pil"),
    gr.Label(num_top_classes=10),
    batch=bool(BATCH),
    max_batch_size=BATCH or 4,
    concurrency_limit=int(os.environ["GRADIO_CONCURRENCY"]),
    flagging_mode="never",
    api_name="predict",
)
demo.fns[0].queue = os.environ["GRADIO_QUEUE"] == "1"
demo.queue(max_size=None).launch(
    server_name="127.0.0.1", server_port=int(os.environ["GRADIO_PORT"]), quiet=True
)
