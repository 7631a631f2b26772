"""Clip throughput of one core: 16-frame clips out of the frame store against decoding the original videos."""

import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter

from benchmarks.harness import Finding, alternate, machine, markdown, rates, save
from benchmarks.sample import scanned
from mac.data import video
from mac.data.store import FrameStore, extract

WIDTH, HEIGHT, FRAMES, STRIDE = 192, 144, 16, 2
CLIPS, REPEATS = 60, 7


def run(data: Path) -> None:
    """Measure clips per second, the store's size and the speed of scanning and extracting."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        _measure(data / "ucf101-originals", Path(folder))


def _measure(root: Path, folder: Path) -> None:
    began = time.perf_counter()
    table = scanned(root)
    scanning = table["num_frames"].sum() / (time.perf_counter() - began)
    began = time.perf_counter()
    extract(root, table, folder, WIDTH, HEIGHT)
    extracting = table["num_frames"].sum() / (time.perf_counter() - began)
    store = FrameStore(folder)
    raw = _write_raw(root, table, folder)
    intra, groups = (_write_h264(root, table, folder / f"h264_{gop}", gop) for gop in (1, 8))
    lengths = table["num_frames"].to_numpy()
    paths = [root / file for file in table["file"]]

    def drawn(turn: int) -> list[tuple[int, np.ndarray]]:
        draws = np.random.default_rng(turn)
        videos = draws.integers(0, len(lengths), CLIPS)
        starts = (draws.random(CLIPS) * (lengths[videos] - FRAMES * STRIDE + 1)).astype(int)
        return [(int(v), start + STRIDE * np.arange(FRAMES)) for v, start in zip(videos, starts, strict=True)]

    def each(read):
        return lambda turn: [read(v, frames) for v, frames in drawn(turn)]

    methods = {
        "store (JPEG)": each(lambda v, frames: store.clips(np.array([v]), frames[None])),
        "originals, PyAV": each(lambda v, frames: _pyav(paths[v], frames)),
        "originals, OpenCV": each(lambda v, frames: _opencv(paths[v], frames)),
        "originals, decord": each(lambda v, frames: _decord(paths[v], frames)),
        "originals, torchcodec": each(lambda v, frames: _torchcodec(paths[v], frames)),
        "raw array, memory-mapped": each(lambda v, frames: np.array(raw[v][frames])),
        "H.264, key frames only, PyAV": each(lambda v, frames: _pyav(intra[v], frames)),
        "H.264, a key frame in 8, PyAV": each(lambda v, frames: _pyav(groups[v], frames)),
    }
    _agree(methods, drawn)
    speed = rates(alternate(methods, REPEATS), CLIPS)
    frames = int(lengths.sum())
    sizes = {
        "store (JPEG)": _bytes(folder / "videos") / frames,
        "originals, PyAV": _bytes(root) / frames,
        "raw array, memory-mapped": float(WIDTH * HEIGHT * 3),
        "H.264, key frames only, PyAV": _bytes(folder / "h264_1") / frames,
        "H.264, a key frame in 8, PyAV": _bytes(folder / "h264_8") / frames,
    }
    ours = speed["store (JPEG)"]
    rows = [
        [name, f"{value:.0f}", f"{ours / value:.1f}", f"{sizes[name]:,.0f}" if name in sizes else "as above"]
        for name, value in speed.items()
    ]
    head = ["one core, 16 frames at stride 2, 192×144", "clips/s", "store ÷ this", "bytes a frame"]
    speeds = f"Scanning {scanning:,.0f} and extracting {extracting:,.0f} frames a second on one core."
    facts = {
        "machine": machine("av", "simplejpeg", "opencv-python-headless", "decord", "torchcodec", "torch"),
        "clips_per_second": speed,
        "bytes_per_frame": sizes,
        "scanned_frames_per_second": scanning,
        "extracted_frames_per_second": extracting,
        "videos": len(table),
        "frames": frames,
    }
    others = max(value for name, value in speed.items() if name.startswith("originals"))
    findings = [Finding("clips from the store ÷ the fastest decoder of originals", ours / others)]
    save("clips", "Clips: from disk to memory", facts, [markdown(head, rows), speeds], findings)


def _agree(methods: dict, drawn) -> None:
    """See that every method returns the same frames, up to their codecs and resampling."""
    expected = methods["raw array, memory-mapped"](0)
    for name, read in methods.items():
        for (v, _), clip, other in zip(drawn(0), expected, read(0), strict=True):
            error = np.abs(clip.astype(int) - np.asarray(other).reshape(clip.shape)).mean()
            if error > 12:  # of 255: resampling without antialiasing alone gives 6
                raise SystemExit(f"{name} returns other frames than the sequential decoder (video {v}: {error:.1f})")


def _pyav(path: Path, frames: np.ndarray) -> np.ndarray:
    clip, wanted, reformatter = (
        np.empty((len(frames), HEIGHT, WIDTH, 3), np.uint8),
        set(frames.tolist()),
        VideoReformatter(),
    )
    with av.open(str(path)) as opened:
        stream = opened.streams.video[0]
        stream.codec_context.thread_count = 1
        step = 1 / (stream.average_rate * stream.time_base)
        first = next(opened.decode(stream)).pts
        opened.seek(int(first + frames[0] * step), stream=stream)
        for frame in opened.decode(stream):
            number = round((frame.pts - first) / step)
            if number in wanted:
                scaled = reformatter.reformat(
                    frame, WIDTH, HEIGHT, "rgb24", interpolation=Interpolation.BILINEAR, threads=1
                )
                clip[np.flatnonzero(frames == number)] = scaled.to_ndarray()
            if number >= frames[-1]:
                break
    return clip


def _opencv(path: Path, frames: np.ndarray) -> np.ndarray:
    clip, capture = np.empty((len(frames), HEIGHT, WIDTH, 3), np.uint8), cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_POS_FRAMES, int(frames[0]))
    wanted = {int(number): t for t, number in enumerate(frames)}
    for number in range(int(frames[0]), int(frames[-1]) + 1):
        capture.grab()
        if number in wanted:
            _, image = capture.retrieve()
            clip[wanted[number]] = cv2.cvtColor(cv2.resize(image, (WIDTH, HEIGHT)), cv2.COLOR_BGR2RGB)
    capture.release()
    return clip


def _decord(path: Path, frames: np.ndarray) -> np.ndarray:
    import decord

    return decord.VideoReader(str(path), width=WIDTH, height=HEIGHT, num_threads=1).get_batch(frames).asnumpy()


def _torchcodec(path: Path, frames: np.ndarray) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC", seek_mode="approximate")
    images = decoder.get_frames_at(frames.tolist()).data.numpy()
    return np.stack([cv2.resize(image, (WIDTH, HEIGHT)) for image in images])


def _write_raw(root: Path, table, folder: Path) -> list[np.ndarray]:
    arrays = []
    for number, file in enumerate(table["file"]):
        np.save(folder / f"{number}.npy", np.stack(list(video.read(root / file, WIDTH, HEIGHT))))
        arrays.append(np.load(folder / f"{number}.npy", mmap_mode="r"))
    return arrays


def _write_h264(root: Path, table, folder: Path, gop: int) -> list[Path]:
    folder.mkdir()
    paths = []
    for number, file in enumerate(table["file"]):
        paths.append(folder / f"{number}.mp4")
        with av.open(str(paths[-1]), "w") as opened:
            options = {"crf": "18", "preset": "veryfast", "g": str(gop), "bf": "0", "tune": "fastdecode"}
            stream = opened.add_stream("libx264", rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for image in video.read(root / file, WIDTH, HEIGHT):
                opened.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            opened.mux(stream.encode(None))
    return paths


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
