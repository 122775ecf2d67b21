"""A page as a tree, read by the parser of the standard library."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "input", "hr", "line", "rect", "circle"}


@dataclass
class Node:
    """An element with its attributes, elements and texts."""

    tag: str
    attrs: dict = field(default_factory=dict)
    children: list = field(default_factory=list)

    def all(self, *tags):
        """Elements below of these tags, in order."""
        for child in self.children:
            if isinstance(child, Node):
                if child.tag in tags:
                    yield child
                yield from child.all(*tags)

    def one(self, tag, **attrs):
        found = [node for node in self.all(tag) if all(node.attrs.get(name) == value for name, value in attrs.items())]
        assert len(found) == 1, f"{len(found)} of {tag} {attrs}"
        return found[0]

    @property
    def text(self):
        """All text below; blanks run together, marks of direction left out."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return re.sub(r"[\s\u2068\u2069]+", " ", " ".join(parts)).strip()

    def with_class(self, name):
        every = self.all("div", "p", "span", "article", "table", "rect", "svg", "circle", "text", "i", "bdi", "figure")
        return [node for node in every if name in (node.attrs.get("class") or "").split()]


class _Parser(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = Node("root")
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}> near {self.getpos()}"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parse(html):
    """The tree of a page. Fails where an element is not closed where it should be."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    assert [node.tag for node in parser.open] == ["root"]
    return parser.root


def page_of(path):
    return parse(path.read_text(encoding="utf-8"))


def table(root, caption):
    """The rows of the table of this caption: by the row's head, its cells as nodes."""
    (found,) = [node for node in root.all("table") if any(one.text == caption for one in node.all("caption"))]
    rows = [row for body in found.all("tbody") for row in body.all("tr")]
    return {head(row): list(row.all("td")) for row in rows}


def head(row):
    """The head of a row, its small print left out."""
    th = next(row.all("th"))
    return " ".join(child for child in th.children if isinstance(child, str)).strip() or th.text


def numbers(node):
    """Exact values of the figures below a node: value, low, high."""
    return [float(one.attrs["value"]) for one in node.all("data")]
