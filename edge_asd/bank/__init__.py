"""What normal sounds like, in few bytes: int8 embeddings with tags, exact search, compaction to a budget."""

from edge_asd.bank.bank import EmbeddingBank
from edge_asd.bank.compaction import DEFAULT_METHOD, METHODS
from edge_asd.bank.mapped import map_array, map_member
from edge_asd.bank.tags import DOMAINS, WindowTags
from edge_asd.bank.vectors import unit_vectors

__all__ = [
    "DEFAULT_METHOD",
    "DOMAINS",
    "METHODS",
    "EmbeddingBank",
    "WindowTags",
    "map_array",
    "map_member",
    "unit_vectors",
]
