"""What the embedder is trained on: the teacher's geometry, and who is speaking."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean cosine distance of each student embedding to its teacher's, [n, d] and [n, d] -> scalar."""
    return 1.0 - functional.cosine_similarity(student, teacher, dim=1).mean()


def relation_loss(student: Tensor, teacher: Tensor, group_size: int) -> Tensor:
    """Distillation of differences: the same distance after each group of rows lost its own mean.

    Between one machine's sounds the teacher's vectors hardly turn, so the plain cosine distance scarcely sees what a
    nearest-neighbour score lives on. Rows come group by group, [groups * group_size, d]. Vectors are brought to unit
    length first (the score does so too), and each row weighs by how far the teacher says it lies from its group.
    """
    if group_size < 2 or len(student) % group_size:
        raise ValueError(f"{len(student)} rows do not make groups of {group_size} (at least 2)")
    away = []
    for rows in (student, teacher):
        unit = functional.normalize(rows, dim=1).unflatten(0, (-1, group_size))
        away.append((unit - unit.mean(dim=1, keepdim=True)).flatten(0, 1))
    weights = away[1].norm(dim=1)
    distances = 1.0 - functional.cosine_similarity(away[0], away[1], dim=1)
    return (weights * distances).sum() / weights.sum().clamp_min(1e-9)


class SubClusterAdaCos(nn.Module):
    """AdaCos with several trainable centres a class and its scale fixed (Wilkinghoff 2021; Zhang et al. 2019).

    The scale is sqrt(2) ln(CK - 1) for C classes of K sub-clusters. A class's probability is the sum over its
    sub-clusters of one softmax over all of them; the loss is its negative logarithm.
    """

    def __init__(self, embedding_size: int, n_classes: int, sub_clusters: int = 1) -> None:
        super().__init__()
        n_centres = n_classes * sub_clusters
        if n_centres < 3:
            raise ValueError(f"{n_classes} classes of {sub_clusters} sub-clusters are too few for AdaCos's scale")
        self.sub_clusters = sub_clusters
        self.scale = math.sqrt(2.0) * math.log(n_centres - 1)
        self.centres = nn.Parameter(torch.empty(n_centres, embedding_size))
        nn.init.xavier_uniform_(self.centres)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """[n, d] embeddings and [n] class numbers -> scalar."""
        cosines = functional.normalize(embeddings, dim=1) @ functional.normalize(self.centres, dim=1).T
        log_p = functional.log_softmax(self.scale * cosines, dim=1)
        per_class = torch.logsumexp(log_p.unflatten(1, (-1, self.sub_clusters)), dim=2)
        return functional.nll_loss(per_class, labels)
