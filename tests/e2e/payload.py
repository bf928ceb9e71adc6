"""What a replica of the same workload file sees of its surroundings, on any kind of cluster: it writes that down."""

import json
import os
import sys
from pathlib import Path

index = os.environ["FEDERATOR_REPLICA_INDEX"]
umask = os.umask(0)
os.umask(umask)
seen = {
    "index": index,
    "words": sys.argv[1:],
    "variables": {name: os.environ.get(name) for name in ("GREETING", "NAMED", "FEDERATOR_WORKLOAD")},
    "ours are set": all(os.environ.get(f"FEDERATOR_{name}") for name in ("INTENT", "CLUSTER")),
    "folder": str(Path.cwd()),
    "umask": oct(umask),
    "input": sys.stdin.read(),
}
print(f"replica {index} says {os.environ['GREETING']}", flush=True)
part = Path(f"result.{index}.part")
part.write_text(json.dumps(seen, sort_keys=True) + "\n")
(Path("where") / index).write_text(os.environ["FEDERATOR_CLUSTER"])
part.rename(f"result.{index}")
