import pytest
import torch
from torch_geometric.data import Data

from torch_imf import IMF, KGE, Calibration, Predictor
from torch_imf.encoders import PixelEncoder, TfidfEncoder
from torch_imf.serve import Content, Explorer

HOSTILE = [
    '<img src=x onerror="window.hacked = 1">',
    "<script>window.hacked = 1</script>",
    "[click](javascript:window.hacked=1) **bold** $x^2$",
    "<a href='//example.org'>a\nname of two lines</a>",
]
NAMES = [*HOSTILE, "Côte d'Azur", "Paris", "Paris", "Parma", *(f"Town {i}" for i in range(22))]


@pytest.fixture(scope="session")
def large() -> Explorer:
    r"""A model of 100,000 entities."""
    size, rels = 100_000, 20
    torch.manual_seed(0)
    index, rel = torch.randint(size, (2, 300_000)), torch.randint(rels, (300_000,))
    split = torch.arange(300_000) % 10
    masks = {"train_mask": split > 1, "val_mask": split == 0, "test_mask": split == 1}
    names = [f"{kind} {i}" for i in range(size // 4) for kind in ("Town", "River", "Port", "Hill")]
    data = Data(edge_index=index, edge_type=rel, num_nodes=size, num_relations=rels, **masks)
    data.node_names, data.node_ids = names, [f"Q{i}" for i in range(size)]
    return Explorer(Predictor(KGE(size, rels, 16).eval(), data, Calibration(1.0, 1.0, 0.0)))


@pytest.fixture(scope="session")
def explorer(tmp_path_factory) -> Explorer:
    r"""A model that was never trained, on a graph whose names and texts are hostile."""
    torch.manual_seed(0)
    size, rels = len(NAMES), [*HOSTILE[:2], "near"]
    triples = torch.stack([torch.randint(x, (120,)) for x in (size, size, 3)]).unique(dim=1)
    triples = triples[:, torch.randperm(triples.size(1))]
    split = torch.arange(triples.size(1)) % 6
    masks = {"val_mask": split == 1, "test_mask": split == 2, "train_mask": split % 3 == 0}
    masks["train_mask"] = ~(masks["val_mask"] | masks["test_mask"])
    texts = [f"{name}. A place, {name}, with a port and a market." for name in NAMES]
    encoders = {"text": TfidfEncoder(channels=8), "visual": PixelEncoder(4, 4)}
    images = [torch.randint(255, (3, 24, 36), dtype=torch.uint8) for _ in NAMES]
    ids = [f"node:{i}" for i in range(size)]
    data = Data(
        edge_index=triples[:2], edge_type=triples[2].contiguous(), num_nodes=size, num_relations=3,
        node_names=NAMES, node_ids=ids, rel_names=rels, rel_ids=["r0", "r1", "r2"], **masks,
    )  # fmt: skip
    x_dict, mask_dict = {}, {}
    for name, given in (("text", texts), ("visual", images)):
        out = encoders[name](given)
        x_dict[name], mask_dict[name] = out
    model = IMF(size, 3, 8, x_dict, mask_dict, loss="ce").eval()
    predictor = Predictor(model, data, Calibration(1.0, 1.0, 0.0), encoders)
    broken = tmp_path_factory.mktemp("images") / "broken.png"
    broken.write_bytes(b"no picture")
    pictures = dict(zip(ids, images, strict=True))
    pictures |= {"node:5": str(broken), "node:6": str(broken.with_name("gone.png"))}
    numbers = {"node:0": {HOSTILE[0]: 1_234_567.5}}
    content = Content(ids, dict(zip(ids, texts, strict=True)), numbers, pictures)
    metrics = {"mrr": 0.5, "mr": 2.0, "hits@1": 0.25, "hits@3": 0.5, "hits@10": 1.0}
    history = [{"epoch": 1, "mrr": 0.2, "loss": 1.0}, {"epoch": 2, "mrr": 0.5, "loss": 0.5}]
    return Explorer(predictor, content, metrics, history)
