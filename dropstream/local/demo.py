"""The main job once, without a person: the whole product on a throw-away folder."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from dropstream.local import product
from dropstream.local.processes import free_port
from dropstream.local.product import StartFailed, tail
from dropstream.local.progress import say
from dropstream.local.servers import ServerFailed
from dropstream.local.state import State
from dropstream.local.supervisor import Stopped, Supervisor, stopping_on_signals

LONGEST_S = 180


def run_once(arguments: list[str]) -> int:
    """Start all, wait for the job, stop all. Exit code 0 when it was done."""
    if arguments != ["--once"]:
        print("usage: python3 run.py demo --once", file=sys.stderr)
        return 2
    if product.has_own_planner():
        print("demo judges the sandbox: unset INVENTORY_PLANNER_API_URL.")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="ds-demo-"))
    state = State(folder)
    state.open()
    supervisor = Supervisor(state, web_port=free_port(), sandbox_port=free_port())
    done = False
    with stopping_on_signals(supervisor):
        try:
            supervisor.start()
            say("waiting for the main job")
            done = _wait_for_main_job(supervisor)
        except Stopped:
            say("stopping")
        except (StartFailed, ServerFailed) as error:
            print(f"\n{error}", file=sys.stderr)
        finally:
            supervisor.stop()
            if not done:
                _show_logs(state)
            supervisor.remove()
            state.close()
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if done else 1


def _wait_for_main_job(supervisor: Supervisor) -> bool:
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        supervisor.revive()
        if line := supervisor.main_job():
            print(line, flush=True)
            return True
        time.sleep(1)
    say(f"the main job was not done after {LONGEST_S} s")
    return False


def _show_logs(state: State) -> None:
    for log in sorted(state.logs.glob("*.log")):
        print(f"--- {log.name}\n{tail(log)}", file=sys.stderr)
