"""The settings of Ivy, which gets libraries out of Maven repositories."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import quoteattr

__all__ = ["USUAL_REPOSITORIES", "ivy_settings"]

USUAL_REPOSITORIES = (
    ("central", "https://repo1.maven.org/maven2/"),
    ("spark-packages", "https://repos.spark-packages.org/"),
)


def ivy_settings(repositories: Iterable[str], cache: Path) -> str:
    """Ivy's settings: where to look, in which order, and where to keep what was got.

    Without repositories the usual public ones; with some, only those.
    """
    named = [(f"repository-{number}", url) for number, url in enumerate(repositories, start=1)]
    resolvers = "".join(
        f'      <ibiblio name={quoteattr(name)} m2compatible="true" root={quoteattr(url)}/>\n'
        for name, url in named or USUAL_REPOSITORIES
    )
    return f"""\
<ivysettings>
  <settings defaultResolver="all"/>
  <caches defaultCacheDir={quoteattr(str(cache))}/>
  <resolvers>
    <chain name="all" returnFirst="true">
{resolvers}    </chain>
  </resolvers>
</ivysettings>
"""
