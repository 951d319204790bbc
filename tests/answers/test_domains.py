import torch

from torch_imf.answers.domains import Domains
from torch_imf.data import TripletIndex


def test_domains(fake):
    num_nodes, size = fake.num_nodes, 2 * fake.num_relations
    index = TripletIndex.from_data(fake, fake.train_mask)
    domains = Domains(index, num_nodes, fake.num_relations)
    # Independently, by sets:
    node, rel = index.queries()
    heads = [set(node[rel == r].tolist()) for r in range(size)]
    for r in range(size):
        alike = [heads[s] for s in range(size) if 2 * len(heads[s] & heads[r]) > len(heads[s])]
        assert domains(r).tolist() == sorted(set().union(heads[r], *alike))


def test_first_facts():
    # Of three that have a job (0), two were born somewhere (1), and so may the third be. Of two
    # that have a flag (2), one has, which is no more than half.
    head, rel = torch.tensor([[0, 1, 2, 0, 1, 3, 0], [0, 0, 0, 1, 1, 2, 2]])
    index = TripletIndex(head, rel, torch.full_like(head, 4))
    assert Domains(index, 5, 3)(1).tolist() == [0, 1, 2]
    assert Domains(index, 5, 3)(5).tolist() == []
