import gzip
import json
import random
import re
import unicodedata
import warnings

import pandas as pd
import pytest

from torch_imf.io.facts import meaning, read_fact_table

# Towns, and what links them; a chain, so that everything recurs:
TOWNS = [f"town {x}" for x in "abcdefghijkl"]
RELATIONS = ["twin of", "north of", "rail to"]
FACTS = [(TOWNS[i % 12], RELATIONS[i % 3], TOWNS[(i * 5 + i // 12) % 12]) for i in range(24)]


def rows_of(found):
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def write(tmp_path, rows, name="a.tsv", sep="\t"):
    path = tmp_path / name
    path.write_text("".join(sep.join(map(str, row)) + "\n" for row in rows))
    return str(path)


def read(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_fact_table(*args, **kwargs)


@pytest.mark.parametrize(
    "header",
    [
        ":START_ID|:TYPE|:END_ID",
        ":START_ID(Town)|:TYPE|:END_ID(Town)",
        "_start|_type|_end",
        "start_node|relationship_type|end_node",
        "Subjekt|Prädikat|Objekt",
        "Sujeto|Predicado|Objeto",
        "sujet|prédicat|objet",
        "origen|relación|destino",
        "субъект|предикат|объект",
        "头实体|关系|尾实体",
        "主語|述語|目的語",
        "주어|관계|목적어",
        "chủ thể|quan hệ|đối tượng",
        "node1|label|node2",
        "x_id|relation|y_id",
        "Head Entity|Edge Type|Tail Entity",
        "item|property|value",
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
def test_headers(tmp_path, header, order):
    rows = [header.split("|"), *FACTS]
    found = read(write(tmp_path, [[row[i] for i in order] for row in rows]))
    assert rows_of(found) == FACTS
    assert all(repr(word) in found.note for word in rows[0])


@pytest.mark.parametrize(
    "first",
    ["e1 r e2", "node1 edge node2", "s p o", "entity1 relation entity2", "h r t", "x y z"],
)
def test_a_first_fact_of_such_words(tmp_path, first):
    head, relation, tail = first.split()
    others = [(tail, relation, "b"), ("b", "other", "c"), ("c", relation, head)]
    rows = [(head, relation, tail), *others]
    found = read(write(tmp_path, rows))
    assert rows_of(found) == rows and found.note == "no header: head, relation, tail"
    # Its shape alone recurs:
    if head[-1].isdigit():
        rows = [(head, relation, tail), (head[:-1] + "77", relation, tail[:-1] + "78")]
        assert rows_of(read(write(tmp_path, rows))) == rows


@pytest.mark.parametrize("first", ["x likes y", "node1 knows node2", "France type Country"])
def test_first_facts_that_nothing_repeats(tmp_path, first):
    rows = [tuple(first.split()), ("a", "hates", "b"), ("node3", "hates", "node4")]
    assert rows_of(read(write(tmp_path, rows))) == rows


@pytest.mark.parametrize("header", ["h r t", "Wer Wie Wen", "e1 r e2"])
def test_words_above_numbers_are_a_header(tmp_path, header):
    # Also where a relation is called as its column is:
    rows = [(str(i), "r" if i % 2 else "q", f"{(i + 5) % 12}.0") for i in range(12)]
    found = rows_of(read(write(tmp_path, [header.split(), *rows])))
    assert found == [(head, rel, tail[:-2]) for head, rel, tail in rows]
    rows = [(f"town {head}", rel, f"town {tail}") for head, rel, tail in rows]
    if header == "h r t":
        with pytest.warns(UserWarning, match="is taken for a header"):
            assert rows_of(read_fact_table(write(tmp_path, [header.split(), *rows]))) == rows


def test_a_graph_of_bodies(tmp_path):
    # Entities that are called as columns are do not make a fact of a header:
    rows = [("neck", "below", "head"), ("tail", "behind", "back"), ("head", "above", "neck")]
    with pytest.warns(UserWarning, match="is taken for a header.*'columns=\"1,2,3\"'"):
        found = read_fact_table(write(tmp_path, [("head", "relation", "tail"), *rows]))
    assert rows_of(found) == rows
    rows = [("source", "type", "target"), ("target", "type", "class")]
    assert rows_of(read(write(tmp_path, rows))) == rows


def test_identifiers_make_the_graph(tmp_path):
    # Namesakes stay apart, and labels are names:
    names = {f"Q{i}": "Springfield" if i < 4 else f"Town {i}" for i in range(12)}
    rows = [("head", "head_id", "relation_id", "relation", "tail_id", "tail")]
    rows += [
        (names[f"Q{i}"], f"Q{i}", f"P{i % 2}", ["near", "far"][i % 2], f"Q{j}", names[f"Q{j}"])
        for i in range(12)
        for j in [(i + 5) % 12]
    ]
    found = read(write(tmp_path, rows))
    assert rows_of(found) == [(row[1], row[2], row[4]) for row in rows[1:]]
    assert found.names == names and found.rel_names == {"P0": "near", "P1": "far"}
    # A wide export of Wikidata, and one of KGX, whose predicate is the relation:
    header = "item|itemLabel|property|propertyLabel|value|valueLabel".split("|")
    found = read(write(tmp_path, [header, *([x[1], x[0], *x[2:]] for x in rows[1:])]))
    assert found.names == names and found.rel_names == {"P0": "near", "P1": "far"}
    kgx = [("id", "subject", "predicate", "object", "relation")]
    kgx += [(f"e{i}", head, rel, tail, f"RO:{i}") for i, (head, rel, tail) in enumerate(FACTS)]
    with pytest.warns(UserWarning, match=r"the columns \['id', 'relation'\] are left out"):
        assert rows_of(read_fact_table(write(tmp_path, kgx))) == FACTS


@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize("sep", ["\t", " "])
def test_openke(tmp_path, count, sep):
    draw = random.Random(0)
    facts = [(draw.randrange(60), draw.randrange(5), draw.randrange(60)) for _ in range(99)]
    rows = [(len(facts),)] * count + [(head, tail, rel) for head, rel, tail in facts]
    path = write(tmp_path, rows, "train2id.txt", sep)
    expected = [tuple(map(str, fact)) for fact in facts]
    if count:
        assert rows_of(read(path)) == expected
        with pytest.raises(ValueError, match="announces 99 facts, but has 98"):
            read(write(tmp_path, rows[:-1], "cut.txt", sep))
    else:
        with pytest.warns(UserWarning, match="column 3 repeats as relations do"):
            assert rows_of(read_fact_table(path)) == expected
    # What there is to stand for tells, without a doubt:
    ids = [["n"] * 60, ["r"] * 5, ["n"] * 60]
    assert rows_of(read(path, ids=lambda: ids)) == expected
    rows = [(head, rel, tail) for head, rel, tail in facts]
    assert rows_of(read(write(tmp_path, rows), ids=lambda: ids)) == expected


def test_another_order_without_a_header(tmp_path):
    rows = [(head, tail, relation) for head, relation, tail in FACTS]
    path = write(tmp_path, rows)
    with pytest.warns(UserWarning, match=r"a\.tsv', line 1: column 3 repeats as relations do"):
        assert rows_of(read_fact_table(path)) == FACTS
    assert rows_of(read(path, order=[0, 2, 1])) == FACTS  # As another file has it.
    with pytest.warns(UserWarning, match="read as those of training facts, but look otherwise"):
        assert rows_of(read_fact_table(path, order=[0, 1, 2])) == rows
    assert rows_of(read(path, columns=["1", "3", "2"])) == FACTS
    assert rows_of(read(path, columns=["1", "2", "3"])) == rows


def test_doubts(tmp_path):
    # An unknown header, more relations than entities, and a relation that is none:
    with pytest.warns(UserWarning, match="'nuqneH'.* occurs nowhere else"):
        found = read_fact_table(write(tmp_path, [("nuqneH", "Hol", "puq"), *FACTS]))
    assert len(rows_of(found)) == 25
    rows = [("head", "relation", "tail"), *((f"a{i % 3}", f"r{i}", "b") for i in range(30))]
    with pytest.warns(UserWarning, match=r"more relations \(30\) than entities \(4\)"):
        read_fact_table(write(tmp_path, rows))
    rows = [("head", "kind", "relation", "tail")]
    rows += [(f"a{i}", "knows", f"since {i}", f"a{i + 1}") for i in range(40)]
    with pytest.warns(UserWarning, match="'kind' repeats as relations do, column 'relation' does"):
        read_fact_table(write(tmp_path, rows))
    with pytest.warns(UserWarning, match="'verb to' is taken for the relation"):
        found = read_fact_table(write(tmp_path, [("head", "verb to", "tail"), *FACTS]))
    assert rows_of(found) == FACTS
    header = ("club", "relation", "player", "from", "to")
    rows = [(f"c{i % 5}", f"r{i % 2}", f"p{i}", 1990 + i, f"{1999 + i}-07-01") for i in range(9)]
    with pytest.warns(UserWarning, match=r"'from' and 'to' hold numbers or dates, not \['club'"):
        read_fact_table(write(tmp_path, [header, *rows]))
    for columns in (None, ["1", "2", "3"]):
        with pytest.warns(UserWarning, match="'Hol'.* occurs nowhere else .*'header=True'"):
            read_fact_table(write(tmp_path, [("nuqneH", "Hol", "puq"), *FACTS]), columns=columns)
    with pytest.warns(UserWarning, match="'twin of'.* is taken for a header, but its cells recur"):
        read_fact_table(write(tmp_path, FACTS), header=True)
    with pytest.warns(UserWarning, match="is in quotes, which are part of names"):
        read_fact_table(write(tmp_path, [[f"'{x}'" for x in fact] for fact in FACTS]))


@pytest.mark.parametrize(
    "header, first, rest, note",
    [
        ("Source,Target,Type,Label", "Directed", "", "relation is 'Label'"),
        ("subject,object,label,type", "", "link", "relation is 'label'"),
    ],
)
def test_a_relation_that_is_not_constant(tmp_path, header, first, rest, note):
    rows = [header.split(","), *([h, t, first or r, r if first else rest] for h, r, t in FACTS)]
    with pytest.warns(UserWarning, match="is the same in all rows|left out") as told:
        found = read_fact_table(write(tmp_path, rows))
    assert rows_of(found) == FACTS and note in found.note and len(told) == 2


@pytest.mark.parametrize("header", ["entity,relation,entity", "Name,verb,Name"])
def test_one_word_for_head_and_tail(tmp_path, header):
    assert rows_of(read(write(tmp_path, [header.split(","), *FACTS]))) == FACTS


@pytest.mark.parametrize("header", ["source,target,weight", ":START_ID,:END_ID,since:int"])
def test_a_column_of_numbers_is_no_relation(tmp_path, header):
    rows = [(head, tail, 1990 + i) for i, (head, _, tail) in enumerate(FACTS)]
    with pytest.raises(ValueError, match="holds numbers. If that is wrong"):
        read_fact_table(write(tmp_path, [header.split(","), *rows]))


def test_rows_and_marks_that_say_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("torch_imf.io.tables.BLOCK", 4)
    blank = [("", "", ""), *FACTS[:2], (" ", "", ""), *FACTS[2:], ("", "", "")]
    assert rows_of(read(write(tmp_path, blank, "a.csv", ","))) == FACTS
    pd.DataFrame(blank).to_excel(tmp_path / "a.xlsx", index=False, header=False)
    assert rows_of(read(str(tmp_path / "a.xlsx"))) == FACTS
    marked = [(f"\ufeff{head}", rel, f"{tail}\u200b") for head, rel, tail in FACTS]
    assert rows_of(read(write(tmp_path, marked))) == FACTS
    commas = [(f"{head}, in, X", rel, tail) for head, rel, tail in FACTS]
    assert rows_of(read(write(tmp_path, commas, "a.csv"))) == commas  # Between tabs.


def test_columns_that_are_no_text(tmp_path):
    frame = pd.DataFrame(FACTS, columns=["head", "relation", "tail"])
    odd = frame.assign(a=[["x"]] * 24, b=b"\xff", c=[{"d": 1}] * 24).set_index("head")
    odd.to_parquet(tmp_path / "a.parquet")
    for source in (odd, str(tmp_path / "a.parquet")):
        with pytest.warns(UserWarning, match=r"\['a', 'b', 'c'\] are left out"):
            assert rows_of(read_fact_table(source)) == FACTS
    with pytest.raises(ValueError, match="row 1: the relation is no text"):
        read_fact_table(str(tmp_path / "a.parquet"), columns=["head", "c", "tail"])


def test_other_sheets_are_told(tmp_path):
    with pd.ExcelWriter(tmp_path / "a.xlsx") as file:
        for name, rows in (("one", FACTS), ("empty", []), ("two", FACTS)):
            pd.DataFrame(rows).to_excel(file, sheet_name=name, index=False, header=False)
    with pytest.warns(UserWarning, match=r"the first sheet is read, and \['two'\] are left out"):
        assert rows_of(read_fact_table(str(tmp_path / "a.xlsx"))) == FACTS


def test_json_of_neo4j(tmp_path):
    about = {"labels": ["Town", "Place"], "properties": {"name": "The town"}}
    lines = [{"type": "node", "id": x, **about} for x in TOWNS]
    for i, (head, label, tail) in enumerate(FACTS):
        ends = {"start": {"id": head, "labels": []}, "end": {"id": tail}}
        lines.append({"id": str(i), "type": "relationship", "label": label, **ends})
    text, size = "\n".join(map(json.dumps, lines)), len(TOWNS)
    parts = {"nodes": lines[:size], "rels": lines[size:]}
    for name, content in (
        ("a.json", text),
        ("a.json", json.dumps(lines)),
        ("a.json", json.dumps(parts, indent=1)),
        ("a.jsonl", text),
    ):
        (tmp_path / name).write_text(content)
        found = read(str(tmp_path / name))
        assert rows_of(found) == FACTS and {*found.names.values()} == {"The town"}
        assert found.types[TOWNS[0]] == ["Town", "Place"]
    lines[0]["properties"] = {"name": "The town", "age": 3}
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.warns(UserWarning, match=r"The attributes \['age'\] of nodes are left out"):
        read_fact_table(str(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    "ends",
    ["n.name m.name", "id(n) elementId(m)", "startNode(r).name endNode(r).name", "b.title a.name"],
)
def test_what_cypher_returns(tmp_path, ends):
    head, tail = ends.split()
    assert rows_of(read(write(tmp_path, [(head, "type(r)", tail), *FACTS]))) == FACTS


def test_splits(tmp_path):
    words = ["train", "Dev", *["test"] * (len(FACTS) - 2)]
    rows = [(*fact, word) for fact, word in zip(FACTS, words, strict=True)]
    header = ("head", "relation", "tail", "split")
    found = read_fact_table(write(tmp_path, [header, *rows]))
    assert found.split.to_pylist()[:3] == ["train", "val", "test"]
    rows[3] = (*FACTS[3], "dev2")
    for source, place in (
        (write(tmp_path, [header, *rows]), "line 5"),
        (pd.DataFrame(rows, columns=header), "row 4"),
    ):
        with pytest.raises(ValueError, match=f"{place}: there is no split 'dev2', expected one of"):
            read_fact_table(source)


def test_csv_of_apoc(tmp_path, monkeypatch):
    monkeypatch.setattr("torch_imf.io.tables.BLOCK", 4)
    rows = [("_id", "_labels", "name", "since", "_start", "_end", "_type")]
    rows += [(x, ":Town:Place", "The town", "", "", "", "") for x in TOWNS]
    rows += [("", "", "", "3", head, tail, relation) for head, relation, tail in FACTS]
    found = read(write(tmp_path, rows, "a.csv", ","))
    assert rows_of(found) == FACTS and {*found.names.values()} == {"The town"}
    assert found.types[TOWNS[0]] == ["Town", "Place"]
    whole = [("n", "r", "m"), *((f"(:Town {{id: {h}}})", f"[:{r}]", t) for h, r, t in FACTS)]
    with pytest.raises(ValueError, match=r"as in 'RETURN n.name, type\(r\), m.name'"):
        read(write(tmp_path, whole))


def test_identifiers_of_two_kinds(tmp_path):
    path = tmp_path / "a.csv"
    header = ":START_ID(Person),:TYPE,:END_ID(Film)"
    path.write_text("\n".join([header, *(f"p{i},IN,f{i % 3}" for i in range(6))]))
    assert len(rows_of(read_fact_table(str(path)))) == 6
    path.write_text("\n".join([header, *(f"{i},IN,{i % 3}" for i in range(6))]))
    with pytest.raises(ValueError, match="'2' are identifiers of Film and Person. Write"):
        read_fact_table(str(path))


def test_types(tmp_path):
    # As of PrimeKG.
    header = "x_id,x_type,x_name,relation,y_id,y_type,y_name"
    rows = [(h, "town;place", h.title(), r, t, ":town", "") for h, r, t in FACTS]
    lines = "\n".join([header, *(",".join(map(str, row)) for row in rows)])
    (tmp_path / "a.csv").write_text(lines)
    found = read_fact_table(str(tmp_path / "a.csv"))
    assert rows_of(found) == FACTS and "types are ['x_type', 'y_type']" in found.note
    assert {*found.types[FACTS[0][0]]} == {"town", "place"}
    assert {*found.names} == {head for head, _, _ in FACTS}


@pytest.mark.parametrize(
    "columns, header", [(["2", "3", "4"], True), (["who", "DOES", "to_whom"], None)]
)
def test_columns(tmp_path, columns, header):
    rows = [("nr", "who", "does", "to whom"), *((i, *fact) for i, fact in enumerate(FACTS))]
    with pytest.warns(UserWarning, match=r"\['nr'\] are left out"):
        found = read_fact_table(write(tmp_path, rows), header, columns)
    assert rows_of(found) == FACTS
    with pytest.raises(ValueError, match=r"a\.tsv', line 1: there is no column 'whom'"):
        read_fact_table(write(tmp_path, rows), columns=["who", "does", "whom"])
    with pytest.raises(ValueError, match="not all of head, relation, tail. .*'columns="):
        read_fact_table(write(tmp_path, rows))
    with pytest.raises(ValueError, match=r"there is no column '9' \(got \['nr'"):
        read_fact_table(write(tmp_path, rows), columns=["1", "who", "9"])
    with pytest.raises(ValueError, match="expected 3 fields separated by tabs .*got 4.*'columns="):
        read_fact_table(write(tmp_path, [(*fact, "x") for fact in FACTS]))


@pytest.mark.parametrize("kind", ["frame", "parquet", "csv", "xlsx", "jsonl", "json"])
def test_whole_floats_are_identifiers(tmp_path, kind):
    frame = pd.DataFrame(
        {"head": range(12), "relation": "r", "tail": [*map(float, range(11)), None]}
    )
    frame["tail"] = frame["tail"].shift(1).fillna(11)
    path = str(tmp_path / f"a.{kind}")
    if kind in ("json", "jsonl"):
        frame.to_json(path, orient="records", lines=kind == "jsonl")
        assert "11.0" in open(path).read()
    elif kind != "frame":
        write = {"parquet": frame.to_parquet, "csv": frame.to_csv, "xlsx": frame.to_excel}
        write[kind](path, index=False)
    found = read(frame if kind == "frame" else path)
    assert {x for row in rows_of(found) for x in row} == {"r", *map(str, range(12))}


def test_floats_that_are_names(tmp_path):
    rows = [("Python", "follows", "2.0"), ("Python", "follows", "3.1"), ("1e+05", "is", "2")]
    assert rows_of(read(write(tmp_path, rows))) == rows
    # Heads and tails are the same entities:
    rows = [("1.0", "runs", "jam"), ("2.0", "follows", "1.0")]
    with pytest.warns(UserWarning, match="'1.0' is among other names"):
        assert rows_of(read_fact_table(write(tmp_path, rows))) == rows
    rows = [("1.5e+15", "in", "2.0"), ("1.1e+16", "in", "1.5e+15")]
    expected = [("1500000000000000", "in", "2"), ("11000000000000000", "in", "1500000000000000")]
    with pytest.warns(UserWarning, match=r"digits of 1\.1e\+16 are not all there"):
        assert rows_of(read_fact_table(write(tmp_path, rows))) == expected
    rows = [("1e+05", "is", "007"), ("1e+02", "is", "12345678901234567890.0")]
    expected = [("100000", "is", "007"), ("100", "is", "12345678901234567890")]
    assert rows_of(read(write(tmp_path, rows))) == expected


@pytest.mark.parametrize("sep", ";|,\t")
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.tsv", "a.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.filterwarnings("ignore:.*read as (Windows-1252|UTF-16)")
def test_delimiters_and_encodings(tmp_path, sep, name, encoding):
    facts = [("Köln", "liegt am", "Rhein"), ("Bonn", "liegt am", "Rhein"), ("Köln", "über", "Bonn")]
    facts += [("Fluß", "1,5", "Bonn")] * (sep != ",") + facts * 5
    content = "".join(f"{sep.join(fact)}\r\n" for fact in facts).encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    found = read_fact_table(str(path))
    assert rows_of(found) == facts
    assert ("in UTF-16" in found.note) == (encoding == "utf-16")
    usual = sep == ("," if "csv" in name else "\t")
    assert ("separated by" in found.note) != usual


def test_values_and_names_of_kgtk(tmp_path):
    header = ["node1", "label", "node2", "node1;label"]
    facts = [(f"n{i}", "r", f"n{i + 1}", f"'Node {i}'@en") for i in range(6)]
    values = ["^1952-03-11T00:00:00Z/11", "'Wien'@de", '"x"', "1.7m", "@48.2/16.3", "-5"]
    rows = [header, *facts, *(("n1", "p", value, "") for value in values)]
    with pytest.warns(UserWarning, match="6 values of KGTK are left out, as '\\^1952"):
        found = read_fact_table(write(tmp_path, rows, "a.tsv", "\t"))
    assert rows_of(found) == [fact[:3] for fact in facts] and found.names["n2"] == "Node 2"


def test_excel_of_europe(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        'sep=;\r\nKopf;Relation;Ziel\r\n"a;b";r;"c\r\nd"\r\n"say ""x""";r;é\r\n'.encode()
    )
    assert rows_of(read(str(path))) == [("a;b", "r", "c\r\nd"), ('say "x"', "r", "é")]
    path.write_bytes("a;r;b".encode("utf-16"))
    with pytest.warns(UserWarning, match=r"a\.csv': this is no UTF-8, and read as UTF-16"):
        read_fact_table(str(path))
    path.write_bytes(b"K\xf6ln;r;b\r\n\x80;r;c\r\n")
    with pytest.warns(UserWarning, match=r"a\.csv', line 1: this is no UTF-8, and read as Windows"):
        assert rows_of(read_fact_table(str(path)))[1][0] == "€"
    for content in ("é;r;b\n".encode() + b"\xe9;r;c\n", b"\x81;r;c\n"):  # Two encodings, or none.
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not valid UTF-8"):
            read_fact_table(str(path))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
def test_normal_form(tmp_path, monkeypatch, form, name):
    monkeypatch.setattr("torch_imf.io.tables.BLOCK", 2)
    facts = [("Đà Nẵng", "ở", "Việt Nam"), ("부산", "에", "한국")] * 3
    written = [[unicodedata.normalize(form, x) for x in fact] for fact in facts]
    path = write(tmp_path, written, name, "," if name == "a.csv" else "\t")
    if name == "a.jsonl":
        keys = ("head", "relation", "tail")
        lines = (json.dumps(dict(zip(keys, fact, strict=True))) for fact in written)
        (tmp_path / name).write_text("\n".join(lines))
    assert rows_of(read(path)) == facts


@pytest.mark.parametrize(
    "content",
    [
        [dict(zip("spo", fact, strict=True)) for fact in FACTS],
        {"triples": [dict(zip(("from", "type", "to"), fact, strict=True)) for fact in FACTS]},
        list(map(list, FACTS)),
        {"nodes": [{"id": TOWNS[0]}], "facts": list(map(list, FACTS))},
    ],
)
def test_json(tmp_path, content):
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert rows_of(read(str(tmp_path / "a.json"))) == FACTS
    if isinstance(content, list):
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, content)))
        assert rows_of(read(str(tmp_path / "a.jsonl"))) == FACTS


@pytest.mark.parametrize(
    "content, message",
    [
        ([{"head": "a", "relation": ["r"], "tail": "b"}], r"the relation is no text \(got \['r'\]"),
        (
            [{"head": "a", "relation": "r", "tail": "b"}, ["a", "r", "b"]],
            "entry 2: expected an obj",
        ),
        ([{"from": "a", "w": f"{i}.5", "to": "b"} for i in range(4)], "'w' holds numbers"),
        ([{"head": "a", "relation": "r"}], "names columns, but not all"),
        ([{"head": "a", "relation": "r", "tail": None}], "entry 1: the tail is empty"),
        ({"head": "a"}, "expected a list of facts"),
        ({"train": [], "dev": []}, "save each of the splits .*'dev'.* in a file of its own"),
        ([["a", "r", float("nan")]], "NaN is no JSON"),
    ],
)
def test_json_refuses(tmp_path, content, message):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"a\.json'.*{message}"):
        read_fact_table(str(tmp_path / "a.json"))


def test_json_of_several_lists(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"towns": TOWNS, "links": FACTS}))
    with pytest.warns(UserWarning, match=r"those of 'links', and \['towns'\] are left out"):
        assert rows_of(read_fact_table(str(tmp_path / "a.json"))) == FACTS


def test_graphml(tmp_path):
    nx = pytest.importorskip("networkx")
    graph = nx.MultiDiGraph()
    graph.add_nodes_from((x, {"label": x.title()}) for x in TOWNS)
    graph.add_edges_from((head, tail, {"type": rel, "km": 3}) for head, rel, tail in FACTS)
    path = str(tmp_path / "a.graphml")
    nx.write_graphml(graph, path)
    with pytest.warns(UserWarning, match=r"the columns \['km'\] are left out"):
        found = read_fact_table(path)
    assert sorted(rows_of(found)) == sorted(FACTS)
    assert found.names == {x: x.title() for x in TOWNS}
    text = (tmp_path / "a.graphml").read_text()
    bare = re.sub(r"<graphml.*?>", "<graphml>", text, flags=re.DOTALL)
    (tmp_path / "a.graphml").write_text(bare)  # Without a namespace, which is read anew.
    with pytest.warns(UserWarning, match="left out"):
        assert sorted(rows_of(read_fact_table(path))) == sorted(FACTS)
    (tmp_path / "a.graphml").write_text("<graphml")
    with pytest.raises(ValueError, match=r"a\.graphml' cannot be read as GraphML"):
        read_fact_table(path)


@pytest.mark.parametrize("edges", ["links", "edges"])
def test_json_of_networkx(tmp_path, edges):
    number = {x: i for i, x in enumerate(TOWNS)}
    nodes = [{"id": i, "name": x.title(), "type": "Town", "km": 3} for x, i in number.items()]
    facts = [{"source": number[h], "target": number[t], "relation": r} for h, r, t in FACTS]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"directed": True, "nodes": nodes, edges: facts}))
    with pytest.warns(UserWarning, match=r"The attributes \['km'\] of nodes are left out") as told:
        found = read_fact_table(str(path))
    assert len(told) == 1 and found.names == {str(i): x.title() for x, i in number.items()}
    assert rows_of(found) == [(str(number[h]), r, str(number[t])) for h, r, t in FACTS]
    assert found.types == {str(i): ["Town"] for i in number.values()}


def test_frames():
    frame = pd.DataFrame(FACTS, columns=["tail", "verb", "head"])
    assert [row[::-1] for row in rows_of(read(frame))] == FACTS
    assert rows_of(read(pd.DataFrame(FACTS))) == FACTS  # Without names.
    frame.loc[3, "head"] = None
    with pytest.raises(ValueError, match="'DataFrame', row 4: the head is empty"):
        read(frame)


def test_rows_of_nodes_are_no_facts(tmp_path):
    # As in APOC's export of all:
    rows = [("_id", "_labels", "_start", "_end", "_type"), (0, ":Town", "", "", "")]
    rows += [("", "", head, tail, relation) for head, relation, tail in FACTS]
    with pytest.warns(UserWarning, match="left out"):
        assert rows_of(read_fact_table(write(tmp_path, rows))) == FACTS


def test_meaning():
    assert meaning("Subject ID") == meaning("subject_id") == meaning("SubjectId")
    assert meaning("Prädikat") == meaning("PRADIKAT") and meaning("head type") is None
    for word in ("", "42", "name", "year", "towns", "text"):
        assert meaning(word) is None
