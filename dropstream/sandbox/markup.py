"""HTML by functions: text is escaped unless it is markup made here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from dropstream.sandbox.http_server import Response
from dropstream.sandbox.ssh_server import SshSide

CSS = """
:root{color-scheme:light dark;--line:#d5dae1;--soft:#f4f6f9;--ink:#17202b;--dim:#556270;
--link:#0b5cad;--good:#17693a;--bad:#a3231f;--paper:#fff}
@media(prefers-color-scheme:dark){:root{--line:#37414e;--soft:#1c232c;--ink:#e8edf3;
--dim:#a2adba;--link:#7db7f5;--good:#74d199;--bad:#ff9a94;--paper:#12171d}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
header{border-bottom:1px solid var(--line);background:var(--soft)}
header div,main{max-width:64rem;margin:auto;padding:.75rem 1rem}
nav a{margin-right:1rem;white-space:nowrap;display:inline-block}
h3{font-size:1rem;margin:1rem 0 .25rem}
a{color:var(--link)}
a[aria-current]{color:var(--ink);font-weight:600;text-decoration:none}
h1{font-size:1.5rem;margin:.75rem 0}
h2{font-size:1.125rem;margin:2rem 0 .5rem}
p,dl{margin:.5rem 0;max-width:46rem}
.dim{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}
.box{border:1px solid var(--line);border-radius:.5rem;padding:.75rem 1rem;
margin:.75rem 0}
.box h2{margin-top:.25rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th,td{text-align:left;vertical-align:top;padding:.375rem .75rem .375rem 0;
border-bottom:1px solid var(--line);overflow-wrap:normal}
th{color:var(--dim);font-weight:600}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
label{display:block;font-weight:600;margin:.5rem 0 .25rem}
input,textarea{width:100%;font:.9375rem/1.4 ui-monospace,monospace;padding:.5rem;
border:1px solid var(--dim);border-radius:.375rem;background:var(--paper);
color:var(--ink)}
button{font:inherit;padding:.4rem .9rem;border:1px solid var(--link);
border-radius:.375rem;background:var(--link);color:var(--paper);cursor:pointer}
td button{padding:.1rem .5rem;font-size:.875rem}
form.inline{display:inline-block;margin:.25rem .5rem .25rem 0}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
"""
PLACES = (
    ("/", "Sandbox"),
    ("/ip/", "Inventory Planner"),
    ("/warehouse/", "Warehouse"),
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"


class Html(str):
    """Markup that is safe to put into a page."""

    __slots__ = ()


Content = str | int | float | Html


def text(value: Content) -> Html:
    """Escape a value, unless it is markup already."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def join(parts: Iterable[Content]) -> Html:
    """Put pieces one after the other."""
    return Html("".join(text(part) for part in parts))


def tag(name: str, /, *children: Content, **attributes: Content) -> Html:
    """Return an element; ``class_`` is class and underscores become hyphens."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value != "" or key != "class_"
    )
    if name in {"input", "meta"}:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{join(children)}</{name}>")


def link(address: str, label: Content, *, here: bool = False) -> Html:
    """Return a link, marked when it leads to the page it stands on."""
    if here:
        return tag("a", label, href=address, aria_current="page")
    return tag("a", label, href=address)


def table(head: Sequence[str], rows: Sequence[Sequence[Content]], empty: str) -> Html:
    """Return a table, or ``empty`` as a sentence. Columns named ``#…`` hold numbers."""
    if not rows:
        return tag("p", empty, class_="dim")
    classes = ["n" if name.startswith("#") else "" for name in head]
    cells = [
        tag("th", name.lstrip("#"), scope="col", class_=class_)
        for name, class_ in zip(head, classes, strict=True)
    ]
    lines = [
        tag("tr", *(tag("td", c, class_=k) for c, k in zip(row, classes, strict=True)))
        for row in rows
    ]
    body = tag("table", tag("thead", tag("tr", *cells)), tag("tbody", *lines))
    return tag("div", body, class_="scroll", tabindex="0")


def copy_field(name: str, label: str, value: str) -> Html:
    """Return a read-only field to copy from."""
    field = tag("input", id=name, value=value, readonly="readonly", spellcheck="false")
    return join([tag("label", label, for_=name), field])


def button(action: str, label: str, **hidden: str) -> Html:
    """Return a form of one button."""
    fields = [tag("input", type="hidden", name=n, value=v) for n, v in hidden.items()]
    press = tag("button", label, type="submit")
    return tag("form", *fields, press, method="post", action=action, class_="inline")


def host_key(side: SshSide) -> Html:
    """Return what to compare with, and the button that makes it another one."""
    said = tag("p", "The SSH server's host key: ", tag("code", side.fingerprint()))
    return join([said, button("/host-key", "Change the host key", side=side.name)])


def moment(at: float) -> Html:
    """Return a moment as the sandbox shows it: UTC, to the second."""
    shown = datetime.fromtimestamp(at, UTC)
    return tag("time", f"{shown:%H:%M:%S} UTC", datetime=shown.isoformat())


def page(title: str, *content: Content, status: int = 200, path: str = "") -> Response:
    """Return a whole page."""
    menu = [link(to, label, here=to == path) for to, label in PLACES]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("title", f"{title} · Sandbox"),
        tag("style", Html(CSS)),
    )
    body = tag(
        "body",
        tag("header", tag("div", tag("nav", *menu, aria_label="Sandbox"))),
        tag("main", tag("h1", title), *content),
    )
    document = "<!doctype html>" + tag("html", head, body, lang="en")
    headers = {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(
        status, document.encode("utf-8", "replace"), "text/html; charset=utf-8", headers
    )
