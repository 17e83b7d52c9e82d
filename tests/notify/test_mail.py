"""Mails through a real mail server."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from quire.engine.models import NotificationEvent
from quire.notify.mail import MailSender
from quire.notify.notice import Notice
from quire.notify.senders import NotDelivered
from quire.settings import Settings
from tests.notify.parts import Mailbox, failed, make_job, make_run

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def sender(mailbox: Mailbox, **settings) -> MailSender:
    return MailSender(Settings(smtp_host="127.0.0.1", smtp_port=mailbox.port, **settings))


def mail(sender: MailSender, name: str = "nightly", **changes) -> EmailMessage:
    run = make_run(name=name)
    notice = Notice.about_run(
        NotificationEvent.FAILURE,
        run,
        failed(run, **changes),
        workspace_id="1",
        root="https://quire.example.com",
    )
    return sender.compose(notice, "ops@example.com", delivery_id=3, created_at=NOW)


def refusal(sender: MailSender) -> NotDelivered:
    with pytest.raises(NotDelivered) as refused:
        asyncio.run(sender.send(mail(sender)))
    return refused.value


def test_a_mail_arrives_with_all_that_matters(mailbox: Mailbox) -> None:
    post = sender(mailbox, smtp_sender="Quire <quire@example.com>")
    asyncio.run(post.send(mail(post)))
    [received] = mailbox.mails
    assert mailbox.recipients == ["ops@example.com"]
    assert received["Subject"] == "[Quire] nightly failed (run 7)"
    assert received["From"] == "Quire <quire@example.com>"
    assert received["To"] == "ops@example.com"
    assert received["Auto-Submitted"] == "auto-generated"
    text = received.get_body(("plain",)).get_content()
    html = received.get_body(("html",)).get_content()
    for part in (text, html):
        assert "nightly" in part
        assert "2026-03-01 11:00:01 UTC" in part
        assert "https://quire.example.com/runs/7" in part
        assert "Workload failed, see run output for details" in part
    assert "Result:   failed" in text.splitlines()


def test_each_try_of_a_delivery_is_the_same_mail(mailbox: Mailbox) -> None:
    post = sender(mailbox)
    assert mail(post)["Message-ID"] == mail(post)["Message-ID"]
    assert mail(post)["Message-ID"].endswith("@localhost>")


def test_names_of_any_script_and_markup_arrive_as_text(mailbox: Mailbox) -> None:
    post = sender(mailbox)
    name = "日次 <script>alert(1)</script>\r\nBcc: eve@example.com"
    asyncio.run(post.send(mail(post, name=name, message="Größe ≠ 1")))
    [received] = mailbox.mails
    assert received["Subject"].startswith("[Quire] 日次 <script>")
    assert received["Bcc"] is None
    assert mailbox.recipients == ["ops@example.com"]
    html = received.get_body(("html",)).get_content()
    assert "<script>" not in html
    assert "日次 &lt;script&gt;" in html
    assert "Größe ≠ 1" in received.get_body(("plain",)).get_content()


def test_the_mail_about_a_deleted_job(mailbox: Mailbox) -> None:
    post = sender(mailbox)
    notice = Notice.about_deleted_job(make_job(), workspace_id="1")
    asyncio.run(post.send(post.compose(notice, "a@example.com", delivery_id=1, created_at=NOW)))
    [received] = mailbox.mails
    assert received["Subject"] == "[Quire] nightly was deleted (job 45)"
    assert "the job was deleted" in received.get_body(("plain",)).get_content()


def test_the_server_is_given_name_and_password(mailbox: Mailbox) -> None:
    post = sender(mailbox, smtp_username="ada", smtp_password="secret")
    asyncio.run(post.send(mail(post)))
    assert mailbox.logins == [(b"ada", b"secret")]
    assert len(mailbox.mails) == 1


def test_a_wrong_password_may_be_put_right(mailbox: Mailbox) -> None:
    failure = refusal(sender(mailbox, smtp_username="ada", smtp_password="wrong"))
    assert not failure.permanent
    assert mailbox.mails == []


@pytest.mark.parametrize(
    ("answer", "permanent"), [("550 No such user", True), ("450 Mailbox busy", False)]
)
def test_a_refused_address(mailbox: Mailbox, answer: str, permanent: bool) -> None:
    mailbox.recipient_answers = {"ops@example.com": answer}
    failure = refusal(sender(mailbox))
    assert failure.permanent is permanent
    assert answer in failure.reason


@pytest.mark.parametrize(
    ("answer", "permanent"), [("554 No spam here", True), ("451 Try later", False)]
)
def test_a_refused_mail(mailbox: Mailbox, answer: str, permanent: bool) -> None:
    mailbox.data_answers = [answer]
    failure = refusal(sender(mailbox))
    assert failure.permanent is permanent
    assert answer in failure.reason


def test_a_mail_server_that_is_away_is_worth_another_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not refusal(sender(Mailbox(port=port))).permanent


def test_without_a_mail_server_nothing_is_sent() -> None:
    failure = refusal(MailSender(Settings()))
    assert failure.permanent
    assert failure.reason == "No mail server is configured (QUIRE_SMTP_HOST)."
