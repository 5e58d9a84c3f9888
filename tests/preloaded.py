"""What the server of forks.py has imported before it forks: most of what a command of fewgan imports at its start."""

import numpy  # noqa: F401
import scipy.linalg
import scipy.optimize  # noqa: F401
import torch
import torch._dynamo
import torch.distributed.launcher.api

import fewgan.cli.commands
import fewgan.photos.prepare
import fewgan.scoring.fid
import fewgan.training.loop  # noqa: F401

torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # the first optimizer imports more of torch
