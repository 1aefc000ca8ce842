"""Networks as files: ONNX and .ort written, multiplications counted, and how many of them are in integers."""
