"""Images: from a file's bytes to an array, and from a raw image to the bytes that a store keeps. Needs Pillow."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fedscale import limits
from fedscale.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL.Image import Image

GREY: Final = 2
"""Dimensions of a grey image's shape, (height, width); a coloured one's is (3, height, width)."""


class ImageDecoder:
    """Decodes JPEG, PNG and what else Pillow knows to ``sample_shape``, uint8.

    The image is made smaller or larger until it covers the shape, and the middle of it is kept.
    """

    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, sample_shape: tuple[int, ...]) -> None:
        self._grey = len(sample_shape) == GREY
        self._size = sample_shape[-1], sample_shape[-2]

    def __call__(self, content: bytes) -> npt.NDArray[np.uint8]:
        """Return the image as (height, width) or (3, height, width).

        Raises:
            ValueError: it is no image, or damaged.
        """
        from PIL import ImageOps

        image = open_image(content, self._size)
        fitted = ImageOps.fit(image.convert("L" if self._grey else "RGB"), self._size)
        pixels = np.asarray(fitted)
        return pixels if self._grey else pixels.transpose(2, 0, 1)


def need_pillow() -> Any:
    """Return Pillow's ``Image`` module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("reading images", "Pillow", "images") from None
    return Image


def open_image(content: bytes, size: tuple[int, int] | None = None) -> Image:
    """Return the image in a file's bytes, decoded.

    Args:
        content: the file's bytes.
        size: width and height that will do; a JPEG is then decoded to a smaller one that covers them, which is quicker.

    Raises:
        ValueError: it is no image, too large, or damaged.
    """
    images = need_pillow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what is odd in a file
        return _opened(images, content, size)


def _opened(images: Any, content: bytes, size: tuple[int, int] | None) -> Image:
    try:
        image = images.open(io.BytesIO(content))
        if image.width * image.height > limits.IMAGE_PIXELS:
            raise ValueError(
                f"{image.width} × {image.height} pixels, more than the {limits.IMAGE_PIXELS} that are read"
            )
        if size is not None:
            image.draft(None, size)
        image.load()
    except (OSError, SyntaxError, images.DecompressionBombError):
        raise ValueError("not an image that can be read: it is cut off or of no known kind") from None
    opened: Image = image
    return opened


def encode_image(image: Image, longest: int, quality: int = 90) -> bytes:
    """Return an image as JPEG, its longer side at most ``longest`` pixels."""
    image = image.convert("RGB") if image.mode not in ("L", "RGB") else image.copy()
    image.thumbnail((longest, longest))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
