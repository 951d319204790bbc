import re
from pathlib import Path

from setuptools import setup

# Settings are in setup.cfg. Pictures and files beside README are not there on an index:
text = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
setup(long_description=re.sub(r"!?\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text))
