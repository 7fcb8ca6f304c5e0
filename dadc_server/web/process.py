"""The web process: uvicorn under gunicorn, with this server's limits."""

import asyncio
import gc
import logging
import os
import resource
import threading
from typing import Any, ClassVar

from gunicorn.glogging import Logger as GunicornLogger
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn_worker import UvicornWorker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")

from django.conf import settings
from django.db import connections

from dadc_server import logs

PATIENCE = 10.0
WARM_AFTER = 2.0  # seconds: those who wait for the start come first


def _warm_up() -> None:
    from scoring import warming

    try:
        warming.warm_up()
    except Exception:  # the database may be away: then whoever comes first waits
        logging.getLogger(__name__).warning("the boards are not warm", exc_info=True)
    finally:
        connections.close_all()  # this thread's own


class Logger(GunicornLogger):
    """gunicorn's messages as lines like all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logs.configure(settings.LOGGING)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True


class Websocket(WebSocketsSansIOProtocol):
    """uvicorn's websocket, cut off when its client takes nothing in for ten seconds.

    uvicorn lets senders wait while 64 KiB are unsent, and after 40 s without a pong it closes
    politely, which means never: what is unsent must leave first. Over HTTP that is nginx' business.
    """

    _cut: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._cut is None:
            self._cut = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stay()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stay()
        super().connection_lost(exc)

    def _stay(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None


class Worker(UvicornWorker):
    """Serves HTTP and websockets; a frame over the size limit closes its socket with 1009."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        # The same limit as for a request's body: an input may travel either way.
        "ws_max_size": settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        # Frames are a few hundred bytes; compressing each costs more than it saves.
        "ws_per_message_deflate": False,
        "ws": Websocket,
        "access_log": False,
        "server_header": False,
        "proxy_headers": bool(settings.TRUSTED_PROXIES),
        "forwarded_allow_ips": settings.TRUSTED_PROXIES,
        "timeout_graceful_shutdown": 8,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        logger = logging.getLogger("uvicorn.error")
        logger.handlers = []  # its messages go up to the root, as everybody's
        logger.propagate = True

    def load_wsgi(self) -> None:
        """Load the application and leave it out of garbage collection: it is there for good.

        Walking through its 120,000 objects held everybody up for 30 ms every few seconds.
        """
        super().load_wsgi()
        gc.collect()
        gc.freeze()
        later = threading.Timer(WARM_AFTER, _warm_up)
        later.daemon = True
        later.start()

    def init_process(self) -> None:
        """Allow as many open files as the system does: a websocket each, and often only 1,024."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        super().init_process()
