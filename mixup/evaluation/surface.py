"""Figure 1(b) of a finished run: the decision surface of two classes in the plane."""

import numpy as np
import torch

from mixup.errors import UserError
from mixup.evaluation.finished_run import FinishedRun
from mixup.evaluation.measurements import Values, write_measurement

GRID = 64  # points a side, about as many as figure 1(b) shows
MARGIN = 1.2  # the side of the surface's square, over that of the data's


def measure_surface(run: FinishedRun) -> Values:
    """Writes surface.json, the probability of class 1 over the plane, and returns it: `x` and `y`, GRID values each,
    `probability`, a row for each y, and the training `points` (N, 2) with their `labels`. UserError for other data."""
    points = run.data.train.inputs
    if not isinstance(points, torch.Tensor) or points.shape[1:] != (2,) or run.data.info.num_classes != 2:
        raise UserError(f"{run.name}: a decision surface needs two classes in the plane, such as data=rings")
    low, high = points.min(0).values, points.max(0).values
    half = MARGIN * float((high - low).max()) / 2
    x, y = (torch.linspace(float(middle) - half, float(middle) + half, GRID) for middle in (low + high) / 2)
    grid = torch.cartesian_prod(y, x).flip(1)  # x runs fastest
    with torch.no_grad():
        probability = torch.softmax(run.of_inputs(grid.to(run.device)), 1)[:, 1].view(GRID, GRID)
    parts = {"x": x, "y": y, "probability": probability, "points": points}
    values = {name: np.round(part.cpu().numpy().astype(np.float64), 6).tolist() for name, part in parts.items()}
    return write_measurement(run.folder, "surface.json", {**values, "labels": run.data.train.labels.tolist()})
