"""Small models run fastest on one thread; several would only wait for each other beside other test processes."""

import torch

torch.set_num_threads(1)
