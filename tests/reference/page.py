"""An HTML page as Python's parser reads it."""

from html.parser import HTMLParser

VOID = {"meta", "img"}
"""Elements without an end."""


class Page(HTMLParser):
    """The elements of a page in order, each with its attributes, its text and the elements around it."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.elements = [], []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "in": list(self.open), "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "in": list(self.open), "text": "", **dict(attributes)})

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, within=None, **attributes):
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and (within is None or any(each is within for each in element["in"]))
            and all(value in (element.get(name) or "").split() for name, value in attributes.items())
        ]
