"""SOLOv2 as a task network."""

from .cell_assignment import CellAssignment, assign_cells
from .detector import DiscoBoxSOLOv2
from .head import DiscoBoxSOLOv2Head

__all__ = ["CellAssignment", "DiscoBoxSOLOv2", "DiscoBoxSOLOv2Head", "assign_cells"]
