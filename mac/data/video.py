"""Video files through PyAV: decode frames in order, write a file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter

PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
MAX_PIXELS = 8192 * 8192  # a damaged header may ask for more than any video has


class VideoError(Exception):
    """A video file can't be decoded; the message names the file and the reason."""


def decode(path: Path) -> Iterator[av.VideoFrame]:
    """Yield the frames of a file's first video stream in display order, decoded by one thread.

    Raises:
        VideoError: the file can't be opened, has no video stream, or breaks while decoding.
    """
    try:
        with av.open(str(path)) as container:
            if (stream := stream_of(container)) is None:
                raise VideoError(f"{path}: no video stream")
            if stream.codec_context is None:
                raise VideoError(f"{path}: an unknown codec")
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            yield from container.decode(stream)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: {error}") from error


def read(path: Path, width: int, height: int) -> Iterator[np.ndarray]:
    """Yield every frame of a file in display order, upright, resized bilinearly; uint8 (height, width, 3) RGB.

    A rotation in the file's metadata (phones write one) is applied first, so that ``width`` and ``height`` are those
    of the upright picture.

    Raises:
        VideoError: as :func:`decode`.
    """
    reformatter = VideoReformatter()
    for frame in decode(path):
        turns = quarter_turns(frame)
        across, down = (height, width) if turns % 2 else (width, height)
        scaled = reformatter.reformat(frame, across, down, "rgb24", interpolation=Interpolation.BILINEAR, threads=1)
        image = scaled.to_ndarray()
        yield np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def frame_rate(path: Path) -> float:
    """Return the average frames per second that a file's header gives; 25 where it gives none.

    Raises:
        VideoError: the file can't be opened or has no video stream.
    """
    try:
        with av.open(str(path)) as container:
            if (stream := stream_of(container)) is None:
                raise VideoError(f"{path}: no video stream")
            return float(stream.average_rate or 25)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path}: {error}") from error


def stream_of(container: av.container.InputContainer) -> av.VideoStream | None:
    """Return the first stream that is a film; None where there are only pictures (covers, thumbnails) or none."""
    if container.format.name == "image2" or container.format.name.endswith("_pipe"):  # a picture under a video's name
        return None
    return next((stream for stream in container.streams.video if not stream.disposition & PICTURES), None)


def quarter_turns(frame: av.VideoFrame) -> int:
    """Return the counter-clockwise quarter turns, 0 … 3, that bring a frame upright; other angles are ignored."""
    return round(frame.rotation / 90) % 4 if frame.rotation % 90 == 0 else 0


def write(path: Path, frames: Sequence[np.ndarray], fps: int, codec: str) -> None:
    """Encode frames (uint8, H×W×3 RGB) into a file; one thread, so the same frames give the same bytes.

    ``codec`` is ``mpeg4`` (tagged XVID in AVI, as UCF101 is distributed) or ``libx264``. The file appears under its
    name only when it is complete.
    """
    partial = path.with_name(f".{path.name}.partial{path.suffix}")
    options = {"qscale": "3"} if codec == "mpeg4" else {"crf": "20", "preset": "ultrafast"}
    with av.open(str(partial), "w", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        if codec == "mpeg4":
            stream.codec_context.codec_tag = "XVID"
            stream.codec_context.qscale = True
            stream.codec_context.global_quality = 3 * 118
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    partial.replace(path)
