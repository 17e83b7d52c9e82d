"""py4j between one run and a driver that many share.

Owns the run's own gateway in the driver, since one for all would send the callbacks of every run to
the run that came last, and keep the objects of a killed kernel for ever. And the client's end of
it, with three differences from the one pyspark makes:

* every thread is marked in the driver before its first command, so that what it starts there
  belongs to the run;
* an interrupt closes the thread's connection without a word, so that no later command reads the
  answer to an earlier one;
* a driver that is gone is told as that, once, and a command is never sent twice.

pyspark runs with a thread in the driver for each thread here, so what is set for one stays.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

from quire_runtime.errors import SparkDriverLost
from quire_runtime.spark.place import Place

__all__ = ["gateway_class", "open_own_gateway"]

# Where the driver keeps what has to outlast a connection: a map of the JVM's own. Whoever releases
# a run there takes its gateway out and shuts it down.
GATEWAY = "quire.gateway."
SESSION = "quire.session."


def open_own_gateway(place: Place) -> tuple[int, str]:
    """Open a gateway for this run alone; its port and secret.

    Its entry point is the run's session, which runs of one session tag have in common. Raises
    SparkDriverLost.
    """
    __tracebackhide__ = True
    from py4j.java_gateway import GatewayParameters, JavaGateway
    from py4j.protocol import Py4JNetworkError

    common = JavaGateway(
        gateway_parameters=GatewayParameters(
            address=place.host, port=place.port, auth_token=place.secret
        )
    )
    secret = secrets.token_hex(32)
    try:
        jvm = common.jvm
        kept = jvm.java.lang.System.getProperties()
        default = getattr(jvm, "org.apache.spark.sql.classic.SparkSession").builder().getOrCreate()
        session = default.newSession()
        if place.session_tag is not None:
            session = kept.putIfAbsent(SESSION + place.session_tag, session) or session
        builder = jvm.py4j.ClientServer.ClientServerBuilder(session)
        server = builder.authToken(secret).javaPort(0).build()
        server.startServer()
        earlier = kept.put(GATEWAY + place.job_group, server)
        if earlier is not None:
            earlier.shutdown()
        return server.getJavaServer().getListeningPort(), secret
    except (OSError, Py4JNetworkError):
        raise SparkDriverLost(
            "The Spark driver of this run does not answer; it has ended or is about to."
        ) from None
    finally:
        common.close()


def gateway_class(
    base: Any,
    *,
    mark_thread: Callable[[Any], None],
    lost: Callable[[BaseException], Exception],
    interrupted: Callable[[], bool],
) -> Any:
    """A subclass of py4j's ``ClientServer``.

    ``mark_thread(gateway)`` is called on a thread before its first command. ``lost(error)`` gives
    the error to raise when the driver does not answer any more. ``interrupted()`` is asked when a
    command failed on the main thread: True when an interrupt is why.
    """
    from py4j.clientserver import JavaClient
    from py4j.protocol import Py4JNetworkError, is_error, is_fatal_error

    class Client(JavaClient):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.gateway: Any = None
            self._thread = threading.local()
            self.epoch = 0

        def send_command(self, command: str, retry: bool = True, binary: bool = False) -> Any:
            __tracebackhide__ = True
            self._mark()
            try:
                connection = self._get_connection()
            except OSError as error:
                raise lost(error) from None
            try:
                response = connection.send_command(command)
            except Py4JNetworkError as error:
                connection.close()
                raise lost(error) from None
            except BaseException:
                interrupted()
                connection.close()
                raise
            if is_error(response)[0] and _on_main_thread() and interrupted():
                connection.close()
                raise KeyboardInterrupt
            if binary:
                return response, self._create_connection_guard(connection)
            if is_fatal_error(response):
                connection.close(False)
            else:
                self._give_back_connection(connection)
            return response

        def garbage_collect_object(self, target_id: str, enqueue: bool = True) -> None:
            if self.gateway is not None:  # else the driver has let go of everything
                super().garbage_collect_object(target_id, enqueue)

        def _mark(self) -> None:
            thread = self._thread
            if self.gateway is None or getattr(thread, "marking", False):
                return
            connection = self.get_thread_connection()
            is_open = connection is not None and connection.socket is not None
            if is_open and getattr(thread, "epoch", None) == self.epoch:
                return
            thread.marking = True
            try:
                mark_thread(self.gateway)
                thread.epoch = self.epoch
            finally:
                thread.marking = False

    class Gateway(base):  # type: ignore[misc]
        def _create_gateway_client(self) -> Any:
            deque = self._create_finalizer_worker()
            return Client(self.java_parameters, self.python_parameters, finalizer_deque=deque)

        def begin(self) -> None:
            """Mark threads from here on."""
            self._gateway_client.gateway = self

        def forget_threads(self) -> None:
            """Mark each thread again before its next command."""
            self._gateway_client.epoch += 1

        def end(self) -> None:
            """Send nothing more; the driver clears up by itself."""
            self._gateway_client.gateway = None
            self._gateway_client.is_connected = False

    return Gateway


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
