"""The one reader of pickles. Nothing in a file is executed, looked up or imported.

`read` gives a file's content: plain data, tensors, and inert records for whatever else it names. `networks` finds the
modules in it and gives their state dicts.
"""

from fewgan.sources.pickles.files import read
from fewgan.sources.pickles.modules import Network, networks
from fewgan.sources.pickles.records import Record

__all__ = ["Network", "Record", "networks", "read"]
