"""2-D nets inflated to clips: a boring video gives what its one frame gives; I3D is such a net."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnc
from cnnc.zoo import ZOO, build, inflate, inflate_net, on_meta
from cnnc_runtime.errors import UnsupportedModelError, UsageError


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def boring(image: torch.Tensor, frames: int) -> torch.Tensor:
    """(N, C, H, W) -> a clip of that image alone."""
    return image[:, :, None].repeat(1, 1, frames, 1, 1)


class Small(nn.Module):
    """Every kind of layer that has an inflated form, with strides, groups, dilation and kernels of even size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.wide = nn.Conv2d(8, 8, (2, 3), padding=(1, 1), groups=2)
        self.pools = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, 1, 1, ceil_mode=True))
        self.far = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.mix = nn.Conv2d(8, 12, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pools(torch.relu(self.wide(self.stem(x))))
        return self.fc(torch.flatten(self.pool(torch.relu(self.mix(self.far(x)))), 1))


@pytest.fixture
def small() -> nn.Module:
    from cnnc.zoo.weights import fill

    net = Small()
    fill(net, 0)
    return net.eval()


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 8])
def test_an_inflated_kernel_is_the_kernel_at_every_time_over_its_length(frames: int) -> None:
    kernel = noise(4, 3, 5, 3)
    inflated = inflate(kernel, frames)
    assert inflated.shape == (4, 3, frames, 5, 3)
    torch.testing.assert_close(inflated.sum(2), kernel)
    assert all(torch.equal(inflated[:, :, t], inflated[:, :, 0]) for t in range(frames))
    clip = boring(noise(2, 3, 9, 9), 8)
    flat = nn.functional.conv2d(clip[:, :, 0], kernel)
    for one in nn.functional.conv3d(clip, inflated).unbind(2):
        torch.testing.assert_close(one, flat, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [None, 1, 2, 3, 4])
def test_a_boring_video_gives_what_its_frame_gives(small: nn.Module, frames: int | None) -> None:
    image = noise(2, 3, 33, 30)
    with torch.no_grad():
        expected = small(image)
        found = inflate_net(small, frames, ends="repeat")(boring(image, 7))
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_googlenet_inflated_is_googlenet_on_a_boring_video() -> None:
    net = build("googlenet")
    image = noise(1, 3, 64, 64)
    with torch.no_grad():
        expected = net(image)
        found = inflate_net(net, ends="repeat")(boring(image, 4))
    torch.testing.assert_close(found, expected, atol=1e-4 * expected.abs().max().item(), rtol=0)


def test_a_video_that_moves_gives_something_else(small: nn.Module) -> None:
    net = inflate_net(small, ends="repeat")
    clip = boring(noise(1, 3, 32, 32), 6)
    moving = torch.stack([torch.roll(frame, t, -1) for t, frame in enumerate(clip.unbind(2))], 2)
    with torch.no_grad():
        assert (net(moving) - net(clip)).abs().max() > 1e-3


def test_zeros_beyond_the_ends_dim_frames_near_them_only(small: nn.Module) -> None:
    """As in I3D. Kernels of five, two, three and one frames reach four frames back and five on, at most."""
    image = noise(1, 3, 32, 32)
    middle: list[torch.Tensor] = []
    net = inflate_net(small)
    net.mix.register_forward_hook(lambda _, __, y: middle.append(y))
    small.mix.register_forward_hook(lambda _, __, y: middle.append(y))
    with torch.no_grad():
        net(boring(image, 15))
        small(image)
    clip, flat = middle
    assert clip.shape[2] == 15
    torch.testing.assert_close(clip[:, :, 5:9], boring(flat, 4), atol=1e-5, rtol=1e-5)
    assert (clip[:, :, 0] - flat).abs().max() > 1e-3


def test_the_net_that_is_inflated_is_left_alone(small: nn.Module) -> None:
    before = {name: value.clone() for name, value in small.state_dict().items()}
    inflated = inflate_net(small)
    assert not inflated.training and not any(layer.training for layer in inflated.modules())
    assert isinstance(small.far, nn.Conv2d)
    assert all(torch.equal(before[name], value) for name, value in small.state_dict().items())
    assert isinstance(inflate_net(nn.Conv2d(3, 4, 3)), nn.Conv3d)


def test_what_cannot_be_inflated_is_named() -> None:
    with pytest.raises(UsageError, match=r"of shape \(3, 3\)"):
        inflate(torch.zeros(3, 3), 3)
    with pytest.raises(UsageError, match="`frames` is 0"):
        inflate(torch.zeros(1, 1, 3, 3), 0)
    with pytest.raises(UsageError, match="`frames` is -1"):
        inflate_net(Small(), -1)
    with pytest.raises(UnsupportedModelError, match=r"1\.0 is a InstanceNorm2d"):
        inflate_net(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.InstanceNorm2d(4))))
    with pytest.raises(UnsupportedModelError, match="reflect"):
        inflate_net(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")))


def test_i3d_is_inception_inflated() -> None:
    """Its kernels are as many as GoogLeNet's here, each k x k one as k x k x k; the papers' sizes on the way."""
    i3d, flat = on_meta("i3d"), on_meta("googlenet")
    kernels = [layer.weight.shape for layer in i3d.modules() if isinstance(layer, nn.Conv3d)]
    inflated = [layer.weight.shape for layer in inflate_net(flat).modules() if isinstance(layer, nn.Conv3d)]
    assert kernels[:-1] == inflated and len(kernels) == 58
    sizes: dict[str, tuple[int, ...]] = {}
    for name in ("Conv3d_1a_7x7", "MaxPool3d_3a_3x3", "Mixed_3c", "Mixed_4f", "Mixed_5c", "avg_pool"):
        i3d.get_submodule(name).register_forward_hook(
            lambda _, __, y, name=name: sizes.update({name: tuple(y.shape[1:])})
        )
    assert i3d(torch.zeros(1, *ZOO["i3d"].input_shape, device="meta")).shape == (1, 400)
    assert sizes == {
        "Conv3d_1a_7x7": (64, 32, 112, 112),
        "MaxPool3d_3a_3x3": (192, 32, 28, 28),
        "Mixed_3c": (480, 32, 28, 28),
        "Mixed_4f": (832, 16, 14, 14),
        "Mixed_5c": (1024, 8, 7, 7),
        "avg_pool": (1024, 7, 1, 1),
    }
    assert i3d(torch.zeros(1, 3, 9, 193, 193, device="meta")).shape == (1, 400)


def test_pools_of_i3d_are_the_ports_which_pad_zeros() -> None:
    from cnnc.zoo.i3d import MaxPool3d

    x = torch.relu(noise(1, 2, 5, 9, 8))
    pool = MaxPool3d((3, 3, 3), (2, 2, 2))
    padded = nn.functional.pad(x, (0, 1, 1, 1, 1, 1))  # an even size needs one more place, an odd one two
    torch.testing.assert_close(pool(x), nn.functional.max_pool3d(padded, 3, 2))


@pytest.mark.slow
def test_i3d_compiles_to_its_equal() -> None:
    """Every layer of it, on 9 frames of 33x33 instead of 64 of 224x224; the average is over all that is left."""
    net = build("i3d")
    net.avg_pool = nn.AdaptiveAvgPool3d(1)
    compiled = cnnc.compile(net, torch.zeros(1, 3, 9, 33, 33))
    assert compiled.report.certificate is not None
    assert compiled.report.passes.applied()["fold-batchnorm"] == 57
    x = noise(1, 3, 9, 33, 33)
    with torch.no_grad():
        expected = net(x).numpy()
    found = compiled.engine("cpu").run(x.numpy())
    assert abs(found - expected).max() < 1e-4 * abs(expected).max()
