"""The network for other runtimes: ONNX, OpenVINO and TorchScript files that take pixels and give features."""
