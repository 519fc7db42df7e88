"""Two torch processes with two threads each on two cores are several times slower than with one each."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
