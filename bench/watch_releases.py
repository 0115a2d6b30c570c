"""Looks at the release folder and the model repository without a pause, as any reader might.

Ends when its standard input is closed; prints how often it looked and what it found wrong.

    python bench/watch_releases.py HOME
"""

from __future__ import annotations

import argparse
import json
import select
import sys
from pathlib import Path

from nightshift import files
from nightshift.errors import NightshiftError
from nightshift.pipeline import Pipeline
from nightshift.registry import pointer
from nightshift.settings import Settings
from nightshift.triton import repository as model_repository


def look(pipeline: Pipeline, known: dict[Path, int]) -> list[str]:
    """What is half-written at this moment under a name that somebody reads.

    `known` remembers manifests that were read and verified, which takes a millisecond each.
    """
    wrong = []
    store = pipeline.store
    try:
        live = pointer.read_live(store.root)
        if live is None:
            wrong.append("no release is live")
        elif store.folder(live.release_id).manifest().checksum != live.manifest_checksum:
            wrong.append(f"the pointer's {live.release_id} has another manifest")
        for path in store.root.glob("????-??-??.???"):
            folder = store.folder(path.name)
            inode = folder.manifest_path.stat().st_ino
            if known.get(path) != inode:
                folder.manifest()
                known[path] = inode
            folder.verdict()
            if not (folder.spec.is_file() and folder.sql.is_file()):
                wrong.append(f"{path} is not whole")
        for path in store.leases.glob("*.json"):
            files.read_json(path)
        repo, model = pipeline.model_repo, pipeline.model
        model_repository.pins(repo, model)
        for version in model_repository.versions(repo, model):
            path = model_repository.version_folder(repo, model, version)
            whole = (path / "golden.npz").is_file() and (path / "model").is_dir()
            if not whole and path.is_dir():
                wrong.append(f"{path} is half a version")
    except (NightshiftError, OSError) as error:
        # A lease may go between the listing and the reading; nothing else ever does.
        if not ("/leases/" in str(error) and "is not there" in str(error)):
            wrong.append(str(error))
    return wrong


def main() -> int:
    """Watch until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    pipeline = Pipeline.load(Settings(home=parser.parse_args().home))
    looks, found, known = 0, dict[str, int](), dict[Path, int]()
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        looks += 1
        for text in look(pipeline, known):
            found[text] = found.get(text, 0) + 1
    sys.stdout.write(json.dumps({"looks": looks, "found": found}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
