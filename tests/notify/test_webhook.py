"""Posting to a real HTTP server, and the guard that keeps posts out of private networks."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Sequence

import pytest

from quire.notify.senders import NotDelivered
from quire.notify.webhook import WebhookSender, is_public
from tests.notify.parts import Receiver


def post(sender: WebhookSender, url: str, **credentials: str) -> None:
    asyncio.run(sender.send(url, {"text": "Grüße"}, delivery_id=12, **credentials))


def refusal(sender: WebhookSender, url: str) -> NotDelivered:
    with pytest.raises(NotDelivered) as refused:
        post(sender, url)
    return refused.value


@pytest.fixture
def sender() -> WebhookSender:
    return WebhookSender(allow_private=True)


def test_a_message_arrives_as_json(sender: WebhookSender, receiver: Receiver) -> None:
    post(sender, f"{receiver.url}/hooks/1?key=a%20b")
    [request] = receiver.requests
    assert request.path == "/hooks/1?key=a%20b"
    assert request.json == {"text": "Grüße"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-quire-delivery"] == "12"
    assert request.headers["host"] == receiver.url.removeprefix("http://")
    assert "authorization" not in request.headers


def test_credentials_travel_by_basic_authentication(
    sender: WebhookSender, receiver: Receiver
) -> None:
    post(sender, receiver.url, username="ada", password="pässword:1")
    kind, _, pair = receiver.requests[0].headers["authorization"].partition(" ")
    assert kind == "Basic"
    assert base64.b64decode(pair).decode() == "ada:pässword:1"


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(500, False), (503, False), (429, False), (408, False), (400, True), (404, True), (410, True)],
)
def test_an_answer_other_than_2xx_is_a_failure(
    sender: WebhookSender, receiver: Receiver, status: int, permanent: bool
) -> None:
    receiver.answers = [status]
    failure = refusal(sender, receiver.url)
    assert str(status) in failure.reason
    assert failure.permanent is permanent


def test_a_redirect_is_not_followed(sender: WebhookSender, receiver: Receiver) -> None:
    receiver.answers = [302]
    receiver.headers = {"Location": f"{receiver.url}/elsewhere"}
    assert refusal(sender, receiver.url).permanent
    assert [request.path for request in receiver.requests] == ["/"]


def test_a_proxy_of_the_environment_is_not_used(
    sender: WebhookSender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    post(sender, receiver.url)
    assert len(receiver.requests) == 1


def test_a_closed_port_is_worth_another_try(sender: WebhookSender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not refusal(sender, f"http://127.0.0.1:{port}/").permanent


def test_a_connection_that_breaks_off_is_worth_another_try(sender: WebhookSender) -> None:
    async def scenario() -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(NotDelivered) as refused:
                await sender.send(f"http://127.0.0.1:{port}/", {}, delivery_id=1)
        assert not refused.value.permanent

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "10.1.2.3",
        "2130706433",  # 127.0.0.1 as one number
        "0x7f000001",
        "127.1",
        "[fe80::1]",
    ],
)
def test_private_addresses_are_refused(receiver: Receiver, host: str) -> None:
    port = receiver.url.rpartition(":")[2]
    failure = refusal(WebhookSender(allow_private=False), f"http://{host}:{port}/")
    assert failure.permanent
    assert "private network" in failure.reason
    assert receiver.requests == []


def test_a_name_is_refused_when_any_of_its_addresses_is_private(receiver: Receiver) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.215.14", "127.0.0.1"]

    port = receiver.url.rpartition(":")[2]
    sender = WebhookSender(allow_private=False, resolve=resolve)
    assert refusal(sender, f"http://rebound.example.com:{port}/").permanent
    assert receiver.requests == []


def test_a_name_is_resolved_once(receiver: Receiver) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    port = receiver.url.rpartition(":")[2]
    post(WebhookSender(allow_private=True, resolve=resolve), f"http://hooks.example.com:{port}/")
    assert asked == ["hooks.example.com"]
    assert receiver.requests[0].headers["host"] == f"hooks.example.com:{port}"


def test_the_next_address_of_a_name_is_tried(receiver: Receiver) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["::1", "127.0.0.1"]  # the receiver listens on the second one only

    port = receiver.url.rpartition(":")[2]
    post(WebhookSender(allow_private=True, resolve=resolve), f"http://two.example.com:{port}/")
    assert len(receiver.requests) == 1


def test_an_unknown_name_is_worth_another_try() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    failure = refusal(WebhookSender(allow_private=False, resolve=resolve), "http://gone.example/")
    assert not failure.permanent
    assert "cannot be resolved" in failure.reason


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),  # shared by carriers
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),  # 127.0.0.1 inside 6to4
        ("64:ff9b::a00:1", False),  # 10.0.0.1 behind NAT64
        ("64:ff9b::5db8:d70e", True),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public
