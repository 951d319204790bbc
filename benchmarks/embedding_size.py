"""IMF with entity embeddings of several sizes (Figure 6 of the paper).

python benchmarks/embedding_size.py --graph countries --sizes 16 32 64 128 256
"""

from configs import config, variant
from experiment import parser, run
from torch import set_num_threads

args = parser(__doc__, seeds=3)
args.add_argument("--sizes", nargs="+", type=int, default=[16, 32, 64, 128, 256])
args = args.parse_args()
set_num_threads(args.threads)

for size in args.sizes:
    settings = variant(config(args.graph), hidden_channels=size)
    for seed in range(args.seeds):
        run("embedding_size", f"{size}", settings, seed)
