"""The web process: uvicorn under gunicorn, with this server's limits."""

import os
import resource
from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")

from django.conf import settings


class Worker(UvicornWorker):
    """Serves HTTP and websockets; a frame over the size limit closes its socket with 1009."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        # The same limit as for a request's body: a drawing may travel either way.
        "ws_max_size": settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        # Frames are a few hundred bytes; compressing each costs more than it saves.
        "ws_per_message_deflate": False,
        "ws": "dadc_server.slow_readers:Protocol",
        "access_log": False,
        "server_header": False,
        "proxy_headers": bool(settings.TRUSTED_PROXIES),
        "forwarded_allow_ips": settings.TRUSTED_PROXIES,
        "timeout_graceful_shutdown": 8,
    }

    def init_process(self) -> None:
        """Allow as many open files as the system does: a websocket each, and often only 1,024."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        super().init_process()
