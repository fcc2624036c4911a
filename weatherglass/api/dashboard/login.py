"""`/login` and `/logout` of the standalone API, if it requires a token."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from weatherglass.api.auth import cookie_name, require_same_origin, tokens_match
from weatherglass.api.dashboard.pages import templates
from weatherglass.api.login_throttle import LoginThrottleMiddleware
from weatherglass.api.sessions import LIFETIME_SECONDS, Sessions

MAX_BODY_BYTES = 4096
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)


def add_login(app: FastAPI, token: str, sessions: Sessions) -> None:
    """Add both routes to the app: the only ones without access control. Failed logins are limited."""

    async def login(request: Request) -> Response:
        if request.method == "GET":
            return _login_form(rejected=False)
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return _login_form(rejected=True)
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
        if not tokens_match(given.strip(), token):
            return _login_form(rejected=True)
        sessions.end(request.cookies.get(cookie_name(request), ""))
        response = RedirectResponse("/dashboard", status_code=303)
        response.set_cookie(
            cookie_name(request),
            sessions.create(),
            max_age=int(LIFETIME_SECONDS),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def logout(request: Request) -> Response:
        require_same_origin(request)
        sessions.end(request.cookies.get(cookie_name(request), ""))
        response = RedirectResponse("/login", status_code=303, headers={"Clear-Site-Data": '"cache"'})
        response.delete_cookie(cookie_name(request), secure=request.url.scheme == "https")
        return response

    app.state.has_login = True
    app.add_middleware(LoginThrottleMiddleware, paths=("/login",))
    app.router.routes.insert(0, Route("/login", login, methods=["GET", "POST"], include_in_schema=False))
    app.router.routes.insert(0, Route("/logout", logout, methods=["POST"], include_in_schema=False))


def _login_form(rejected: bool) -> HTMLResponse:
    html = templates.get_template("login.html").render(rejected=rejected)
    return HTMLResponse(
        html, status_code=401 if rejected else 200, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    )
