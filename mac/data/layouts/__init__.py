"""The layouts of data sets, by their names in the configuration.

A layout is a module with

* ``SPLITS``: the numbers of its splits, some or all of 1, 2, 3;
* ``read(root)``: reads the lists in a data set's folder into a table with one row per video: ``path`` (relative to
  ``root``), ``label`` (class name), ``group`` (source group within the class, or the video itself) and ``split_1`` …
  ``split_3`` (train, test or unused). If the lists name the video files exactly, a column ``file`` says so; without it
  the files are looked for. Raises :class:`mac.data.splits.LayoutError`;
* ``synthesise(names, videos)``: plans synthetic data: ``videos`` of each class in ``names`` as
  :class:`mac.data.splits.SyntheticVideo`, and the text of each list by its file name.

The configuration imports this package, so a layout imports pandas in its functions only.
"""

from mac.data.layouts import csv, hmdb51, kinetics, ucf101

LAYOUTS = {
    "ucf101": ucf101,
    "hmdb51": hmdb51,
    "kinetics": kinetics,
    "csv": csv,
}
