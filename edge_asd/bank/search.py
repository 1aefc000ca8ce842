"""Exact nearest neighbours by cosine: in float32 for small banks, in int8 for large ones.

The int8 search keeps one packed int8 copy of the bank and no float copy. A query is written with two digits of seven
bits, q = peak/63 (high + low/126) + rest: seven bits, because processors without VNNI add pairs of 8-bit products in
16 bits and would saturate. The rest bounds how wrong a similarity can be (Cauchy-Schwarz), so every vector that could
be the nearest is compared again in float32 and the answer is the exact one.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Protocol

import numpy as np

from edge_asd.bank.graph import QUERY, SIMILARITY, search_graph
from edge_asd.bank.vectors import directions, unit_vectors
from edge_asd.errors import UnavailableError

INT8_FROM = 2500
"""Vectors from which int8 is the faster one (benchmarks/bank.py measures it)."""
_DIGIT = 63.0
_BASE = np.float32(126.0)
_ZERO_POINT = 64
_ROUNDED_ZERO_POINT = np.float32(_ZERO_POINT + 0.5)
_FLOAT_ERROR = 2e-6
"""What float32 sums of some hundred products may be off by."""
_TINY = 1e-12
_QUERY_ROWS = 1024
_BANK_ROWS = 4096


class Search(Protocol):
    """Finds the nearest of fixed vectors."""

    def nearest(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings float32 [q, d] -> cosine distance float32 [q] to the nearest vector, and its index [q].

        The distance of an embedding with NaN or infinity in it is NaN.
        """

    def k_nearest(self, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `nearest`, to the k nearest vectors (or all), the nearest first: [q, k]."""


def search_of(vectors: np.ndarray) -> Search:
    """The faster search for int8 vectors [n, d]; the float one where there is no onnxruntime."""
    if len(vectors) >= INT8_FROM:
        try:
            return Int8Search(vectors)
        except UnavailableError:
            return BlockSearch(vectors)
    return FloatSearch(directions(vectors))


class FloatSearch:
    """A float32 matrix product; keeps 4 bytes a coordinate.

    unit: float32 [n, d], the vectors to find, of length 1 or 0.
    """

    def __init__(self, unit: np.ndarray) -> None:
        self._unit = unit

    def nearest(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`."""
        distance = np.empty(len(embeddings), np.float32)
        index = np.empty(len(embeddings), np.intp)
        for start in range(0, len(embeddings), _QUERY_ROWS):
            rows = slice(start, start + _QUERY_ROWS)
            with np.errstate(invalid="ignore"):  # infinity: the distance says so
                similarity = unit_vectors(embeddings[rows]) @ self._unit.T
            index[rows] = similarity.argmax(axis=1)
            distance[rows] = np.float32(1.0) - similarity.max(axis=1)
        return distance, index

    def k_nearest(self, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`."""
        with np.errstate(invalid="ignore"):
            return k_smallest(np.float32(1.0) - unit_vectors(embeddings) @ self._unit.T, k)


class BlockSearch:
    """The float search of a large bank, made float one block after the other: slow, but keeps nothing.

    vectors: int8 [n, d].
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors

    def nearest(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`."""
        distance = np.full(len(embeddings), np.inf, np.float32)
        index = np.zeros(len(embeddings), np.intp)
        for start in range(0, len(self._vectors), _BANK_ROWS):
            found, where = FloatSearch(directions(self._vectors[start : start + _BANK_ROWS])).nearest(embeddings)
            closer = found < distance
            distance[closer] = found[closer]
            index[closer] = where[closer] + start
        return distance, index

    def k_nearest(self, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`."""
        distance, index = np.empty((len(embeddings), 0), np.float32), np.empty((len(embeddings), 0), np.intp)
        for start in range(0, len(self._vectors), _BANK_ROWS):
            block = directions(self._vectors[start : start + _BANK_ROWS])
            found, where = FloatSearch(block).k_nearest(embeddings, k)
            distance, order = k_smallest(np.concatenate((distance, found), axis=1), k)
            index = np.take_along_axis(np.concatenate((index, where + start), axis=1), order, axis=1)
        return distance, index


class Int8Search:
    """Integer products in ONNX Runtime on one thread; keeps about 1 byte a coordinate beside the vectors.

    vectors: int8 [n, d]; kept, not copied (it may be memory-mapped). May be used from several threads.
    Raises UnavailableError without onnxruntime.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UnavailableError("onnxruntime is not installed", remedy="pip install onnxruntime") from error
        onnxruntime.disable_telemetry_events()  # it would otherwise try to persist an id in the user's home
        n, size = vectors.shape
        self._vectors = vectors
        self._inverse = np.empty(n, np.float32)
        for start in range(0, n, _BANK_ROWS):
            rows = slice(start, start + _BANK_ROWS)
            lengths = np.linalg.norm(vectors[rows].astype(np.float32), axis=1)
            self._inverse[rows] = np.where(lengths > 0, 1.0 / np.maximum(lengths, 1.0), 0.0)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        digit_weights = np.array([[1.0, 1.0 / _BASE]], np.float32)
        graph = search_graph(np.ascontiguousarray(vectors.T), self._inverse, digit_weights, _ZERO_POINT)
        self._session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        del graph
        _give_back(self._session)
        self._query = np.full((2, size), _ZERO_POINT, np.uint8)
        self._similarity = np.empty(n, np.float32)
        self._near = np.empty(n, bool)
        # Each coordinate is off by at most half a low digit, so a similarity by at most sqrt(d) times that.
        self._margin = float(np.sqrt(size) / _BASE)
        # Bound once: handing arrays over and allocating the result cost more than a small product itself.
        self._binding: Any = self._session.io_binding()
        self._binding.bind_input(QUERY, "cpu", 0, np.uint8, (2, size), self._query.ctypes.data)
        self._binding.bind_output(SIMILARITY, "cpu", 0, np.float32, (1, n), self._similarity.ctypes.data)
        self._lock = threading.Lock()

    def nearest(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`."""
        distance = np.empty(len(embeddings), np.float32)
        index = np.empty(len(embeddings), np.intp)
        for row, embedding in enumerate(np.asarray(embeddings, np.float32)):
            distance[row], index[row] = self._nearest(embedding)
        return distance, index

    def k_nearest(self, embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Search`; in float32, block by block: no bound tells which vectors could be among several nearest."""
        return BlockSearch(self._vectors).k_nearest(embeddings, k)

    def similarities(self) -> np.ndarray:
        """The products with the last query, float32 [n], before anything is compared again; for measuring."""
        self._session.run_with_iobinding(self._binding)
        return self._similarity

    def _nearest(self, embedding: np.ndarray) -> tuple[float, int]:
        peak = float(np.abs(embedding).max())
        if not _TINY <= peak < np.inf:
            return (1.0 if peak < _TINY else np.nan), 0
        query = embedding * np.float32(_DIGIT / peak)
        length = float(query @ query) ** 0.5
        high = np.rint(query)
        low = (query - high) * _BASE
        high += _ZERO_POINT
        low += _ROUNDED_ZERO_POINT
        with self._lock:
            self._query[0] = high
            self._query[1] = low  # cut to whole numbers: rounded, by the half in the zero point
            similarity = self.similarities()
            least = similarity.max() - np.float32(self._margin + 2.0 * _FLOAT_ERROR * length)
            could_be = np.greater_equal(similarity, least, out=self._near).nonzero()[0]
        exact = (self._vectors[could_be] @ query) * self._inverse[could_be]
        best = int(exact.argmax())
        return 1.0 - float(exact[best]) / length, int(could_be[best])


def k_smallest(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest (or all) of each row of [q, n], the smallest first, and where they are: [q, k]."""
    k = min(k, values.shape[1])
    some = np.argpartition(values, k - 1, axis=1)[:, :k]
    order = np.argsort(np.take_along_axis(values, some, axis=1), axis=1, kind="stable")
    index = np.take_along_axis(some, order, axis=1)
    return np.take_along_axis(values, index, axis=1), index


def _give_back(session: Any) -> None:
    """Free what building a session leaves behind: three times the bank, though only its packed copy is used.

    onnxruntime's Python class holds on to the model's bytes, and glibc keeps freed blocks of this size to itself.
    """
    vars(session).pop("_model_bytes", None)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
