"""Link prediction with AdaMF-MAT and what it is compared with (Tables 2-3 and Figure 4 of its
paper).

    python benchmarks/adamf.py --graph mkgy --seeds 3 --rows AdaMF AdaMF-MAT mean "w/o T"
    python benchmarks/adamf.py --graph db15k --rows TransE IKRL
    python benchmarks/adamf.py --graph countries --seeds 5

Rows:

- `TransE`, `RotatE` against sampled negatives, `DistMult`, `ComplEx`, `TuckER` against all:
  structure alone.
- `IKRL`, `TBKGC`, `RSME`: with texts in place of images; `IKRL-MAT`, `TBKGC-MAT`: with
  the adversary as well.
- `AdaMF`, `AdaMF-MAT`: adaptive fusion, without and with the adversary, under ComplEx against all
  entities; `AdaMF, RotatE`, `AdaMF-MAT, RotatE`: the paper's Eq. 6-8.
- `mean`: mean fusion; `w/o T`: without texts; `w/o S`: without structure; `w/o V`: without images,
  on `countries` and `openmoji`, as the other graphs have none; `element-wise`, `shared vector`:
  other readings of Eq. 4.
- `w/o (h*, r, t)` and so on: AdaMF-MAT without one kind of synthetic triples; `L = 4`: with more
  groups of them; `weight 0.1`: a larger lambda.
"""

from configs import GRAPHS, Settings, adamf_rows
from experiment import parser, run
from torch import set_num_threads
from torch_geometric.data import Data

from torch_imf import AdaMF, MultimodalKGE
from torch_imf.visualize import modality_weights

args = parser(__doc__, seeds=1, graphs=GRAPHS)
args.add_argument("--rows", nargs="+", help="the rows to run, all of them by default")
args = args.parse_args()
set_num_threads(args.threads)


def weights(model: MultimodalKGE, data: Data) -> Settings:
    """The mean weight of each modality over the entities of test facts of a relation, for the ten
    relations that have most of them (Figure 5, `modality_weights.py`).
    """
    if not isinstance(model, AdaMF) or len(model.fusion.in_channels) < 2:
        return {}
    found = modality_weights(model, data, split="test")
    rounded = {r: {name: round(x, 4) for name, x in row.items()} for r, row in found.items()}
    return {"modality_weights": rounded}


rows = adamf_rows(args.graph)
unknown = sorted(set(args.rows or []) - set(rows))
if unknown:
    raise SystemExit(f"Unknown rows {unknown}, choose of {list(rows)}")
for seed in range(args.seeds):
    for label in args.rows or rows:
        run("adamf", label, rows[label], seed, extra=weights)
