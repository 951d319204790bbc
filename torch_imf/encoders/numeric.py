import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from torch_imf.data.index import check_range
from torch_imf.encoders.base import Encoder


class NumericEncoder(Encoder):
    r"""Encodes numeric literals such as dates, populations and heights, one pair of columns per
    attribute.

    Attributes live on scales that have nothing to do with each other. Each is therefore
    standardised alone, by numbers that outliers do not move,

    .. math::
        x = \mathrm{arsinh} \left( \frac{g(v) - \mathrm{median}}{\sigma}
        \right), \qquad \sigma = \max \left( \frac{\mathrm{IQR}}{1.349},
        \frac{\mathrm{std}}{10} \right),

    where :math:`g` is the logarithm for attributes whose values are all positive and span more than
    a factor of :obj:`span` (populations, areas), and the identity for all others (dates, heights,
    coordinates). Median, interquartile range and standard deviation are those of :math:`g(v)`, and
    :math:`\sigma = 1` if all values are equal. The inverse hyperbolic sine keeps a birth in 383 BC
    a finite and ordered number.

    Args:
        span (float, optional): The ratio of the largest to the smallest value above which a
            positive attribute is put on a logarithmic scale. (default: :obj:`100.0`)

    Shapes:
        - **input:** entity rows :math:`(M)`, :math:`M` attribute names, values :math:`(M)`, and the
          number of entities :math:`|\mathcal{V}|`
        - **output:** features :math:`(|\mathcal{V}|, 2A)` for :math:`A` distinct attributes in
          alphabetical order: first the :math:`A` standardised values (the mean of several, zero
          where an entity has none), then :math:`A` indicators of presence; and the mask
          :math:`(|\mathcal{V}|)` of entities that have any
    """

    state = ("attributes", "floor", "median", "scale")

    def __init__(self, span: float = 100.0) -> None:
        if not span > 1:
            raise ValueError(f"'span' needs to be greater than 1 (got {span})")

        self.span = float(span)

    def fit(
        self, index: Tensor, attributes: Sequence[str], values: Tensor, num_nodes: int
    ) -> "NumericEncoder":
        r"""Finds the scale of each attribute.

        Args:
            index (torch.Tensor): The entity each literal belongs to.
            attributes (list[str]): The attribute of each literal.
            values (torch.Tensor): The value of each literal.
            num_nodes (int): The number of entities.

        Raises:
            ValueError: If the inputs differ in length, a value is not finite or an entity is out of
                range.
        """
        _check(index, attributes, values, num_nodes)
        names = sorted(set(attributes))
        column = _find_columns(attributes, names)
        rows = [self._scale(values[column == i].double()) for i in range(len(names))]
        columns = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        self._state = dict(zip(self.state, (np.array(names, dtype=str), *columns), strict=True))
        return self

    def _scale(self, value: Tensor) -> tuple[float, float, float]:
        # The least value of an attribute on a logarithmic scale (else NaN), median and deviation.
        low = float(value.min())
        is_log = low > 0 and float(value.max()) / low > self.span
        value = value.log() if is_log else value
        first, median, third = value.quantile(value.new_tensor([0.25, 0.5, 0.75])).tolist()
        scale = max((third - first) / 1.349, float(value.std(correction=0)) / 10)
        return low if is_log else math.nan, median, scale if scale > 0 else 1.0

    def transform(
        self, index: Tensor, attributes: Sequence[str], values: Tensor, num_nodes: int
    ) -> tuple[Tensor, Tensor]:
        r"""Returns the features of all entities and which of them have any. Attributes that
        :meth:`fit` has not seen are left out. Takes and raises what :meth:`fit` does.
        """
        _check(index, attributes, values, num_nodes)
        state = self.state_dict()
        names = state["attributes"].tolist()
        floor, median, scale = (torch.from_numpy(state[key]) for key in self.state[1:])
        column = _find_columns(attributes, names)
        known = column >= 0
        index, column, value = index[known], column[known], values[known].double()

        low = floor[column]
        value = torch.where(low.isnan(), value, value.maximum(low).log())
        value = ((value - median[column]) / scale[column]).arcsinh()
        cell = index * len(names) + column
        total, count = value.new_zeros(2, num_nodes * len(names))
        total.scatter_add_(0, cell, value)
        count.scatter_add_(0, cell, torch.ones_like(value))
        x, has = (x.view(num_nodes, len(names)) for x in (total / count.clamp(min=1), count > 0))
        return torch.cat([x, has], dim=-1).float(), has.any(dim=-1)


def _find_columns(attributes: Sequence[str], names: list[str]) -> Tensor:
    column_of = {name: i for i, name in enumerate(names)}
    return torch.tensor([column_of.get(name, -1) for name in attributes], dtype=torch.long)


def _check(index: Tensor, attributes: Sequence[str], values: Tensor, num_nodes: int) -> None:
    sizes = [index.numel(), len(attributes), values.numel()]
    if len(set(sizes)) > 1:
        raise ValueError(f"Expected one entity and one attribute per value (got {sizes})")
    for row in (~values.isfinite()).nonzero().view(-1)[:1].tolist():
        raise ValueError(
            f"The literal '{attributes[row]}' of entity {int(index[row])} is not finite (got "
            f"{float(values[row])})"
        )
    check_range("index", index, num_nodes)
