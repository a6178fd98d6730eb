"""Look for secrets where none may be: in pages, and in what the database stores."""

from __future__ import annotations

import base64
from urllib.parse import quote

from django.db import connection as database

from stores.models import SSHKey


def forms_of(secret: str) -> list[str]:
    """A secret as it may hide: plain, URL-quoted, hex, base64 at any offset."""
    data = secret.encode()
    spread = [base64.b64encode(b"x" * n + data).decode() for n in range(3)]
    # The ends depend on what stands beside; the middle does not.
    middles = [text[4:-4] for text in spread]
    return [secret, quote(secret, safe=""), data.hex(), *middles]


def hidden_in(text: str, *secrets: str) -> list[str]:
    """The secrets that a text holds, in whatever form."""
    return [
        secret for secret in secrets if any(form in text for form in forms_of(secret))
    ]


def private_parts(key: SSHKey) -> list[str]:
    """Lines of a private key that its public half does not share."""
    lines = key.unseal("private_key").reveal().splitlines()
    body = "".join(line for line in lines if not line.startswith("-----"))
    public = key.public_key.split()[1]
    tail = body[-60:-12]
    assert tail not in public
    return [tail]


def everything_stored() -> str:
    """Every row of every table as text; bytes as hex."""
    with database.cursor() as cursor:
        tables = database.introspection.table_names(cursor)
        rows = []
        for table in tables:
            name = database.ops.quote_name(table)
            cursor.execute(f"SELECT row::text FROM {name} AS row")  # noqa: S608
            rows += [str(text) for (text,) in cursor.fetchall()]
    return "\n".join(rows)
