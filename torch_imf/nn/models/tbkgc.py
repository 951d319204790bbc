from torch_imf.nn.models.ikrl import IKRL


class TBKGC(IKRL):
    r"""The TBKGC model (MKGC in the IMF paper) from the `"A Multimodal
    Translation-Based Approach for Knowledge Graph Representation Learning"
    <https://aclanthology.org/S18-2027/>`_ paper: the energies of
    :class:`~torch_imf.nn.IKRL`, and that of the sums of both embeddings:

    .. math::
        E = E_S + E_{M1} + E_{SM} + E_{MS} + E_{M2}, \qquad E_{M2} = \|
        (\mathbf{h}_s + \mathbf{h}_m) + \mathbf{r} - (\mathbf{t}_s +
        \mathbf{t}_m) \|_p

    The score is :math:`5 \gamma - E`. The paper concatenates the features of
    images and words before projecting them; this takes any modalities, each
    projected by itself, and the rest differs as it does in IKRL. Arguments are
    those of :class:`~torch_imf.nn.IKRL`.
    """

    total = True
