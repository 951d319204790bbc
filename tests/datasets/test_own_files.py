import random

import pytest
import torch

from torch_imf.datasets.own_files import read_facts, split_facts


def test_read_facts(tmp_path):
    first, second = str(tmp_path / "a.tsv"), str(tmp_path / "b.nt")
    (tmp_path / "a.tsv").write_text("c\ts\ta\nb\tr\ta\nc\ts\ta\n")
    (tmp_path / "b.nt").write_text('<d> <r> <a> .\n<d> <r> "a" .\n')
    facts, node_ids, rel_ids, counts = read_facts([first, second])
    assert node_ids == ["a", "b", "c", "d"] and rel_ids == ["r", "s"]
    assert [fact.t().tolist() for fact in facts] == [[[1, 0, 0], [2, 1, 0]], [[3, 0, 0]]]
    assert counts == {
        first: {"rows": 3, "repeated": 1, "literals": 0},
        second: {"rows": 2, "repeated": 0, "literals": 1},
    }


def test_read_facts_refuses(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"a\.tsv' holds no facts$"):
        read_facts([str(path)])
    with pytest.raises(ValueError, match=r"a\.doc' holds no facts, expected one of .*'\.nt'"):
        read_facts([str(tmp_path / "a.doc")])


def test_split_facts():
    facts = torch.stack([torch.randint(50, (600,)), torch.randint(5, (600,))])
    facts = torch.cat([facts, torch.randint(50, (1, 600))]).unique(dim=1)
    facts = torch.cat([facts, torch.tensor([[50], [5], [51]])], dim=1)  # Never to be held out.
    size = facts.size(1)
    splits = split_facts(facts, (0.7, 0.2, 0.1), 52, 6, seed=1)
    assert [split.size(1) for split in splits[1:]] == [round(0.2 * size), round(0.1 * size)]
    assert torch.equal(torch.cat(splits, dim=1).unique(dim=1), facts.unique(dim=1))
    assert splits[0][[0, 2]].unique().numel() == 52 and splits[0][1].unique().numel() == 6
    again = split_facts(facts, (0.7, 0.2, 0.1), 52, 6, seed=1)
    assert all(torch.equal(x, y) for x, y in zip(splits, again, strict=True))
    other = split_facts(facts, (0.7, 0.2, 0.1), 52, 6, seed=2)
    assert not torch.equal(splits[2], other[2])


def test_splits_do_not_depend_on_the_order_of_lines(tmp_path):
    lines = [f"n{i % 7}\tr{i % 3}\tn{i % 11}" for i in range(60)]
    path, out = tmp_path / "a.tsv", []
    for seed in range(2):
        random.Random(seed).shuffle(lines)
        path.write_text("\n".join(lines))
        (fact,), nodes, rels, _ = read_facts([str(path)])
        out.append(split_facts(fact, (0.8, 0.1, 0.1), len(nodes), len(rels)))
    assert all(torch.equal(x, y) for x, y in zip(*out, strict=True))


def test_split_facts_with_few_to_spare():
    # A circle of 10 and four chords:
    ring = torch.stack([torch.arange(10), torch.zeros(10).long(), torch.arange(10).roll(-1)])
    chords = torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0], [5, 6, 7, 8]])
    with pytest.warns(UserWarning, match=r"facts rather than 12 in all"):
        splits = split_facts(torch.cat([ring, chords], dim=1), (0.1, 0.45, 0.45), 10, 1)
    assert splits[0][[0, 2]].unique().numel() == 10
    assert min(split.size(1) for split in splits) > 0
    with pytest.raises(ValueError, match="only 0 of the 3 facts .*Please pass ready splits"):
        split_facts(torch.tensor([[0, 0, 0], [0, 0, 0], [1, 2, 3]]), (0.8, 0.1, 0.1), 4, 1)


def test_blank_nodes_of_two_files_are_not_the_same(tmp_path):
    paths = [tmp_path / name for name in ("a/x.nt", "b/x.nt", "x.tsv")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
    for path in paths[:2]:
        path.write_text("_:b1 <r> <A> .\n_:b1 <r> _:b2 .\n")
    paths[2].write_text("_:b1\tr\tA\n")
    nodes = read_facts([str(paths[0])])[1]
    assert nodes == ["A", "_:b1", "_:b2"]
    nodes = read_facts(list(map(str, paths)))[1]
    blank = ["_:b1@a/x.nt", "_:b1@b/x.nt", "_:b2@a/x.nt", "_:b2@b/x.nt"]
    assert nodes == ["A", "_:b1", *blank]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "header",
    ["h r t", "s p o", "subject predicate object", "entity1 relation entity2", "Entity_1 REL E2"]
    + ["source edge target", "Head ID|Relation Type|Tail ID", "#head relation tail"],
)
def test_headers_of_other_words(tmp_path, header):
    path = tmp_path / "a.tsv"
    words = header.split("|" if "|" in header else None)
    path.write_text("\t".join(words) + "\na\tr\tb\nt\tr\tt\n")
    facts, nodes, rels, _ = read_facts([str(path)])
    assert (facts[0].size(1), nodes, rels) == (2, ["a", "b", "t"], ["r"])
    path.write_text("s\tr\ts\na\tr\tb\n")  # Letters that are not all of a header are data.
    assert read_facts([str(path)])[0][0].size(1) == 2
