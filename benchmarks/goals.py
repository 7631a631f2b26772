"""What the benchmarks are measured against: ratios and rates at least, seconds and exponents at most."""

SOFT_MASKS, BINARY_MASKS = 8.0, 1.0  # ÷ OpenCV and NumPy frame by frame; ÷ OpenCV's 8-bit operations
VIEWS = 3.0  # ÷ the better of torchvision and kornia
FEED = 250.0  # clips a core-second
STEP = {
    "÷ bare loop (CPU)": 0.97,
    "÷ eager autocast (GPU)": 2.0,
    "of bf16 matmul (GPU)": 0.3,
    "÷ in memory (GPU)": 0.95,
}
OVERHEAD = 0.98  # ÷ the bare loop
START = {"dry": 5.0, "again": 5.0, "help": 0.3, "start": 4.0}  # seconds; of a command's start, CPU seconds
ROWS = 20.0  # seconds for 2,000
GROWTH = 1.0  # exponent
