"""``python -m dropstream.sandbox --state DIR --http-port N [--no-ip] …``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from dropstream.sandbox import seed
from dropstream.sandbox.crowd import Crowd
from dropstream.sandbox.server import SKUS, STOCK_INTERVAL_S, Sandbox


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    parser = argparse.ArgumentParser(prog="dropstream.sandbox", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR")
    parser.add_argument("--http-port", type=int, default=0, metavar="N")
    parser.add_argument(
        "--no-ip", action="store_true", help="the warehouse's side only"
    )
    parser.add_argument("--skus", type=int, default=SKUS, metavar="N")
    parser.add_argument("--more-merchants", type=int, default=0, metavar="N")
    parser.add_argument("--journal", type=Path, metavar="FILE", help="every event")
    parser.add_argument(
        "--distance-s", type=float, default=0.0, metavar="S", help="per SFTP step"
    )
    parser.add_argument(
        "--orders",
        type=int,
        default=0,
        metavar="N",
        help="of the demo merchant, made as they are asked for",
    )
    parser.add_argument(
        "--still", action="store_true", help="stock changes only when it is told to"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    sandbox = Sandbox(
        options.state,
        options.http_port,
        with_ip=not options.no_ip,
        more_merchants=options.more_merchants,
        journal_file=options.journal,
        skus=options.skus,
        distance_s=options.distance_s,
        stock_interval_s=None if options.still else STOCK_INTERVAL_S,
    )
    if options.orders:
        account_id = seed.MERCHANTS["demo"]
        sandbox.ip.accounts[account_id].crowd = Crowd(account_id, options.orders)
    try:
        sandbox.start()
    except OSError as error:
        print(f"The sandbox cannot start: {error}", file=sys.stderr)
        return 1
    print(f"Sandbox at {sandbox.facts['url']}", flush=True)
    ended.wait()
    sandbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
