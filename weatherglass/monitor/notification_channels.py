"""Sending notices on: to a webhook, and by e-mail. Where to comes from the environment, as the DAG puts it there."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol

import requests

from weatherglass.alerts.notification import CHANNELS_VARIABLE, Notification, document, text, title

PATIENCE_SECONDS = 10.0


class ChannelError(Exception):
    """The notices were not taken; the message says why, and never holds a password."""


class NotificationChannel(Protocol):
    @property
    def name(self) -> str: ...

    def send(self, notices: Sequence[Notification]) -> None:
        """Raises ChannelError."""


@dataclass(frozen=True)
class Webhook:
    """A POST of JSON, see `notice.document`; `token` goes along as a bearer token."""

    url: str
    token: str = ""
    name = "webhook"

    def send(self, notices: Sequence[Notification]) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ChannelError("the webhook's address must begin with http:// or https://")
        try:
            with requests.post(
                self.url,
                json=document(notices),
                auth=self._authorize,
                timeout=PATIENCE_SECONDS,
                allow_redirects=False,
                stream=True,
            ) as answer:
                if not 200 <= answer.status_code < 300:
                    raise ChannelError(f"the webhook answered {answer.status_code} {answer.reason}")
                next(answer.iter_content(1000), b"")
        except (requests.RequestException, ValueError) as error:
            # Its message may hold the address or the token, which are secrets.
            why = "no connection, no HTTP response, or an address or token that cannot be sent"
            raise ChannelError(f"the webhook cannot be reached: {why} ({_kind(error)})") from error

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@dataclass(frozen=True)
class Email:
    """`security`: `tls` from the first byte, `starttls`, or `none` (for a server on this machine)."""

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = ""
    security: str = "starttls"
    name = "e-mail"

    def send(self, notices: Sequence[Notification]) -> None:
        message = EmailMessage()
        message["Subject"] = " ".join(title(notices).split())[:200]
        message["From"], message["To"] = self.sender, ", ".join(self.to)
        message.set_content(text(notices))
        try:
            with self._connected() as server:
                if self.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.user:
                    server.login(self.user, self.password)
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise ChannelError(f"the mail server {self.host}:{self.port} did not take it: {error}") from error
        except ValueError as error:
            # Its words may hold a part of the password.
            why = f"a character of an address, the user or the password cannot be sent ({_kind(error)})"
            raise ChannelError(f"the mail server {self.host}:{self.port} cannot be used: {why}") from error

    def _connected(self) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=PATIENCE_SECONDS, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=PATIENCE_SECONDS)


def _kind(error: Exception) -> str:
    return type(error).__name__


def channels(environment: Mapping[str, str]) -> list[NotificationChannel]:
    """Those that the environment names: JSON with the fields of the classes here as `webhook` and `email`.

    Raises:
        ValueError: it names them in another form than this module's.
    """
    said = json.loads(environment.get(CHANNELS_VARIABLE) or "{}")
    found: list[NotificationChannel] = []
    try:
        if "webhook" in said:
            found.append(Webhook(**said["webhook"]))
        if "email" in said:
            found.append(Email(**{**said["email"], "to": tuple(said["email"]["to"])}))
    except (TypeError, KeyError) as error:
        raise ValueError(f"{CHANNELS_VARIABLE} is not what it should be: {error}") from None
    return found
