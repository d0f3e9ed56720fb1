"""How long it takes, and how much memory, to open the manifest of two billion examples.

Its 200,000 shards of 10,000 examples are made up, with 20 faults named in each; then a fresh
process opens it and puts the shards in the order of a seed. The peers are the limits that we set
ourselves: 10 seconds, 1 GB. A ratio over 1 is better than the limit.

    python benchmarks/manifest.py [--json PATH] [--shards N] [--repeats N]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raystudy.shards.manifest import FORMAT, SHARDS
from raystudy.shards.table import MAX_NAMED, Fault
from raystudy.shards.workers import digest

LIMIT_S = 10.0
LIMIT_GB = 1.0
EXAMPLES = 10_000
CONTENT = "0" * 20

OPEN_AND_RANK = """
import resource, sys, time
started = time.perf_counter()
import numpy as np
from raystudy.randomness import uniform
from raystudy.shards.manifest import Manifest
manifest = Manifest.open(sys.argv[1])
order = np.argsort(uniform(0, "shards", manifest.shards["shard"].to_pylist()))
sizes = manifest.shards["num_examples"].to_numpy()[order]
assert sizes.sum() == manifest.num_examples
seconds = time.perf_counter() - started
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--shards", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.shards)
        size = (Path(folder) / "manifest.parquet").stat().st_size
        runs = [measured(folder) for _ in range(options.repeats)]
    print(f"{options.shards:,} shards, manifest.parquet of {size / 1e6:.0f} MB")
    results = []
    for name, limit, unit, values in (
        ("open and rank shards", LIMIT_S, "s", [seconds for seconds, _ in runs]),
        ("memory while doing so", LIMIT_GB, "GB", [gb for _, gb in runs]),
    ):
        ours = sorted(values)[len(values) // 2]
        ratio, low, high = limit / ours, limit / max(values), limit / min(values)
        results.append(
            {
                "name": name,
                "ours": ours,
                "peer": limit,
                "peer_name": f"limit, {unit}",
                "ratio": ratio,
                "low": low,
                "high": high,
            }
        )
        print(f"{name}: {ours:.2f} of {limit:g} {unit}: {ratio:.1f} [{low:.1f}, {high:.1f}]")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def measured(folder: str) -> tuple[float, float]:
    """Seconds and gigabytes (peak resident) of one fresh process."""
    command = [sys.executable, "-c", OPEN_AND_RANK, folder]
    seconds, gigabytes = subprocess.check_output(command, text=True).split()
    return float(seconds), float(gigabytes)


def write(folder: Path, num_shards: int) -> None:
    schema = SHARDS.with_metadata({"content": CONTENT})
    with pq.ParquetWriter(folder / "manifest.parquet", schema, compression="zstd") as writer:
        for start in range(0, num_shards, 10_000):
            rows = [row(i) for i in range(start, min(start + 10_000, num_shards))]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    about = {
        "format": FORMAT,
        "content": CONTENT,
        "num_examples": num_shards * EXAMPLES,
        "num_shards": num_shards,
        "image_bytes": num_shards * EXAMPLES * 20_000,
        "faults": {Fault.NOT_AN_IMAGE.value: num_shards * MAX_NAMED},
        "source": "LAION2B",
        "settings": {"class": "LAION2B", "version": "1"},
        "beside": {},
        "class_names": [],
    }
    (folder / "manifest.json").write_text(json.dumps(about))


def row(i: int) -> dict[str, Any]:
    places = [f"{i:06d}.tar/{i:06d}{n:04d}" for n in range(MAX_NAMED)]
    reason = Fault.NOT_AN_IMAGE.value
    return {
        "shard": f"{i:06d}.tar",
        "stamp": f"{300_000_000 + i}-{1_700_000_000_000_000_000 + i * 7_919}",
        "num_examples": EXAMPLES,
        "image_bytes": EXAMPLES * 20_000,
        "first_offset": 512,
        "last_offset": EXAMPLES * 20_000,
        "ids_hash": digest([i, "ids"]),
        "content": digest([i, "content"]),
        "rows": f"rows/{digest([i, 'shard'])}-{digest([i, 'stamp'])}.parquet",
        "faults": [{"reason": reason, "count": MAX_NAMED}],
        "named": [{"reason": reason, "where": places}],
    }


if __name__ == "__main__":
    main()
