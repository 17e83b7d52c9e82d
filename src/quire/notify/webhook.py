"""Sends JSON to URLs that users chose, without letting them reach into our own network.

The guard sits where a connection is made: the host is resolved once, each address it gave is
checked, and one of these very addresses is connected to, so that a second answer of a name server
cannot lead elsewhere. TLS still verifies the host name. Redirects are not followed and no proxy is
used.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import httpcore2

from quire import __version__
from quire.notify.senders import NotDelivered

__all__ = ["Resolve", "WebhookSender", "is_public"]

_CONNECT_SECONDS = 5.0
_TRANSFER_SECONDS = 10.0
_WHOLE_SECONDS = 20.0
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to IP addresses as text. Raises OSError when the name is not known."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class WebhookSender:
    """Posts messages to webhooks."""

    def __init__(self, *, allow_private: bool, resolve: Resolve | None = None) -> None:
        """``allow_private`` switches the guard off (setting ``webhook_allow_private``)."""
        resolve = _resolve if resolve is None else resolve
        self._network = _GuardedNetwork(resolve, allow_private=allow_private)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpcore2.default_ssl_context()

    async def send(
        self,
        url: str,
        message: Mapping[str, Any],
        *,
        delivery_id: int,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        """Post ``message`` as JSON; done when the receiver answers 2xx.

        Raises NotDelivered: for good when the address is refused, or when the answer says that the
        request itself is wrong (3xx, 4xx); for now when the connection failed, the receiver took
        too long, or answered 5xx, 408, 425 or 429.
        """
        headers: dict[bytes | str, bytes | str] = {
            "Content-Type": "application/json",
            "User-Agent": f"quire/{__version__}",
            # The same in each try, for receivers that want to see each delivery once.
            "X-Quire-Delivery": str(delivery_id),
        }
        if username is not None:
            pair = f"{username}:{password or ''}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
        body = json.dumps(message, ensure_ascii=True).encode("ascii")
        try:
            async with asyncio.timeout(_WHOLE_SECONDS):
                status = await self._post(url, headers, body)
        except TimeoutError:
            raise NotDelivered(f"No answer within {_WHOLE_SECONDS:.0f} seconds.") from None
        except httpcore2.UnsupportedProtocol as error:
            raise NotDelivered(str(error), permanent=True) from None
        except httpcore2.TimeoutException as error:
            raise NotDelivered(f"The receiver took too long ({type(error).__name__}).") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise NotDelivered(f"The connection failed: {_in_words(error)}") from None
        if not 200 <= status <= 299:
            permanent = status < 500 and status not in _WORTH_ANOTHER_TRY
            reason = f"The receiver answered {status}."
            if 300 <= status <= 399:
                reason = f"The receiver answered {status}; redirects are not followed."
            raise NotDelivered(reason, permanent=permanent)

    async def _post(self, url: str, headers: dict[bytes | str, bytes | str], body: bytes) -> int:
        timeouts = {
            "connect": _CONNECT_SECONDS,
            "pool": _CONNECT_SECONDS,
            "read": _TRANSFER_SECONDS,
            "write": _TRANSFER_SECONDS,
        }
        async with (
            httpcore2.AsyncConnectionPool(
                ssl_context=self._tls, network_backend=self._network
            ) as pool,
            # Only the head of the answer is read: its body may be of any size.
            pool.stream(
                "POST", url, headers=headers, content=body, extensions={"timeout": timeouts}
            ) as answer,
        ):
            return answer.status


class _GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses only."""

    def __init__(self, resolve: Resolve, *, allow_private: bool) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error
        if not self._allow_private and not all(is_public(address) for address in addresses):
            raise NotDelivered(
                f"{host} is in a private network, which this server does not send to.",
                permanent=True,
            )
        failure: httpcore2.NetworkError | httpcore2.TimeoutException = httpcore2.ConnectError(
            f"{host} has no address"
        )
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address,
                    port,
                    timeout=timeout,
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


def _in_words(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet, also when wrapped in an IPv6 one."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast
