"""What a graph of many entities takes on several machines, the arithmetic of
`docs/source/tutorial/scale.rst`: AdaMF with a text each, against 64 negatives that 128 facts share,
by a process per machine that holds a share of the entities (`shard`). Its rate is that of a process
of one thread in the last line of `results/distributed.jsonl`, so that more threads take less time.

    python benchmarks/plan.py --num_nodes 100000000 --machines 8
"""

import argparse

from results import lines

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--num_nodes", type=int, default=100_000_000)
parser.add_argument("--num_facts", type=int, default=500_000_000)
parser.add_argument("--num_features", type=int, default=384)
parser.add_argument("--channels", type=int, default=128)
parser.add_argument("--machines", type=int, default=8)
parser.add_argument("--batch_size", type=int, default=65_536)
parser.add_argument("--states", type=int, default=2, help="of each parameter: Adagrad 1, Adam 2")
parser.add_argument("--gbit", type=float, default=10.0, help="what a machine sends per second")
args = parser.parse_args()

found = [x for x in lines("distributed") if x["settings"]["task"] == "sampled"]
found = [x for x in found if x["settings"]["how"] == "shards" and not x["settings"]["on_disk"]]
found = [x for x in found if x["settings"].get("negatives", 64) == 64]
if not found:
    raise SystemExit("There is no rate yet: run 'python benchmarks/distributed.py' first")
# What each of its processes did, which shared the work of a batch:
rate = found[-1]["metrics"]["per_busy_second"] / found[-1]["settings"]["processes"]

nodes, both_sides = args.num_nodes / args.machines, 2 * args.num_facts
entity = 4 * args.channels * (1 + args.states) + 4 * args.num_features
# Facts of both sides and their sorted index, in each process: seven numbers of eight bytes.
facts, seen = 7 * 8 * both_sides, args.num_nodes
rows = (2 + 64 / 128) * args.batch_size / args.machines  # At most: heads, tails and negatives.
sent = rows * (1 - 1 / args.machines) * (2 * 2 * 4 * args.channels + 8)  # Two views, both ways.
computing = both_sides / (rate * args.machines)
sending = both_sides / args.batch_size * sent * 8 / (args.gbit * 1e9)

print(f"{args.num_nodes:,} entities, {args.num_facts:,} facts, {args.machines} machines")
held = nodes * entity, facts, seen, args.num_nodes * entity
held_gb = [f"{x / 1e9:,.1f} GB" for x in held]
print(f"Memory of each: {held_gb[0]} of entities, {held_gb[1]} of facts, {held_gb[2]} of marks")
print(f"Entities in one process: {held_gb[3]}")
print(f"Sent by each per step of {args.batch_size:,} facts: {sent / 1e6:.0f} MB at most")
print(f"An epoch: {computing / 3600:.1f} h of computing, {rate:,.0f} facts per second and machine,")
print(f"  and {sending / 3600:.2f} h of sending")
