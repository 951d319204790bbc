r"""Tables of facts: which columns are head, relation and tail, by what the first row says, and by
what recurs in the rows below.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from torch_imf.io import some, tables, warn
from torch_imf.io.tables import WHOLE, Column, Layout, Table, coded, read_columns, short, where

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ROLES = ("head", "relation", "tail")
COLUMNS = (
    *(Column(role) for role in ROLES),
    *(Column(f"name of the {role}", required=False, ids=False) for role in ROLES),
    *(Column(f"type of the {role}", required=False, ids=False) for role in ("head", "tail")),
    Column("split", required=False, ids=False),
)
# What columns are called, the surest words first, in common languages and by common tools:
WORDS = {
    "head": "head subject subj node1 entity1 headentity e1 start source src from origin item x "
    "subjekt kopf quelle von sujet tête départ sujeto cabeza origen soggetto testa origine sujeito "
    "cabeça origem onderwerp bron fra från podmiot źródło субъект özne 头实体 头 主语 主体 主語 "
    "주어 머리 chủ_thể chủ_ngữ h s",
    "relation": "predicate relation relationship property pred rel edge metaedge link verb "
    "prädikat beziehung prédicat propriété predicado relación propiedad predicato relazione "
    "proprietà relação predicaat relatie predykat relacja предикат отношение связь yüklem ilişki "
    "forhold 关系 谓语 述語 関係 관계 서술어 quan_hệ vị_ngữ type label r p",
    "tail": "tail object obj node2 entity2 tailentity e2 end target dst to destination value y "
    "objekt ziel nach objet cible arrivée queue objeto cola destino oggetto coda destinazione "
    "cauda til till voorwerp doel obiekt cel объект nesne 尾实体 尾 宾语 客体 目的語 목적어 "
    "꼬리 đối_tượng tân_ngữ t o",
}
NUMBER = re.compile(r"[-+]?\d[\d.,:/ T+-]*(e[-+]?\d+)?Z?", re.IGNORECASE)  # Or a date.
PROPERTY = re.compile(r"[\w()]+\.\w+|(element)?id\(.+\)", re.IGNORECASE)  # In Cypher.
TWICE = {"entity", "node", "name", "id", "concept"}
WEAK = 7  # Heads and tails of other words than these are weak: start, end, from, to, source, value.
TYPES = ("type", "types", "labels", "class", "category", "kind")
SPLITS = {"train": "train", "test": "test"}  # What a column 'split' says.
SPLITS |= dict.fromkeys(("val", "valid", "validation", "dev"), "val")
IDS, LABELS = ("index", "id", "iri", "uri", "curie", "qid"), ("name", "label", "title")
OVERRULE = (
    "If that is wrong, pass 'columns=\"1,2,3\"' (the places of head, relation and tail, or their "
    "names), 'header=True' or 'header=False'"
)
LANGUAGE = re.compile(r"""^(['"])(.*)\1@[\w-]+$""")
# What a word stands for: its role, its place in the list, and whether it is an identifier (0), a
# name (2), or does not say (1).
Meaning = tuple[int, int, int]


def simplify(text: str) -> str:
    r"""Returns a word without case, accents and what separates words."""
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(x for x in text if not unicodedata.combining(x))
    return re.sub(r"[\W_]+", "", text).translate({0x131: "i", 0x142: "l", 0x111: "d"})


def _meanings() -> dict[str, Meaning]:
    out: dict[str, Meaning] = {}
    for i, role in enumerate(ROLES):
        middles = ("", "type") if role == "relation" else ("", "entity", "node")
        for j, stem in enumerate(map(simplify, WORDS[role].split())):
            for kind, ends in enumerate((IDS, ("",), LABELS)):
                for word in (f"{stem}{x}{y}" for x in middles for y in ends):
                    out.setdefault(word, (i, j, kind))
    return out


MEANINGS = _meanings()
TYPES_OF = {  # As in 'head_type', 'x_type' and 'subject_category'.
    f"{simplify(stem)}{end}": role
    for role in ("head", "tail")
    for stem in WORDS[role].split()
    for end in TYPES
}


def meaning(name: str) -> Meaning | None:
    r"""Returns what the name of a column stands for, :obj:`None` if it is not known. Neo4j writes
    :obj:`:START_ID(Person)`, or a type after a colon.
    """
    name = re.sub(r"\(.*\)$", "", name.strip())
    words = (name, name.rpartition(":")[2], name.partition(":")[0])
    return next((MEANINGS[x] for x in map(simplify, words) if x in MEANINGS), None)


@dataclass
class FactTable:
    r"""The facts of a table: columns of head, relation and tail, the names of entities and of
    relations by identifier where columns give them, what was decided, in words, the places of head,
    relation and tail, the types of entities by identifier, and, if a column tells it, the split of
    each fact (:obj:`"train"`, :obj:`"val"`, :obj:`"test"`, or nothing).
    """

    columns: "list[pa.DictionaryArray]"
    names: dict[str, str] = field(default_factory=dict)
    rel_names: dict[str, str] = field(default_factory=dict)
    note: str = ""
    order: Sequence[int] = (0, 1, 2)
    types: dict[str, list[str]] = field(default_factory=dict)
    split: "pa.Array | None" = None

    @property
    def are_numbers(self) -> bool:
        r"""Whether all are written with whole numbers."""
        import pyarrow.compute as pc

        names = (x.dictionary for x in self.columns)
        return all(pc.all(pc.match_substring_regex(x, r"^\d+$")).as_py() for x in names)


def read_fact_table(
    source: "str | pd.DataFrame",
    header: bool | None = None,
    columns: Sequence[str] | None = None,
    ids: Callable[[], Sequence[Sequence[str]]] = tuple,
    order: Sequence[int] | None = None,
) -> FactTable:
    r"""Reads the facts of a table.

    Args:
        source (str or pandas.DataFrame): The file, or the table itself.
        header (bool, optional): Whether the first row names the columns. By default, what it says
            and whether its cells recur below decides.
        columns (list[str], optional): The columns of head, relation and tail, by their names or
            their places from 1. By default, their names and what recurs in them decides.
        ids (callable, optional): Returns the names that numbers may stand for, of heads, relations
            and tails, as in OpenKE's files. It is asked where all cells are numbers.
        order (list[int], optional): The places of head, relation and tail in the file of training
            facts, which hold for others that have no header.

    Raises:
        ValueError: If a row cannot be read, or the columns cannot be told.
    """
    table = Table(source, 3)
    announced = None
    if len(table.block) > 1 and len(table.block[0][1]) == 1 < len(table.block[1][1]):
        (cell,) = table.block[0][1]
        if cell.strip().isdecimal():  # As OpenKE begins a file.
            announced = int(cell)
            del table.block[0]
    is_kgtk = len(table.block) > 0 and {"node1", "label", "node2"} <= {*table.block[0][1]}
    first = table.block[0][1] if table.block else []
    layout, note = find_facts(table, header, columns, announced is not None, ids, order)
    found = read_columns(table, layout)
    ends = [cell for i, cell in enumerate(first) if i in layout.index[:3:2]]
    _check_spaces(table.path, ends, found)
    size = len(found[0])
    if announced not in (None, size):
        raise ValueError(f"'{table.path}' announces {announced:,} facts, but has {size:,}")
    if is_kgtk:
        found = _without_literals(found, table.path)
    head, relation, tail = (
        _pairs(found[i], found[i + 3]) if layout.index[i + 3] is not None else {} for i in range(3)
    )
    note = "; ".join(x for x in (note, table.note) if x)
    types: dict[str, list[str]] = {}
    for i, j in ((0, 6), (2, 7)):
        for node, words in _distinct(found[i], found[j]) if layout.index[j] is not None else ():
            types[node] = list(dict.fromkeys([*types.get(node, ()), *split_types(words)]))
    places = [i or 0 for i in layout.index[:3]]
    split = None if layout.index[8] is None else _splits(source, found[8], layout.index[8])
    return FactTable(found[:3], tail | head, relation, note, places, types, split)


def find_facts(
    table: Table,
    header: bool | None = None,
    columns: Sequence[str] | None = None,
    counted: bool = False,
    ids: Callable[[], Sequence[Sequence[str]]] = tuple,
    order: Sequence[int] | None = None,
) -> tuple[Layout, str]:
    r"""Returns where head, relation and tail are, and says so in words. A header is taken off the
    table. Warns where this is in doubt.
    """
    if not table.block:
        return Layout(COLUMNS, [0, 1, 2, *[None] * 6], 3), ""
    (line, first), *others = table.block
    first, width, place = [x.strip() for x in first], len(first), where(table.path, line)
    body = [[x.strip() for x in row] for _, row in others if len(row) == width]
    tables.check_quotes(table)
    if any(re.fullmatch(r"\[:.+\]", cell) for cell in chain(*body[:1])):
        how = "return what names these, as in 'RETURN n.name, type(r), m.name'"
        raise ValueError(f"{place}: nodes and relationships of Neo4j as a whole, {how}")
    is_asked, header = header is True, True if table.is_named else header
    index, doubts = _by_meaning(first if header is not False else [], body)
    known = [i for i in index[:3] if i is not None]
    recurs = any(set(first) & set(row) for row in body)
    if columns is not None:
        known, by_name = _chosen(columns, first, place)
        header = True if by_name else header
    elif len(known) == 2 and (rest := _only_other(first, index)) is not None:
        cells = [_holds_numbers(body, i) for i in (rest, *known)]
        if cells[0] and (not all(cells) or any("." in row[rest] for row in body)):
            message = f"{_incomplete(first, place)}, as '{first[rest]}' holds numbers"
            raise ValueError(f"{place}: {message}. {OVERRULE}")
        if header or not (recurs or any(len(first[i]) == 1 for i in known)):
            known.insert(index.index(None), rest)
            doubts.append(f"'{first[rest]}' is taken for the {ROLES[index.index(None)]}")
    if header is None and len(body) > 1:  # No number above numbers alone.
        is_number = [[WHOLE.fullmatch(row[i]) is not None for row in body] for i in range(width)]
        above = [not WHOLE.fullmatch(cell) for cell in first]
        header = any(all(x) and y for x, y in zip(is_number, above, strict=True)) or None
    if header is None:
        words = known if columns is None else [i for i in index[:3] if i is not None]
        header, sure = _is_header([first[i] for i in words], body, words)
        if not header and doubts:  # Two words alone make no header.
            doubts, sure = [], True
        if not sure:
            kind = "a header" if header else "a fact, as its cells recur below"
            doubts.append(f"{short(first)} is taken for {kind}")
        elif not header and len(words) == 2 and all(len(first[i]) > 1 for i in words):
            doubts += [message for message in [_incomplete(first, place)] if not recurs]
    if columns is None and (not header or len(known) < 3):
        if header and width != 3:
            raise ValueError(f"{place}: {_incomplete(first, place)}. {OVERRULE}")
        if header and known:
            doubts.append(_incomplete(first, place))
        known, doubt = find_order(body if header else [first, *body], counted, ids)
        by_number = all(x.isdecimal() for x in first) and ids()  # Which tell it better.
        if order is not None and max(order) < width and not by_number:
            differ = "columns are read as those of training facts, but look otherwise"
            doubt = differ if doubt and known != list(order) else ""
            known = list(order)
        doubts += [doubt] * (doubt != "")
    doubts = [*doubts, *_doubts(first, body, known, header)] if columns is None else []
    if not header and _is_alone(first, body, known):
        hint = "(if it is a header, pass 'header=True')"
        doubts.append(f"what the first row {short(first)} says occurs nowhere else {hint}")
    if header and is_asked and not table.is_named:
        columns_of = [{row[i] for row in body} for i in known]
        if sum(first[i] in x for i, x in zip(known, columns_of, strict=True)) > 1:
            doubts.append(f"{short(first)} is taken for a header, but its cells recur below")
    if doubts:
        warn(f"{place}: {'; '.join(doubts)}. {OVERRULE}")
    roles = [ROLES[known.index(i)] for i in sorted(known)]
    if not header:
        size = width if columns or (order and known == list(order)) else 3
        layout = Layout(COLUMNS, [*known, *[None] * 6], size, f". {OVERRULE}" * (width > size))
        return layout, f"no header: {', '.join(roles)}"
    labels = [None if i in known else i for i in index[3:]]
    groups = (*known, *labels), labels[:3], labels[3:5], labels[5:]
    named, names, types, split = ([first[i] for i in x if i is not None] for x in groups)
    for name in named:
        if first.count(name) > named.count(name):
            raise ValueError(f"{place}: the header has '{name}' twice (got {short(first)})")
    if left := [name for name in first if name not in named]:
        warn(f"'{table.path}': the columns {left} are left out")
    del table.block[0]
    note = ", ".join(f"{role} is '{first[i]}'" for role, i in zip(ROLES, known, strict=True))
    told = {"names are": names, "types are": types, "splits are": split}
    note += "".join(f", {words} {found}" for words, found in told.items() if found)
    return Layout(COLUMNS, [*known, *labels], width), note


def _check_spaces(path: str, ends: Sequence[str], found: "list[pa.DictionaryArray]") -> None:
    # Neo4j may number people and films apart, as ':START_ID(Person)' and ':END_ID(Film)' say.
    spaces = {x[1] for x in (re.search(r"_ID\((.+)\)$", end.strip()) for end in ends) if x}
    both = {*found[0].to_pylist()} & {*found[2].to_pylist()} if len(spaces) == 2 else ()
    if both:
        raise ValueError(
            f"'{path}': {some(sorted(both), 3)} are identifiers of {' and '.join(sorted(spaces))}. "
            f"Write what is unique (as 'Person-1'), here and in tables of entities"
        )


def _without_literals(found: "list[pa.DictionaryArray]", path: str) -> "list[pa.DictionaryArray]":
    # Of KGTK, where texts, dates and numbers begin as no entity does, unless its ids are numbers.
    import pyarrow.compute as pc

    found = [column.dictionary_decode() for column in found]
    heads, tails = (pc.match_substring_regex(found[i], r"^['\"^@+\-0-9]") for i in (0, 2))
    if pc.any(heads).as_py() or not pc.any(tails).as_py():
        return list(map(coded, found))
    values = found[2].filter(tails).to_pylist()
    warn(f"'{path}': {len(values):,} values of KGTK are left out, as {some(values, 3)}")
    return [coded(column.filter(pc.invert(tails))) for column in found]


# What the first row says ########################################################################


def _by_meaning(
    first: Sequence[str], body: Sequence[Sequence[str]]
) -> tuple[list[int | None], list[str]]:
    # The columns of head, relation and tail by the surest word, those of their names, and doubts.
    found: list[list[tuple[int, int, int]]] = [[], [], []]
    for i, name in enumerate(first):
        if known := meaning(name):
            found[known[0]].append((*known[1:], i))
    doubts = []  # 'Directed' in all rows is no relation, but one may be all there is:
    varied = [x for x in found[1] if len({row[x[2]] for row in body}) > 1]
    if varied and min(varied) != min(found[1]):
        kept, left = (first[min(x)[2]] for x in (varied, found[1]))
        doubts.append(f"'{kept}' is taken for the relation, as '{left}' is the same in all rows")
        found[1] = varied
    # The same word twice, as in 'entity, relation, entity':
    twins = [i for i, x in enumerate(first) if first.count(x) == 2 and simplify(x) in TWICE]
    if len(twins) == 2 and found[1] and not found[0] and not found[2]:
        found[0], found[2] = [(0, 1, twins[0])], [(0, 1, twins[1])]
    # What Cypher returns, as in 'n.name, type(r), m.name':
    ends = [i for i, name in enumerate(first) if PROPERTY.fullmatch(name)]
    if len(ends) == 2 and any(re.fullmatch(r"type\(\w+\)", name) for name in first):
        found[0], found[2] = [(0, 1, ends[0])], [(0, 1, ends[1])]
    best = [min(x, default=None) for x in found]
    # A name needs the same stem as its identifier (head_id and head, not predicate and relation):
    names = [
        next((i for stem, kind, i in sorted(x) if stem == y[0] and kind > y[1]), None)
        if y
        else None
        for x, y in zip(found, best, strict=True)
    ]
    index = [x and x[2] for x in best]
    used = {i for i, name in enumerate(first) if meaning(name) or simplify(name) in TYPES_OF}
    others = [i for i in range(len(first)) if i not in {*used, *twins}]
    # Start and end, say, which are no identifiers:
    weak = [x[2] for x in (best[0], best[2]) if x is not None and x[0] >= WEAK and x[1] == 1]
    odd = [i for i in weak if _holds_numbers(body, i)]
    others = [i for i in others if all(x[i] and not NUMBER.fullmatch(x[i]) for x in body)]
    if len(odd) == 2 and len(others) > 1:
        unused = [first[i] for i in others]
        doubts.append(
            f"'{first[odd[0]]}' and '{first[odd[1]]}' hold numbers or dates, not {unused}"
        )
    plain_names = list(map(simplify, first))
    plain = [TYPES_OF.get(name) for name in plain_names]
    types = [plain.index(role) if role in plain else None for role in ("head", "tail")]
    split = plain_names.index("split") if "split" in plain_names else None
    if split is not None and not any(x[split].lower() in SPLITS for x in body):
        split = None
    return [*index, *names, *types, split], doubts


def _holds_numbers(body: Sequence[Sequence[str]], i: int) -> bool:
    return bool(body) and all(NUMBER.fullmatch(row[i] or "0") for row in body)


def _only_other(first: Sequence[str], index: Sequence[int | None]) -> int | None:
    # The only column that is of no meaning.
    others = [i for i, name in enumerate(first) if i not in index and meaning(name) is None]
    return others[0] if len(others) == 1 else None


def _chosen(columns: Sequence[str], first: Sequence[str], place: str) -> tuple[list[int], bool]:
    # The columns that were asked for, and whether by name.
    if all(x.isdecimal() and 1 <= int(x) <= len(first) for x in columns):
        return [int(x) - 1 for x in columns], False
    plain = list(map(simplify, first))
    places = dict(zip(map(str, range(1, len(first) + 1)), range(len(first)), strict=True))
    places |= {x: plain.index(x) for x in plain} | {x: first.index(x) for x in first}
    for name in columns:
        if name not in places and simplify(name) not in places:
            raise ValueError(f"{place}: there is no column '{name}' (got {short(first)})")
    return [places[x] if x in places else places[simplify(x)] for x in columns], True


def _is_header(
    cells: Sequence[str], body: Sequence[Sequence[str]], trio: Sequence[int]
) -> tuple[bool, bool]:
    # Whether a first row of words for head, relation and tail is a header, and whether it is sure.
    if len(cells) < 3:
        return False, True
    head, relation, tail = trio
    nodes = {row[i] for row in body for i in (head, tail)}
    shapes = {re.sub(r"\d+", "0", x) for x in nodes if not x.isdecimal()}
    recurs = [
        cells[i] in nodes or (re.sub(r"\d+", "0", cells[i]) in shapes and not cells[i].isalpha())
        for i in (0, 2)
    ]
    of_relation = cells[1] in {row[relation] for row in body}
    # 'e1 r e2' and 's p o' may well be facts, but a graph about bodies has a head as well:
    is_plain = len(cells[0]) > 1 and cells[0].isalpha()
    of_letters = len(cells[0]) == 1 and any(len(x) == 1 and x.isalpha() for x in nodes)
    is_fact = any(recurs) and (of_relation or not is_plain) or of_relation and of_letters
    return not is_fact, of_relation if is_fact else not (any(recurs) or of_relation)


def _incomplete(first: Sequence[str], place: str) -> str:
    message = f"{short(first)} names columns, but not all of head, relation, tail"
    if all(meaning(name) and len(name) > 1 for name in first):  # Letters may be all.
        raise ValueError(f"{place}: {message}. {OVERRULE}")
    return message


# What recurs ####################################################################################


def find_order(
    rows: Sequence[Sequence[str]],
    counted: bool = False,
    ids: Callable[[], Sequence[Sequence[str]]] = tuple,
) -> tuple[list[int], str]:
    r"""Returns the columns of head, relation and tail of facts without a header, and a doubt about
    them, if any.
    """
    usual, openke = [0, 1, 2], [0, 2, 1]
    if len(rows[:1]) == 0 or len(rows[0]) != 3:
        return usual, ""
    first, second, third = found = [{row[i] for row in rows} for i in range(3)]
    doubt = "column {} repeats as relations do, and is read as such"
    if all(x.isdecimal() for column in found for x in column):
        largest = [max(map(int, column)) for column in found]
        known = ids()
        fits = [len(known) > 0 and x < len(known[1]) for x in largest[1:]]
        if fits[0] != fits[1]:
            return (openke, "") if fits[1] else (usual, "")
        if counted or known:  # OpenKE's files.
            if 3 * len(second) > len(third):
                return openke, ""
            return usual, doubt.format(2)
        # Relations are few, and numbered from 0:
        if 3 * len(third) <= len(second) and largest[2] <= 2 * len(third):
            return openke, doubt.format(3)
        return usual, ""
    # Heads and tails share names, and neither does with relations:
    for order in (openke, [1, 0, 2]):
        head, relation, tail = (found[i] for i in order)
        shared = len(head & tail) > 2 and not first & third and not relation & (head | tail)
        if shared and len(rows) > 9 and 2 * len(relation) <= min(len(head), len(tail)):
            return order, doubt.format(order[1] + 1)
    return usual, ""


def _doubts(
    first: Sequence[str], body: Sequence[Sequence[str]], trio: Sequence[int], header: bool
) -> list[str]:
    # What is odd about facts.
    rows = [*([] if header else [first]), *body]
    if len(rows) < 6 or any(i >= len(rows[0]) for i in trio):
        return []
    head, relation, tail = trio
    nodes = Counter(row[i] for row in rows for i in (head, tail))
    rels = Counter(row[relation] for row in rows)
    out = []
    if len(rels) > len(nodes):
        out.append(f"there are more relations ({len(rels):,}) than entities ({len(nodes):,})")
    columns = [{row[i] for row in rows} for i in range(len(rows[0]))]
    few = [i for i, column in enumerate(columns) if 10 * len(column) <= len(rows)]
    if few and 2 * len(rels) > len(rows):
        names = [f"'{first[i]}'" if header else i + 1 for i in (few[0], relation)]
        out.append("column {} repeats as relations do, column {} does not".format(*names))
    return out


def _is_alone(first: Sequence[str], body: Sequence[Sequence[str]], trio: Sequence[int]) -> bool:
    # Whether no cell of the first row alone occurs in others.
    if len(body) < 5 or any(i >= len(first) for i in trio):
        return False
    head, relation, tail = trio
    rows = [first, *body]
    nodes = Counter(x for row in rows for x in {row[head], row[tail]})
    rels = Counter(row[relation] for row in rows)
    alone = (nodes[x[head]] == nodes[x[tail]] == rels[x[relation]] == 1 for x in rows)
    return next(alone) and not any(alone)


def _splits(source: "str | pd.DataFrame", column: "pa.DictionaryArray", place: int) -> "pa.Array":
    import pyarrow as pa

    found = column.dictionary.to_pylist()
    if unknown := {x for x in found if x and x.lower() not in SPLITS}:
        table = Table(source, 3)
        line, word = next((i, x[place]) for i, x in table.rows if x[place].strip() in unknown)
        raise ValueError(
            f"{where(table.path, line)}: there is no split '{word}', expected one of {[*SPLITS]}"
        )
    words = [SPLITS.get(x.lower()) for x in found]
    return pa.array(words, pa.string()).take(column.indices)


def _pairs(ids: "pa.DictionaryArray", names: "pa.DictionaryArray") -> dict[str, str]:
    # A name of each identifier, the first in alphabetical order if it has several, without a
    # language as in 'name'@en.
    plain = {node: name for node, name in sorted(_distinct(ids, names), reverse=True) if name}
    return {node: LANGUAGE.sub(r"\2", name) for node, name in plain.items()}


def _distinct(ids: "pa.DictionaryArray", cells: "pa.DictionaryArray") -> Iterable[tuple[str, str]]:
    import pyarrow as pa

    columns = {"id": ids.dictionary_decode(), "cell": cells.dictionary_decode()}
    found = pa.table(columns).group_by(["id", "cell"]).aggregate([])
    return zip(found["id"].to_pylist(), found["cell"].to_pylist(), strict=True)


def split_types(cell: str) -> list[str]:
    r"""Returns the types that a cell names, as in :obj:`"Person;Actor"`, or :obj:`":Person:Actor"`
    of Neo4j.
    """
    parts = cell.split(":" if cell.startswith(":") else ";")
    return list(filter(None, map(str.strip, parts)))
