from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.notify.parts import Mailbox, Receiver, http_receiver, mail_server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as mailbox:
        yield mailbox
