"""The transactional outbox: what is to be told is stored with the change it tells of.

So nothing is told of a change that was rolled back, and nothing is lost when the server dies. A
delivery that fails is tried again after growing waits; one that a server took and did not finish
falls to any server once its lease is over, so a receiver may, rarely, hear a thing twice. Each
receiver hears of a run in the order of its events; a receiver that is away holds up nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from quire.clock import Clock
from quire.engine.models import Attempt, Job, NotificationEvent, NotificationTarget, Run, TargetKind
from quire.errors import InvalidValue, NotFound
from quire.ids import RunId
from quire.loop import BackgroundLoop
from quire.notify.chat import slack_message, teams_message
from quire.notify.destinations import Destination, DestinationKind, Destinations, check_address
from quire.notify.mail import MailSender
from quire.notify.notice import MessageFormat, Notice, quire_message, storable
from quire.notify.policy import recipients, recipients_of_deletion
from quire.notify.senders import NotDelivered
from quire.notify.webhook import WebhookSender
from quire.observe.metrics import Metrics
from quire.settings import Settings
from quire.store import deliveries as delivery_rows
from quire.store.database import Database, after_commit
from quire.store.deliveries import Delivery

__all__ = ["Outbox"]

_LOG = structlog.get_logger(__name__)
_AT_ONCE = 16
_LEASE = timedelta(seconds=120)  # well over what one try may take
_FIRST_WAIT_SECONDS = 5
_LONGEST_WAIT_SECONDS = 3600
_MOST_DOUBLINGS = 20
_LOOK_EVERY_SECONDS = 1.0
_STOP_CHECK_SECONDS = 0.2
_STOP_GRACE_SECONDS = 1.0
_LONGEST_ERROR = 2000


class Outbox:
    """Stores notifications and delivers them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        destinations: Destinations,
        settings: Settings,
        *,
        metrics: Metrics,
        root_url: Callable[[], str],
        formats: Mapping[str, MessageFormat] | None = None,
    ) -> None:
        """``formats`` are forms of webhook messages besides ``quire``, by name.

        ``root_url`` tells the URL under which people reach this server.
        """
        self._database = database
        self._clock = clock
        self._destinations = destinations
        self._settings = settings
        self._metrics = metrics
        self._root_url = root_url
        self._formats = {"quire": quire_message, **(formats or {})}
        self._mail = MailSender(settings)
        self._webhook = WebhookSender(allow_private=settings.webhook_allow_private)
        self.loop = BackgroundLoop("notifications", self._round)

    def enqueue(
        self,
        connection: Connection,
        *,
        run: Run,
        attempt: Attempt,
        event: NotificationEvent,
        final: bool,
    ) -> None:
        """Note whom to tell of an event of a run, as part of the caller's write transaction.

        ``final``: no further attempt follows this one.
        """
        policy = run.definition.notifications
        targets = recipients(policy, attempt, event, final=final)
        if targets:
            notice = Notice.about_run(
                event,
                run,
                attempt,
                workspace_id=self._settings.workspace_id,
                root=self._root_url(),
            )
            self._store(connection, targets, notice, policy.format)

    def enqueue_job_deleted(self, connection: Connection, job: Job) -> None:
        """Note that everybody a job has told anything by mail is to hear of its end."""
        policy = job.definition.notifications
        targets = recipients_of_deletion(policy)
        if targets:
            notice = Notice.about_deleted_job(job, workspace_id=self._settings.workspace_id)
            self._store(connection, targets, notice, policy.format)

    def deliver_due(self) -> int:
        """Try what is due, many at once, and wait for the end of that; how many were tried."""
        with self._database.read() as connection:
            if not delivery_rows.has_due(connection, self._clock.now()):
                return 0
        with self._database.write() as connection:
            now = self._clock.now()
            claimed = delivery_rows.claim_due(connection, now, now + _LEASE, _AT_ONCE)
        if claimed:
            asyncio.run(self._deliver_all(claimed))
        return len(claimed)

    def _round(self) -> float:
        while not self.loop.stopping and self.deliver_due():
            pass
        return _LOOK_EVERY_SECONDS

    def _store(
        self,
        connection: Connection,
        targets: tuple[NotificationTarget, ...],
        notice: Notice,
        format_name: str,
    ) -> None:
        message = {"notice": notice.to_json(), "format": format_name}
        for target in self._receivers(connection, targets):
            delivery_rows.insert_delivery(
                connection,
                run_id=None if notice.run_id is None else RunId(notice.run_id),
                target_kind=target.kind,
                target=target.address,
                event=notice.event,
                message=message,
                now=self._clock.now(),
            )
        after_commit(connection, self.loop.wake)

    def _receivers(
        self, connection: Connection, targets: tuple[NotificationTarget, ...]
    ) -> list[NotificationTarget]:
        """The targets, with each mail destination replaced by its addresses, each once.

        One delivery per address, so that another try never mails those who have it already.
        """
        ids = [each.address for each in targets if each.kind is TargetKind.DESTINATION]
        known = self._destinations.get_many(connection, ids)
        receivers: list[NotificationTarget] = []
        for target in targets:
            destination = (
                known.get(target.address) if target.kind is TargetKind.DESTINATION else None
            )
            if destination is not None and destination.kind is DestinationKind.EMAIL:
                receivers.extend(
                    NotificationTarget(TargetKind.EMAIL, address)
                    for address in destination.config["addresses"]
                )
            else:
                receivers.append(target)
        return list(dict.fromkeys(receivers))

    async def _deliver_all(self, claimed: list[Delivery]) -> None:
        tasks = [asyncio.create_task(self._deliver(delivery)) for delivery in claimed]
        pending = set(tasks)
        while pending and not self.loop.stopping:
            _, pending = await asyncio.wait(pending, timeout=_STOP_CHECK_SECONDS)
        if pending:
            _, pending = await asyncio.wait(pending, timeout=_STOP_GRACE_SECONDS)
        for task in pending:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for delivery, result in zip(claimed, results, strict=True):
            if isinstance(result, asyncio.CancelledError):
                with self._database.write() as connection:
                    delivery_rows.release(connection, delivery)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await self._send(delivery)
        except NotDelivered as failure:
            await asyncio.to_thread(self._record_failure, delivery, failure)
        except Exception as error:  # noqa: BLE001 - a defect in one message must not hold up others
            _LOG.exception("delivery.defect", delivery=delivery.id)
            defect = NotDelivered(f"{type(error).__name__}: {error}")
            await asyncio.to_thread(self._record_failure, delivery, defect)
        else:
            await asyncio.to_thread(self._record_success, delivery)

    async def _send(self, delivery: Delivery) -> None:
        notice = Notice.from_json(delivery.message["notice"])
        if delivery.target_kind == TargetKind.EMAIL:
            await self._send_mail(delivery, notice, delivery.target)
            return
        try:
            destination = await asyncio.to_thread(self._destinations.get, delivery.target)
        except NotFound as error:
            raise NotDelivered(error.message, permanent=True) from None
        if destination.kind is DestinationKind.EMAIL:
            # It was of another kind when the notice was stored.
            raise NotDelivered("The destination became a mail destination.", permanent=True)
        await self._webhook.send(
            destination.config["url"],
            self._message(destination, delivery, notice),
            delivery_id=delivery.id,
            username=destination.config.get("username"),
            password=destination.config.get("password"),
        )

    async def _send_mail(self, delivery: Delivery, notice: Notice, address: str) -> None:
        try:
            check_address(address, "address")
        except InvalidValue as error:
            raise NotDelivered(error.message, permanent=True) from None
        mail = self._mail.compose(
            notice, address, delivery_id=delivery.id, created_at=delivery.created_at
        )
        await self._mail.send(mail)

    def _message(
        self, destination: Destination, delivery: Delivery, notice: Notice
    ) -> dict[str, Any]:
        if destination.kind is DestinationKind.SLACK:
            return slack_message(notice)
        if destination.kind is DestinationKind.MICROSOFT_TEAMS:
            return teams_message(notice)
        name = delivery.message["format"]
        make = self._formats.get(name)
        if make is None:
            raise NotDelivered(f"There is no message format {name!r}.", permanent=True)
        return make(notice)

    def _record_success(self, delivery: Delivery) -> None:
        with self._database.write() as connection:
            delivery_rows.record_delivered(connection, delivery, self._clock.now())
        self._metrics.delivery_tried(delivery.target_kind, "delivered")
        _LOG.info("delivery.delivered", **_described(delivery))

    def _record_failure(self, delivery: Delivery, failure: NotDelivered) -> None:
        give_up = failure.permanent or delivery.tries >= self._settings.delivery_attempts
        retry_at = None
        if not give_up:
            doubled = min(delivery.tries - 1, _MOST_DOUBLINGS)
            wait_seconds = min(_FIRST_WAIT_SECONDS * 2**doubled, _LONGEST_WAIT_SECONDS)
            retry_at = self._clock.now() + timedelta(seconds=wait_seconds)
        error = storable(failure.reason, _LONGEST_ERROR)
        with self._database.write() as connection:
            delivery_rows.record_failed(connection, delivery, error, retry_at)
        result = "given_up" if give_up else "failed"
        self._metrics.delivery_tried(delivery.target_kind, result)
        _LOG.warning(f"delivery.{result}", error=error, **_described(delivery))


def _described(delivery: Delivery) -> dict[str, Any]:
    """What a log line says of a delivery; never an address or a URL."""
    return {
        "delivery": delivery.id,
        "run": delivery.run_id,
        "target": delivery.target_kind,
        "notification": delivery.event,
        "tries": delivery.tries,
    }
