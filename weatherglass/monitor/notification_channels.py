"""Notification channels: webhook and e-mail. The DAG passes their configuration in the environment."""

from __future__ import annotations

import json
import logging
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Protocol

import requests

from weatherglass.alerts.notification import CHANNELS_VARIABLE, Message

TIMEOUT_SECONDS = 10.0
log = logging.getLogger(__name__)


class ChannelError(Exception):
    """A channel did not accept a message. The error's message gives the reason and never contains a password."""


class NotificationChannel(Protocol):
    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            ChannelError: it was not accepted.
        """


@dataclass(frozen=True)
class Webhook:
    """POSTs the document of a message. `token` is sent as a bearer token."""

    url: str
    token: str = ""
    name = "webhook"

    def send(self, message: Message) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ChannelError("the webhook URL must start with http:// or https://")
        try:
            with requests.post(
                self.url,
                json=message.document,
                auth=self._authorize,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            ) as response:
                if not 200 <= response.status_code < 300:
                    raise ChannelError(f"the webhook responded with {response.status_code} {response.reason}")
                next(response.iter_content(1000), b"")
        except (requests.RequestException, ValueError) as error:
            # The error's message may contain the URL or the token, which are secret.
            reason = "no connection, invalid HTTP response, or invalid URL or token"
            raise ChannelError(f"the webhook is not reachable: {reason} ({type(error).__name__})") from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@dataclass(frozen=True)
class Email:
    """Sends e-mail by SMTP.

    Args:
        security: `tls` (from the first byte), `starttls`, or `none` (for a server on this machine).
    """

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = ""
    security: str = "starttls"
    name = "e-mail"

    def send(self, message: Message) -> None:
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.subject.split())[:200]
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail.set_content(message.text)
        if message.html:
            mail.add_alternative(message.html, subtype="html")
        try:
            with self._connect() as server:
                if self.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.user:
                    server.login(self.user, self.password)
                refused = server.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            raise ChannelError(f"the mail server {self.host}:{self.port} did not accept it: {error}") from error
        except ValueError as error:
            # The error's message may contain a part of the password.
            reason = f"invalid character in an address, the user name or the password ({type(error).__name__})"
            raise ChannelError(f"the mail server {self.host}:{self.port} cannot be used: {reason}") from None
        if refused:  # the others have received it, so it is not sent again
            log.warning(
                "The mail server %s:%d refused recipients: %s", self.host, self.port, ", ".join(sorted(refused))
            )

    def _connect(self) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)


def email_channel(config: Mapping[str, Any]) -> Email:
    """The channel of a JSON object with the fields of `Email`.

    Raises:
        TypeError, KeyError: it has other fields.
    """
    return Email(**{**config, "to": tuple(config["to"])})


def channels_from_environment(environment: Mapping[str, str]) -> list[NotificationChannel]:
    """The channels configured in the environment: JSON objects `webhook` and `email` with the fields of these classes.

    Raises:
        ValueError: the configuration has other fields.
    """
    config = json.loads(environment.get(CHANNELS_VARIABLE) or "{}")
    channels: list[NotificationChannel] = []
    try:
        if "webhook" in config:
            channels.append(Webhook(**config["webhook"]))
        if "email" in config:
            channels.append(email_channel(config["email"]))
    except (TypeError, KeyError) as error:
        raise ValueError(f"{CHANNELS_VARIABLE} is invalid: {error}") from None
    return channels
