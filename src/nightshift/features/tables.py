"""The source tables: which there are, how their files lie, and what each is to the features.

One YAML file (`include/tables.yaml`) declares them; this module reads and checks it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightshift.config.yamlfile import Problems, load_yaml_mapping, nearest
from nightshift.errors import ConfigurationError
from nightshift.zones import Zone

_KEYS = ("version", "events", "snapshots", "requests", "label", "as")
UNITS_MS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000}
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class SourceTables:
    """The checked content of a table declaration.

    Attributes:
        source: the file it was read from, named in messages.
        events: tables laid out as `<table>/ds=YYYY-MM-DD/*.parquet`, each with the column that
            says which partition a row belongs to.
        snapshots: tables laid out as `<table>/*.parquet`, replaced as a whole.
        request_table: the event table whose rows are requests.
        request_id: its column that names a request.
        label_table: the table that gives the label and nothing else, if there is one.
        label_absent: what a request without a row of that table counts as once the label has
            settled, 0 or 1; None leaves such requests out of training.
        label_settle_days: days that a label needs; None where the feature specification says it.
        label_arrival: the label table's column that says when a label came, where that is not its
            time column; the report of label maturity is made of it.
        label_from: the folder or file that `data load` takes the label's table out of, where it
            has none of its own.
        label_delay_ms: milliseconds after a label row's own time from which on it is known, so that
            a window that ends so long before a request may take it; None: no window may.
        meanings: by `table.column` what `data load` takes values for, as its option --as does.
        zone: the time zone by whose days event tables are partitioned; `pipeline.yaml` says it.
    """

    source: str
    events: Mapping[str, str]
    snapshots: tuple[str, ...]
    request_table: str
    request_id: str
    label_table: str | None = None
    label_absent: int | None = None
    label_settle_days: int | None = None
    label_arrival: str | None = None
    label_delay_ms: int | None = None
    label_from: str | None = None
    meanings: Mapping[str, str] = field(default_factory=dict)
    zone: Zone = Zone()

    @property
    def request_time(self) -> str:
        """The column that orders requests."""
        return self.events[self.request_table]

    @property
    def names(self) -> tuple[str, ...]:
        """All tables, event tables first."""
        return (*self.events, *self.snapshots)

    @classmethod
    def load(cls, path: str | Path) -> SourceTables:
        """Read and check a declaration.

        Raises:
            ConfigurationError: the file is absent or wrong; the message names file and key.
        """
        path = Path(path)
        return cls.parse(load_yaml_mapping(path), source=str(path))

    @classmethod
    def parse(cls, content: Mapping[str, Any], *, source: str) -> SourceTables:
        """Check a declaration's content; `source` is named in messages.

        Raises:
            ConfigurationError: a key is missing, unknown or of the wrong type, a table is given
                twice, or one is named that is not declared.
        """
        reader = _Reader(source)
        reader.keys("", content, _KEYS)
        if content.get("version") != 1:
            reader.refuse("version", content.get("version"), "this Nightshift reads version 1")
        events = reader.mapping("events", content, "give each event table and its time column")
        for table, column in events.items():
            reader.name("events", table)
            reader.name(f"events.{table}", column)
        snapshots = content.get("snapshots", [])
        if not isinstance(snapshots, list):
            reader.refuse("snapshots", snapshots, "give a list of tables")
            snapshots = []
        for at, table in enumerate(snapshots):
            if not reader.name("snapshots", table):
                continue
            if table in events or table in snapshots[:at]:
                reader.refuse("snapshots", table, "the table is given twice; it has one layout")
        requests = reader.mapping("requests", content, "give {table: ..., id: ...}")
        if requests:
            reader.keys("requests.", requests, ("table", "id"))
            named = [reader.name(f"requests.{key}", requests.get(key)) for key in ("table", "id")]
            if named[0] and events:
                reader.one_of("requests.table", requests["table"], events)
        label, absent, settles, arrival = reader.label(content.get("label"))
        if label is not None and requests and label == requests.get("table"):
            reader.refuse("label", label, "requests have features, too; drop the key")
        elif label is not None and events:
            reader.one_of("label", label, [*events, *snapshots])
        delay = reader.delay(content.get("label"))
        taken_from = reader.taken_from(content.get("label"))
        meanings = reader.meanings(content.get("as"))
        reader.end()
        return cls(
            source=source,
            events=dict(events),
            snapshots=tuple(snapshots),
            request_table=requests["table"],
            request_id=requests["id"],
            label_table=label,
            label_absent=absent,
            label_settle_days=settles,
            label_arrival=arrival,
            label_delay_ms=delay,
            label_from=taken_from,
            meanings=meanings,
        )

    def check_created(self, created: Mapping[str, Sequence[str]], script: str) -> None:
        """Check that a script makes exactly these tables, with the columns named here.

        Args:
            created: the tables of the script, each with its columns.
            script: the script's file, named in messages.

        Raises:
            ConfigurationError: a table or a column is in one of the two files only.
        """
        problems: list[str] = []
        for table in self.names:
            if table not in created:
                hint = nearest(table, created.keys() - set(self.names))
                problems.append(
                    f"{self.source}: declares table {table}, which {script} does not create{hint}"
                )
        problems += [
            f"{script}: creates table {table}, which {self.source} does not declare, so "
            "that nothing would load it; name it under events or snapshots"
            for table in created
            if table not in self.names
        ]
        columns = [(f"events.{table}", table, column) for table, column in self.events.items()]
        columns.append(("requests.id", self.request_table, self.request_id))
        if self.label_table is not None and self.label_arrival is not None:
            columns.append(("label.arrival", self.label_table, self.label_arrival))
        problems += [
            f"{self.source}: {key} is {column}, which is not a column of {table} in "
            f"{script}{nearest(column, created[table])}"
            for key, table, column in columns
            if table in created and column not in created[table]
        ]
        if problems:
            raise ConfigurationError("\n".join(problems))


class _Reader(Problems):
    """Checks that name file, key and fix; all problems are told at once."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source

    def refuse(self, key: str, value: Any, fix: str) -> None:
        given = "missing" if value is None else repr(value)
        self.problems.append(f"{self.source}: {key} is {given}; {fix}")

    def keys(self, prefix: str, content: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in content:
            if key not in known:
                self.problems.append(
                    f"{self.source}: unknown key {prefix + str(key)!r}{nearest(str(key), known)}"
                )

    def mapping(self, key: str, content: Mapping[str, Any], fix: str) -> dict[str, Any]:
        """The mapping under a key; empty where there is none, which is a problem."""
        value = content.get(key)
        if not isinstance(value, dict) or not value:
            self.refuse(key, value, fix)
            return {}
        return value

    def name(self, key: str, value: Any) -> bool:
        if isinstance(value, str) and NAME.fullmatch(value):
            return True
        self.refuse(key, value, "give a name of letters, digits and _")
        return False

    def label(self, given: Any) -> tuple[str | None, int | None, int | None, str | None]:
        """(table, what a missing row counts as, days to settle, arrival) of the key `label`."""
        if given is None:
            return None, None, None, None
        if not isinstance(given, dict):
            return given if self.name("label", given) else None, None, None, None
        self.keys("label.", given, ("table", "from", "absent", "settles", "arrival", "delay"))
        table, arrival, absent = (given.get(key) for key in ("table", "arrival", "absent"))
        if arrival is not None:
            self.name("label.arrival", arrival)
        if not self.name("label.table", table):
            table = None
        if absent is not None and (isinstance(absent, bool) or absent not in (0, 1)):
            self.refuse("label.absent", absent, "give 0 or 1, or leave it out")
        return table, absent, self._settles(given.get("settles")), arrival

    def _settles(self, given: Any) -> int | None:
        if given is None:
            return None
        if not isinstance(given, dict):
            self.refuse("label.settles", given, "give {days: ...}")
            return None
        self.keys("label.settles.", given, ("days",))
        days = given.get("days")
        if not isinstance(days, int) or isinstance(days, bool) or days < 0:
            self.refuse("label.settles.days", days, "give whole days, 0 or more")
            return None
        return days

    def meanings(self, given: Any) -> dict[str, str]:
        """What the key `as` says; empty where there is none."""
        if given is None:
            return {}
        if not isinstance(given, dict):
            self.refuse("as", given, "give {table.column: meaning}")
            return {}
        for place, meaning in given.items():
            if not isinstance(place, str) or not isinstance(meaning, str):
                self.refuse(f"as.{place}", meaning, "give a meaning as --as of data load takes it")
        return dict(given)

    def taken_from(self, given: Any) -> str | None:
        """The name under `label.from`; None where there is none."""
        value = given.get("from") if isinstance(given, dict) else None
        return value if value is not None and self.name("label.from", value) else None

    def delay(self, given: Any) -> int | None:
        """Milliseconds of `label.delay`; None where there is none."""
        value = given.get("delay") if isinstance(given, dict) else None
        if value is None:
            return None
        fix = "give {days: ...}, {hours: ...} or {minutes: ...}, above 0"
        if not isinstance(value, dict) or len(value) != 1:
            self.refuse("label.delay", value, fix)
            return None
        self.keys("label.delay.", value, tuple(UNITS_MS))
        ((unit, count),) = value.items()
        if unit not in UNITS_MS:
            return None
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            self.refuse(f"label.delay.{unit}", count, fix)
            return None
        return count * UNITS_MS[unit]

    def one_of(self, key: str, value: Any, known: Collection[str]) -> None:
        if value not in known:
            self.problems.append(
                f"{self.source}: {key} is {value!r}, which is not declared here: "
                f"{', '.join(map(str, known))}{nearest(str(value), map(str, known))}"
            )
