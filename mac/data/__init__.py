"""From videos on a disk to clips in memory: layouts, splits, index, video decoding, frame store, clip sampling."""
