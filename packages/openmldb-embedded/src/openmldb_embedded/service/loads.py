"""LOAD DATA: files into the online or the offline data, as a job. ALTER TABLE: links to files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from openmldb_sql import statements

from openmldb_embedded import load, worker
from openmldb_embedded.catalog import OfflinePart, Record, State
from openmldb_embedded.columns import Batch
from openmldb_embedded.errors import ExecutionError
from openmldb_embedded.jobs import Context, Finish, Work
from openmldb_embedded.moods import Mood
from openmldb_embedded.paths import Roots, is_remote
from openmldb_embedded.service.background import Background
from openmldb_embedded.service.call import DONE, Call, Reply, configured
from openmldb_embedded.service.offline import (
    adopt_offline,
    append_parts,
    has_offline,
    offline_files,
)
from openmldb_embedded.service.rows import absent
from openmldb_embedded.store import Store, read_segment, write_segment


class Loads:
    """Runs LOAD DATA and ALTER TABLE."""

    def __init__(
        self, store: Store, roots: Roots, background: Background, mood: Mood | None = None
    ) -> None:
        self._mood = mood or Mood()
        self._store = store
        self._state = store.state
        self._roots = roots
        self._background = background

    def load_data(self, call: Call, s: statements.LoadData) -> Reply:
        """LOAD DATA, of the kind that its mode says."""
        db, name = call.name(s.table)
        mode = configured(call.mode, s.config)
        if not mode.online:
            work = self.offline_work(call, s)
            return self._background.run("ImportOfflineData", replace(call, mode=mode), work)
        online = partial(self._load_online, db=db, name=name, s=s)
        return self._background.run("ImportOnlineData", replace(call, mode=mode), online)

    def alter_table(self, call: Call, s: statements.AlterTable) -> Reply:
        """ALTER TABLE: paths whose files are offline rows of a table, read at each use.

        They need not exist yet. A path is read as the table's other links are, else as parquet.
        """
        table = self._state.table(*call.name(s.table))
        for added, path in s.paths:
            if added:
                self._roots.within(path)

        def make(state: State) -> Record:
            parts = list(table.parts)
            links = [part for part in parts if part.link]
            options = links[0].options if links else {"format": "parquet"}
            for added, path in s.paths:
                there = next((part for part in parts if part.link and part.path == path), None)
                if added and there is None:
                    parts.append(OfflinePart(path, True, options))
                elif added:
                    raise ExecutionError(f"The symbolic path exists: {path}")
                elif there is None:
                    raise ExecutionError(f"The symbolic path does not exist: {path}")
                else:
                    parts.remove(there)
            plain = [[part.path, part.link, dict(part.options)] for part in parts]
            return {"op": "offline", "id": table.id, "parts": plain, "replace": True}

        self._store.commit(make)
        return DONE

    def offline_work(self, call: Call, s: statements.LoadData) -> Work:
        """The work of an offline load."""
        db, name = call.name(s.table)
        return partial(self._load_offline, db=db, name=name, s=s)

    def _load_online(self, context: Context, db: str, name: str, s: statements.LoadData) -> Finish:
        options = load.LoadOptions.of(s.options)
        if options.mode != "append" or not options.deep_copy:
            raise ExecutionError(
                "import to online storage takes mode='append' and deep_copy=true only"
            )
        table = self._state.table(db, name)
        files = self._roots.sources(s.path)
        context.log(f"reading {len(files)} file(s) below {files[0].parent}")
        with context.staging() as folder:
            source = worker.Source(tuple(str(file) for file in files), options)
            outcome = context.run(worker.LoadTask(source, table.schema, str(folder), online=True))
            context.log(f"{outcome.rows} rows read")
            if not outcome.rows:
                return _nothing, None
            path = folder / "rows.arrow"
            batch = read_segment(path, table.schema)
            if options.put_if_absent:
                fresh = absent(table, batch.to_rows())
                context.log(f"{len(fresh)} rows are new")
                if not fresh:
                    return _nothing, None
                path = folder / "fresh.arrow"
                write_segment(batch.take(np.asarray(fresh)).to_arrow(), path)
                batch = read_segment(path, table.schema)
            if self._mood.spend("load_failures"):
                self._leave_half(table.id, batch, folder)
            segment = self._store.adopt_segment(path)
        return (lambda state: {"op": "segment", "id": table.id, "file": segment}), batch

    def _leave_half(self, number: int, batch: Batch, folder: Path) -> None:
        """Fail as Spark does when it cannot write on: what was written stays.

        Raises:
            ExecutionError: always.
        """
        half = batch.take(np.arange(batch.num_rows // 2))
        write_segment(half.to_arrow(), folder / "half.arrow")
        segment = self._store.adopt_segment(folder / "half.arrow")
        self._store.commit({"op": "segment", "id": number, "file": segment}, half)
        raise ExecutionError("Writing job aborted")

    def _load_offline(self, context: Context, db: str, name: str, s: statements.LoadData) -> Finish:
        options = load.LoadOptions.of(s.options)
        table = self._state.table(db, name)
        files = offline_files(self._roots, context.offline, s.path)
        if options.mode == "error_if_exists" and table.parts and not context.resumed:
            raise ExecutionError(has_offline(table))
        where = files[0] if is_remote(files[0]) else str(Path(files[0]).parent)
        context.log(f"reading {len(files)} file(s) below {where}")
        kept = {key: value for key, value in s.options.items() if key not in ("mode", "deep_copy")}
        if not options.deep_copy:
            link = [s.path, True, kept]
            return append_parts(self._store, table, [link], options.mode), None
        with context.staging() as folder:
            source = worker.Source(files, options)
            task = worker.LoadTask(source, table.schema, str(folder), online=False)
            outcome = context.run_offline(task)
            context.log(f"{outcome.rows} rows read")
            staged = [folder / name for name in outcome.files]
            return adopt_offline(self._store, table, staged, options.mode, {})


def _nothing(state: State) -> Record:
    return {"op": "nothing"}
