"""Error responses as problem documents. Source: RFC 9457, Problem Details for HTTP APIs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from weatherglass.formatting import first_line

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
"""`Retry-After` of responses sent while the store is unavailable."""


@dataclass(frozen=True)
class ProblemType:
    """A kind of error: a stable, machine-readable `code`, the HTTP status and a short title."""

    code: str
    status: int
    title: str

    @classmethod
    def of_status(cls, status: int) -> ProblemType:
        """The generic type of an HTTP status, for example `not_found` for 404."""
        known = HTTPStatus(status)
        return cls(known.name.lower(), status, known.phrase)


UNAUTHORIZED = ProblemType.of_status(401)
FORBIDDEN = ProblemType.of_status(403)
NOT_FOUND = ProblemType.of_status(404)
UNKNOWN_STATION = ProblemType("unknown_station", 404, "Unknown station")
UNKNOWN_ANOMALY = ProblemType("unknown_anomaly", 404, "Unknown anomaly")
UNKNOWN_ALERT = ProblemType("unknown_alert", 404, "Unknown alert")
UNKNOWN_RULE = ProblemType("unknown_rule", 404, "Unknown weather alert rule")
UNKNOWN_VERSION = ProblemType("unknown_version", 404, "Unknown version")
NO_DATA_YET = ProblemType("no_data_yet", 404, "No data yet")
NO_MODEL_YET = ProblemType("no_model_yet", 404, "No model yet")
TOO_MANY_REQUESTS = ProblemType.of_status(429)
TOO_MANY_RULES = ProblemType("too_many_rules", 409, "Too many rules")
TOO_LARGE = ProblemType("too_large", 413, "Too large")
MISDIRECTED_REQUEST = ProblemType.of_status(421)
INVALID_PARAMETER = ProblemType("invalid_parameter", 422, "Invalid parameter")
INVALID_RANGE = ProblemType("invalid_range", 422, "Invalid range")
UNKNOWN_METRIC = ProblemType("unknown_metric", 422, "Unknown metric")
MALFORMED_JSON = ProblemType("malformed_json", 422, "Malformed JSON")
NO_VALID_RECORD = ProblemType("no_valid_record", 422, "No valid record")
INTERNAL_ERROR = ProblemType("internal_error", 500, "Internal error")
STORE_UNAVAILABLE = ProblemType("store_unavailable", 503, "Store unavailable")
BROKER_UNAVAILABLE = ProblemType("broker_unavailable", 503, "Broker unavailable")
TOKENS_UNAVAILABLE = ProblemType("tokens_unavailable", 503, "Tokens unavailable")


class ProblemDetails(BaseModel):
    """The body of every error response."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "code": "unknown_station",
                "title": "Unknown station",
                "status": 404,
                "detail": "Unknown station 'new-yrok'. Did you mean new-york?",
                "instance": "/predictions/new-yrok",
                "near": ["new-york"],
            }
        },
    )

    type: str = Field(description="Always `about:blank`; use `code` to distinguish problems.")
    code: str = Field(description="Stable, machine-readable kind of problem.")
    title: str = Field(description="Short description of the kind of problem.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="Description of this occurrence of the problem.")
    instance: str = Field(description="Path of the request.")


class Problem(Exception):
    """An error that is returned to the client as a problem document.

    Args:
        kind: code, HTTP status and title.
        detail: description of this occurrence.
        headers: additional response headers.
        members: additional members of the document.
    """

    def __init__(self, kind: ProblemType, detail: str, headers: Mapping[str, str] | None = None, **members: Any):
        super().__init__(detail)
        self.kind, self.detail = kind, detail
        self.headers, self.members = headers, members


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route for the OpenAPI document."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in statuses
    }


def register_handlers(app: FastAPI) -> None:
    """Return every error of the app as a problem document."""
    app.exception_handler(Problem)(_on_problem)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_validation_error)
    app.exception_handler(SQLAlchemyError)(_on_store_error)
    app.exception_handler(Exception)(_on_unexpected_error)


def problem_response(request: Request, problem: Problem) -> Response:
    body = {
        "type": "about:blank",
        "code": problem.kind.code,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "instance": request.url.path,
        **problem.members,
    }
    headers = dict(problem.headers or {})
    return JSONResponse(body, status_code=problem.kind.status, headers=headers, media_type=MEDIA_TYPE)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Errors raised by the framework and by Airflow's login, for example 401, 404 and 405."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return problem_response(request, Problem(ProblemType.of_status(error.status_code), str(error.detail), headers))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"parameter": ".".join(map(str, fault["loc"][1:])), "in": str(fault["loc"][0]), "message": fault["msg"]}
        for fault in error.errors()
    ]
    detail = "; ".join(f"{fault['parameter']}: {fault['message']}" for fault in errors)
    return problem_response(request, Problem(INVALID_PARAMETER, detail, errors=errors))


async def _on_store_error(request: Request, error: Exception) -> Response:
    log.error("%s: store query failed: %s", request.url.path, first_line(error))
    detail = (
        f"The store cannot be read. Retry after {RETRY_AFTER_SECONDS} s; if the error persists, check the component "
        "`store` in /health."
    )
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return problem_response(request, Problem(STORE_UNAVAILABLE, detail, headers))


async def _on_unexpected_error(request: Request, error: Exception) -> Response:
    """A bug in the API. Starlette logs the traceback after this response."""
    detail = f"Unexpected {type(error).__name__}; see the server log."
    return problem_response(request, Problem(INTERNAL_ERROR, detail))
