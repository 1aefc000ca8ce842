"""The parity chain: the same sound through every form of a model, from torch to a board's int8, and what moved.

torch -> ONNX fp32 -> ONNX int8 -> TFLite int8 -> the int8 files on processors that are not here, by emulation.
"""
