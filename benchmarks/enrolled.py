"""A case enrolled as `edge-asd evaluate` enrols it."""

from __future__ import annotations

from edge_asd.bundle.bundle import Bundle
from edge_asd.enrolment.enrol import Enrolment
from edge_asd.evaluation.cases import Case


def enrolled(case: Case, enrolment: Enrolment, *, grouped: bool = True) -> Bundle:
    """The bundle of a case's enrol rows. grouped: each row's group is its session; otherwise all are one."""
    for clip in case.enrol:
        enrolment.add_clip(clip.path, group=(clip.group or None) if grouped else None, domain=clip.domain)
    return enrolment.finish({"case": case.name})
