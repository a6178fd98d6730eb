"""The local start: servers, roles, state, processes (design §5, stack §2)."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from django.core.cache import cache
from django.core.management.color import no_style
from django.db import connection

import run
from dropstream.local import install, product
from dropstream.local.check import Check, all_checks, run_checks
from dropstream.local.processes import (
    Child,
    claim_port,
    command_line,
    end_leftovers,
    free_port,
)
from dropstream.local.servers import DatabaseUrls, Postgres, Valkey
from dropstream.local.state import AlreadyRunning, State, parse_lines
from dropstream.local.supervisor import Supervisor, Watched
from dropstream.local.throwaway import remove_abandoned_folders

ROOT = Path(__file__).resolve().parent.parent
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


def wait_until_it_is_python(pid: int) -> None:
    """A child is another programme's at first: the one that ties it to its parent."""
    end = time.monotonic() + 10
    while not command_line(pid).startswith(sys.executable):
        assert time.monotonic() < end, command_line(pid)
        time.sleep(0.01)


def wait_until_gone(pid: int, *, timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while command_line(pid):
        assert time.monotonic() < end, f"{pid} still runs"
        time.sleep(0.02)


# --- What tests run on


@pytest.mark.django_db
def test_tests_run_on_postgresql() -> None:
    """A default SQLite would pass silently (stack §6)."""
    assert connection.vendor == "postgresql"


def test_the_cache_answers() -> None:
    cache.set("local", "yes", 5)
    assert cache.get("local") == "yes"


@pytest.mark.django_db(transaction=True)
def test_flush_gets_past_triggers_that_refuse_truncate() -> None:
    """The audit table refuses TRUNCATE; transaction=True tests must end clean."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE probe (n int)")
        cursor.execute("INSERT INTO probe VALUES (1)")
        cursor.execute(
            "CREATE FUNCTION probe_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'append-only'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE TRUNCATE ON probe "
            "EXECUTE FUNCTION probe_refuse()"
        )
    try:
        statements = connection.ops.sql_flush(no_style(), ["probe"])
        connection.ops.execute_sql_flush(statements)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM probe")
            assert cursor.fetchone() == (0,)
            cursor.execute("SHOW session_replication_role")
            assert cursor.fetchone() == ("origin",)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE probe")
            cursor.execute("DROP FUNCTION probe_refuse")


def test_folders_of_killed_runs_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        (tmp_path / f"ds-test-{pid}-abc").mkdir()
    (tmp_path / "ds-test-other").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    remove_abandoned_folders()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"ds-test-{os.getpid()}-abc", "ds-test-other"}


# --- Servers


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Postgres, DatabaseUrls]]:
    """A cluster of our launcher; as root in a folder that nobody may not enter."""
    postgres = Postgres(tmp_path_factory.mktemp("pg"), volatile=True)
    urls = postgres.start()
    yield postgres, urls
    postgres.stop()
    postgres.remove()


def test_the_app_role_reads_and_writes_but_owns_nothing(
    cluster: tuple[Postgres, DatabaseUrls],
) -> None:
    """Design §3: two roles, in the embedded server too."""
    _, urls = cluster
    with psycopg.connect(urls.owner, autocommit=True) as owner:
        owner.execute("CREATE TABLE things (id bigserial, name text)")
    with psycopg.connect(urls.app, autocommit=True) as app:
        app.execute("INSERT INTO things (name) VALUES ('a')")
        app.execute("UPDATE things SET name = 'b'")
        assert app.execute("SELECT name FROM things").fetchall() == [("b",)]
        for refused in (
            "TRUNCATE things",
            "DROP TABLE things",
            "CREATE TABLE mine (id int)",
            "CREATE DATABASE mine",
            "SET session_replication_role = replica",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(refused)


def test_default_rights_reach_databases_made_later(
    cluster: tuple[Postgres, DatabaseUrls],
) -> None:
    _, urls = cluster
    with psycopg.connect(urls.owner, autocommit=True) as owner:
        owner.execute("CREATE DATABASE test_later")
    later = urls.owner.replace("/dropstream?", "/test_later?")
    with psycopg.connect(later, autocommit=True) as owner:
        owner.execute("CREATE TABLE things (name text)")
    with psycopg.connect(later.replace("_owner@", "_app@")) as app:
        assert app.execute("SELECT * FROM things").fetchall() == []


def test_postgres_starts_again_after_a_kill(tmp_path: Path) -> None:
    """A killed start leaves nothing corrupt; a zombie's lock file is no obstacle."""
    postgres = Postgres(tmp_path)
    try:
        urls = postgres.start()
        with psycopg.connect(urls.owner, autocommit=True) as owner:
            owner.execute("CREATE TABLE kept (n int)")
            owner.execute("INSERT INTO kept VALUES (7)")
        assert postgres.process is not None
        os.kill(postgres.process.pid, signal.SIGKILL)
        again = Postgres(tmp_path)
        urls = again.start()
        with psycopg.connect(urls.app) as app:
            assert app.execute("SELECT 1").fetchone() == (1,)
        with psycopg.connect(urls.owner) as owner:
            assert owner.execute("SELECT n FROM kept").fetchone() == (7,)
        again.stop()
        postgres.process.wait()
    finally:
        postgres.remove()


def test_valkey_keeps_what_it_was_told(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path)
    client = redis.Redis.from_url(valkey.start())
    client.set("bell", "rung")
    valkey.stop()
    again = redis.Redis.from_url(valkey.start())
    assert again.get("bell") == b"rung"
    valkey.stop()


def test_long_paths_still_give_sockets(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / ("long" * 25) / "with space", volatile=True)
    assert redis.Redis.from_url(valkey.start()).ping()
    valkey.stop()
    valkey.remove()


# --- State


def test_a_second_start_is_told_where_the_first_is(tmp_path: Path) -> None:
    first = State(tmp_path / "state")
    first.open()
    first.announce("http://127.0.0.1:8000")
    with pytest.raises(AlreadyRunning, match="127"):
        State(tmp_path / "state").open()
    first.close()
    second = State(tmp_path / "state")
    second.open()
    second.close()


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    """A new key would make every sealed secret unreadable."""
    state = State(tmp_path / "state")
    state.open()
    made = state.secrets()
    assert state.secrets() == made
    assert set(made) == {"SECRET_KEY", "SEALING_KEYS"}
    state.write_env({"DATABASE_URL": "postgresql://a@/b?host=/c", **made})
    for name in ("secrets.env", "env"):
        mode = stat.S_IMODE((state.folder / name).stat().st_mode)
        assert mode == 0o600, name
    assert state.folder.stat().st_mode & 0o066 == 0
    read = parse_lines(state.env_file.read_text())
    assert read["DATABASE_URL"] == "postgresql://a@/b?host=/c"
    state.close()


# --- The product's environment


@pytest.mark.parametrize(
    ("sandbox", "own", "merged"),
    [
        ("", "", ""),
        ("a=127.0.0.1:1", "", "a=127.0.0.1:1"),
        ("a=127.0.0.1:1,b=127.0.0.1:2", "A=10.0.0.1:9", "a=10.0.0.1:9,b=127.0.0.1:2"),
    ],
)
def test_own_names_win_over_the_sandbox(sandbox: str, own: str, merged: str) -> None:
    """Design §5: the environment's names win."""
    assert product.merge_hosts(sandbox, own) == merged


def test_an_outside_planner_is_used_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Design §5: with INVENTORY_PLANNER_API_URL set no IP sandbox is started."""
    state = State(tmp_path / "state")
    state.open()
    facts = {"url": "http://127.0.0.1:1", "api_url": "http://127.0.0.1:1/"}
    monkeypatch.delenv("INVENTORY_PLANNER_API_URL", raising=False)
    env = product.product_environment(state, servers={}, facts=facts, port=8000)
    assert env["INVENTORY_PLANNER_API_URL"] == "http://127.0.0.1:1/"
    assert "--no-ip" not in product.sandbox_command(state, 1)
    monkeypatch.setenv("INVENTORY_PLANNER_API_URL", "https://planner.example/")
    env = product.product_environment(state, servers={}, facts=facts, port=8000)
    assert env["INVENTORY_PLANNER_API_URL"] == "https://planner.example/"
    assert "--no-ip" in product.sandbox_command(state, 1)
    state.close()


# --- Processes


def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    """After kill -9 of the supervisor nothing stays alive (stack §2)."""
    if sys.platform != "linux":
        pytest.skip("no PDEATHSIG here; the next start's leftover check does it")
    code = (
        "import pathlib, sys, time\n"
        "from dropstream.local.processes import Child\n"
        "child = Child('c', [sys.executable, '-c', 'import time; time.sleep(60)'],"
        " env={}, log=pathlib.Path(sys.argv[1]))\n"
        "child.start()\n"
        "print(child.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until_it_is_python(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until_gone(pid)


def test_leftovers_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    """A recorded pid may belong to somebody else by the next start."""
    children = [Child(n, SLEEPER, env={}, log=tmp_path / n) for n in ("a", "b")]
    for child in children:
        child.start()
    left, stranger = (child.process for child in children)
    assert left is not None
    assert stranger is not None
    for process in (left, stranger):
        wait_until_it_is_python(process.pid)
    pids = tmp_path / "pids"
    pids.write_text(
        f'{{"{left.pid}": "time.sleep(60)", "{stranger.pid}": "another programme"}}'
    )
    assert end_leftovers(pids) == 1
    assert left.wait(10) == -signal.SIGKILL
    assert stranger.poll() is None
    children[1].stop()
    assert end_leftovers(pids) == 0


def test_a_dead_child_comes_back_after_growing_pauses(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.open()
    supervisor = Supervisor(state, web_port=1, sandbox_port=2)
    child = Child("c", [sys.executable, "-c", ""], env={}, log=state.log("c"))
    child.start()
    watched = Watched("c", child, time.monotonic())
    supervisor.parts.append(watched)
    pauses = []
    for _ in range(3):
        assert child.process is not None
        dead = child.process
        dead.wait()
        before = time.monotonic()
        supervisor.revive()
        assert watched.restart_at is not None
        pauses.append(round(watched.restart_at - before))
        supervisor.revive()
        assert child.process is dead, "came back before its pause was over"
        watched.restart_at = before
        supervisor.revive()
        assert child.process is not dead
    assert pauses == [1, 2, 4]
    supervisor.stop()
    state.close()


def test_a_taken_port_gives_the_next_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert claim_port(port) != port


@pytest.mark.skipif(sys.platform != "linux", reason="claims need Linux's sockets")
def test_a_start_beside_this_one_chooses_another_port() -> None:
    """Nobody listens yet: servers are started first, which takes seconds."""
    port = claim_port(free_port())
    code = "import sys; from dropstream.local.processes import claim_port as c; "
    beside = [sys.executable, "-c", f"{code}print(c({port}))"]
    found = subprocess.run(beside, cwd=ROOT, capture_output=True, check=True)
    assert int(found.stdout) > port


# --- Installing


def test_a_bigger_lock_serves_the_smaller_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run.py` after `run.py test` installs nothing; a changed lock does."""
    monkeypatch.chdir(tmp_path)
    install.VENV.mkdir()
    local, dev = Path("requirements-local.txt"), Path("requirements-dev.txt")
    local.write_text("a")
    dev.write_text("a b")
    assert not install._is_installed(local.name)
    install._stamp(dev.name).write_text(install._checksum(dev.name))
    assert install._is_installed(local.name)
    assert install._is_installed(dev.name)
    dev.write_text("a b c")
    assert not install._is_installed(local.name)
    install._stamp(local.name).write_text(install._checksum(local.name))
    assert install._is_installed(local.name)
    assert not install._is_installed(dev.name)


@pytest.mark.parametrize(
    ("version", "refused"),
    [((3, 10, 9), True), ((3, 11, 0), False), ((3, 13, 5), False), ((3, 14), True)],
)
def test_other_pythons_are_told_which_ones_work(
    version: tuple[int, ...], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert (run.refuse_machine() is not None) is refused


def test_an_unknown_verb_names_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, "run.py", "tset"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "run.py test" in done.stderr


# --- The list of checks


def test_one_failed_check_fails_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    def passes_but_for_types(check: Check) -> bool:
        return check.name != "types"

    assert run_checks([], passes_but_for_types) == 1
    assert "failed: types" in capsys.readouterr().out
    assert run_checks(["ruff"], passes_but_for_types) == 0
    assert run_checks(["nonsense"], passes_but_for_types) == 2


def test_ci_runs_the_readmes_test_command_and_the_demo() -> None:
    commands = [check.command[1:] for check in all_checks()]
    assert ["run.py", "test"] in commands
    assert ["run.py", "demo", "--once"] in commands
    assert "run.py check" in (ROOT / ".ci/run").read_text()
