"""The layouts of data sets, by the name that a configuration calls them.

A layout is a module with

* ``SPLITS``: the numbers of the splits it defines, a part of 1, 2, 3;
* ``read(root)``: the lists of a data set's folder as a table, a row a video: ``path`` (relative to ``root``), ``label``
  (class name), ``group`` (source group within the class, or the video itself) and ``split_1`` … ``split_3`` (train,
  test or unused); with a column ``file`` if the lists name the files themselves (else they are looked for); it raises
  :class:`mac.data.splits.LayoutError`;
* ``synthesise(names, videos)``: the reverse, for synthetic data: ``videos`` of each class (``names``) as
  :class:`mac.data.splits.SyntheticVideo`, and the text of each list file by its name.

The configuration imports this package, so a layout imports pandas inside its functions only.
"""

from mac.data.layouts import csv, hmdb51, kinetics, ucf101

LAYOUTS = {
    "ucf101": ucf101,
    "hmdb51": hmdb51,
    "kinetics": kinetics,
    "csv": csv,
}
