"""A PostgreSQL server of a test's own: in a temporary folder, on a unix socket there, run by nobody in particular.

    with running() as (folder, port): …          # skips, loudly, where the server's programs are missing

PostgreSQL refuses to run as root, so root starts it as `nobody`. It ends with the `with`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SCHEMA = """
CREATE TABLE people (id integer PRIMARY KEY, name text NOT NULL, born date);
INSERT INTO people VALUES (1, 'Ada', '1815-12-10'), (2, 'Bob', NULL), (3, 'Cleo 100%', '1900-01-01');
CREATE TABLE mills (name text, owner integer REFERENCES people);
INSERT INTO mills SELECT 'mill ' || n, 1 FROM generate_series(1, 500) n;
CREATE TABLE secret (word text);
CREATE FUNCTION sneaky() RETURNS integer LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO mills VALUES ('sneaked', 1); RETURN 1; END $$;
CREATE ROLE reader LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON people, mills TO reader;
CREATE ROLE filer LOGIN;
GRANT pg_read_server_files TO filer;
"""


def programs() -> Path | None:
    """The folder of the server's programs."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda p: float(p.parent.name))


@contextlib.contextmanager
def running() -> Iterator[tuple[str, str]]:
    """The folder of a running server's socket, and its port."""
    folder = programs()
    if folder is None or not (folder / "initdb").exists():
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    root = Path(tempfile.mkdtemp(prefix="tandem-pg-"))
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "LC_ALL": "C", "HOME": str(root)}
    who: dict = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(root, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def do(*command: str) -> None:
        done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=120, **who)
        assert done.returncode == 0, done.stderr + done.stdout

    data = str(root / "data")
    try:
        do("initdb", "-D", data, "-U", "owner", "-A", "trust", "--no-sync", "--encoding=UTF8")
        options = f"-k {root} -c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_connections=20"
        do("pg_ctl", "-D", data, "-o", options, "-l", str(root / "log"), "-w", "start")
        try:
            do("psql", "-h", str(root), "-U", "owner", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", SCHEMA)
            yield str(root), "5432"
        finally:
            do("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)
