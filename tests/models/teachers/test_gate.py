from __future__ import annotations

import pytest
import torch

from mmdet_discobox.models.teachers import Gate


@pytest.mark.parametrize("is_open", [True, False])
def test_the_state_is_saved_and_loaded(is_open):
    saved, loaded = Gate(is_open), Gate(not is_open)
    loaded.load_state_dict(saved.state_dict())
    assert loaded.is_open is is_open
    assert bool(loaded.opened) is is_open


def test_set_updates_the_buffer_and_its_copy():
    gate = Gate(is_open=False)
    gate.set(True)
    assert gate.is_open
    assert torch.equal(gate.opened, torch.tensor(True))
