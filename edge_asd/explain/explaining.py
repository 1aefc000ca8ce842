"""From anomalous windows to an explanation."""

from __future__ import annotations

import numpy as np

from edge_asd.contract import LogMelSpec
from edge_asd.explain.bands import Difference, band_findings, changed_bands, level_finding
from edge_asd.explain.findings import Explanation, Finding, db_words, hz_words
from edge_asd.explain.rhythm import rhythm_findings
from edge_asd.explain.tones import tone_findings


def explain(
    windows_db: np.ndarray,
    nearest: np.ndarray,
    normal_db: np.ndarray,
    spec: LogMelSpec,
    *,
    stretches_db: np.ndarray,
    normal_rhythms: np.ndarray | None = None,
) -> Explanation:
    """Compare windows with the normal windows nearest to them.

    windows_db: [k, frames, n_mels], log-mel windows, k >= 1.
    nearest: int [k], for each the row of `normal_db` to compare it with.
    normal_db: [n, 2 n_mels], mean and standard deviation over time of each enrolled window (`window_spectra`).
    spec: the front end.
    stretches_db: [m, frames, n_mels], m >= 0, the sound of these windows with as much before or around them as
        rhythms need.
    normal_rhythms: `loudness_spectra` of the enrolled sound, so that the machine's own rhythm is not called new;
        None: not known.
    """
    windows_db = np.asarray(windows_db, np.float32)
    difference = _difference(windows_db, nearest, normal_db.astype(np.float32), spec)
    findings: list[Finding] = []
    level = level_finding(difference)
    shift_db = 0.0
    if level is not None and level.change_db is not None:
        findings.append(level)
        shift_db = level.change_db
    tones, told = tone_findings(difference, shift_db)
    findings += tones
    findings += band_findings(difference, shift_db, told)
    findings += rhythm_findings(difference, np.asarray(stretches_db, np.float32), normal_rhythms)
    return Explanation.of(findings or [_nothing_specific(difference)], changed_bands(difference))


def _difference(windows_db: np.ndarray, nearest: np.ndarray, normal_db: np.ndarray, spec: LogMelSpec) -> Difference:
    n_mels = windows_db.shape[2]
    matched, spread = normal_db[nearest].mean(axis=0), normal_db.std(axis=0)
    return Difference(
        heard=windows_db.mean(axis=(0, 1)),
        normal=matched[:n_mels],
        unsteadiness=windows_db.std(axis=1).mean(axis=0),
        normal_unsteadiness=matched[n_mels:],
        spread=spread[:n_mels],
        unsteadiness_spread=spread[n_mels:],
        spec=spec,
    )


def _nothing_specific(difference: Difference) -> Finding:
    change, edges = difference.change, difference.edges_hz
    largest = int(np.abs(change).argmax())
    text = (
        "nothing specific: the timbre may differ, but no band left its normal range "
        f"(largest difference {db_words(float(change[largest]))} near {hz_words(float(edges[largest + 1]))})"
    )
    place = (float(edges[largest]), float(edges[largest + 2]))
    return Finding("timbre", text, 0.0, *place, change_db=float(change[largest]))
