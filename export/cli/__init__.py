"""The workstation's commands. They join `edge-asd` by the entry-point group `edge_asd.commands` and import torch only
when they run, so that the help and the missing-extra message work on a device too."""
