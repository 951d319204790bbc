from torch_imf.nn.models.joint import JointKGE


class AdaMF(JointKGE):
    r"""The AdaMF-MAT model from the `"Unleashing the Power of Imbalanced
    Modality Information for Multi-modal Knowledge Graph Completion"
    <https://arxiv.org/abs/2402.15444>`_ paper: entities are the adaptive
    fusion of structure and all modalities (Eq. 2-5), scored by RotatE (Eq. 6)
    and trained against self-adversarial negatives (Eq. 7-8) and, with an
    :obj:`adversary`, against synthetic modality embeddings (Eq. 9-11). These
    are the defaults of :class:`JointKGE`, whose arguments it takes.

    Without an :obj:`adversary`, or with one of weight zero, this is plain
    AdaMF: which is what the commands of the released code train, as they set
    the weight to zero.

    .. code-block:: python

        model = AdaMF(data.num_nodes, data.num_relations, 400, x_dict, mask_dict)
        mat = AdaMF(..., adversary=Adversary(weight=0.1))
    """
