"""The one entry for HTTP and websockets."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()  # before anything imports models

from channels.routing import ProtocolTypeRouter  # noqa: E402

from dadc_server.sockets import websocket  # noqa: E402

application = ProtocolTypeRouter({"http": http, "websocket": websocket})
