"""What layers and plugins exchange between processes, against one process. The processes are real."""

import signal
import textwrap
from functools import partial

import pytest
import torch
from torch.nn import functional as F
from torchrun import ranks

from fewgan import distributed, layers
from fewgan.plugin import FewganError, all_gather

SUMS = """
    import sys

    import torch
    from types import SimpleNamespace
    from fewgan import distributed
    from fewgan.cli import launch
    from fewgan.training import steps
    from fewgan.plugin import all_gather, batch_norm
    from torch.nn import functional as F

    def sums(arguments, speaks):
        torch.manual_seed(0)
        whole = torch.randn(6, 3, 4, 4) * 2 + 5
        weight, bias = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
        target = torch.randn_like(whole)
        x = whole.clone().requires_grad_()
        mean, var = torch.zeros(3), torch.ones(3)
        expected = F.batch_norm(x, mean, var, weight, bias, True, 0.1, 1e-5)
        inputs = (x, weight, bias)
        gradients = torch.autograd.grad((expected * target).sum(), inputs)

        mine = distributed.shard(whole).clone().requires_grad_()
        own_mean, own_var = torch.zeros(3), torch.ones(3)
        made = batch_norm(mine, own_mean, own_var, weight, bias, True, 0.1, 1e-5)
        own = torch.autograd.grad((made * distributed.shard(target)).sum(), (mine, weight, bias))
        own = [own[0], distributed.all_reduce_sum(own[1].clone()), distributed.all_reduce_sum(own[2].clone())]
        wanted = [distributed.shard(gradients[0]), *gradients[1:]]
        for one, other in [(made, distributed.shard(expected)), (own_mean, mean), (own_var, var), *zip(own, wanted)]:
            assert (one - other).abs().max() < 1e-10, (one, other)
        evaluated = batch_norm(mine, own_mean, own_var, weight, bias, False, 0.1, 1e-5)
        assert torch.equal(evaluated, F.batch_norm(mine, own_mean, own_var, weight, bias, False, 0.1, 1e-5))

        # A gradient penalty through it, too: the gradient of a gradient.
        def penalty(norm, x, target, mean, var):
            slope, = torch.autograd.grad((norm(x, mean, var) * target).sum(), x, create_graph=True)
            return slope.square().sum()
        everyone = lambda x, mean, var: F.batch_norm(x, mean, var, weight, bias, True, 0.1, 1e-5)
        wanted = torch.autograd.grad(penalty(everyone, x, target, mean.clone(), var.clone()), (x, weight))
        shared = lambda x, mean, var: batch_norm(x, mean, var, weight, bias, True, 0.1, 1e-5)
        own = torch.autograd.grad(
            penalty(shared, mine, distributed.shard(target), mean.clone(), var.clone()), (mine, weight)
        )
        assert (own[0] - distributed.shard(wanted[0])).abs().max() < 1e-9, "double backward"
        assert (distributed.all_reduce_sum(own[1].clone()) - wanted[1]).abs().max() < 1e-9, "double backward"

        # Rows of all processes: the loss of them all, its gradients and its double backward are those of one process.
        rows = torch.randn(6, 5)
        scale = torch.randn(5, requires_grad=True)
        def loss(rows):
            return ((rows * scale) @ rows.t()).softmax(1).square().sum()
        def slope(rows, gathered):
            return torch.autograd.grad(loss(gathered), rows, create_graph=True)[0].square().sum()
        own = distributed.shard(rows).clone().requires_grad_()
        gathered = all_gather(own)
        assert torch.equal(gathered, rows)
        whole = rows.clone().requires_grad_()
        wanted = torch.autograd.grad(loss(whole), (whole, scale))
        found = torch.autograd.grad(loss(gathered), (own, scale))
        world = distributed.world_size()
        assert (found[0] - world * distributed.shard(wanted[0])).abs().max() < 1e-12  # averaged later, as is all else
        assert (found[1] - wanted[1]).abs().max() < 1e-12
        parameter = scale.detach().clone().requires_grad_()  # behind the rows: its gradient is averaged over processes
        (wanted,) = torch.autograd.grad(loss(rows * parameter), parameter)
        (found,) = torch.autograd.grad(loss(all_gather(distributed.shard(rows) * parameter)), parameter)
        distributed.all_reduce_mean([found])
        assert (found - wanted).abs().max() < 1e-12
        # Each process may have a loss of its own: what is averaged is the gradient of their mean.
        weight = float(distributed.rank() + 1)
        (found,) = torch.autograd.grad(weight * loss(all_gather(distributed.shard(rows) * parameter)), parameter)
        distributed.all_reduce_mean([found])
        assert (found - 1.5 * wanted).abs().max() < 1e-12
        (wanted,) = torch.autograd.grad(slope(whole, whole), scale)
        (found,) = torch.autograd.grad(slope(own, all_gather(own)), scale)
        distributed.all_reduce_mean([found])
        assert (found - world * wanted).abs().max() < 1e-12, "double backward"
        assert all_gather(torch.tensor([distributed.rank()])).tolist() == [0, 1]
        narrow = all_gather(torch.ones(2, dtype=torch.bfloat16) * distributed.rank())
        assert (narrow.dtype, narrow.tolist()) == (torch.bfloat16, [0, 0, 1, 1])

        # An augmentation's observe is shown the logits of all processes.
        class Observer:
            def observe(self, logits, images_seen):
                self.logits = logits
        class Game:
            augmentation, regularizers = Observer(), {}
        number = float(distributed.rank())
        seen = [(torch.tensor([number, number]), torch.zeros(2)), (torch.tensor([7.0]),) * 2]
        steps._observe(Game, SimpleNamespace(images_seen=0), seen)
        assert Game.augmentation.logits.tolist() == [0, 0, 7, 1, 1, 7]

        assert distributed.shard_range(100, 16) == ((0, 48) if number == 0 else (48, 100))
        assert distributed.all_reduce_max(int(number) * 15) == 15
        assert distributed.broadcast_object(f"from {distributed.rank()}") == "from 0"
        if distributed.rank() == 0:
            print("all good")
        return 0

    torch.set_default_dtype(torch.float64)
    sys.exit(launch.launch(sums, ["train"]))
"""


def test_batch_norm_rows_and_observe_are_over_all_processes(tmp_path):
    (tmp_path / "sums.py").write_text(textwrap.dedent(SUMS))
    done = ranks(2, ["sums.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all good\n"


AGAIN = """
    import os, sys

    from fewgan import distributed
    from fewgan.cli import launch

    def again(arguments, speaks):
        count = os.environ["TORCHELASTIC_RESTART_COUNT"]
        store = distributed.dist.distributed_c10d._get_default_store()
        store.set(f"seen {count}", "")
        distributed.barrier()
        if count == "0":
            os._exit(1 - distributed.rank())
        stale = store.check(["seen 0"])
        if distributed.rank() == 0:
            print("stale" if stale else "fresh")
        return 0

    sys.exit(launch.launch(again, ["train"]))
"""


def test_ranks_that_are_started_again_find_nothing_of_those_before(tmp_path):
    """torchrun's store outlives its ranks: with the addresses of killed ones in it, new ones wait for the dead."""
    (tmp_path / "again.py").write_text(textwrap.dedent(AGAIN))
    done = ranks(2, ["again.py"], tmp_path, restarts=1)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fresh\n"


def test_batch_norm_alone_is_that_of_torch():
    x, mean, var = torch.randn(4, 3, 2, 2), torch.zeros(3), torch.ones(3)
    expected = F.batch_norm(x, mean.clone(), var.clone(), None, None, True, 0.1, 1e-5)
    assert torch.equal(layers.batch_norm(x, mean, var, None, None, True, 0.1, 1e-5), expected)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("No backend type associated with device type mps", "^torch.distributed failed: No backend type"),
        ("Connection closed by peer [127.0.0.1]:5", "another process of this command exited unexpectedly"),
    ],
)
def test_not_every_failure_is_blamed_on_another_process(reason, message, request):
    request.addfinalizer(partial(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM)))

    def fails():
        raise RuntimeError(reason)

    with pytest.raises(FewganError, match=message):
        distributed._collective(fails)


def test_rows_of_one_process_are_the_rows():
    rows = torch.randn(3, 2, requires_grad=True)
    assert all_gather(rows) is rows
