"""Copies of a whole store: one file format for both databases, so that a copy of one can be restored to the other.

A copy is gzipped JSON lines: a header, then ``[table, {column: value}]`` for each row, then an end with the number of
rows. A file without its end is one that was cut short, and is refused.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sqlalchemy import column, func, insert, inspect, select, table
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from federator.ports import StoreUnavailable
from federator.store import schema
from federator.store.address import Address
from federator.store.database import Reader, Writer
from federator.store.tables import metadata

FORMAT = "federator-backup"
CHUNK = 500


class BackupUnusable(Exception):
    """The copy cannot be written, or cannot be restored here; the text says why and the cure."""


async def backup(url: str, file: Path) -> int:
    """Copy a store, as of one instant, to a file of mode 0600; returns how many rows. A daemon may go on meanwhile.

    The file appears (or is replaced) when it is whole. Raises StoreUnavailable, BackupUnusable.
    """
    address = Address.of(url)
    if address.path is not None and not address.path.exists():
        raise StoreUnavailable(f"{address.shown}: there is no such file; is the path right?")
    reader = Reader(address, answer_s=None)
    try:
        with _file_errors(file), _appearing_whole(file) as raw, gzip.open(raw, "wt", 3, encoding="ascii") as out:
            return await _dump(reader, address, file, out)
    finally:
        await reader.close()


@contextmanager
def _appearing_whole(file: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name when all is written and on the disk; nothing is left of one that failed."""
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
            yield raw
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


async def _dump(reader: Reader, address: Address, file: Path, out: IO[str]) -> int:
    count = 0
    async with reader.transaction("making a backup", snapshot=True) as connection:
        version = await connection.run_sync(schema.revision)
        if version != schema.HEAD:
            raise StoreUnavailable(
                f"{address.shown} has schema {version or 'none'}, this program writes copies of {schema.HEAD}; "
                "run 'federator db upgrade' first, or use the program that made it"
            )
        _write_line(file, out, {"format": FORMAT, "schema": version})
        for each in metadata.sorted_tables:
            result = await connection.stream(select(each))
            names = list(each.columns.keys())
            async for rows in result.partitions(CHUNK):
                for row in rows:
                    _write_line(file, out, [each.name, dict(zip(names, row, strict=True))])
                count += len(rows)
    _write_line(file, out, {"end": count})
    return count


async def restore(url: str, file: Path, *, force: bool = False) -> int:
    """Make a store what the copy says, wholly or not at all; returns how many rows.

    A copy of an older schema is restored as such and then brought up to date. Refused while a daemon holds the store,
    and, without ``force``, where the store holds anything. Raises StoreUnavailable, BackupUnusable.
    """
    writer = Writer(Address.of(url), answer_s=None)

    async def work(connection: AsyncConnection) -> int:
        lines = _lines(file)
        await connection.run_sync(_make_room, _header(file, next(lines, None)), force)
        count = await _fill(connection, file, lines)
        await connection.run_sync(schema.migrate)
        return count

    try:
        return await writer.transact("restoring a backup", work)
    finally:
        await writer.close()


def _lines(file: Path) -> Iterator[Any]:
    """The values in a copy, one a line."""
    with _file_errors(file), gzip.open(file, "rt", encoding="ascii") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError as error:
                raise BackupUnusable(f"{file}: not a copy made by 'federator db backup', or damaged") from error


def _header(file: Path, header: Any) -> str:
    """The schema that a copy was made of."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise BackupUnusable(f"{file}: not a copy made by 'federator db backup'")
    version = str(header.get("schema"))
    if not schema.known(version):
        raise BackupUnusable(
            f"{file}: made with schema {version}, this program knows schemas up to {schema.HEAD}; install the newer one"
        )
    return version


def _make_room(connection: Connection, version: str, force: bool) -> None:
    """Leave the empty tables of one schema."""
    present = set(inspect(connection).get_table_names())
    # A store that was opened but never used holds nothing but its counters.
    full = [
        each.name
        for each in metadata.sorted_tables
        if each.name in present
        and each.name != "counters"
        and connection.scalar(select(func.count()).select_from(each))
    ]
    if full and not force:
        raise BackupUnusable(
            f"the store is not empty (it has {', '.join(full)}); use --force to replace all that is in it"
        )
    if schema.revision(connection):
        schema.clear(connection)
    schema.migrate(connection, version)


async def _fill(connection: AsyncConnection, file: Path, lines: Iterator[Any]) -> int:
    """Insert all rows up to the end of the copy; returns how many."""
    waiting: list[dict[str, Any]] = []
    name = ""
    for count, entry in enumerate(lines):
        if isinstance(entry, dict):
            await _insert(connection, name, waiting)
            if entry.get("end") != count or next(lines, None) is not None:
                break
            return count
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], dict):
            break
        if entry[0] != name or len(waiting) == CHUNK:
            await _insert(connection, name, waiting)
            name, waiting = entry[0], []
        waiting.append(entry[1])
    raise BackupUnusable(f"{file}: cut short or put together wrongly; nothing was restored. Use another copy")


async def _insert(connection: AsyncConnection, name: str, rows: list[dict[str, Any]]) -> None:
    if rows:  # the columns are those of the copy's schema, which may be older than the tables we know
        await connection.execute(insert(table(name, *map(column, rows[0]))), rows)


def _write_line(file: Path, out: IO[str], value: object) -> None:
    with _file_errors(file):
        out.write(json.dumps(value, separators=(",", ":")) + "\n")


@contextmanager
def _file_errors(file: Path) -> Iterator[None]:
    """Say of the copy's own file what is wrong with it, lest it be taken for the database."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise BackupUnusable(f"{file}: cut short or damaged; nothing was restored. Use another copy") from error
    except OSError as error:
        raise BackupUnusable(f"{file}: {error.strerror or error}") from error
