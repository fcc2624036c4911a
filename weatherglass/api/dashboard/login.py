"""`/login`: the page where a user enters the API token once, if the standalone API requires one."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from weatherglass.api.auth import COOKIE_NAME, tokens_match
from weatherglass.api.dashboard.pages import templates

MAX_BODY_BYTES = 4096
COOKIE_MAX_AGE = 30 * 86_400
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)


def add_login(app: FastAPI, token: str) -> None:
    """Add the page to the app. It is the only route without access control."""

    async def login(request: Request) -> Response:
        if request.method == "GET":
            return _login_form(rejected=False)
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return _login_form(rejected=True)
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
        if not tokens_match(given.strip(), token):
            return _login_form(rejected=True)
        response = RedirectResponse("/dashboard", status_code=303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE_NAME, token, max_age=COOKIE_MAX_AGE, httponly=True, samesite="strict", secure=secure)
        return response

    app.router.routes.insert(0, Route("/login", login, methods=["GET", "POST"], include_in_schema=False))


def _login_form(rejected: bool) -> HTMLResponse:
    html = templates.get_template("login.html").render(rejected=rejected)
    return HTMLResponse(
        html, status_code=401 if rejected else 200, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    )
