from .evaluate import evaluate
from .ranking import metrics, rank_tails

__all__ = ["evaluate", "metrics", "rank_tails"]
