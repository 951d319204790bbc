from .app import make_app as make_app
from .content import Content as Content
from .decisions import Decisions as Decisions
from .explorer import Explorer as Explorer
from .search import Search as Search
from .words import in_words as in_words
