"""Networks: backbones of torchvision's video models, heads, momentum contrast."""
