"""The one entry for HTTP and websockets."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")

import django

django.setup(set_prefix=False)  # before anything imports models

from channels.routing import ProtocolTypeRouter  # noqa: E402

from dadc_server.handler import Handler  # noqa: E402
from dadc_server.requests import Requests  # noqa: E402
from dadc_server.sockets import websocket  # noqa: E402

application = Requests(ProtocolTypeRouter({"http": Handler(), "websocket": websocket}))
