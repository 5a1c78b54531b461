"""Options, processes, output and page of `autolabel.py` beside this folder."""
