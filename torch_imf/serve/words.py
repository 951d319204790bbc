from torch_imf.answers.results import Explanation, Rank, percent, shown

#: Ranks up to which an entity is said to be well placed.
GOOD = 10


def in_words(explanation: Explanation) -> str:
    r"""Returns what stands behind a fact in sentences: what the model thinks of it, which views
    carry it, what it would be without a modality, and the training facts, paths and rules behind.
    """
    x = explanation
    head, relation, tail = x.fact
    held = f"The graph holds it, in '{x.split}'." if x.split else "The graph does not hold it."
    lines = [f"{head}  {relation}  {tail}", held]
    if x.probability is not None:
        counted = " if it were not known" if x.split else ""
        lines.append(f"The model gives it a chance of {percent(x.probability)}{counted}.")
    lines.append(
        f"Of all entities, '{tail}' is its answer number {x.rank.tail:g}; asked the other way "
        f"round, '{head}' is number {x.rank.head:g}."
    )
    if x.reasons:
        lines += ["", "It follows from rules and counts:", *(f"  {y}" for y in x.reasons)]
    if x.neighbors:
        lines += ["", "Training facts that look most like it to the model:"]
        near = [
            f"{y.head}  {y.relation}  {y.tail}  (alike by {y.similarity:.2f})" for y in x.neighbors
        ]
        lines += [f"  {line}" for line in near]
    if x.paths:
        lines += ["", f"Ways from '{head}' to '{tail}' along training facts (^-1 is backwards):"]
        lines += [f"  {'  '.join(path)}" for path in x.paths]
    lines += ["", *views_in_words(x), *modalities_in_words(x)]
    return shown("\n".join(lines))


def views_in_words(explanation: Explanation) -> list[str]:
    r"""Tells which views have most to say, and what each thinks alone."""
    weights = explanation.weights
    total = sum(abs(weight) for weight in weights.values()) or 1.0
    views = sorted(explanation.views, key=lambda view: -abs(weights[view]))
    said = [view for view in views if abs(weights[view]) >= 0.01 * total]
    if len(views) < 2:
        return []
    lines = ["By each view alone, the most heard first:"]
    for view in said:
        share, rank = abs(weights[view]) / total, explanation.views[view]
        lines.append(f"  {view}, {share:.0%} of the voice: {in_ranks(rank)}")
    if rest := len(views) - len(said):
        lines.append(f"  {rest} more, with less than 1 % of the voice each")
    return lines


def modalities_in_words(explanation: Explanation) -> list[str]:
    r"""Tells what the fact would be if no entity had a modality."""
    lines = []
    for name, rank in explanation.without.items():
        before, after = mean(explanation.rank), mean(rank)
        if after > 1.5 * before:
            how = "the fact hangs on it"
        elif before > 1.5 * after:
            how = "it speaks against the fact"
        else:
            how = "little would change"
        lines.append(f"Without {name}, {how}: {in_ranks(rank)}.")
    return lines


def in_ranks(rank: Rank) -> str:
    r"""Writes a rank of both sides."""
    good = "" if max(rank.tail, rank.head) > GOOD else ", both among the first ten"
    return f"tail number {rank.tail:g}, head number {rank.head:g}{good}"


def mean(rank: Rank) -> float:
    r"""The mean rank of both sides."""
    return (rank.tail + rank.head) / 2
