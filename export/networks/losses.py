"""What the embedder is trained on: the teacher's geometry, and who is speaking."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_asd.errors import ConfigError
from export.recipe import HeadSettings


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


class Head(nn.Module):
    """Trainable centres on the unit sphere; `per_sample` turns cosines to them into a loss for each row.

    In eval mode margins are left off: validation asks how well classes are told apart, not how well with a handicap.
    """

    def __init__(self, embedding_size: int, n_centres: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.empty(n_centres, embedding_size))
        nn.init.xavier_uniform_(self.centres)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """[n, d] -> [n, centres]."""
        return functional.normalize(embeddings, dim=1) @ functional.normalize(self.centres, dim=1).T

    def per_sample(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """[n, d] embeddings and [n] class numbers -> [n]."""
        raise NotImplementedError

    def class_cosines(self, embeddings: Tensor) -> Tensor:
        """[n, d] -> [n, classes]: the nearest centre of each class."""
        return self.cosines(embeddings)

    def forward(
        self, embeddings: Tensor, labels: Tensor, partners: Tensor | None = None, shares: Tensor | None = None
    ) -> Tensor:
        """Mean loss, scalar. For mixed sounds (mixup, Zhang et al. 2018) `shares` [n] weigh the loss towards `labels`,
        the rest goes to `partners` [n]."""
        losses = self.per_sample(embeddings, labels)
        if partners is not None and shares is not None:
            losses = shares * losses + (1.0 - shares) * self.per_sample(embeddings, partners)
        return losses.mean()


class ArcFace(Head):
    """Additive angular margin (Deng et al. 2019, arXiv 1801.07698): the true class must win by `margin` radians.

    scale, margin: 64 and 0.5 in the paper. Past pi - margin, where cos(theta + margin) would rise again, the loss goes
    on falling as a straight line (the authors' own remedy).
    """

    def __init__(self, embedding_size: int, n_classes: int, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(embedding_size, n_classes)
        self.scale, self.margin = scale, margin

    def per_sample(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """[n, d] embeddings and [n] class numbers -> [n]."""
        cosines = self.cosines(embeddings)
        if self.training:
            true = cosines.gather(1, labels[:, None])
            cosines = cosines.scatter(1, labels[:, None], self.handicapped(true))
        return functional.cross_entropy(self.scale * cosines, labels, reduction="none")

    def handicapped(self, cosines: Tensor) -> Tensor:
        """What cosines to the true class count with the margin, any shape -> the same."""
        # Rounding may put a cosine beyond 1 and the root's slope is infinite at 0.
        sines = torch.sqrt((1.0 - cosines.square()).clamp_min(1e-12))
        turned = cosines * math.cos(self.margin) - sines * math.sin(self.margin)
        straight = cosines - math.sin(math.pi - self.margin) * self.margin
        return torch.where(cosines > math.cos(math.pi - self.margin), turned, straight)


class AdaCos(Head):
    """Cosine softmax whose scale follows the training (Zhang et al. 2019, arXiv 1905.00292, eq. 13-15).

    Starts at sqrt(2) ln(C - 1); at each step becomes ln(B) / cos(min(pi / 4, median angle to the true centre)), B the
    mean over the batch of the sum of exp(scale cos) over the wrong classes.
    """

    scale: Tensor

    def __init__(self, embedding_size: int, n_classes: int) -> None:
        if n_classes < 3:
            raise ValueError(f"{n_classes} classes are too few for AdaCos's scale")
        super().__init__(embedding_size, n_classes)
        self.register_buffer("scale", torch.tensor(math.sqrt(2.0) * math.log(n_classes - 1)))

    def per_sample(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """[n, d] embeddings and [n] class numbers -> [n]."""
        cosines = self.cosines(embeddings)
        if self.training:
            self._follow(cosines.detach(), labels)
        # Of mixed sounds this is called twice, and the way back wants the scale each time as it was.
        return functional.cross_entropy(self.scale.clone() * cosines, labels, reduction="none")

    def _follow(self, cosines: Tensor, labels: Tensor) -> None:
        true = cosines.gather(1, labels[:, None]).squeeze(1)
        wrong = torch.exp(self.scale * cosines).scatter(1, labels[:, None], 0.0).sum(dim=1).mean()
        median = torch.acos(true.clamp(-1.0, 1.0)).median()
        self.scale.copy_(torch.log(wrong) / torch.cos(median.clamp_max(math.pi / 4)))


class SubClusterAdaCos(Head):
    """AdaCos with several trainable centres a class and its scale fixed (Wilkinghoff 2021; Zhang et al. 2019).

    The scale is sqrt(2) ln(CK - 1) for C classes of K sub-clusters. A class's probability is the sum over its
    sub-clusters of one softmax over all of them; the loss is its negative logarithm.
    """

    def __init__(self, embedding_size: int, n_classes: int, sub_clusters: int = 1) -> None:
        n_centres = n_classes * sub_clusters
        if n_centres < 3:
            raise ValueError(f"{n_classes} classes of {sub_clusters} sub-clusters are too few for AdaCos's scale")
        super().__init__(embedding_size, n_centres)
        self.sub_clusters = sub_clusters
        self.scale = math.sqrt(2.0) * math.log(n_centres - 1)

    def per_sample(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """[n, d] embeddings and [n] class numbers -> [n]."""
        log_p = functional.log_softmax(self.scale * self.cosines(embeddings), dim=1)
        per_class = torch.logsumexp(log_p.unflatten(1, (-1, self.sub_clusters)), dim=2)
        return functional.nll_loss(per_class, labels, reduction="none")

    def class_cosines(self, embeddings: Tensor) -> Tensor:
        """[n, d] -> [n, classes]: the nearest centre of each class."""
        return self.cosines(embeddings).unflatten(1, (-1, self.sub_clusters)).amax(dim=2)


def build_head(settings: HeadSettings, embedding_size: int, n_classes: int) -> Head:
    """The recipe's head. Raises ConfigError for a kind nobody knows or too few classes."""
    try:
        if settings.kind == "arcface":
            return ArcFace(embedding_size, n_classes, settings.scale, settings.margin)
        if settings.kind == "adacos":
            return AdaCos(embedding_size, n_classes)
        if settings.kind == "sub-cluster-adacos":
            return SubClusterAdaCos(embedding_size, n_classes, settings.sub_clusters)
    except ValueError as error:
        raise ConfigError(f"head: {error}") from error
    raise ConfigError(f"head.kind {settings.kind!r} is none of arcface, adacos, sub-cluster-adacos")
