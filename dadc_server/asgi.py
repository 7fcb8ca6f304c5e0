"""The one entry for HTTP and websockets."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")

import django

django.setup(set_prefix=False)  # before anything imports models

from channels.routing import ProtocolTypeRouter  # noqa: E402
from django.urls import resolve  # noqa: E402

from dadc_server.web.handler import Handler  # noqa: E402
from dadc_server.web.requests import Requests  # noqa: E402
from dadc_server.web.sockets import websocket  # noqa: E402

resolve("/")  # imports all views now, which would take half a second of somebody's first request
application = Requests(ProtocolTypeRouter({"http": Handler(), "websocket": websocket}))
