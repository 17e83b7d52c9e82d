"""py4j's client for one run of many that share a driver.

The driver has a gateway for each run, and the run's session as its entry point. Owns three
differences from the client pyspark makes:

* every thread is marked in the driver before its first command, so that what it starts there
  belongs to the run;
* an interrupt closes the thread's connection without a word, so that no later command reads the
  answer to an earlier one;
* a driver that is gone is told as that, once, and a command is never sent twice.

pyspark runs with a thread in the driver for each thread here, so what is set for one stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["gateway_class"]


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
