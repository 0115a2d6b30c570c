"""Statements as frozen dataclasses; a SELECT stays text here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from openmldb_sql.syntax import Expr
from openmldb_sql.types import ColumnDef, IndexDef, Schema

Literal: TypeAlias = bool | int | float | str | None
Options: TypeAlias = Mapping[str, Literal]


class Duration(str):
    """A span written bare, such as ``10d``: what takes one does not take the text ``'10d'``."""

    __slots__ = ()


class Long(int):
    """A BIGINT literal: with an L, or beyond 32 bits."""

    __slots__ = ()


class Single(float):
    """A FLOAT literal, such as ``1.5f``."""

    __slots__ = ()


@dataclass(frozen=True)
class Placeholder:
    """A ``?`` among an INSERT's values."""


@dataclass(frozen=True)
class NotConstant:
    """An expression among an INSERT's values; OpenMLDB stores constants only."""

    text: str


Value: TypeAlias = Literal | Placeholder | NotConstant


@dataclass(frozen=True)
class Name:
    """A table's name with the database it was qualified by, if it was."""

    db: str | None
    name: str


@dataclass(frozen=True)
class CreateDatabase:
    """``CREATE DATABASE [IF NOT EXISTS] name``."""

    name: str
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropDatabase:
    """``DROP DATABASE [IF EXISTS] name``."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True)
class Use:
    """``USE name``."""

    name: str


@dataclass(frozen=True)
class CreateTable:
    """``CREATE TABLE [IF NOT EXISTS] t (columns, INDEX(...)) OPTIONS (...)`` or ``LIKE PARQUET``."""

    table: Name
    schema: Schema
    if_not_exists: bool = False
    options: Options = field(default_factory=dict)
    like_parquet: str | None = None


@dataclass(frozen=True)
class DropTable:
    """``DROP TABLE [IF EXISTS] t``."""

    table: Name
    if_exists: bool = False


@dataclass(frozen=True)
class CreateIndex:
    """``CREATE INDEX i ON t (columns) OPTIONS (ts=, ttl=, ttl_type=)``."""

    name: str
    table: Name
    index: IndexDef


@dataclass(frozen=True)
class DropIndex:
    """``DROP INDEX t.i``."""

    table: Name
    name: str


@dataclass(frozen=True)
class Insert:
    """``INSERT [OR IGNORE] INTO t [(columns)] VALUES (...), ...``."""

    table: Name
    columns: tuple[str, ...] | None
    rows: tuple[tuple[Value, ...], ...]
    or_ignore: bool = False


@dataclass(frozen=True)
class Delete:
    """``DELETE FROM t WHERE condition``: the condition as it is written."""

    table: Name
    where: Expr


@dataclass(frozen=True)
class Truncate:
    """``TRUNCATE TABLE t``."""

    table: Name


@dataclass(frozen=True)
class AlterTable:
    """``ALTER TABLE t ADD | DROP OFFLINE_PATH 'path' [, ...]``.

    Attributes:
        table: The table.
        paths: Each path, and whether it is added.
    """

    table: Name
    paths: tuple[tuple[bool, str], ...]


@dataclass(frozen=True)
class LoadData:
    """``LOAD DATA INFILE 'path' INTO TABLE t [OPTIONS (...)] [CONFIG (...)]``."""

    path: str
    table: Name
    options: Options
    config: Options


@dataclass(frozen=True)
class Select:
    """A plain query and its ``CONFIG (...)``."""

    sql: str
    config: Options


@dataclass(frozen=True)
class SelectInto:
    """``SELECT ... INTO OUTFILE 'path' [OPTIONS (...)] [CONFIG (...)]``."""

    sql: str
    path: str
    options: Options
    config: Options


@dataclass(frozen=True)
class Deploy:
    """``DEPLOY [IF NOT EXISTS] name [OPTIONS (...)] SELECT ...``; IF NOT EXISTS has no effect."""

    name: str
    sql: str
    options: Options
    if_not_exists: bool = False


@dataclass(frozen=True)
class DropDeployment:
    """``DROP DEPLOYMENT [IF EXISTS] name``; IF EXISTS has no effect."""

    name: Name
    if_exists: bool = False


@dataclass(frozen=True)
class CreateProcedure:
    """``CREATE PROCEDURE name ([CONST] column type, ...) BEGIN SELECT ...; END``.

    OR REPLACE, IF NOT EXISTS and OPTIONS are read and have no effect, as in OpenMLDB.

    Attributes:
        name: The procedure's.
        parameters: The columns of a request.
        constants: The names of those that are the same in all rows of a request.
        sql: The SELECT.
    """

    name: str
    parameters: tuple[ColumnDef, ...]
    constants: tuple[str, ...]
    sql: str


@dataclass(frozen=True)
class DropProcedure:
    """``DROP PROCEDURE [IF EXISTS] name``; IF EXISTS has no effect."""

    name: Name


@dataclass(frozen=True)
class CallProcedure:
    """``CALL [db.]name (expression, ...)``: each argument as it is written."""

    name: Name
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class DropFunction:
    """``DROP FUNCTION [IF EXISTS] name``."""

    name: str
    if_exists: bool = False


@dataclass(frozen=True)
class Show:
    """``SHOW what``: ``what`` in upper case without its argument, e.g. ``CREATE TABLE``, ``JOB``."""

    what: str
    argument: Name | None = None
    number: int | None = None
    source: str | None = None
    like: str | None = None


@dataclass(frozen=True)
class StopJob:
    """``STOP JOB n``."""

    number: int


@dataclass(frozen=True)
class Desc:
    """``DESC t``."""

    table: Name


@dataclass(frozen=True)
class SetVar:
    """``SET @@[session.|global.]name = value``."""

    scope: str
    name: str
    value: Literal


@dataclass(frozen=True)
class Explain:
    """``EXPLAIN SELECT ...``."""

    sql: str


@dataclass(frozen=True)
class Refused:
    """A statement that is understood and never run: why, and the code that says so."""

    reason: str
    code: int


Statement: TypeAlias = (
    CreateDatabase
    | DropDatabase
    | Use
    | CreateTable
    | DropTable
    | CreateIndex
    | DropIndex
    | Insert
    | Delete
    | Truncate
    | AlterTable
    | LoadData
    | Select
    | SelectInto
    | Deploy
    | DropDeployment
    | CreateProcedure
    | DropProcedure
    | CallProcedure
    | DropFunction
    | Show
    | StopJob
    | Desc
    | SetVar
    | Explain
    | Refused
)
