"""The outbox on both databases, with real receivers and a clock that tests move."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from quire.clock import ManualClock
from quire.engine.models import Attempt, NotificationEvent, NotificationTarget, Run
from quire.engine.states import Outcome, State
from quire.notify.destinations import DestinationKind, Destinations
from quire.notify.notice import Notice
from quire.notify.outbox import Outbox
from quire.observe.metrics import Metrics
from quire.settings import Settings
from quire.store import deliveries as delivery_rows
from quire.store.database import Database
from quire.store.deliveries import Delivery
from tests.notify.parts import (
    Mailbox,
    Receiver,
    failed,
    http_receiver,
    mail_server,
    mail_to,
    make_attempt,
    make_job,
    make_run,
    post_to,
)

START = NotificationEvent.START
SUCCESS = NotificationEvent.SUCCESS
FAILURE = NotificationEvent.FAILURE
LEASE = timedelta(minutes=2)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as mailbox:
        yield mailbox


@pytest.fixture
def destinations(database: Database, clock: ManualClock) -> Destinations:
    return Destinations(database, clock)


Open = Callable[..., Outbox]


@pytest.fixture
def open_outbox(database: Database, clock: ManualClock, destinations: Destinations) -> Open:
    def open_one(*, formats: dict[str, Any] | None = None, **settings: Any) -> Outbox:
        return Outbox(
            database,
            clock,
            destinations,
            Settings(webhook_allow_private=True, **settings),
            metrics=Metrics(),
            root_url=lambda: "https://quire.example.com",
            formats=formats,
        )

    return open_one


@pytest.fixture
def hook(destinations: Destinations, receiver: Receiver) -> tuple[NotificationTarget, ...]:
    made = destinations.create("hook", DestinationKind.WEBHOOK, {"url": receiver.url})
    return post_to(made.id)


def tell(
    database: Database,
    outbox: Outbox,
    run: Run,
    *events: NotificationEvent,
    attempt: Attempt | None = None,
) -> None:
    for event in events:
        with database.write() as connection:
            outbox.enqueue(
                connection,
                run=run,
                attempt=attempt or make_attempt(run),
                event=event,
                final=True,
            )


def stored(database: Database, run: Run) -> list[Delivery]:
    with database.read() as connection:
        return delivery_rows.list_deliveries_of_run(connection, run.id)


def test_what_is_told_arrives_and_is_recorded(
    database: Database,
    clock: ManualClock,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
    mailbox: Mailbox,
) -> None:
    outbox = open_outbox(smtp_host="127.0.0.1", smtp_port=mailbox.port)
    run = make_run(targets={SUCCESS: (*mail_to("ops@example.com"), *hook)})
    tell(database, outbox, run, SUCCESS)
    assert outbox.deliver_due() == 2
    assert outbox.deliver_due() == 0
    [request] = receiver.requests
    assert request.json["event"] == "success"
    assert request.json["run"]["url"] == "https://quire.example.com/runs/7"
    assert mailbox.recipients == ["ops@example.com"]
    for delivery in stored(database, run):
        assert delivery.delivered_at == clock.now()
        assert (delivery.due_at, delivery.error, delivery.tries) == (None, None, 1)
        assert delivery.claimed_until is None


def test_a_change_that_is_rolled_back_tells_nobody(
    database: Database,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    outbox = open_outbox()
    run = make_run(targets={SUCCESS: hook})

    def change_and_fail() -> None:
        with database.write() as connection:
            outbox.enqueue(
                connection, run=run, attempt=make_attempt(run), event=SUCCESS, final=True
            )
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError):
        change_and_fail()
    assert outbox.deliver_due() == 0
    assert stored(database, run) == []
    assert receiver.requests == []


def test_silence_stores_nothing(
    database: Database, open_outbox: Open, hook: tuple[NotificationTarget, ...]
) -> None:
    outbox = open_outbox()
    run = make_run(targets={FAILURE: hook}, silent_when_cancelled=True)
    tell(database, outbox, run, FAILURE, attempt=failed(run, outcome=Outcome.CANCELLED))
    tell(database, outbox, run, START)
    assert stored(database, run) == []


def test_waits_between_tries_double(
    database: Database,
    clock: ManualClock,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    outbox = open_outbox()
    run = make_run(targets={SUCCESS: hook})
    tell(database, outbox, run, SUCCESS)
    receiver.answers = [500, 503, 500]
    for wait_seconds in (5, 10, 20):
        assert outbox.deliver_due() == 1
        clock.advance(wait_seconds - 1)
        assert outbox.deliver_due() == 0
        clock.advance(1)
    [delivery] = stored(database, run)
    assert delivery.error == "The receiver answered 500."
    assert outbox.deliver_due() == 1
    [delivery] = stored(database, run)
    assert (delivery.tries, delivery.error) == (4, None)
    assert delivery.delivered_at == clock.now()
    assert len({each.headers["x-quire-delivery"] for each in receiver.requests}) == 1


def test_after_the_last_try_it_is_given_up(
    database: Database,
    clock: ManualClock,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    outbox = open_outbox(delivery_attempts=3)
    run = make_run(targets={SUCCESS: hook})
    tell(database, outbox, run, SUCCESS)
    receiver.answers = [500] * 10
    for _ in range(5):
        outbox.deliver_due()
        clock.advance(3600)
    [delivery] = stored(database, run)
    assert len(receiver.requests) == 3
    assert (delivery.tries, delivery.due_at, delivery.delivered_at) == (3, None, None)
    assert delivery.error == "The receiver answered 500."


def test_a_refusal_for_good_is_not_tried_again(
    database: Database,
    clock: ManualClock,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    outbox = open_outbox()
    run = make_run(targets={SUCCESS: hook})
    tell(database, outbox, run, SUCCESS)
    receiver.answers = [404]
    assert outbox.deliver_due() == 1
    clock.advance(3600)
    assert outbox.deliver_due() == 0
    assert stored(database, run)[0].error == "The receiver answered 404."


def test_a_receiver_hears_of_a_run_in_order(
    database: Database,
    clock: ManualClock,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    outbox = open_outbox()
    run = make_run(targets={START: hook, SUCCESS: hook})
    tell(database, outbox, run, START, SUCCESS)
    receiver.answers = [503]
    assert outbox.deliver_due() == 1  # the start; the success waits for it
    clock.advance(1)
    assert outbox.deliver_due() == 0
    clock.advance(4)
    assert outbox.deliver_due() == 1
    assert outbox.deliver_due() == 1
    assert receiver.events == ["start", "start", "success"]


def test_what_is_given_up_holds_up_nothing_after_it(
    database: Database,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    outbox = open_outbox(delivery_attempts=1)
    run = make_run(targets={START: hook, SUCCESS: hook})
    tell(database, outbox, run, START, SUCCESS)
    receiver.answers = [500]
    while outbox.deliver_due():
        pass
    assert receiver.events == ["start", "success"]
    assert [each.delivered_at is None for each in stored(database, run)] == [True, False]


def test_a_receiver_that_is_away_holds_up_nobody_else(
    database: Database,
    destinations: Destinations,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    away = destinations.create("away", DestinationKind.WEBHOOK, {"url": "http://127.0.0.1:1/"})
    outbox = open_outbox()
    run = make_run(targets={START: (*post_to(away.id), *hook), SUCCESS: hook})
    other = make_run(8, targets={SUCCESS: hook})
    tell(database, outbox, run, START, SUCCESS)
    tell(database, outbox, other, SUCCESS)
    while outbox.deliver_due():
        pass
    assert sorted(receiver.events) == ["start", "success", "success"]


def test_two_servers_deliver_once(
    database: Database,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    servers = [open_outbox(), open_outbox()]
    for number in range(1, 41):
        tell(database, servers[0], make_run(number, targets={SUCCESS: hook}), SUCCESS)
    tried: list[int] = []
    line = threading.Barrier(2)

    def serve(outbox: Outbox) -> None:
        line.wait()
        count = 0
        while found := outbox.deliver_due():
            count += found
        tried.append(count)

    threads = [threading.Thread(target=serve, args=(each,)) for each in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tried) == 40
    assert sorted(each.json["run"]["id"] for each in receiver.requests) == list(range(1, 41))


def test_what_a_dead_server_had_taken_falls_to_another(
    database: Database,
    clock: ManualClock,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    outbox = open_outbox()
    run = make_run(targets={START: hook, SUCCESS: hook})
    tell(database, outbox, run, START, SUCCESS)
    with database.write() as connection:  # a server takes it, and dies
        [taken] = delivery_rows.claim_due(connection, clock.now(), clock.now() + LEASE, 10)
    assert taken.event == "start"
    assert outbox.deliver_due() == 0
    clock.advance(121)
    while outbox.deliver_due():
        pass
    assert receiver.events == ["start", "success"]
    assert [each.tries for each in stored(database, run)] == [2, 1]


def test_a_server_that_lost_its_lease_records_nothing(
    database: Database,
    clock: ManualClock,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
) -> None:
    outbox = open_outbox()
    run = make_run(targets={SUCCESS: hook})
    tell(database, outbox, run, SUCCESS)
    with database.write() as connection:
        [slow] = delivery_rows.claim_due(connection, clock.now(), clock.now() + LEASE, 10)
    clock.advance(121)
    assert outbox.deliver_due() == 1
    with database.write() as connection:
        delivery_rows.record_failed(connection, slow, "too late", clock.now())
    [delivery] = stored(database, run)
    assert (delivery.error, delivery.due_at) == (None, None)
    assert delivery.delivered_at is not None


def test_a_mail_destination_mails_each_address_once(
    database: Database, destinations: Destinations, open_outbox: Open, mailbox: Mailbox
) -> None:
    addresses = ["a@example.com", "b@example.com"]
    team = destinations.create("team", DestinationKind.EMAIL, {"addresses": addresses})
    outbox = open_outbox(smtp_host="127.0.0.1", smtp_port=mailbox.port)
    run = make_run(targets={FAILURE: (*mail_to("a@example.com"), *post_to(team.id))})
    tell(database, outbox, run, FAILURE, attempt=failed(run))
    while outbox.deliver_due():
        pass
    assert sorted(mailbox.recipients) == addresses
    assert {each["Subject"] for each in mailbox.mails} == {"[Quire] nightly failed (run 7)"}


def test_a_mail_that_fails_is_mailed_again_to_nobody_else(
    database: Database, clock: ManualClock, open_outbox: Open, mailbox: Mailbox
) -> None:
    outbox = open_outbox(smtp_host="127.0.0.1", smtp_port=mailbox.port)
    run = make_run(targets={SUCCESS: mail_to("a@example.com", "b@example.com")})
    tell(database, outbox, run, SUCCESS)
    mailbox.recipient_answers = {"b@example.com": "450 Busy"}
    assert outbox.deliver_due() == 2
    mailbox.recipient_answers = {}
    clock.advance(5)
    assert outbox.deliver_due() == 1
    assert mailbox.recipients == ["a@example.com", "b@example.com"]


def test_without_a_mail_server_the_reason_is_recorded(
    database: Database, open_outbox: Open
) -> None:
    outbox = open_outbox()
    run = make_run(targets={SUCCESS: mail_to("ops@example.com")})
    tell(database, outbox, run, SUCCESS)
    assert outbox.deliver_due() == 1
    [delivery] = stored(database, run)
    assert (delivery.due_at, delivery.delivered_at) == (None, None)
    assert delivery.error == "No mail server is configured (QUIRE_SMTP_HOST)."


def test_a_destination_that_is_gone_is_given_up(
    database: Database,
    destinations: Destinations,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
) -> None:
    outbox = open_outbox()
    run = make_run(targets={SUCCESS: hook})
    tell(database, outbox, run, SUCCESS)
    destinations.delete(hook[0].address)
    assert outbox.deliver_due() == 1
    [delivery] = stored(database, run)
    assert delivery.due_at is None
    assert delivery.error is not None
    assert "does not exist" in delivery.error


def test_a_secret_is_in_no_stored_message(
    database: Database, destinations: Destinations, open_outbox: Open, receiver: Receiver
) -> None:
    made = destinations.create(
        "hook", DestinationKind.WEBHOOK, {"url": receiver.url, "username": "a", "password": "pw-1"}
    )
    outbox = open_outbox()
    run = make_run(targets={SUCCESS: post_to(made.id)})
    tell(database, outbox, run, SUCCESS)
    assert outbox.deliver_due() == 1
    assert "pw-1" not in repr(stored(database, run))
    assert receiver.requests[0].headers["authorization"].startswith("Basic ")


def test_the_policy_names_the_form_of_a_message(
    database: Database,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    def terse(notice: Notice) -> dict[str, Any]:
        return {"event": f"terse.{notice.event}"}

    outbox = open_outbox(formats={"terse": terse})
    tell(database, outbox, make_run(targets={SUCCESS: hook}, format="terse"), SUCCESS)
    unknown = make_run(8, targets={SUCCESS: hook}, format="nonsense")
    tell(database, outbox, unknown, SUCCESS)
    assert outbox.deliver_due() == 2
    assert receiver.events == ["terse.success"]
    assert stored(database, unknown)[0].error == "There is no message format 'nonsense'."


def test_a_defect_in_one_message_does_not_stop_the_others(
    database: Database,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    def broken(notice: Notice) -> dict[str, Any]:
        raise KeyError("no such thing")

    outbox = open_outbox(formats={"broken": broken})
    run = make_run(targets={SUCCESS: hook}, format="broken")
    tell(database, outbox, run, SUCCESS)
    tell(database, outbox, make_run(8, targets={SUCCESS: hook}), SUCCESS)
    assert outbox.deliver_due() == 2
    assert receiver.events == ["success"]
    [delivery] = stored(database, run)
    assert delivery.error == "KeyError: 'no such thing'"
    assert delivery.due_at is not None


def test_slack_and_teams_get_their_own_forms(
    database: Database, destinations: Destinations, open_outbox: Open, receiver: Receiver
) -> None:
    slack = destinations.create("s", DestinationKind.SLACK, {"url": f"{receiver.url}/slack"})
    teams = destinations.create(
        "t", DestinationKind.MICROSOFT_TEAMS, {"url": f"{receiver.url}/teams"}
    )
    outbox = open_outbox()
    tell(database, outbox, make_run(targets={SUCCESS: post_to(slack.id, teams.id)}), SUCCESS)
    assert outbox.deliver_due() == 2
    bodies = {each.path: each.json for each in receiver.requests}
    assert bodies["/slack"]["text"].startswith("nightly succeeded (run 7)")
    assert bodies["/teams"]["type"] == "message"


def test_a_deleted_job_is_told_to_each_address_once(
    database: Database, open_outbox: Open, hook: tuple[NotificationTarget, ...], mailbox: Mailbox
) -> None:
    outbox = open_outbox(smtp_host="127.0.0.1", smtp_port=mailbox.port)
    job = make_job(
        start=(*mail_to("a@example.com"), *hook), failure=mail_to("a@example.com", "b@example.com")
    )
    with database.write() as connection:
        outbox.enqueue_job_deleted(connection, job)
    assert outbox.deliver_due() == 2
    assert sorted(mailbox.recipients) == ["a@example.com", "b@example.com"]
    with database.read() as connection:
        told = delivery_rows.list_deliveries_without_run(connection)
    assert [each.event for each in told] == ["job_deleted", "job_deleted"]


def test_a_skipped_run_is_told_as_such(
    database: Database,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
    receiver: Receiver,
) -> None:
    outbox = open_outbox()
    run = make_run(targets={FAILURE: hook})
    skipped = make_attempt(run, state=State.SKIPPED, outcome=None, started_at=None)
    tell(database, outbox, run, FAILURE, attempt=skipped)
    assert outbox.deliver_due() == 1
    assert receiver.requests[0].json["run"]["state"] == "skipped"


def test_the_thread_delivers_what_is_committed_and_stops_when_told(
    database: Database,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
) -> None:
    delivered = threading.Event()

    def note(notice: Notice) -> dict[str, Any]:
        delivered.set()
        return {"event": "noted"}

    outbox = open_outbox(formats={"noted": note})
    outbox.loop.start()
    try:
        run = make_run(targets={SUCCESS: hook}, format="noted")
        tell(database, outbox, run, SUCCESS)
        assert delivered.wait(60)
    finally:
        outbox.loop.close()
    assert not outbox.loop.is_alive
    assert stored(database, run)[0].delivered_at is not None


def test_what_is_old_and_over_can_be_removed(
    database: Database,
    clock: ManualClock,
    open_outbox: Open,
    hook: tuple[NotificationTarget, ...],
) -> None:
    outbox = open_outbox()
    old, recent = make_run(7, targets={SUCCESS: hook}), make_run(8, targets={SUCCESS: hook})
    for run in (old, recent):
        tell(database, outbox, run, SUCCESS)
    for address in ("a@example.com", "b@example.com"):
        with database.write() as connection:
            outbox.enqueue_job_deleted(connection, make_job(start=mail_to(address)))
        if address == "a@example.com":
            outbox.deliver_due()  # given up, for there is no mail server; the other one is open
    clock.advance(1)
    with database.write() as connection:
        delivery_rows.purge_deliveries_of_runs(connection, [old.id])
        delivery_rows.purge_deliveries_without_run(connection, clock.now())
    assert stored(database, old) == []
    assert len(stored(database, recent)) == 1
    with database.read() as connection:
        left = delivery_rows.list_deliveries_without_run(connection)
    assert [each.target for each in left] == ["b@example.com"]


def test_a_delivery_that_hangs_is_given_back_when_the_server_stops(
    database: Database, destinations: Destinations, open_outbox: Open
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        made = destinations.create("silent", DestinationKind.WEBHOOK, {"url": url})
        outbox = open_outbox()
        run = make_run(targets={SUCCESS: post_to(made.id)})
        tell(database, outbox, run, SUCCESS)
        outbox.loop.start()
        connection, _ = silent.accept()
        with connection:
            outbox.loop.close()
    [delivery] = stored(database, run)
    assert (delivery.tries, delivery.claimed_until, delivery.error) == (0, None, None)
    assert delivery.due_at is not None
