from .features import ProjectedFeatures
from .folder import from_pretrained, pretrained_graph, save_pretrained

classes = ["ProjectedFeatures"]

__all__ = [*classes, "from_pretrained", "pretrained_graph", "save_pretrained"]
