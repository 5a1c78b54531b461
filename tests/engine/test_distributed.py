from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What the full and the empty rank found, for every network: one run for all of them."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0",
        "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0",
        str(HERE / "two_ranks.py"), str(folder),
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize(
    "network", ["tiny_solov2", "tiny_yolact", "tiny_condinst", "tiny_rtmdet_ins"]
)
def test_a_rank_without_objects_does_not_disagree(ranks, network):
    full, empty = (rank[network] for rank in ranks)
    assert full["keys"] == empty["keys"]
    assert full["gradients"] == empty["gradients"]
    assert any(full["gradients"])
    assert empty["mil"] == 0 < full["mil"]
    # In every iteration both have the mean over the ranks with objects, and decide alike by it.
    assert full["running"] == empty["running"] == pytest.approx([full["mil"]] * 2)
    assert full["is_open"] is empty["is_open"] is True
    assert full["mil"] > 0.5
    assert full["started"] is empty["started"] is False
