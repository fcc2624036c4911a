"""Every error as a problem document. Source: RFC 9457, Problem Details for HTTP APIs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
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
RETRY_AFTER = 5
"""Seconds after which a client may try again when the store is away."""


class ProblemDetails(BaseModel):
    """The body of every error."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unknown station",
                "status": 404,
                "detail": "there is no station 'new-yrok'; did you mean new-york?",
                "instance": "/predictions/new-yrok",
                "near": ["new-york"],
            }
        },
    )

    type: str = Field(description="What kind of problem it is; `about:blank` where title and status say it all.")
    title: str = Field(description="The kind of problem, the same words each time.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="This problem, in words for a person.")
    instance: str = Field(description="The path that was asked for.")


class Problem(Exception):
    """An error that a client is to read. `members` are added to the document as they are."""

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any):
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.headers, self.members = headers, members


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route says in the OpenAPI document about its errors."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in statuses
    }


def handle(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""
    app.exception_handler(Problem)(_problem)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(SQLAlchemyError)(_store)
    app.exception_handler(Exception)(_fault)


def document(request: Request, problem: Problem) -> Response:
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        **problem.members,
    }
    headers = dict(problem.headers or {})
    return JSONResponse(body, status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return document(request, error)


async def _http(request: Request, error: Exception) -> Response:
    """What the framework and Airflow's login raise: no such path, method not allowed, not authenticated."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    title = HTTPStatus(error.status_code).phrase
    return document(request, Problem(error.status_code, title, str(error.detail), headers))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"parameter": ".".join(map(str, fault["loc"][1:])), "in": str(fault["loc"][0]), "message": fault["msg"]}
        for fault in error.errors()
    ]
    detail = "; ".join(f"{fault['parameter']}: {fault['message']}" for fault in errors)
    return document(request, Problem(422, "Invalid parameter", detail, errors=errors))


async def _store(request: Request, error: Exception) -> Response:
    reason = first_line(error)
    log.error("%s: the store did not answer: %s", request.url.path, reason)
    detail = f"the store cannot be read now; try again in {RETRY_AFTER} s; if it stays so, `/health` says more"
    return document(request, Problem(503, "Store unavailable", detail, {"Retry-After": str(RETRY_AFTER)}))


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of our own; Starlette logs it with its traceback after this answer."""
    return document(request, Problem(500, "Internal error", f"{type(error).__name__}; the server's log says more"))
