"""Video files through PyAV: decode frames in order, probe a file, write a file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter


class VideoError(Exception):
    """A video file can't be decoded; the message names the file and the reason."""


@dataclass(frozen=True)
class Probe:
    """What decoding a whole file showed: frames that came out, frames per second, width and height in pixels."""

    num_frames: int
    fps: float
    width: int
    height: int


def _decode(path: Path) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoError(f"{path}: no video stream")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            yield from container.decode(stream)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: {error}") from error


def probe(path: Path) -> Probe:
    """Decode a file to its end and count; headers are not believed.

    Raises:
        VideoError: the file can't be opened, has no video stream, or breaks while decoding.
    """
    num_frames, width, height, fps = 0, 0, 0, 0.0
    for frame in _decode(path):
        if not num_frames:
            width, height = frame.width, frame.height
            rate = frame.time_base
            fps = float(1 / rate) if rate else 0.0
        num_frames += 1
    if not num_frames:
        raise VideoError(f"{path}: no frame could be decoded")
    with av.open(str(path)) as container:
        average = container.streams.video[0].average_rate
    return Probe(num_frames, float(average) if average else fps, width, height)


def read(path: Path, width: int, height: int) -> Iterator[np.ndarray]:
    """Yield every frame of a file in display order, resized bilinearly; uint8 (height, width, 3) RGB.

    Raises:
        VideoError: as :func:`probe`.
    """
    reformatter = VideoReformatter()
    for frame in _decode(path):
        scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1)
        yield scaled.to_ndarray()


def write(path: Path, frames: Iterable[np.ndarray], fps: int, codec: str) -> None:
    """Encode frames (uint8, H×W×3 RGB) into a file; one thread, so the same frames give the same bytes.

    ``codec`` is ``mpeg4`` (tagged XVID in AVI, as UCF101 is distributed) or ``libx264``. The file appears under its
    name only when it is complete.
    """
    partial = path.with_name(f".{path.name}.partial{path.suffix}")
    options = {"qscale": "3"} if codec == "mpeg4" else {"crf": "20", "preset": "ultrafast"}
    stream = None
    with av.open(str(partial), "w", container_options={"fflags": "+bitexact"}) as container:
        for image in frames:
            if stream is None:
                stream = container.add_stream(codec, rate=fps, options=options)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1
                if codec == "mpeg4":
                    stream.codec_context.codec_tag = "XVID"
                    stream.codec_context.qscale = True
                    stream.codec_context.global_quality = 3 * 118
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))
    partial.replace(path)
