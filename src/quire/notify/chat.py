"""The JSON that chat services take at their incoming webhooks."""

from __future__ import annotations

from typing import Any

from quire.notify.notice import Notice, summary

__all__ = ["slack_message", "teams_message"]


def slack_message(notice: Notice) -> dict[str, Any]:
    """For a Slack incoming webhook."""
    lines = [_escape_slack(summary(notice))]
    if notice.message:
        lines.append(_escape_slack(notice.message))
    if notice.run_url is not None:
        lines.append(f"<{notice.run_url}|Open the run>")
    return {"text": "\n".join(lines)}


def teams_message(notice: Notice) -> dict[str, Any]:
    """For a Microsoft Teams webhook: a message with one adaptive card."""
    blocks = [{"type": "TextBlock", "text": summary(notice), "weight": "Bolder", "wrap": True}]
    if notice.message:
        blocks.append({"type": "TextBlock", "text": notice.message, "wrap": True})
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": blocks,
    }
    if notice.run_url is not None:
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": "Open the run", "url": notice.run_url}
        ]
    return {
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        ],
    }


def _escape_slack(text: str) -> str:
    """Text that cannot mention anybody or make a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
