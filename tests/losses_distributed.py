"""What each of two processes does in the tests of distributed losses; results go to a file."""

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mclass.distributed import Gather
from mclass.losses import MoCoLoss, NTXentLoss

PROCESSES, PAIRS, DIM = 2, 150, 16  # 600 views: several blocks of 128 rows for each process


def batch():
    """The joined batch: inputs of a linear layer, of both views."""
    return torch.randn(2, PROCESSES * PAIRS, 8, generator=torch.Generator().manual_seed(0))


def layer():
    torch.manual_seed(1)
    return torch.nn.Linear(8, DIM)


def work(rank, folder):
    """Each process sees its half of the batch."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    x = batch()[:, rank * PAIRS : (rank + 1) * PAIRS]
    result = {}
    for reduction in ("mean", "sum", "none"):
        model = DistributedDataParallel(layer())
        z_i, z_j = model(x.flatten(0, 1)).view(2, PAIRS, DIM)
        z_i.retain_grad()
        loss = NTXentLoss(reduction=reduction)(z_i, z_j)
        loss.sum().backward()
        result[reduction] = loss.detach(), model.module.weight.grad, z_i.grad
    with torch.no_grad():
        result["evaluated"] = NTXentLoss()(z_i, z_j)
        result["alone"] = NTXentLoss(gather=False)(z_i, z_j)
    parts = [torch.ones(PAIRS, 1, requires_grad=True) for _ in range(2)]
    ((Gather.apply(parts[0]) + Gather.apply(parts[1])) * (1 + rank)).sum().backward()  # both get one and the same
    result["shared gradient"] = [part.grad for part in parts]
    moco = MoCoLoss(DIM, queue_size=4 * PAIRS)
    moco(z_i.detach(), z_j.detach())
    result["queue"] = moco.queue
    for name, change in {"uneven": lambda z: z[rank:], "nan": lambda z: z * (float("nan") if rank else 1)}.items():
        try:
            NTXentLoss()(change(z_i), change(z_j))
        except ValueError as error:
            result[name] = str(error)
    torch.save(result, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
