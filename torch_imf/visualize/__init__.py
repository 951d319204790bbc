from .categories import plot_categories
from .contextual import contextual_embeddings, plot_contextual
from .decision import plot_completions, plot_decision
from .explanation import plot_explanation
from .history import plot_history
from .metric import plot_metric
from .modality import plot_modality_weights, plot_relation_weights
from .tsne import plot_tsne, silhouette
from .weights import modality_weights

__all__ = [
    "contextual_embeddings",
    "modality_weights",
    "plot_categories",
    "plot_completions",
    "plot_contextual",
    "plot_decision",
    "plot_explanation",
    "plot_history",
    "plot_metric",
    "plot_modality_weights",
    "plot_relation_weights",
    "plot_tsne",
    "silhouette",
]
