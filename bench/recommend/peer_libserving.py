"""LibRecommender's ItemCF in Redis, as libserving serves it; run by its own Python.

    peer/bin/python bench/recommend/peer_libserving.py train.csv FOLDER REDIS_PORT

`peer_librecommender.py` says how to make that Python; libserving needs `sanic<23 redis ujson
aiohttp pydantic<2` besides.
"""

from __future__ import annotations

import sys

from peer_librecommender import Finder  # type: ignore[import-not-found]


def main() -> None:
    train, folder, port = sys.argv[1:4]
    sys.meta_path.insert(0, Finder())
    import pandas as pd
    from libreco.algorithms import ItemCF  # type: ignore[import-not-found]
    from libreco.data import DatasetPure  # type: ignore[import-not-found]
    from libserving.serialization import knn2redis, save_knn  # type: ignore[import-not-found]

    frame = pd.read_csv(train)
    frame["label"] = 1
    data, info = DatasetPure.build_trainset(frame)
    model = ItemCF("ranking", info, k_sim=50)
    model.fit(data, neg_sampling=True, verbose=0)
    save_knn(folder, model, k=50)
    knn2redis(folder, host="127.0.0.1", port=int(port), db=0)


if __name__ == "__main__":
    main()
