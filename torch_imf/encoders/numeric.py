import torch
from torch import Tensor


class NumericEncoder:
    r"""Encodes numeric literals such as dates, populations and heights, one
    pair of columns per attribute.

    Attributes live on scales that have nothing to do with each other, and each
    is skewed in its own way. Every attribute is therefore standardised alone,
    by numbers that outliers do not move,

    .. math::
        x = \mathrm{arsinh} \left( \frac{g(v) - \mathrm{median}}{\sigma}
        \right), \qquad \sigma = \max \left( \frac{\mathrm{IQR}}{1.349},
        \frac{\mathrm{std}}{10} \right),

    where :math:`g` is the logarithm for attributes whose values are all
    positive and span more than a factor of :obj:`span` (populations, areas),
    and the identity for all others (dates, heights, coordinates). The inverse
    hyperbolic sine is linear for the bulk of the values and logarithmic in the
    tails, so that a birth in 383 BC stays a finite and ordered number.
    Median, interquartile range and standard deviation are those of
    :math:`g(v)`, and :math:`\sigma = 1` if all values are equal.
    Several values of one entity for one attribute are averaged.

    Args:
        span (float, optional): The ratio of the largest to the smallest value
            above which a positive attribute is put on a logarithmic scale.
            (default: :obj:`100.0`)

    Shapes:
        - **input:** entity rows :math:`(M)`, :math:`M` attribute names,
          values :math:`(M)`, and the number of entities
          :math:`|\mathcal{V}|`
        - **output:** :math:`(|\mathcal{V}|, 2A)` for :math:`A` distinct
          attributes in alphabetical order: first the :math:`A` standardised
          values, zero where an entity has none, then :math:`A` indicators of
          presence.
    """

    def __init__(self, span: float = 100.0) -> None:
        if not span > 1:
            raise ValueError(f"'span' needs to be greater than 1 (got {span})")

        self.span = float(span)

    def __call__(
        self,
        index: Tensor,
        attributes: list[str],
        values: Tensor,
        num_nodes: int,
    ) -> Tensor:
        r"""Returns the features of all entities.

        Args:
            index (torch.Tensor): The entity each literal belongs to.
            attributes (list[str]): The attribute of each literal.
            values (torch.Tensor): The value of each literal.
            num_nodes (int): The number of entities.

        Raises:
            ValueError: If the inputs differ in length, a value is not finite
                or an entity is out of range.
        """
        values = values.double()
        if not (index.numel() == len(attributes) == values.numel()):
            raise ValueError(
                f"Expected one entity and one attribute per value (got "
                f"{index.numel()}, {len(attributes)} and {values.numel()})"
            )
        if not values.isfinite().all():
            row = int((~values.isfinite()).nonzero()[0])
            raise ValueError(
                f"The literal '{attributes[row]}' of entity "
                f"{int(index[row])} is not finite (got {float(values[row])})"
            )
        if index.numel() > 0 and (index.min() < 0 or index.max() >= num_nodes):
            raise ValueError(
                f"Literals point to entities {int(index.min())} to "
                f"{int(index.max())}, but there are {num_nodes}"
            )

        names = sorted(set(attributes))
        column_of = {name: i for i, name in enumerate(names)}
        column = torch.tensor([column_of[name] for name in attributes], dtype=torch.long)

        value = values.clone()
        for i in range(len(names)):
            value[column == i] = self._standardize(values[column == i])

        size = (num_nodes, len(names))
        cell = index * len(names) + column
        total = value.new_zeros(size).view(-1).scatter_add_(0, cell, value)
        count = value.new_zeros(size).view(-1).scatter_add_(0, cell, torch.ones_like(value))

        x = torch.cat([(total / count.clamp(min=1)).view(size), (count > 0).view(size)], dim=-1)
        return x.float()

    def _standardize(self, value: Tensor) -> Tensor:
        low = value.min()
        if low > 0 and value.max() / low > self.span:
            value = value.log()

        first, median, third = value.quantile(value.new_tensor([0.25, 0.5, 0.75]))
        scale = torch.maximum((third - first) / 1.349, value.std(correction=0) / 10)
        scale = scale.where(scale > 0, 1.0)
        return ((value - median) / scale).arcsinh()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(span={self.span})"
