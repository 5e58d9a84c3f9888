"""A page of `fewgan report` as a program reads it."""

import json
from html.parser import HTMLParser

from fewgan.commands.report import page


class Page(HTMLParser):
    """elements: (tag, attributes) in order. text: all of it; data: the JSON of the page; scripts: what would run."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.scripts, self._inside = [], [], [], None
        self.feed(text)
        self.text = "".join(self.texts)

    def handle_starttag(self, name, attributes):
        self._inside = (name, dict(attributes))
        self.elements.append(self._inside)

    def handle_endtag(self, name):
        self._inside = None
        if name not in ("span", "b", "code"):
            self.texts.append("\n")

    def handle_data(self, text):
        name, attributes = self._inside or ("", {})
        if name == "script" and attributes.get("type") == "application/json":
            self.data = json.loads(text)
        elif name in ("script", "style"):
            self.scripts += [text] if name == "script" else []
        else:
            self.texts.append(text)

    def found(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]


def page_of(*folders):
    return Page(page.make(list(folders)))
