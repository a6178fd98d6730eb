"""What a name server would say of two names, in every Python that has us on its path.

Real processes look names up in the real DNS, which tests can neither reach nor change.
The guard sees these answers as it would see the resolver's.
"""

from __future__ import annotations

import socket
from typing import Any

UNKNOWN = "s-nowhere.server.transfer.us-east-1.amazonaws.com"
PRIVATE = "s-inside.server.transfer.us-east-1.amazonaws.com"

_real = socket.getaddrinfo


def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
    if host == UNKNOWN:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _real("10.1.2.3" if host == PRIVATE else host, port, *args, **kwargs)


if __name__ == "sitecustomize":  # not when a test reads the names
    socket.getaddrinfo = getaddrinfo
