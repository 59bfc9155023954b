"""Training crops: geometry and photometry, on uint8 images, from a passed generator."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from edgeseg.errors import UsageError
from edgeseg.host.training.job_options import PHOTOMETRY

# The side of the thumbnail from which per-image statistics are taken: the mean and spread of a
# street scene are the same to a per cent, at a fiftieth of the cost.
THUMBNAIL_HW = (90, 120)


@dataclasses.dataclass(frozen=True)
class Augment:
    """What happens to a training image.

    Attributes:
        crop_hw: height and width of the crop.
        scale: smallest and largest zoom, drawn log-uniformly.
        aspect: largest extra stretch of one axis (1.15 = 15 %).
        rotate: largest rotation in degrees.
        flip: mirror left-right half of the time.
        photometry: "none", "mild" (brightness, contrast) or "strong" (gamma, white balance,
            contrast, saturation, shadow or vignette, blur, noise, JPEG); "mixed" draws one of the
            last two for each crop.
        rare_crops: probability that a crop is centred on a pixel of a class drawn uniformly from
            those present, instead of anywhere.
        blackout: probability that a small rectangle is painted grey.
        classmix: probability that half of the classes of another image's crop are pasted over.
    """

    crop_hw: tuple[int, int] = (256, 320)
    scale: tuple[float, float] = (0.6, 2.0)
    aspect: float = 1.15
    rotate: float = 4.0
    flip: bool = True
    photometry: str = "strong"
    rare_crops: float = 0.4
    blackout: float = 0.15
    classmix: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        problems = []
        if min(self.crop_hw) < 32:
            problems.append(f"crop_hw {self.crop_hw} needs at least 32 pixels a side")
        if not 0.1 <= self.scale[0] <= self.scale[1] <= 8:
            problems.append(f"scale {self.scale} must be smallest, largest within 0.1..8")
        if self.photometry not in PHOTOMETRY:
            problems.append(f"photometry {self.photometry!r} is not one of {PHOTOMETRY}")
        shares = {"rare_crops": self.rare_crops, "blackout": self.blackout}
        for name, share in (shares | {"classmix": self.classmix}).items():
            if not 0 <= share <= 1:
                problems.append(f"{name} {share} must be within 0..1")
        if problems:
            raise UsageError("; ".join(problems))


@dataclasses.dataclass(frozen=True)
class Crop:
    """One training crop: rgb "h w 3" and labels "h w" uint8, and its frame's statistics.

    Attributes:
        rgb: the crop.
        labels: its labels; the ignored label where the crop leaves the image.
        mean: per channel, 0-1, over the whole photometrically changed frame.
        std: likewise.
    """

    rgb: np.ndarray
    labels: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def training_crop(
    rgb: np.ndarray,
    labels: np.ndarray,
    augment: Augment,
    rng: np.random.Generator,
    *,
    ignore_index: int,
) -> Crop:
    """Cut one random crop of rgb "h w 3" and labels "h w", both uint8.

    Statistics are those of the whole frame after the photometric change, since per-image
    normalization sees whole frames on the device.
    """
    photometry = augment.photometry
    if photometry == "mixed":
        photometry = "strong" if rng.random() < 0.5 else "mild"
    table = _tone_table(photometry, rng)
    saturation = rng.uniform(0.4, 1.5) if photometry == "strong" else 1.0
    thumbnail = cv2.resize(rgb, THUMBNAIL_HW[::-1], interpolation=cv2.INTER_AREA)
    thumbnail = _tone(thumbnail, table, saturation).reshape(-1, 3).astype(np.float32) / 255
    matrix = _crop_matrix(rgb, labels, augment, rng, ignore_index)
    size_wh = augment.crop_hw[::-1]
    rgb = cv2.warpAffine(rgb, matrix, size_wh, flags=cv2.INTER_LINEAR, borderValue=(128, 128, 128))
    labels = cv2.warpAffine(
        labels, matrix, size_wh, flags=cv2.INTER_NEAREST, borderValue=ignore_index
    )
    rgb = _tone(rgb, table, saturation)
    if photometry == "strong":
        rgb = _degrade(rgb, rng)
    if rng.random() < augment.blackout:
        rgb, labels = _blackout(rgb, labels, rng, ignore_index)
    return Crop(rgb, labels, thumbnail.mean(0), thumbnail.std(0))


def paste_classes(crop: Crop, donor: Crop, rng: np.random.Generator, *, ignore_index: int) -> Crop:
    """Put half of the classes of `donor`, drawn at random, where they lie over `crop`.

    Source: ClassMix, Olsson et al., arXiv 2007.07936, section 3.2; there the labels are a
    network's, here the true ones.
    """
    present = np.unique(donor.labels)
    present = present[present != ignore_index]
    chosen = rng.choice(present, size=(len(present) + 1) // 2, replace=False)
    over = np.isin(donor.labels, chosen)
    return Crop(
        np.where(over[..., None], donor.rgb, crop.rgb),
        np.where(over, donor.labels, crop.labels),
        crop.mean,
        crop.std,
    )


def _crop_matrix(
    rgb: np.ndarray,
    labels: np.ndarray,
    augment: Augment,
    rng: np.random.Generator,
    ignore_index: int,
) -> np.ndarray:
    """Affine 2x3 matrix from image to crop coordinates: zoom, stretch, rotation, flip, shift."""
    height, width = labels.shape
    crop_h, crop_w = augment.crop_hw
    zoom = float(np.exp(rng.uniform(*np.log(augment.scale))))
    stretch = float(np.exp(rng.uniform(-1, 1) * np.log(augment.aspect)))
    scale_x, scale_y = zoom * np.sqrt(stretch), zoom / np.sqrt(stretch)
    angle = np.deg2rad(rng.uniform(-augment.rotate, augment.rotate))
    flip = -1.0 if augment.flip and rng.random() < 0.5 else 1.0
    linear = np.array(
        [
            [flip * scale_x * np.cos(angle), -scale_y * np.sin(angle)],
            [flip * scale_x * np.sin(angle), scale_y * np.cos(angle)],
        ]
    )
    reach_x, reach_y = crop_w / 2 / scale_x, crop_h / 2 / scale_y
    if rng.random() < augment.rare_crops:
        centre = _rare_pixel(labels, rng, ignore_index)
        centre = centre + rng.uniform(-0.5, 0.5, 2) * (reach_x, reach_y)
    else:
        centre = rng.uniform((0, 0), (width, height))
    # The crop stays inside where it fits, and is centred on the image where it does not.
    for axis, (reach, size) in enumerate(((reach_x, width), (reach_y, height))):
        low, high = (reach, size - reach) if 2 * reach <= size else (size / 2, size / 2)
        centre[axis] = np.clip(centre[axis], low, high)
    # A pixel's coordinates are those of its centre, which lies half a pixel from the edge.
    shift = np.array([crop_w - 1, crop_h - 1]) / 2 - linear @ (centre - 0.5)
    return np.concatenate([linear, shift[:, None]], axis=1)


def _rare_pixel(labels: np.ndarray, rng: np.random.Generator, ignore_index: int) -> np.ndarray:
    """Return x, y of a random pixel of a class drawn uniformly from those present."""
    small = labels[::4, ::4]
    present = np.unique(small)
    present = present[present != ignore_index]
    if not len(present):
        return np.array([labels.shape[1] / 2, labels.shape[0] / 2])
    rows, columns = np.nonzero(small == rng.choice(present))
    pick = int(rng.integers(len(rows)))
    return np.array([columns[pick] * 4.0, rows[pick] * 4.0])


def _tone_table(photometry: str, rng: np.random.Generator) -> np.ndarray | None:
    """A 1x256x3 look-up table: gamma, white balance, contrast and brightness in one pass."""
    if photometry == "none":
        return None
    levels = np.linspace(0, 1, 256)[:, None]
    if photometry == "mild":
        tone = (levels - 0.5) * rng.uniform(0.85, 1.15) + 0.5 + rng.uniform(-0.1, 0.1)
        tone = np.repeat(tone, 3, 1)
    else:
        gamma = np.exp(rng.uniform(-0.7, 0.7) if rng.random() < 0.8 else 0.0)
        balance = np.exp(rng.uniform(-0.22, 0.22, 3) if rng.random() < 0.8 else np.zeros(3))
        contrast = rng.uniform(0.55, 1.5) if rng.random() < 0.8 else 1.0
        tone = (levels**gamma - 0.45) * contrast + 0.45 + rng.uniform(-0.18, 0.18)
        tone = tone * balance
    return np.clip(tone * 255 + 0.5, 0, 255).astype(np.uint8)[None]


def _tone(rgb: np.ndarray, table: np.ndarray | None, saturation: float) -> np.ndarray:
    if table is not None:
        rgb = cv2.LUT(rgb, table)
    if saturation != 1.0:
        grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        rgb = cv2.addWeighted(rgb, saturation, grey, 1 - saturation, 0)
    return rgb


def _degrade(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shadow or light falling over the scene, blur, sensor noise, JPEG."""
    height, width = rgb.shape[:2]
    if rng.random() < 0.4:
        coarse = rng.uniform(0.55, 1.3, (int(rng.integers(2, 5)), int(rng.integers(2, 5))))
        field = cv2.resize(
            coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        scaled = rgb * field[..., None]
        rgb = np.clip(scaled, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        rgb = cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.4, 1.4)))
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(2, 10), (height // 2, width // 2, 3)).astype(np.float32)
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST)
        rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
        coded = cv2.imencode(".jpg", rgb, quality)[1]
        rgb = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return rgb


def _blackout(
    rgb: np.ndarray, labels: np.ndarray, rng: np.random.Generator, ignore_index: int
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a rectangle grey and void: the network must use context, not one texture."""
    height, width = labels.shape
    box_h, box_w = int(height * rng.uniform(0.1, 0.3)), int(width * rng.uniform(0.1, 0.3))
    top, left = int(rng.integers(height - box_h)), int(rng.integers(width - box_w))
    rgb, labels = rgb.copy(), labels.copy()
    rgb[top : top + box_h, left : left + box_w] = 128
    labels[top : top + box_h, left : left + box_w] = ignore_index
    return rgb, labels
