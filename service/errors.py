"""Errors over HTTP: one table from the tree of errors to statuses, and one form for the body of all of them."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from service.schemas.errors import ErrorDetail, ErrorResponse
from uwe_core import errors

logger = logging.getLogger(__name__)

# Status and code by class; a class without a row of its own would be a bug, and a test looks for it.
STATUSES: dict[type[errors.UweError], tuple[int, str]] = {
    errors.InputError: (422, "invalid_input"),
    errors.TextError: (422, "invalid_text"),
    errors.InvalidTextError: (422, "invalid_text"),
    errors.EmptyTextError: (422, "empty_text"),
    errors.LongTextError: (413, "too_large"),
    errors.LimitError: (413, "too_large"),
    errors.UnknownTaskError: (404, "unknown_task"),
    errors.UnknownSpaceError: (404, "unknown_space"),
    errors.UnknownModelError: (404, "unknown_model"),
    errors.UnknownJobError: (404, "unknown_job"),
    errors.SlowBodyError: (408, "request_timeout"),
    errors.DataError: (422, "invalid_data"),
    errors.LeakError: (422, "invalid_data"),
    errors.JudgementError: (422, "invalid_judgement"),
    errors.AccessError: (403, "forbidden"),
    errors.UnknownKeyError: (401, "unauthorized"),
    errors.ScopeError: (403, "forbidden"),
    errors.RateLimitError: (429, "rate_limited"),
    errors.ConflictError: (409, "conflict"),
    errors.StaleFingerprintError: (409, "stale_fingerprint"),
    errors.ReadOnlySpaceError: (409, "read_only_space"),
    errors.SpaceInUseError: (409, "space_in_use"),
    errors.ConfigurationError: (500, "internal_error"),
    errors.BudgetError: (500, "internal_error"),
    errors.DeviceError: (500, "internal_error"),
    errors.MissingModelError: (500, "internal_error"),
    errors.ArtefactError: (500, "internal_error"),
    errors.FormatVersionError: (500, "internal_error"),
    errors.ChecksumError: (500, "internal_error"),
    errors.FingerprintError: (500, "internal_error"),
    errors.DivergenceError: (500, "internal_error"),
    errors.PeerError: (500, "internal_error"),
    errors.DiskFullError: (507, "disk_full"),
    errors.UnavailableError: (503, "unavailable"),
    errors.NotReadyError: (503, "not_ready"),
    errors.OverloadedError: (503, "overloaded"),
    errors.DeadlineError: (503, "deadline_exceeded"),
    errors.WorkerError: (503, "unavailable"),
    errors.EndpointError: (503, "unavailable"),
    errors.ShuttingDownError: (503, "shutting_down"),
}
# Of errors that FastAPI and Starlette raise themselves; other statuses are named by their standard phrase.
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_DISK_FULL = "the server's disk has no room for it: nothing was changed, and its log says for which file"
_INTERNAL = "something went wrong on the server; its log has more under this request_id"


def install_error_handlers(app: FastAPI) -> None:
    """Give every error, the framework's own included, the same form; RequestMiddleware answers unexpected ones."""
    app.add_exception_handler(errors.UweError, _uwe_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def error_response(request_id: str, error: errors.UweError) -> JSONResponse:
    """The answer to an error of ours."""
    status, code = STATUSES[type(error)]
    if status == 500:
        return unexpected_response(request_id, error)
    response = _response(request_id, status, code, _words_for_callers(error))
    if isinstance(error, errors.UnavailableError | errors.RateLimitError):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.UnknownKeyError):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.SlowBodyError):
        response.headers["Connection"] = "close"  # the rest of the body may never come
    return response


def told(error: Exception) -> tuple[str, str]:
    """Code and message of an error for whoever asks for it later; of a fault of the server nothing but that."""
    status, code = (
        STATUSES.get(type(error), (500, "internal_error")) if isinstance(error, errors.UweError) else (500, "")
    )
    return (
        (code, _words_for_callers(error))
        if status != 500
        else ("internal_error", "something went wrong on the server; see its log")
    )


def unexpected_response(request_id: str, error: Exception) -> JSONResponse:
    """The answer to a fault of the server, which is logged."""
    logger.error("request %s failed", request_id, exc_info=error)
    return _response(request_id, 500, "internal_error", _INTERNAL)


def item_error(request_id: str, error: Exception) -> dict[str, str]:
    """Code and message of what went wrong with one item of several."""
    if isinstance(error, ValidationError):
        return {"code": "invalid_request", "message": _problems(error)}
    status, code = STATUSES[type(error)] if isinstance(error, errors.UweError) else (500, "internal_error")
    if status == 500:
        logger.error("an item of request %s failed", request_id, exc_info=error)
        return {"code": "internal_error", "message": _INTERNAL}
    return {"code": code, "message": _words_for_callers(error)}


def _words_for_callers(error: Exception) -> str:
    """What an error says of itself, but never where files of the server lie."""
    return _DISK_FULL if isinstance(error, errors.DiskFullError) else str(error)


def _problems(error: ValidationError | RequestValidationError) -> str:
    # The input itself is not repeated: it may be long, and it may not be text that JSON can carry.
    return "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())


def _uwe_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.UweError)  # noqa: S101 - Starlette dispatches by class
    return error_response(request.state.request_id, error)


def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    return _response(request.state.request_id, 422, "invalid_request", _problems(error))


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    # FastAPI wraps whatever goes wrong while it reads a body.
    if isinstance(error.__cause__, errors.UweError):
        return _uwe_error(request, error.__cause__)
    if isinstance(error.__cause__, UnicodeDecodeError):
        return _response(request.state.request_id, 422, "invalid_request", "body: is not valid UTF-8")
    phrase = HTTPStatus(error.status_code).phrase
    code = _HTTP_CODES.get(error.status_code, phrase.lower().replace(" ", "_"))
    response = _response(request.state.request_id, error.status_code, code, str(error.detail))
    response.headers.update(error.headers or {})
    return response


def _response(request_id: str, status: int, code: str, message: str) -> JSONResponse:
    body = ErrorResponse(error=ErrorDetail(code=code, message=message, request_id=request_id))
    return JSONResponse(body.model_dump(), status_code=status)
