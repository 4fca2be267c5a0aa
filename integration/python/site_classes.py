"""Classes of a site: Document is the old name of Page."""
import persistent


class Document(persistent.Persistent):
    def __init__(self, title=''):
        self.title = title


class Page(persistent.Persistent):
    def __init__(self, title=''):
        self.title = title
