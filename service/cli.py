"""`uwe-serve`: the service as a process in the foreground."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer
import uvicorn

from service.app import create_app
from service.settings import Settings
from service.state import ServiceState
from uwe_core.errors import UweError

logger = logging.getLogger(__name__)

# How long answers may still be on their way after the last one was computed; uvicorn counts whole seconds.
_SENDING_SECONDS = 0.5


class Server(uvicorn.Server):
    """Uvicorn that tells the application of the end before it waits for the last answers."""

    def __init__(self, settings: Settings) -> None:
        application = create_app(settings)
        config = uvicorn.Config(
            application,
            host=settings.host,
            port=settings.port,
            log_config=None,
            workers=1,  # one process serves one device, whatever WEB_CONCURRENCY says
            timeout_graceful_shutdown=math.ceil(settings.drain_seconds + _SENDING_SECONDS),
        )
        super().__init__(config)
        self.failure: Exception | None = None
        self.service: ServiceState = application.state.service
        self.service.on_failure = self.fail

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """SIGTERM or SIGINT came; a second SIGINT waits no longer.

        Uvicorn would raise the signal once more at the end: a stop that was asked for is no failure.
        """
        self.service.drain()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def fail(self, error: Exception) -> None:
        """Loading failed: end the process, since it would never become ready."""
        self.failure = error
        self.should_exit = True


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (UWE_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (UWE_PORT).")] = None,
) -> None:
    """Serve rankings over HTTP. Everything else is set by UWE_... variables or the file UWE_SETTINGS names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = Settings.load(**given)
    server = Server(settings)
    server.run()
    if server.failure is not None:
        raise server.failure
    # Nothing is left to be saved. A computation that outlived its request cannot be interrupted, and taking torch apart
    # may last seconds on a busy machine: neither must hold the process.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    """Run `uwe-serve`; errors of ours are told in one line, without a traceback."""
    try:
        app()
    except UweError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
