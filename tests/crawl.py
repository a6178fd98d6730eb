"""Follow every link of the product as somebody; collect what the pages hold."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from django.test import Client

LIMIT = 300
# The admin's lists can be filtered and sorted without end.
NOT_FOLLOWED = re.compile(r"/static/|/people/logout/|//|/admin/.*\?")


def crawl(client: Client, *starts: str) -> dict[str, Any]:
    """Return the responses of all pages that can be reached by links, by path."""
    waiting, seen = list(starts), dict[str, Any]()
    while waiting:
        path = waiting.pop()
        if path in seen or NOT_FOLLOWED.match(path):
            continue
        assert len(seen) < LIMIT, "the product has no end"
        seen[path] = client.get(path)
        waiting += links(seen[path])
    return seen


def links(response: Any) -> Iterable[str]:
    """Where a page or a redirect leads, on this site."""
    if "Location" in response.headers:
        found = [response.headers["Location"]]
    else:
        found = re.findall(r'(?:href|hx-get)="([^"]*)"', text_of(response))
    for link in found:
        path = html.unescape(link).partition("#")[0]
        if path.startswith("?"):
            path = response.request["PATH_INFO"] + path
        elif path and not path.startswith("/"):
            path = response.request["PATH_INFO"] + path  # the admin's relative links
        if path:
            yield path


def text_of(response: Any) -> str:
    """A page's source; "" for downloads."""
    if not response.headers.get("Content-Type", "").startswith("text/html"):
        return ""
    text: str = response.content.decode()
    return text
