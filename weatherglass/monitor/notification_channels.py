"""Sending notices on: to a webhook, and by e-mail. Where to comes from the environment, as the DAG puts it there."""

from __future__ import annotations

import http.client
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol

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
        request = urllib.request.Request(  # noqa: S310
            self.url, json.dumps(document(notices)).encode(), {"Content-Type": "application/json"}
        )
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
                answer.read(1000)
        except urllib.error.HTTPError as error:
            raise ChannelError(f"the webhook answered {error.code} {error.reason}") from error
        except OSError as error:
            raise ChannelError(f"the webhook does not answer: {getattr(error, 'reason', error)}") from error
        except (http.client.HTTPException, ValueError) as error:
            # Its words may hold the address or the token, which are secrets.
            why = f"something else than HTTP answers there, or its address or token cannot be sent ({_kind(error)})"
            raise ChannelError(f"the webhook cannot be used: {why}") from error


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
