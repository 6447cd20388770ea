"""Ways to run an encoder's forward pass: torch, ONNX Runtime, OpenVINO; one file each, one interface."""
