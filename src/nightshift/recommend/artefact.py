"""The folder of a release's retrieval.

```
recommend/
    recommend.json           options, counts, figures of the held-out days
    users.arrow, items.arrow ids in ascending order; items with the columns to filter by
    consumed_*.npy           what each user touched
    liked_*.npy              what each user liked
    <retriever>/             what it learned
```
Tables and arrays are mapped into memory, so that all workers of the predict server share them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightshift import files
from nightshift.errors import ContractError

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
CARD = "recommend.json"


def write_tables(folder: Path, users: pa.Array, items: pa.Table) -> None:
    """Write users and items as Arrow files."""
    import pyarrow as pa

    for name, table in (("users", pa.table({"id": users})), ("items", items)):
        path = str(folder / f"{name}.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())


def read_table(folder: Path, name: str) -> pa.Table:
    """One of the tables, mapped into memory."""
    import pyarrow as pa

    source = pa.memory_map(str(folder / f"{name}.arrow"))
    return pa.ipc.open_file(source).read_all().combine_chunks()


def read_card(folder: Path) -> dict[str, Any]:
    """`recommend.json`.

    Raises:
        ContractError: it is absent, broken or of another version.
    """
    card = files.read_json(folder / CARD)
    if not isinstance(card, dict) or card.get("version") != VERSION:
        raise ContractError(
            f"{folder / CARD} is of another version than {VERSION}; run the release's date again"
        )
    return card


def check(folder: Path, digest: str) -> None:
    """See that the folder is the one that its manifest names.

    Raises:
        ContractError: it is absent, or was changed.
    """
    if not folder.is_dir():
        raise ContractError(f"{folder} is not there; run the release's date again")
    if files.sha256_tree(folder) != digest:
        raise ContractError(f"{folder} was changed after its manifest was written")
