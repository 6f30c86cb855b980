"""Parts are made on all machines of a Ray, not only by the first one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from instruct_imagen.data.clusters.engine import PartFunction

ROOT = Path(__file__).parents[3]

MAIN = """
import os, sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from tests.data.clusters.test_machines import Where
from instruct_imagen.data.clusters.engine import run_parts

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
os.environ.update(DAFT_RUNNER="ray", RAY_ADDRESS=cluster.address)
list(run_parts(Where(Path(sys.argv[1])), sys.argv[2:], workers=2))
ray.shutdown()
cluster.shutdown()
"""


class Where:
    """Writes for each part the machine that makes it; a part takes a moment, as real ones do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def opened(self) -> PartFunction:
        import time

        import ray

        def make(part: str) -> None:
            time.sleep(0.3)
            (self.folder / part).write_text(ray.get_runtime_context().get_node_id())

        return make


def test_two_machines_share_the_parts(tmp_path: Path, ray_folder: str) -> None:
    parts = [f"{number:05d}" for number in range(8)]
    subprocess.run(
        [sys.executable, "-c", MAIN, str(tmp_path), *parts],
        check=True,
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "RAY_TMPDIR": ray_folder,
        },
        timeout=300,
        capture_output=True,
    )
    made = {part: (tmp_path / part).read_text() for part in parts}
    assert len(set(made.values())) == 2, made
