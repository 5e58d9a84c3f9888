"""BigGAN (Brock et al. 2018, arXiv 1809.11096) and MineGAN's miner, in the published order of operations.

State-dict names are those of BigGAN-PyTorch, so published files load with `load_state_dict`.
"""

import torch
from torch import nn
from torch.nn import functional as F

GENERATOR = {
    32: ((4, 4, 4), (4, 4, 4)),
    64: ((16, 16, 8, 4), (16, 8, 4, 2)),
    128: ((16, 16, 8, 4, 2), (16, 8, 4, 2, 1)),
}
DISCRIMINATOR = {
    32: ((4, 4, 4, 4), (16, 16, 16, 16), (True, True, False, False)),
    64: ((1, 2, 4, 8, 16), (32, 16, 8, 4, 4), (True, True, True, True, False)),
    128: ((1, 2, 4, 8, 16, 16), (64, 32, 16, 8, 4, 4), (True, True, True, True, True, False)),
}


class Spectral(nn.Module):
    """One power iteration in every forward; in training mode the new u is kept."""

    def __init__(self, shape, bias):
        super().__init__()
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(shape)))
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        self.register_buffer("u0", torch.randn(1, shape[0]))
        self.register_buffer("sv0", torch.ones(1))

    def normalized(self):
        matrix = self.weight.view(self.weight.shape[0], -1)
        with torch.no_grad():
            v = F.normalize(torch.matmul(self.u0, matrix), eps=1e-6)
            u = F.normalize(torch.matmul(v, matrix.t()), eps=1e-6)
            if self.training:
                self.u0[:] = u
        sigma = torch.squeeze(torch.matmul(torch.matmul(v, matrix.t()), u.t()))
        if self.training:
            with torch.no_grad():
                self.sv0[:] = sigma
        return self.weight / sigma


class Linear(Spectral):
    def __init__(self, inputs, outputs, bias=True):
        super().__init__((outputs, inputs), bias)

    def forward(self, x):
        return F.linear(x, self.normalized(), self.bias)


class Conv(Spectral):
    def __init__(self, inputs, outputs, side, bias=True):
        super().__init__((outputs, inputs, side, side), bias)

    def forward(self, x):
        return F.conv2d(x, self.normalized(), self.bias, stride=1, padding=self.weight.shape[2] // 2)


class Embedding(Spectral):
    def __init__(self, classes, features):
        super().__init__((classes, features), bias=False)

    def forward(self, labels):
        return F.embedding(labels, self.normalized())


class BatchNorm(nn.Module):
    """Of the output layer when it has no condition, else of a block."""

    def __init__(self, channels, condition=None):
        super().__init__()
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))
        if condition is None:
            self.gain = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))
        else:
            self.gain = Linear(condition, channels, bias=False)
            self.bias = Linear(condition, channels, bias=False)

    def forward(self, x, condition=None):
        stored = (self.stored_mean, self.stored_var)
        if condition is None:
            return F.batch_norm(x, *stored, self.gain, self.bias, self.training, 0.1, 1e-5)
        gain = (1 + self.gain(condition)).view(x.shape[0], -1, 1, 1)
        bias = self.bias(condition).view(x.shape[0], -1, 1, 1)
        return F.batch_norm(x, *stored, None, None, self.training, 0.1, 1e-5) * gain + bias


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels
        self.theta = Conv(channels, channels // 8, 1, bias=False)
        self.phi = Conv(channels, channels // 8, 1, bias=False)
        self.g = Conv(channels, channels // 2, 1, bias=False)
        self.o = Conv(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        count, _, height, width = x.shape
        theta = self.theta(x).view(count, self.channels // 8, height * width)
        phi = F.max_pool2d(self.phi(x), 2).view(count, self.channels // 8, height * width // 4)
        g = F.max_pool2d(self.g(x), 2).view(count, self.channels // 2, height * width // 4)
        beta = F.softmax(torch.bmm(theta.transpose(1, 2), phi), -1)
        mixed = torch.bmm(g, beta.transpose(1, 2)).view(count, self.channels // 2, height, width)
        return self.gamma * self.o(mixed) + x


class GeneratorBlock(nn.Module):
    def __init__(self, inputs, outputs, condition):
        super().__init__()
        self.conv1 = Conv(inputs, outputs, 3)
        self.conv2 = Conv(outputs, outputs, 3)
        self.conv_sc = Conv(inputs, outputs, 1)
        self.bn1 = BatchNorm(inputs, condition)
        self.bn2 = BatchNorm(outputs, condition)

    def forward(self, x, condition):
        h = F.relu(self.bn1(x, condition))
        h = F.interpolate(h, scale_factor=2)
        x = F.interpolate(x, scale_factor=2)
        h = self.conv1(h)
        h = F.relu(self.bn2(h, condition))
        h = self.conv2(h)
        return h + self.conv_sc(x)


class DiscriminatorBlock(nn.Module):
    def __init__(self, inputs, outputs, down, first):
        super().__init__()
        self.down, self.first = down, first
        self.conv1 = Conv(inputs, outputs, 3)
        self.conv2 = Conv(outputs, outputs, 3)
        self.conv_sc = Conv(inputs, outputs, 1) if inputs != outputs or down else None

    def shortcut(self, x):
        """The first block pools before its convolution, the others after."""
        if self.first:
            x = F.avg_pool2d(x, 2) if self.down else x
            return x if self.conv_sc is None else self.conv_sc(x)
        x = x if self.conv_sc is None else self.conv_sc(x)
        return F.avg_pool2d(x, 2) if self.down else x

    def forward(self, x):
        h = self.conv1(x if self.first else F.relu(x))
        h = self.conv2(F.relu(h))
        if self.down:
            h = F.avg_pool2d(h, 2)
        return h + self.shortcut(x)


class Generator(nn.Module):
    """z [N, latent_dim], class embedding [N, shared_dim] -> images; classes 0: no embedding, shared_dim counts as 0."""

    def __init__(self, size, width, attention, classes, *, latent_dim=120, shared_dim=128):
        super().__init__()
        inputs, outputs = GENERATOR[size]
        self.chunk = latent_dim // (len(inputs) + 1)
        self.latent_dim = self.chunk * (len(inputs) + 1)
        self.shared_dim = shared_dim if classes else 0
        self.shared = nn.Embedding(classes, shared_dim) if classes else None
        if classes:
            nn.init.orthogonal_(self.shared.weight)
        self.linear = Linear(self.chunk, inputs[0] * width * 16)
        self.blocks = nn.ModuleList()
        for index, (before, after) in enumerate(zip(inputs, outputs, strict=True)):
            layers = [GeneratorBlock(before * width, after * width, self.shared_dim + self.chunk)]
            if 8 * 2**index in attention:
                layers.append(Attention(after * width))
            self.blocks.append(nn.ModuleList(layers))
        last = outputs[-1] * width
        self.output_layer = nn.Sequential(BatchNorm(last), nn.ReLU(), Conv(last, 3, 3))

    def embed(self, labels):
        return self.shared(labels) if self.shared is not None else torch.empty(len(labels), 0)

    def forward(self, z, embedded):
        chunks = torch.split(z, self.chunk, 1)
        h = self.linear(chunks[0])
        h = h.view(h.shape[0], -1, 4, 4)
        for layers, chunk in zip(self.blocks, chunks[1:], strict=True):
            condition = torch.cat([embedded, chunk], 1)
            for layer in layers:
                h = layer(h, condition) if isinstance(layer, GeneratorBlock) else layer(h)
        return torch.tanh(self.output_layer(h))


class Discriminator(nn.Module):
    """images [N, 3, S, S], labels [N] or None -> logits [N, 1]."""

    def __init__(self, size, width, attention, classes):
        super().__init__()
        channels, sides, downs = DISCRIMINATOR[size]
        self.blocks = nn.ModuleList()
        before = 3
        for index, (after, side, down) in enumerate(zip(channels, sides, downs, strict=True)):
            layers = [DiscriminatorBlock(before, after * width, down, index == 0)]
            if side in attention:
                layers.append(Attention(after * width))
            self.blocks.append(nn.ModuleList(layers))
            before = after * width
        self.linear = Linear(before, 1)
        self.embed = Embedding(classes, before) if classes else None

    def forward(self, images, labels):
        h = images
        for layers in self.blocks:
            for layer in layers:
                h = layer(h)
        h = torch.sum(F.relu(h), [2, 3])
        out = self.linear(h)
        if labels is not None and self.embed is not None:
            out = out + torch.sum(self.embed(labels) * h, 1, keepdim=True)
        return out


class Miner(nn.Module):
    """z [N, dim] -> mined z [N, dim] and mined class embedding [N, shared_dim] (Wang et al. 2019, arXiv 1912.05270)."""

    def __init__(self, dim, shared_dim):
        super().__init__()
        self.linear, self.linear2, self.linear3, self.linear4 = (Linear(dim, dim) for _ in range(4))
        self.linear5, self.linear6, self.linear7 = (Linear(dim, dim) for _ in range(3))
        self.linear8 = Linear(dim, shared_dim)

    def forward(self, z):
        mined = self.linear4(self.linear3(self.linear2(self.linear(z))))
        return mined, self.linear8(self.linear7(self.linear6(self.linear5(z))))
