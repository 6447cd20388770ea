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
from pydantic import ValidationError

from service.app import create_app
from service.connection import ServerConfig
from service.keys import SCOPES, ApiKey, digest, new_key
from service.logs import configure_logs
from service.settings import Settings
from service.state import ServiceState
from uwe_core.errors import ConfigurationError, UweError

logger = logging.getLogger(__name__)

# How long answers may still be on their way after the last one was computed; uvicorn counts whole seconds.
_SENDING_SECONDS = 0.5


class Server(uvicorn.Server):
    """Uvicorn that tells the application of the end before it waits for the last answers."""

    def __init__(self, settings: Settings) -> None:
        settings.refuse_exposure()
        application = create_app(settings)
        config = ServerConfig(
            settings,
            application,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,  # it would log what callers write into the URL; the application logs requests itself
            server_header=False,
            ws="none",
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


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on (UWE_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (UWE_PORT).")] = None,
) -> None:
    """Serve rankings over HTTP. Everything else is set by UWE_... variables or the file UWE_SETTINGS names."""
    if context.invoked_subcommand is not None:
        return
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = Settings.load(**given)
    configure_logs(settings.log_format, settings.log_level)
    server = Server(settings)
    if settings.api_keys and settings.allow_anonymous:
        logger.warning("keys are configured, and requests without one are answered too: allow_anonymous is true")
    if settings.log_texts:
        logger.warning("the texts that callers send are logged: log_texts is true")
    server.run()
    if server.failure is not None:
        raise server.failure
    # Nothing is left to be saved. A computation that outlived its request cannot be interrupted, and taking torch apart
    # may last seconds on a busy machine: neither must hold the process.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


@app.command("new-key")
def make_key(
    name: Annotated[str, typer.Argument(help="Who will use it; stands in logs and metrics.")],
    scope: Annotated[list[str] | None, typer.Option(help="rank (if not given) or admin; may be repeated.")] = None,
    rate_per_minute: Annotated[float | None, typer.Option(min=0.001, help="Most requests a minute.")] = None,
) -> None:
    """Make an API key. Standard error shows the key, this once; standard output is the entry for the settings' file."""
    key = new_key()
    facts = {"name": name, "sha256": digest(key.encode()).hex(), "scopes": scope or ["rank"]}
    try:
        entry = ApiKey.model_validate({**facts, "rate_per_minute": rate_per_minute})
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigurationError(f"new-key: {problem['loc'][0]}: {problem['msg']}") from error
    typer.echo(f"{key}\nThis is the key. It is shown this once; give it to its user and keep no copy.", err=True)
    scopes = ", ".join(f'"{one}"' for one in SCOPES if one in entry.scopes)
    typer.echo(f'[[api_keys]]\nname = "{entry.name}"\nsha256 = "{entry.sha256}"\nscopes = [{scopes}]')
    if rate_per_minute is not None:
        typer.echo(f"rate_per_minute = {rate_per_minute}")


def main() -> None:
    """Run `uwe-serve`; errors of ours are told in one line, without a traceback."""
    try:
        app()
    except UweError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
