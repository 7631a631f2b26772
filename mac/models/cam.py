"""GradCAM (Selvaraju et al. 2017) of 3D networks: where in space and time the evidence for a class lies; figures 2–4.

Written here because the usual package, pytorch-grad-cam, leaves the model in evaluation mode, clears its gradients,
runs backward through the whole model, was made for pictures (its releases treat 5-D activations differently), and
subtracts each map's minimum, which would change the shares of a map's mass that :mod:`mac.masks.overlap` measures.
"""

import torch
import torch.nn.functional as F
from torch import nn


def class_activation_maps(network: nn.Module, clips: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Compute a class's GradCAM for each clip: ReLU(Σ_d w_d·A_d), w_d the gradient of its score, averaged over A_d.

    Gradients run from the score to the activations and no further: parameters and their gradients stay as they are,
    frozen or not. The network is in evaluation mode meanwhile, so that a clip's map depends on no other clip.

    Args:
        network: cut in two: ``activations`` maps clips to activations (B, D, T', H', W'), ``classify`` maps those to
            class scores (B, classes).
        clips: (B, 3, T, H, W), normalised.
        classes: (B,) int64 on the device of the clips, the class whose score is explained.

    Returns:
        (B, T, H, W) float32 in [0, 1]: the map upsampled trilinearly (half-pixel centres) and divided by its clip's
        maximum; zero everywhere if nothing speaks for the class.
    """
    modes = [(module, module.training) for module in network.modules()]
    for module, _ in modes:
        module.training = False
    try:
        with torch.no_grad():
            found = network.activations(clips)
        with torch.enable_grad():
            leaf = found.detach().requires_grad_()
            score = network.classify(leaf).gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, leaf)
    finally:
        for module, mode in modes:
            module.training = mode
    weights = gradient.mean((2, 3, 4), keepdim=True)
    coarse = (weights * found).sum(1, keepdim=True).relu().float()
    fine = F.interpolate(coarse, size=clips.shape[2:], mode="trilinear", align_corners=False)[:, 0]
    highest = fine.amax((1, 2, 3), keepdim=True)
    return fine / torch.where(highest > 0, highest, torch.ones_like(highest))
