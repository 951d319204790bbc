from . import answers as answers
from . import data as data
from . import datasets as datasets
from . import encoders as encoders
from . import evaluation as evaluation
from . import io as io
from . import nn as nn
from . import registry as registry
from . import sampler as sampler
from . import training as training
from . import transforms as transforms
from . import visualize as visualize
from .answers.calibration import Calibration as Calibration
from .answers.calibration import calibration_error as calibration_error
from .answers.entities import add_entities as add_entities
from .answers.predictor import Predictor as Predictor
from .answers.predictor import calibrate as calibrate
from .answers.predictor import complete as complete
from .answers.predictor import explain as explain
from .answers.predictor import predict as predict
from .answers.predictor import predict_file as predict_file
from .evaluation.evaluate import evaluate as evaluate
from .hub import from_pretrained as from_pretrained
from .hub import pretrained_encoders as pretrained_encoders
from .hub import pretrained_graph as pretrained_graph
from .hub import push_to_hub as push_to_hub
from .hub import save_pretrained as save_pretrained
from .nn import *
from .registry import build_model as build_model
from .registry import describe_settings as describe_settings
from .registry import register as register
from .training.distributed import shard as shard
from .training.fit import TensorBoard as TensorBoard
from .training.fit import fit as fit
from .training.fit import train as train
from .training.recipe import recipe as recipe
from .training.tune import best_settings as best_settings
from .training.tune import tune as tune
from .training.weights import fit_view_weights as fit_view_weights
from .transforms import *

__version__: str
