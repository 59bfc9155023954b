"""Mean-field inference of the fully connected CRF.

    Q_i(l) = softmax over l of ( u_i(l) + sum over kernels m of w_m sum over j of k_m(i, j) Q_j(l) )

u are the network's logits, which are its log-probabilities up to a constant per pixel that softmax
does not see. The compatibility is Potts': labels that differ cost w, so that a pixel is drawn
towards its neighbours' labels by as much.

Each kernel is normalized symmetrically, k(i, j) / sqrt(s_i s_j) with s_i = sum over j of k(i, j):
a weight then means the same in flat and in busy places, and the pairwise cost of two pixels stays
one number, where dividing by s_i alone would give it two. j runs over all pixels, i included, as in
the authors' own code; the paper leaves i out, whose share is small where a kernel has neighbours.

Source: Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge
Potentials", NIPS 2011 (arXiv 1210.5644), algorithm 1 and equation 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Float32, UInt8

from edgeseg.core.crf.exact import ExactKernel
from edgeseg.core.crf.features import appearance_features, smoothness_features
from edgeseg.core.crf.gaussian import GaussianKernel
from edgeseg.core.crf.lattice import LatticeKernel
from edgeseg.core.crf.options import CrfOptions
from edgeseg.errors import UsageError

Filter = Callable[[np.ndarray], np.ndarray]
DEFAULTS = CrfOptions()
# Keeps the division finite where a pixel's weights, its own included, round to nothing.
LEAST = 1e-20


class Kernel:
    """One Gaussian kernel of a picture, normalized symmetrically; it serves any weight.

    Args:
        sums: gives each pixel's weighted sum of all pixels' values, for planes "c n".
        pixels: n.
        dtype: of the values.
    """

    def __init__(self, sums: Filter, pixels: int, dtype: type = np.float32) -> None:
        self._sums = sums
        self._norm = 1.0 / np.sqrt(np.maximum(sums(np.ones((1, pixels), dtype)), LEAST))

    def __call__(self, values: Float[np.ndarray, "c n"]) -> Float[np.ndarray, "c n"]:
        """Return the normalized sums."""
        message = self._sums(values * self._norm)
        message *= self._norm
        return message


def appearance_kernel(rgb: UInt8[np.ndarray, "h w 3"], position: float, colour: float) -> Kernel:
    """Return the appearance kernel of a picture, on the permutohedral lattice.

    Args:
        rgb: the picture.
        position: width in pixels.
        colour: width in levels of 0-255.
    """
    features = appearance_features(rgb, position, colour)
    return Kernel(LatticeKernel(features), len(features))


def smoothness_kernel(size_hw: tuple[int, int], radius: float) -> Kernel:
    """Return the smoothness kernel of pictures of a size, an ordinary blur.

    Args:
        size_hw: height and width.
        radius: width in pixels.
    """
    return Kernel(GaussianKernel(size_hw, radius), size_hw[0] * size_hw[1])


def mean_field(
    logits: Float[np.ndarray, "k h w"], kernels: Sequence[tuple[float, Kernel]], iterations: int
) -> Float[np.ndarray, "k h w"]:
    """Return each pixel's class probabilities after some mean-field steps.

    Args:
        logits: the network's, at the picture's size, or the logarithm of its probabilities.
        kernels: weights and kernels of the picture.
        iterations: steps.

    Raises:
        UsageError: the logits are not finite.
    """
    if not np.isfinite(logits).all():
        raise UsageError("the network's logits are not all finite numbers; check its checkpoint")
    unary = logits.reshape(len(logits), -1)
    q = softmax(unary)
    for _ in range(iterations if kernels else 0):
        total = unary.copy()
        for weight, kernel in kernels:
            message = kernel(q)
            message *= weight
            total += message
        q = softmax(total)
    return q.reshape(logits.shape)


def refine(
    logits: Float32[np.ndarray, "k h w"],
    rgb: UInt8[np.ndarray, "h2 w2 3"],
    options: CrfOptions = DEFAULTS,
) -> Float32[np.ndarray, "k h w"]:
    """Return each pixel's class probabilities after mean-field inference, by the fast form.

    Args:
        logits: the network's, at the picture's size, or the logarithm of its probabilities.
        rgb: the picture.
        options: weights and widths.

    Raises:
        UsageError: sizes differ, or the logits are not finite.
    """
    _check_sizes(logits, rgb)
    kernels = []
    if options.appearance:
        kernel = appearance_kernel(rgb, options.position, options.colour)
        kernels.append((options.appearance, kernel))
    if options.smoothness:
        kernel = smoothness_kernel(rgb.shape[:2], options.radius)
        kernels.append((options.smoothness, kernel))
    return mean_field(logits, kernels, options.iterations)


def refine_exactly(
    logits: Float[np.ndarray, "k h w"],
    rgb: UInt8[np.ndarray, "h2 w2 3"],
    options: CrfOptions = DEFAULTS,
) -> Float[np.ndarray, "k h w"]:
    """Do as `refine` does, over all pairs of pixels in float64: the reference for small pictures.

    Raises:
        UsageError: sizes differ, or the logits are not finite.
    """
    _check_sizes(logits, rgb)
    kernels = [
        (weight, Kernel(ExactKernel(features), len(features), np.float64))
        for weight, features in (
            (options.appearance, appearance_features(rgb, options.position, options.colour)),
            (options.smoothness, smoothness_features(rgb.shape[:2], options.radius)),
        )
        if weight
    ]
    return mean_field(logits.astype(np.float64), kernels, options.iterations)


def _check_sizes(logits: np.ndarray, rgb: np.ndarray) -> None:
    if logits.shape[1:] != rgb.shape[:2]:
        raise UsageError(
            f"logits are {logits.shape[1]}x{logits.shape[2]}, the picture is "
            f"{rgb.shape[0]}x{rgb.shape[1]} (height x width); bring them to one size first"
        )


def softmax(logits: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return probabilities over the first axis."""
    result = logits - logits.max(0)
    np.exp(result, out=result)
    result /= result.sum(0)
    return result
