"""`/login`: where a browser gives the token once, when the app runs alone behind one."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from weatherglass.api.auth import COOKIE, same
from weatherglass.api.dashboard.pages import templates

LONGEST_BODY = 4096
KEPT_SECONDS = 30 * 86_400
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"


def add_login(app: FastAPI, token: str) -> None:
    """Give the app the page; it alone stands before the guard."""

    async def login(request: Request) -> Response:
        if request.method == "GET":
            return _form(wrong=False)
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > LONGEST_BODY:
            return _form(wrong=True)
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
        if not same(given.strip(), token):
            return _form(wrong=True)
        answer = RedirectResponse("/dashboard", status_code=303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, token, max_age=KEPT_SECONDS, httponly=True, samesite="strict", secure=secure)
        return answer

    app.router.routes.insert(0, Route("/login", login, methods=["GET", "POST"], include_in_schema=False))


def _form(wrong: bool) -> HTMLResponse:
    html = templates.get_template("login.html").render(wrong=wrong)
    return HTMLResponse(html, status_code=401 if wrong else 200, headers={"Content-Security-Policy": POLICY})
