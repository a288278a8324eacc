"""Path following as an ONNX graph: what `flowmask.families.flow.follow.follow` computes, for any device that ONNX Runtime knows.

The same sums in the same order and in float64, all cell pixels side by side: on the CPU provider the ends are those
of `flowmask.families.flow.follow` bit for bit. The engine follows paths with Numba on all CPU cores; `bench.gpu` measures both.
"""

from __future__ import annotations

import io
import warnings

import onnx
import torch
from torch import Tensor, nn

from export.onnx_file import OPSET
from flowmask.families.flow.constants import LONGEST, STEPS
from flowmask.families.flow.follow import ARRIVED, CHECK, NOWHERE

INPUTS = ("maps", "top", "height", "rows", "columns", "threshold")
ROUNDS = STEPS // CHECK


@torch.jit.script
def _corners(at: Tensor, top: Tensor, last: Tensor, width: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the places in the flattened rows of the four pixels around positions (2, P), and the fractions (2, P)."""
    near = at.floor()
    first = near.long()
    second = torch.minimum(first + 1, last)
    y0, y1 = (first[0] - top) * width, (second[0] - top) * width
    return [y0 + first[1], y0 + second[1], y1 + first[1], y1 + second[1]], at - near


@torch.jit.script
def _value(values: Tensor, at: Tensor, top: Tensor, last: Tensor, width: Tensor) -> Tensor:
    """Interpolate flattened rows (n * X,) at positions (2, P), as `flowmask.families.flow.follow.sample` does."""
    places, part = _corners(at, top, last, width)
    upper = values.index_select(0, places[0]).double() * (1 - part[1])
    upper = upper + values.index_select(0, places[1]).double() * part[1]
    lower = values.index_select(0, places[2]).double() * (1 - part[1])
    lower = lower + values.index_select(0, places[3]).double() * part[1]
    return upper * (1 - part[0]) + lower * part[0]


@torch.jit.script
def _ends(
    field: Tensor, at: Tensor, top: Tensor, last: Tensor, width: Tensor, rounds: int, check: int, arrived: float
) -> Tensor:
    """Return where paths (2, P) through the field (2, n * X) end: `check` steps at a time, until none moves."""
    limit = last.double()
    moving = at[0] >= 0
    done = 0
    while done < rounds and bool(moving.any()):
        new = at
        for _ in range(check):
            places, part = _corners(new, top, last, width)
            fy, fx = part[0], part[1]
            weights = [(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx]
            step = weights[0] * field.index_select(1, places[0]).double()
            step = step + weights[1] * field.index_select(1, places[1]).double()
            step = step + weights[2] * field.index_select(1, places[2]).double()
            step = step + weights[3] * field.index_select(1, places[3]).double()
            new = torch.minimum(torch.clamp(new + step, min=0.0), limit)
        still = ((new - at).abs() < arrived).all(dim=0)
        at = torch.where(moving, new, at)
        moving = moving & ~still
        done += 1
    return at


class Paths(nn.Module):
    """maps (3, n, X) float32, top, height () int64, rows (R,), columns (K,), threshold () float64 -> (R, K) int32.

    The inputs and the result are those of `flowmask.families.flow.follow.follow`, the field made of the maps as by `inner_field`;
    the maps are (3, n, X), as a network gives them.
    """

    def forward(
        self, maps: Tensor, top: Tensor, height: Tensor, rows: Tensor, columns: Tensor, threshold: Tensor
    ) -> Tensor:
        width = torch.tensor(maps.shape[2])
        last = torch.stack([height - 1, width - 1])[:, None]
        field = (maps[:2] / 5).clamp(-LONGEST, LONGEST) * (maps[2] > threshold.float()).float()
        y = rows[:, None].expand(rows.shape[0], columns.shape[0]).reshape(-1)
        x = columns[None, :].expand(rows.shape[0], columns.shape[0]).reshape(-1)
        at = torch.stack([y, x])
        inside = (_value(maps[2].reshape(-1), at, top, last, width) > threshold).nonzero()[:, 0]
        followed = at.index_select(1, inside)
        ended = _ends(field.reshape(2, -1), followed, top, last, width, ROUNDS, CHECK, ARRIVED).long()
        ends = (ended[0] - followed[0].long()) * width + ended[1]
        nowhere = torch.full_like(y, NOWHERE, dtype=torch.int32)
        return nowhere.scatter(0, inside, ends.int()).reshape(rows.shape[0], columns.shape[0])


def paths_model() -> onnx.ModelProto:
    """Return the checked ONNX model of `Paths`, its result named ``ends``, of dynamic sizes."""
    whole = torch.tensor(16)
    maps = torch.randn(3, 16, 24)
    example = (
        maps,
        whole * 0,
        whole,
        torch.arange(16.0).double(),
        torch.arange(24.0).double(),
        torch.tensor(0.0).double(),
    )
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The newer exporter needs onnxscript, and does not take loops that end early.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Paths().eval(),
            example,
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=["ends"],
            dynamic_axes={"maps": {1: "n", 2: "X"}, "rows": {0: "R"}, "columns": {0: "K"}, "ends": {0: "R", 1: "K"}},
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(model)
    return model
