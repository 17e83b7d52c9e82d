"""Notices as mail: the texts, and their way to the mail server."""

from __future__ import annotations

import asyncio
import socket
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

import aiosmtplib
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from quire.notify.notice import Notice, result_in_words, summary
from quire.notify.senders import NotDelivered
from quire.settings import Settings

__all__ = ["MailSender"]

_STEP_SECONDS = 15.0
_WHOLE_SECONDS = 40.0
_TLS_PORT = 465


class MailSender:
    """Writes mails and hands them to the mail server of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._templates = Environment(
            loader=PackageLoader("quire.notify"),
            autoescape=select_autoescape(("html",)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def compose(
        self, notice: Notice, address: str, *, delivery_id: int, created_at: datetime
    ) -> EmailMessage:
        """The mail to one address, as text and as HTML; the same in each try of a delivery."""
        words = {
            "notice": notice,
            "summary": summary(notice),
            "result": result_in_words(notice),
            "at": _shown,
        }
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = f"[Quire] {summary(notice)}"
        mail["From"] = self._settings.smtp_sender
        mail["To"] = address
        mail["Date"] = format_datetime(created_at)
        # Mail programs show a mail that came twice once when this is the same.
        domain = parseaddr(self._settings.smtp_sender)[1].rpartition("@")[2] or "localhost"
        mail["Message-ID"] = f"<quire-{delivery_id}-{created_at.timestamp():.6f}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(self._templates.get_template("notice.txt").render(words))
        html = self._templates.get_template("notice.html").render(words)
        mail.add_alternative(html, subtype="html")
        return mail

    async def send(self, mail: EmailMessage) -> None:
        """Hand a mail to the server.

        Raises NotDelivered: for good when no server is configured or the server refuses the mail
        or its address with a 5xx code, for now when it cannot be reached or asks to try later.
        """
        settings = self._settings
        if not settings.smtp_host:
            raise NotDelivered("No mail server is configured (QUIRE_SMTP_HOST).", permanent=True)
        try:
            async with asyncio.timeout(_WHOLE_SECONDS):
                await aiosmtplib.send(
                    mail,
                    hostname=settings.smtp_host,
                    port=settings.smtp_port,
                    username=settings.smtp_username or None,
                    password=settings.smtp_password or None,
                    local_hostname=socket.gethostname(),
                    use_tls=settings.smtp_port == _TLS_PORT,
                    start_tls=settings.smtp_start_tls and settings.smtp_port != _TLS_PORT,
                    timeout=_STEP_SECONDS,
                )
        except TimeoutError:
            raise NotDelivered("The mail server took too long.") from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            raise NotDelivered(
                f"The mail server refused the address: {refusal.code} {refusal.message}",
                permanent=refusal.code >= 500,
            ) from None
        except (
            aiosmtplib.SMTPSenderRefused,
            aiosmtplib.SMTPRecipientRefused,
            aiosmtplib.SMTPDataError,
        ) as error:
            raise NotDelivered(
                f"The mail server refused the mail: {error.code} {error.message}",
                permanent=error.code >= 500,
            ) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotDelivered(f"The mail server cannot be used: {error}") from None


def _shown(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
