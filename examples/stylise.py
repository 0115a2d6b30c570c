"""Stylise a PNG by the live release of the pipeline `style`.

    .venv/bin/python examples/stylise.py picture.png out.png [http://127.0.0.1:8100]

The predict server takes the tensors as an `.npz` file and answers with one.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

SIZE = 256


def read(path: Path) -> np.ndarray:
    """A picture as float32 [3, 256, 256], 0 to 255."""
    with Image.open(path) as picture:
        pixels = picture.convert("RGB").resize((SIZE, SIZE))
        return np.asarray(pixels, dtype=np.float32).transpose(2, 0, 1)


def write(path: Path, pixels: np.ndarray) -> None:
    """Save float32 [3, h, w], 0 to 255, as a PNG."""
    rounded = np.rint(pixels.transpose(1, 2, 0)).clip(0, 255).astype(np.uint8)
    Image.fromarray(rounded).save(path, format="PNG")


def stylise(url: str, pixels: np.ndarray, pipeline: str = "style") -> np.ndarray:
    """Ask the predict server; float32 [3, 256, 256] in and out."""
    body = io.BytesIO()
    np.savez(body, INPUT_0=pixels)
    answer = httpx.post(
        f"{url}/v1/pipelines/{pipeline}/infer",
        content=body.getvalue(),
        headers={"Content-Type": "application/x-npz"},
        timeout=60,
        trust_env=False,
    )
    answer.raise_for_status()
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as outputs:
        return np.asarray(outputs["OUTPUT_0"])


def main() -> None:
    """Read, ask, write."""
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    url = sys.argv[3] if len(sys.argv) == 4 else "http://127.0.0.1:8100"
    try:
        pixels = stylise(url, read(Path(sys.argv[1])))
    except httpx.HTTPStatusError as error:
        sys.exit(f"{url} answered {error.response.status_code}: {error.response.text}")
    except httpx.TransportError as error:
        sys.exit(f"{url} does not answer ({error}); does `./nightshift status` name another port?")
    write(Path(sys.argv[2]), pixels)
    print(f"wrote {sys.argv[2]}")


if __name__ == "__main__":
    main()
